"""Processes and OOM kills in Redis, beside the newest measurements: written by the collector, read by all.

    latest:processes  hash   NODE -> NodeProcesses; of each node that the cluster has, with or without an agent
    latest:kills      hash   NODE -> NodeKills; of nodes that have gone, too, while their kills are kept

Packed and compressed; a node's processes take about 40 bytes each. Times are Unix seconds by the node's clock, but
for `heard`, which is by the collector's.
"""

from __future__ import annotations

import zlib
from typing import Any, Callable, List, NamedTuple, Optional, Tuple, TypeVar

import msgpack
from krm.model.kill_ledger import Ledger, Mark
from krm.model.kills import Evidence, Kill, Moment
from krm.store.errors import Corrupt

PROCESSES, KILLS = "processes", "kills"  # parts of the key
# Bytes of one node's row, packed and unpacked: 20,000 processes with commands of 200 bytes are below it.
MAX_PACKED, MAX_UNPACKED = 4 * 1024 * 1024, 32 * 1024 * 1024
MAX_KILLS = 200  # of a node, the newest
LEDGER_FORMAT = 2  # another one where krm.model.kill_ledger.Mark or Evidence become others
# What is known of a node: it was read; its agent does not answer; there is none; the node itself is gone.
READ, SILENT, NO_AGENT, GONE = "read", "silent", "no agent", "gone"

T = TypeVar("T")


class Running(NamedTuple):
    """One process. (node, pid, started_ticks) is its identity. None = not known."""

    pid: int  # on the host
    started_ticks: int
    ppid: int
    name: str  # the kernel's, at most 15 bytes
    state: str  # R, S, D, Z, T, ...
    threads: int
    rss: int  # bytes
    cpu_ns: int  # used since its start
    started: float
    cpu: Optional[float] = None  # millicores, of `window`; it needs two readings
    window: Optional[float] = None  # seconds
    pid_inside: Optional[int] = None
    pid_depth: int = 1  # PID namespaces that see it; 1 = the host's alone
    uid: Optional[int] = None
    # By the snapshots, not by what the agent says: '' = of the host, or of a container that no pod here has.
    namespace: str = ""
    pod: str = ""
    container: str = ""
    container_id: str = ""
    pod_uid: str = ""
    is_pause: bool = False
    is_init: bool = False
    shares_pids_with: str = ""  # id of the container whose process 1 its PID namespace has
    command: str = ""


class NodeProcesses(NamedTuple):
    """The processes of a node, or why there are none."""

    node: str
    state: str  # READ, SILENT, NO_AGENT
    why: str = ""  # a sentence, where it was not read
    at: Optional[float] = None  # when they were read
    heard: Optional[float] = None  # when the collector was told so
    processes: Tuple[Running, ...] = ()
    left_out: int = 0  # that ran as well and are not told
    missing: Tuple[Tuple[str, str], ...] = ()  # what the agent cannot see, and why


class NodeKills(NamedTuple):
    """The kills of a node, the newest last, and whether its agent tells of them."""

    node: str
    state: str
    why: str = ""
    kills: Tuple[Kill, ...] = ()
    dropped: int = 0  # of the last day, that there was no room for
    missing: Tuple[Tuple[str, str], ...] = ()
    ledger: bytes = b""  # the whole ledger, for the next collector: `ledger_of`


def pack_processes(one: NodeProcesses) -> bytes:
    """All but the name, which is the field's."""
    rows = [list(process) for process in one.processes]
    return _packed([one.state, one.why, one.at, one.heard, rows, one.left_out, one.missing])


def unpack_processes(node: str, packed: bytes) -> NodeProcesses:
    """Raises Corrupt."""

    def made() -> NodeProcesses:
        state, why, at, heard, rows, left_out, missing = _unpacked(packed)
        running = tuple(Running(*row) for row in rows)
        return NodeProcesses(node, state, why, at, heard, running, left_out, _pairs(missing))

    return _read(f"processes of node {node}", made)


def pack_kills(one: NodeKills, ledger: Ledger) -> bytes:
    """The newest MAX_KILLS of the ledger, whatever `one` has of them; and the ledger itself."""
    rows = [[*kill[:-1], [list(moment) for moment in kill.before]] for kill in ledger.kills[-MAX_KILLS:]]
    marks = [[mark.key, mark.rank, _evidence(mark.said), mark.witnesses] for mark in ledger.marks.values()]
    whole = msgpack.packb([LEDGER_FORMAT, marks, sorted(ledger.named), ledger.floor])
    return _packed([one.state, one.why, rows, ledger.dropped, one.missing, whole])


def unpack_kills(node: str, packed: bytes) -> NodeKills:
    """Raises Corrupt."""

    def made() -> NodeKills:
        state, why, rows, dropped, missing, whole = _unpacked(packed)
        return NodeKills(node, state, why, tuple(_kill(row) for row in rows), dropped, _pairs(missing), whole)

    return _read(f"kills of node {node}", made)


def ledger_of(one: NodeKills) -> Ledger:
    """As the collector that wrote it had it. Raises Corrupt."""

    def made() -> Ledger:
        form, rows, named, floor = msgpack.unpackb(one.ledger)
        if form != LEDGER_FORMAT:
            raise ValueError("another format")
        marks = [
            Mark(key, (first, second), _said(said), tuple(witnesses))
            for key, (first, second), said, witnesses in rows
        ]
        return Ledger(one.kills, one.dropped, {mark.key: mark for mark in marks}, frozenset(named), floor)

    return _read(f"the ledger of kills of node {one.node}", made)


def _evidence(said: Evidence) -> List[Any]:
    return [*said[:-1], [list(moment) for moment in said.before]]


def _said(row: Any) -> Evidence:
    said = Evidence(*row)
    return said._replace(before=tuple(Moment(*moment) for moment in said.before))


def _kill(row: Any) -> Kill:
    kill = Kill(*row)
    before = tuple(Moment(*moment) for moment in kill.before)
    return kill._replace(witnesses=tuple(kill.witnesses), before=before)


def _pairs(rows: Any) -> Tuple[Tuple[str, str], ...]:
    return tuple((what, why) for what, why in rows)


def _packed(values: Any) -> bytes:
    return zlib.compress(msgpack.packb(values), 1)


def _unpacked(packed: bytes) -> Any:
    if len(packed) > MAX_PACKED:
        raise ValueError(f"{len(packed)} bytes")
    opened = zlib.decompressobj()
    plain = opened.decompress(packed, MAX_UNPACKED)
    if not opened.eof:
        raise ValueError("cut short, or too large")
    return msgpack.unpackb(plain)


def _read(what: str, made: Callable[[], T]) -> T:
    try:
        return made()
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise Corrupt(f"{what} are not what krm wrote: {type(error).__name__}") from None
