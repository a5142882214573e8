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
                return _latest(beat, pairs(replies[2]), dict(zip(wanted, map(pairs, replies[3:]))))
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
        fields = pairs(flat)
        now = seconds(stamp)
        try:
            holder = fields.get(b"holder", b"").decode()
            beat, turn = float(fields.get(b"beat", b"0")), int(fields.get(b"turn", b"0"))
            names = tuple(msgpack.unpackb(fields[b"namespaces"])) if b"namespaces" in fields else ()
        except (ValueError, TypeError) as error:
            raise Corrupt(f"the collector's fields are not what krm wrote: {type(error).__name__}") from None
        self._namespaces = names
        if b"state" not in fields:
            return Beat(None, names, now)
        return Beat(unpack_state(fields[b"state"], holder, beat, turn), names, now)


def _latest(beat: Beat, nodes: Mapping[bytes, bytes], spaces: Mapping[str, Mapping[bytes, bytes]]) -> Latest:
    measured = {
        name: value for name, value in ((_text(n), _sums(v)) for n, v in nodes.items()) if value is not None
    }
    cluster = measured.pop("", ())
    pods: Dict[str, List[Pod]] = {}
    sums: Dict[str, Tuple[Measured, ...]] = {}
    for space, fields in spaces.items():
        if not fields:
            continue
        sums[space] = _sums(fields.get(b"", b"\x90")) or ()
        found = (_pod(_text(name), value) for name, value in fields.items() if name)
        pods[space] = sorted((pod for pod in found if pod is not None), key=lambda pod: pod.name)
    listed = [Node(name, measured[name]) for name in sorted(measured)]
    return Latest(pods, sums, listed, cluster, beat.collector, beat.now)


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
