"""Which fields of a kind a field selector may name, and how they are read from an object's raw fields.

As the API server's own registries have them: `metadata.name` and `metadata.namespace` always (they are in
the key, so they are not stored), and the following. A field that an object lacks reads as its zero value.
"""

from __future__ import annotations

import json
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from krm.model.codec import Pieces

_POD = ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork")
_POD_STATUS = ("status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName")
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

# Kind -> fields, in the order in which Item.fields and Envelope.fields hold their values.
SELECTABLE: Dict[str, Tuple[str, ...]] = {
    "pods": (*_POD, *_POD_STATUS),
    "nodes": ("spec.unschedulable",),
    "services": ("spec.clusterIP", "spec.type"),
    "namespaces": ("status.phase",),
    "jobs.batch": ("status.successful",),
    "events": (*["involvedObject." + part for part in _INVOLVED], "reason", "reportingComponent", "source", "type"),
}
# Where a field is not read from the path that it names.
_PATHS = {
    "status.successful": "status.succeeded",
    "source": "source.component",
}
# Where a field that is empty is read from instead.
_ELSE = {"source": "reportingComponent"}
_ZERO = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.successful": "0",
}
# The API server takes this field in a selector, but gives no object a value for it.
_NEVER_SET = frozenset({"status.podIPs"})


class Leaf(NamedTuple):
    """Where one field is read: `name` of the object under `parent` ('' = of the object itself).

    `name` '' = nowhere: the field is always `zero`, as it is where the object lacks it.
    """

    parent: str
    name: str
    zero: str


def leaves(kind: str) -> List[Leaf]:
    """One leaf a field of SELECTABLE[kind]."""
    return [_leaf(name) for name in SELECTABLE.get(kind, ())]


def _leaf(field: str) -> Leaf:
    if field in _NEVER_SET:
        return Leaf("", "", "")
    parent, _, name = _PATHS.get(field, field).rpartition(".")
    return Leaf(parent, name, _ZERO.get(field, ""))


def substitutes(kind: str) -> List[Tuple[int, int]]:
    """(position of a field, position of the one read where it is empty)."""
    names = SELECTABLE.get(kind, ())
    return [(names.index(name), names.index(other)) for name, other in _ELSE.items() if name in names]


class Reader:
    """Reads one kind's selectable fields from an object's split fields."""

    def __init__(self, kind: str) -> None:
        self._leaves, self._substitutes = leaves(kind), substitutes(kind)
        self.opened: FrozenSet[str] = frozenset(leaf.parent for leaf in self._leaves if leaf.parent)

    def read(self, top: Pieces, inner: Dict[str, Pieces]) -> Tuple[str, ...]:
        """`top`: the object's fields; `inner`: the fields of `opened`."""
        none: Pieces = {}
        values = [
            text((inner.get(leaf.parent, none) if leaf.parent else top).get(leaf.name), leaf.zero)
            for leaf in self._leaves
        ]
        for position, other in self._substitutes:
            values[position] = values[position] or values[other]
        return tuple(values)


def text(raw: Optional[bytes], zero: str) -> str:
    """A raw value as a selector compares it."""
    if raw is None or raw == b"null":
        return zero
    if raw.startswith(b'"'):
        written: str = raw[1:-1].decode() if b"\\" not in raw else json.loads(raw)
        return written
    # true, false and numbers read as they are written; anything larger is no value of such a field.
    return zero if raw[:1] in b"{[" else raw.decode()
