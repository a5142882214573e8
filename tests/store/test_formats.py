"""The formats, read with redis and msgpack alone, as docs tell people who write no krm code."""

from __future__ import annotations

import hashlib
import json

import msgpack
import redis
from kind_pen import Pen
from krm.store.connect import Database
from krm.store.keys import Keys
from krm.store.publish import Writer


def test_a_snapshot_without_krm(real: Database, keys: Keys) -> None:
    pen = Pen(Writer(real, keys, "ME"))
    pen.begin(["a/x", "b/y"])
    pen.publish(("a/x", True), ("b/y", False))

    client = redis.Redis(unix_socket_path=real.address.path)
    prefix = "krm:{%s/pods}:" % keys.cluster
    head = client.hgetall(prefix + "head")
    incarnation = head[b"incarnation"].decode()
    assert head[b"version"] == b"2"
    (namespace, share), *others = client.hgetall(f"{prefix}{incarnation}:index").items()
    assert (namespace, others) == (b"a", [])
    (name, raw), *others = client.hgetall(f"{prefix}{incarnation}:ns:a").items()
    assert (name, others) == (b"x", [])
    form, rv, _uid, digest, _received_at, _labels, _fields, body = msgpack.unpackb(raw)
    assert (form, rv) == (1, "3")
    assert json.loads(body) == {"key": "a/x", "rv": "3"}
    assert hashlib.blake2b(body, digest_size=16).digest() == digest
    member = hashlib.blake2b(b"a/x\x003\x00" + digest, digest_size=16).hexdigest()
    assert share.decode() == f"1 {member}"

    ((entry_id, fields),) = client.xrange(prefix + "changes")
    assert entry_id == b"2-0"
    form, _at, rv, repair, _delay, changes = msgpack.unpackb(fields[b"c"])
    assert (form, rv, repair) == (1, "4", False)
    assert [(change[0], change[1], change[3]) for change in changes] == [("M", "a/x", "1"), ("D", "b/y", "2")]
    ((entry_id, fields),) = client.xrange(prefix + "past")
    form, before = msgpack.unpackb(fields[b"p"])
    assert (entry_id, form) == (b"2-0", 1)
    assert {key: msgpack.unpackb(value)[1] for key, value in before.items()} == {"a/x": "1", "b/y": "2"}
    client.close()
