"""A cluster kept in a real Redis by the store's own writer, for tests of whoever reads it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
import redis_servers
from krm.model.canonical import Canonicaliser
from krm.model.kinds import Resource, parse_kind, split_key
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import (
    Change,
    ChangeEntry,
    Envelope,
    IndexEntry,
    add_digest,
    member_digest,
    pack_change_entry,
    pack_envelope,
    pack_past,
)
from krm.model.served import pack_facts
from krm.store.connect import Database, connect, seconds
from krm.store.keys import Keys, meta_key
from krm.store.publish import Writer
from krm.store.transactions import Publication

_RESOURCES = {
    "pods": ("v1", "Pod", True),
    "nodes": ("v1", "Node", False),
    "namespaces": ("v1", "Namespace", False),
    "resourcequotas": ("v1", "ResourceQuota", True),
    "limitranges": ("v1", "LimitRange", True),
    "deployments.apps": ("v1", "Deployment", True),
    "services": ("v1", "Service", True),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim", True),
    "ingresses.networking.k8s.io": ("v1", "Ingress", True),
    "horizontalpodautoscalers.autoscaling": ("v2", "HorizontalPodAutoscaler", True),
    "customresourcedefinitions.apiextensions.k8s.io": ("v1", "CustomResourceDefinition", False),
    "flowschemas.flowcontrol.apiserver.k8s.io": ("v1", "FlowSchema", False),
    "widgets.example.com": ("v1", "Widget", True),
    "globals.example.com": ("v1", "Global", False),
}


class KeptKind:
    """One kind's pipeline. Starts live and verified, with no objects."""

    def __init__(self, database: Database, cluster: str, kind: str, namespace: str = "") -> None:
        self.keys = Keys(cluster, kind, namespace)
        version, object_kind, namespaced = _RESOURCES[kind]
        self.resource = Resource(parse_kind(kind), version, object_kind, namespaced)
        self.canon = Canonicaliser(self.resource)
        self.writer = Writer(database, self.keys, uuid.uuid4().hex)
        self.link = database.link()
        self.objects: Dict[str, Envelope] = {}
        self.rv = 100
        self.link.call("HSET", meta_key(cluster), "name", cluster)
        scope = f"@{namespace}" if namespace else ""
        self.link.call("HSET", meta_key(cluster), f"kind/{kind}{scope}", "1")
        self.stalled = False
        assert self.writer.take_over(self.writer.read_head(), {"beat": self.now(), "drift": {}})

    def now(self) -> float:
        return seconds(self.link.call("TIME"))

    def fresh(self) -> Dict[str, Any]:
        """Head fields of a kind that is live at this moment."""
        now = self.now()
        return {"beat": now, "probed_at": now, "streamer_at": now, "current_as_of": now, "observed_at": now}

    def envelope(self, key: str, **parts: Any) -> Envelope:
        namespace, name = split_key(key)
        self.rv += 1
        metadata = {"name": name, "resourceVersion": str(self.rv), "uid": parts.pop("uid", f"uid-{key}")}
        if namespace:
            metadata["namespace"] = namespace
        metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
        for field in ("labels", "annotations"):
            if field in parts:
                metadata[field] = parts.pop(field)
        item = self.canon.item(json.dumps({"metadata": metadata, **parts}).encode())
        return Envelope(item.rv, item.uid, item.digest, self.now(), item.labels, item.fields, item.body)

    def begin(self, objects: Optional[Dict[str, Dict[str, Any]]] = None, **head: Any) -> str:
        """(Re)builds the snapshot; answers its incarnation."""
        known = self.writer.known
        assert known is not None
        new = uuid.uuid4().hex
        self.writer.write_head({"next": new}, garbage_add=[])
        self.objects = {key: self.envelope(key, **dict(parts)) for key, parts in (objects or {}).items()}
        packed = {key: pack_envelope(one) for key, one in self.objects.items()}
        self.writer.build(new, packed, dict(self._index()), {})
        self.writer.switch(
            {**self._head(known.version + 1), "oldest": known.version + 1, **head}, known.incarnation
        )
        return new

    def publish(self, *changes: Tuple[str, Optional[Dict[str, Any]]], repair: bool = False, **head: Any) -> str:
        """One version of (key, parts) pairs, None deletes; answers its token."""
        known = self.writer.known
        assert known is not None
        before = {key: self.objects.get(key) for key, _ in changes}
        listed: List[Change] = []
        for key, parts in changes:
            old = self.objects.pop(key, None)
            new = self.envelope(key, **dict(parts)) if parts is not None else None
            if new is None:
                assert old is not None
                self.rv += 1
                new = old._replace(rv=str(self.rv))
                type_ = DELETED
            else:
                type_ = MODIFIED if old else ADDED
                self.objects[key] = new
            was = (old.rv, old.uid, old.labels, old.fields) if old else ("", "", b"", ())
            listed.append(Change(type_, key, pack_envelope(new), *was))
        entry = ChangeEntry(self.now(), str(self.rv), repair, None if repair else 0.001, tuple(listed))
        touched = {split_key(key)[0] for key, _ in changes}
        index = dict(self._index())
        publication = Publication(
            known.incarnation,
            known.version + 1,
            {key: pack_envelope(self.objects[key]) for key, _ in changes if key in self.objects},
            [key for key, _ in changes if key not in self.objects],
            {space: index.get(space) for space in touched},
            pack_change_entry(entry),
            pack_past({key: pack_envelope(one) if one else b"" for key, one in before.items()}),
            {**self._head(None), **head},
        )
        self.writer.publish(publication)
        return f"{known.incarnation}:{known.version + 1}"

    def head(self, **values: Any) -> None:
        """Writes fields of head alone: `head(list_error="Forbidden")`."""
        self.writer.write_head(values)

    def serve(self) -> None:
        """As if the verifier had just told how the kind is served."""
        self.head(facts=pack_facts(self.resource, {}))

    def stall(self) -> None:
        """As if the aggregator had stopped a minute ago."""
        self.stalled = True
        self.head(beat=self.now() - 60)

    def verify(self) -> None:
        """As if a list had just confirmed everything."""
        self.head(verified_rv=str(self.rv), verified_at=self.now(), verified_by="cache", **self.fresh())

    def _head(self, verified: Optional[int]) -> Dict[str, Any]:
        head = {**self.fresh(), "rv": str(self.rv), "count": len(self.objects)}
        if verified is not None:
            head.update(
                verified_rv=str(self.rv), verified_at=self.now(), verified_by="cache", oldest_rv=str(self.rv)
            )
        return head

    def _index(self) -> Dict[str, Optional[IndexEntry]]:
        index: Dict[str, Optional[IndexEntry]] = {}
        for key, one in self.objects.items():
            space = split_key(key)[0]
            count, digest = index.get(space) or (0, 0)
            index[space] = IndexEntry(count + 1, add_digest(digest, member_digest(key, one.rv, one.digest)))
        return index


class KeptCluster:
    """Several kinds of one cluster in the Redis at `url`."""

    def __init__(self, url: str, name: str = "paper") -> None:
        self.url, self.name = url, name
        self.database = connect(url, name="test-writer")
        self.kinds: List[KeptKind] = []

    def kind(self, kind: str, objects: Optional[Dict[str, Dict[str, Any]]] = None, namespace: str = "") -> KeptKind:
        kept = KeptKind(self.database, self.name, kind, namespace)
        kept.begin(objects)
        self.kinds.append(kept)
        return kept

    @contextlib.contextmanager
    def alive(self) -> Iterator[None]:
        """Beats for all kinds, so that a test on a slow machine does not see its own slowness."""
        done = threading.Event()

        def beat() -> None:
            link = self.database.link()
            while not done.wait(0.5):
                stamp = repr(seconds(link.call("TIME")))
                for kept in [kept for kept in self.kinds if not kept.stalled]:
                    if link.call("EXISTS", kept.keys.head):
                        fields = ("beat", "probed_at", "streamer_at", "current_as_of")
                        link.call("HSET", kept.keys.head, *[word for name in fields for word in (name, stamp)])
            link.close()

        heart = threading.Thread(target=beat, daemon=True)
        heart.start()
        try:
            yield
        finally:
            done.set()
            heart.join(10)


def pod(phase: str = "Running", node: str = "node-1", **labels: str) -> Dict[str, Any]:
    """A pod with one container, ready where it runs."""
    ready = phase == "Running"
    return {
        "labels": labels,
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "nginx:1"}]},
        "status": {
            "phase": phase,
            "podIP": "10.0.0.7",
            "podIPs": [{"ip": "10.0.0.7"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [
                {
                    "name": "c",
                    "image": "nginx:1",
                    "imageID": "sha256:1",
                    "ready": ready,
                    "restartCount": 2,
                    "state": {"running": {}} if ready else {},
                }
            ],
        },
    }


def wait_until(condition: Any, deadline: float = 15.0) -> Any:
    """The first truthy value; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    folder = Path(tmp_path_factory.mktemp("r"))
    with redis_servers.one(folder) as running:
        yield running


@pytest.fixture
def kept(server: redis_servers.Server) -> Iterator[KeptCluster]:
    server.ask("FLUSHALL")
    cluster = KeptCluster(server.url)
    with cluster.alive():
        yield cluster
