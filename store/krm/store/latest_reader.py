"""Reading the newest measurements: one point in time, with the age that each value really has."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import msgpack
from krm.store.connect import Command, Database, seconds
from krm.store.errors import Busy, Corrupt, Unanswered
from krm.store.keys import latest_key
from krm.store.latest import (
    CollectorState,
    Latest,
    Measured,
    Node,
    Pod,
    unpack_measured,
    unpack_pod,
    unpack_state,
)
from krm.store.streams import pairs

_ATTEMPTS = 3


class Beat(NamedTuple):
    """Whether there is something new."""

    collector: Optional[CollectorState]  # None = no collector ever wrote here
    namespaces: Tuple[str, ...]
    now: float  # Redis' clock, Unix seconds


class Packed(NamedTuple):
    """What Redis holds, of one moment, as bytes: `unpacked` makes a Latest of it.

    Of 5,000 pods that is .02 s instead of .3 s, for who follows each turn and needs a part of it now and then.
    """

    pods: Mapping[str, Mapping[str, bytes]]  # namespace -> name -> for unpack_pod
    namespaces: Mapping[str, bytes]  # for unpack_measured
    nodes: Mapping[str, bytes]  # by name, '' = the cluster; for unpack_measured
    collector: Optional[CollectorState]  # None = no collector ever wrote here
    now: float  # Redis' clock, Unix seconds


class LatestReader:
    """Reads of one cluster on one socket; not for several threads."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._cluster = cluster
        self._link = database.link(latest_key(cluster, "collector"))
        self._namespaces: Tuple[str, ...] = ()  # as they were last

    def beat(self) -> Beat:
        """The collector alone: cheap enough for each second. Raises Corrupt, StoreError."""
        flat, stamp = self._transaction([self._of("collector"), ("TIME",)])
        return self._beat(flat, stamp)

    def read(self, namespaces: Optional[Sequence[str]] = None) -> Latest:
        """Everything, or the nodes and some namespaces. Raises Busy, Corrupt, StoreError.

        A pod or node whose bytes rotted is left out, as one that gave no data is.
        """
        return unpacked(self.packed(namespaces))

    def packed(self, namespaces: Optional[Sequence[str]] = None) -> Packed:
        """The same as bytes. Raises Busy, Corrupt, StoreError."""
        for _ in range(_ATTEMPTS):
            wanted = self._namespaces if namespaces is None else tuple(dict.fromkeys(namespaces))
            replies = self._transaction(
                [
                    self._of("collector"),
                    ("TIME",),
                    self._of("nodes"),
                    *[self._of(f"ns:{space}") for space in wanted],
                ]
            )
            beat = self._beat(replies[0], replies[1])
            if namespaces is not None or set(beat.namespaces) <= set(wanted):
                return _packed(beat, replies[2], dict(zip(wanted, replies[3:])))
        raise Busy(f"namespaces of {self._cluster} came {_ATTEMPTS} times while their measurements were read")

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()

    def _of(self, part: str) -> Command:
        return ("HGETALL", latest_key(self._cluster, part))

    def _transaction(self, commands: List[Command]) -> List[Any]:
        try:
            return self._link.transaction(commands)
        except Unanswered:  # the server closed the idle socket
            return self._link.transaction(commands)

    def _beat(self, flat: Any, stamp: Any) -> Beat:
        beat = beat_of(flat, stamp)
        self._namespaces = beat.namespaces
        return beat


def beat_of(flat: Any, stamp: Any) -> Beat:
    """`flat`: the fields of the collector's hash; `stamp`: Redis' TIME. Raises Corrupt."""
    fields = pairs(flat)
    now = seconds(stamp)
    try:
        holder = fields.get(b"holder", b"").decode()
        beat, turn = float(fields.get(b"beat", b"0")), int(fields.get(b"turn", b"0"))
        names = tuple(msgpack.unpackb(fields[b"namespaces"])) if b"namespaces" in fields else ()
    except (ValueError, TypeError) as error:
        raise Corrupt(f"the collector's fields are not what krm wrote: {type(error).__name__}") from None
    if b"state" not in fields:
        return Beat(None, names, now)
    return Beat(unpack_state(fields[b"state"], holder, beat, turn), names, now)


def unpacked(packed: Packed) -> Latest:
    """What rotted is left out."""
    pods: Dict[str, List[Pod]] = {}
    for space, fields in packed.pods.items():
        found = (_pod(name, fields[name]) for name in sorted(fields))
        pods[space] = [pod for pod in found if pod is not None]
    sums = {space: _sums(value) or () for space, value in packed.namespaces.items()}
    measured = {name: _sums(packed.nodes[name]) for name in sorted(packed.nodes)}
    cluster = measured.pop("", None) or ()
    listed = [Node(name, value) for name, value in measured.items() if value is not None]
    return Latest(pods, sums, listed, cluster, packed.collector, packed.now)


def _packed(beat: Beat, nodes: Any, spaces: Mapping[str, Any]) -> Packed:
    pods: Dict[str, Dict[str, bytes]] = {}
    sums: Dict[str, bytes] = {}
    for space, flat in spaces.items():
        fields = {_text(name): value for name, value in pairs(flat).items()}
        if fields:
            sums[space] = fields.pop("", b"\x90")
            pods[space] = fields
    named = {_text(name): value for name, value in pairs(nodes).items()}
    return Packed(pods, sums, named, beat.collector, beat.now)


def _sums(packed: bytes) -> Optional[Tuple[Measured, ...]]:
    try:
        return unpack_measured(packed)
    except Corrupt:
        return None


def _pod(name: str, packed: bytes) -> Optional[Pod]:
    try:
        return unpack_pod(name, packed)
    except Corrupt:
        return None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
