"""Reading the processes and OOM kills of a cluster: one point in time each."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, TypeVar

from krm.store.connect import Command, Database
from krm.store.errors import Corrupt, Rejected, Unanswered
from krm.store.keys import latest_key
from krm.store.latest import CollectorState
from krm.store.latest_reader import beat_of
from krm.store.latest_seen import (
    KILLS,
    PROCESSES,
    NodeKills,
    NodeProcesses,
    unpack_kills,
    unpack_processes,
)
from krm.store.streams import pairs

T = TypeVar("T")


class Processes(NamedTuple):
    """Of all nodes, or of the one that was asked for."""

    nodes: Tuple[NodeProcesses, ...]  # by name
    rotten: Tuple[str, ...]  # nodes whose bytes cannot be read
    collector: Optional[CollectorState]  # None = no collector ever wrote here
    now: float  # Redis' clock, Unix seconds


class Kills(NamedTuple):
    """Alike."""

    nodes: Tuple[NodeKills, ...]
    rotten: Tuple[str, ...]
    collector: Optional[CollectorState]
    now: float


class SeenReader:
    """Reads of one cluster on one socket; not for several threads."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._cluster = cluster
        self._link = database.link(latest_key(cluster, "collector"))

    def processes(self, node: str = "") -> Processes:
        """Raises Corrupt (the collector's own fields), StoreError."""
        fields, collector, now = self._read(PROCESSES, node)
        return Processes(*_unpacked(fields, unpack_processes), collector, now)

    def kills(self, node: str = "") -> Kills:
        """Raises as `processes`."""
        fields, collector, now = self._read(KILLS, node)
        return Kills(*_unpacked(fields, unpack_kills), collector, now)

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()

    def _read(self, part: str, node: str) -> Tuple[Dict[str, bytes], Optional[CollectorState], float]:
        key = latest_key(self._cluster, part)
        wanted: Command = ("HGET", key, node) if node else ("HGETALL", key)
        commands: List[Command] = [("HGETALL", latest_key(self._cluster, "collector")), ("TIME",), wanted]
        flat, stamp, found = self._transaction(commands)
        beat = beat_of(flat, stamp)
        if node:
            return ({} if found is None else {node: found}), beat.collector, beat.now
        return _named(found), beat.collector, beat.now

    def _transaction(self, commands: List[Command]) -> List[Any]:
        try:
            return self._link.transaction(commands)
        except Unanswered:  # the server closed the idle socket
            return self._link.transaction(commands)


def kills_left(database: Database, cluster: str) -> Tuple[NodeKills, ...]:
    """The kills that a collector left, for the next one: what rotted, it does without. Raises StoreError."""
    key = latest_key(cluster, KILLS)
    link = database.link(key)
    try:
        fields = _named(link.call("HGETALL", key))
    except Rejected:  # no hash stands there: the first write replaces it
        return ()
    finally:
        link.close()
    return _unpacked(fields, unpack_kills)[0]


def _named(flat: Any) -> Dict[str, bytes]:
    return {name.decode("utf-8", "replace"): value for name, value in pairs(flat).items()}


def _unpacked(fields: Dict[str, bytes], unpack: Callable[[str, bytes], T]) -> Tuple[Tuple[T, ...], Tuple[str, ...]]:
    """What can be read, in order of the nodes' names, and the names of the rest."""
    found: List[T] = []
    rotten: List[str] = []
    for name in sorted(fields):
        try:
            found.append(unpack(name, fields[name]))
        except Corrupt:
            rotten.append(name)
    return tuple(found), tuple(rotten)
