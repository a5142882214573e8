"""Replicas of a few pods, made without Redis, for tests of the server's pure parts."""

from __future__ import annotations

import json
from typing import Dict, List, Tuple

from krm.model.head import Head
from krm.model.kinds import Kind, Resource
from krm.model.records import Change, ChangeEntry, Envelope, object_digest, pack_envelope
from krm.server.lists import Forms
from krm.server.replica import Replica
from krm.server.tables import Tabulator
from krm.server.writing import Writer
from krm.store.read import SnapshotData, Token

PODS = Resource(Kind("pods", ""), "v1", "Pod", True, "pod", ("po",), ("all",))
WIDGETS = Resource(Kind("widgets", "krm.test"), "v1", "Widget", True, "widget", (), ())


def pod(key: str, rv: int, labels: str = "", phase: str = "Running", node: str = "") -> Envelope:
    """`key`: namespace/name; `labels`: "a=1,b=2"."""
    namespace, _, name = key.partition("/")
    found = dict(part.split("=") for part in labels.split(",") if part)
    metadata = {"name": name, "namespace": namespace, "resourceVersion": str(rv), "labels": found}
    metadata["creationTimestamp"] = "2026-11-22T10:00:00Z"
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": phase}}
    written = json.dumps(body, separators=(",", ":")).encode()
    fields = (node, "Always", "", "", "false", phase, "", "", "")
    return Envelope(str(rv), f"uid-{key}", object_digest(written), 1.0, json.dumps(found).encode(), fields, written)


def loaded(*pods: Envelope, rv: int = 100) -> Replica:
    """A live replica at `rv`, its keys read from the uids."""
    replica = Replica("pods")
    held = {one.uid[len("uid-") :]: one for one in pods}
    replica.load(SnapshotData(Token("n", 1), head(rv), 10.0, held))
    return replica


def head(rv: int, version: int = 1, **more: object) -> Head:
    times = dict.fromkeys(("beat", "probed_at", "streamer_at", "current_as_of", "verified_at"), 10.0)
    facts: Dict[str, object] = {"incarnation": "n", "version": version, "rv": str(rv), **times, **more}
    return Head(**facts)  # type: ignore[arg-type]


def change(replica: Replica, *events: Tuple[str, Envelope], repair: bool = False) -> None:
    """One version with these (type, object)."""
    rows: List[Change] = [
        Change(type_, one.uid[len("uid-") :], pack_envelope(one), "", "", b"", ()) for type_, one in events
    ]
    entry = ChangeEntry(11.0, events[-1][1].rv, repair, 0.0, tuple(rows))
    replica.apply(replica.token.version + 1, entry)


def forms() -> Forms:
    return Forms(Writer(PODS), Tabulator("pods"))
