"""What rests in Redis for readers: envelopes, change entries, past entries, the index. All versioned.

    K N:ns:NAMESPACE  name -> Envelope          msgpack [FORMAT, rv, uid, digest, received_at, labels, fields, body]
    K N:index         namespace -> IndexEntry   text "COUNT DIGEST"
    K changes         VERSION-0 -> ChangeEntry  field c: msgpack [FORMAT, at, rv, repair, delay, [change, ...]]
    K past            VERSION-0 -> PastEntry    field p: msgpack [FORMAT, {key: envelope before it, b"" = none}]

A change is [type, key, envelope, previous rv, previous uid, previous labels, previous fields]. A key
may stand twice in one entry: no event is folded away, so that a watch sees each one.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Dict, NamedTuple, Optional, Tuple

import msgpack
from krm.model.messages import BadMessage, unpack_capped

FORMAT = 1
_MODULUS = 1 << 128  # digests of sets are sums modulo 2^128


class BadRecord(BadMessage):
    """A value in Redis that krm did not write, or that rotted: never served."""


class Envelope(NamedTuple):
    """One object as the snapshot keeps it."""

    rv: str
    uid: str
    digest: bytes  # blake2b-16 of body
    received_at: float  # seconds, Redis clock: when the streamer or the verifier had its bytes
    labels: bytes  # metadata.labels, raw JSON, b"" = absent
    fields: Tuple[str, ...]  # selectable fields, in the order of selectors.SELECTABLE[kind]
    body: bytes  # canonical JSON


class Change(NamedTuple):
    """One change of one object, with what selectors need to tell its transition."""

    type: str  # messages.ADDED, MODIFIED or DELETED, as the snapshot saw it
    key: str  # namespace/name
    envelope: bytes  # packed; of a DELETED: the last object at the deletion's rv
    previous_rv: str  # '' = there was none
    previous_uid: str
    previous_labels: bytes
    previous_fields: Tuple[str, ...]


_CHANGE = (str, str, bytes, str, str, bytes, tuple)  # types of Change's fields


class ChangeEntry(NamedTuple):
    """All changes of one version."""

    at: float  # when it was published, Redis clock
    rv: str  # F, once it is applied
    repair: bool  # found by a list, not by the watch
    delay: Optional[float]  # seconds from receipt to publication of the oldest change in it; None = unknown
    changes: Tuple[Change, ...]


def object_digest(body: bytes) -> bytes:
    """blake2b-16 of the canonical bytes: rot in Redis or on the way is found, never served."""
    return blake2b(body, digest_size=16).digest()


def member_digest(key: str, rv: str, digest: bytes) -> int:
    """One object's share in its set's digest."""
    name = b"%s\0%s\0" % (key.encode(), rv.encode())
    return int.from_bytes(blake2b(name + digest, digest_size=16).digest(), "big")


def add_digest(total: int, member: int) -> int:
    """The set's digest with one member more."""
    return (total + member) % _MODULUS


def drop_digest(total: int, member: int) -> int:
    """The set's digest with one member less."""
    return (total - member) % _MODULUS


def pack_envelope(envelope: Envelope) -> bytes:
    """The hash's value."""
    packed: bytes = msgpack.packb((FORMAT, *envelope), use_bin_type=True)
    return packed


def unpack_envelope(raw: bytes) -> Envelope:
    """Raises BadRecord for anything but an envelope; the digest is checked by `checked_envelope`."""
    rv, uid, digest, received_at, labels, fields, body = unpack_parts(raw, "envelope", 7)
    texts = isinstance(rv, str) and isinstance(uid, str) and isinstance(fields, tuple)
    blobs = isinstance(digest, bytes) and isinstance(labels, bytes) and isinstance(body, bytes)
    if not (texts and blobs and isinstance(received_at, (int, float))):
        raise BadRecord("an envelope with fields of other types")
    return Envelope(rv, uid, digest, float(received_at), labels, fields, body)


def checked_envelope(raw: bytes) -> Envelope:
    """`unpack_envelope`, and the body's digest must fit. Raises BadRecord."""
    envelope = unpack_envelope(raw)
    if object_digest(envelope.body) != envelope.digest:
        raise BadRecord("an object's bytes do not fit their digest: rot in Redis")
    return envelope


def pack_change_entry(entry: ChangeEntry) -> bytes:
    """The value of field c."""
    packed: bytes = msgpack.packb((FORMAT, *entry), use_bin_type=True)
    return packed


def unpack_change_entry(raw: bytes) -> ChangeEntry:
    """Raises BadRecord."""
    at, rv, repair, delay, rows = unpack_parts(raw, "change entry", 5)
    times = isinstance(at, (int, float)) and (delay is None or isinstance(delay, (int, float)))
    if not (times and isinstance(rv, str) and isinstance(rows, tuple)):
        raise BadRecord("a change entry with fields of other types")
    if not all(isinstance(row, tuple) and len(row) == 7 for row in rows):
        raise BadRecord("a change with another number of fields")
    if not all(isinstance(value, shape) for row in rows for value, shape in zip(row, _CHANGE)):
        raise BadRecord("a change with fields of other types")
    late = None if delay is None else float(delay)
    return ChangeEntry(float(at), rv, bool(repair), late, tuple([Change(*row) for row in rows]))


def pack_past(before: Dict[str, bytes]) -> bytes:
    """The value of field p: key -> packed envelope before the version, b"" where there was none."""
    packed: bytes = msgpack.packb((FORMAT, before), use_bin_type=True)
    return packed


def unpack_past(raw: bytes) -> Dict[str, bytes]:
    """Raises BadRecord."""
    before: Dict[str, bytes]
    (before,) = unpack_parts(raw, "past entry", 1)
    sound = isinstance(before, dict) and all(isinstance(key, str) for key in before)
    if not (sound and all(isinstance(value, bytes) for value in before.values())):
        raise BadRecord("a past entry with fields of other types")
    return before


def unpack_parts(raw: bytes, what: str, count: int) -> Tuple[Any, ...]:
    """The `count` fields of a record of FORMAT. Raises BadRecord."""
    try:
        parts = unpack_capped(raw)
    except BadMessage as error:
        raise BadRecord("no %s: %s" % (what, error)) from None
    if not isinstance(parts, tuple) or len(parts) != count + 1 or parts[0] != FORMAT:
        raise BadRecord("no %s of format %d" % (what, FORMAT))
    return parts[1:]


class IndexEntry(NamedTuple):
    """A namespace's share of the snapshot."""

    objects: int
    digest: int  # sum of its members' digests modulo 2^128


def pack_index(entry: IndexEntry) -> str:
    """`COUNT DIGEST`, the digest in hex."""
    return "%d %032x" % entry


def unpack_index(raw: bytes) -> IndexEntry:
    """Raises BadRecord."""
    count, _, digest = raw.partition(b" ")
    try:
        return IndexEntry(int(count), int(digest, 16))
    except ValueError:
        raise BadRecord("no index entry") from None
