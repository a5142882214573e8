"""Processes and OOM kills of a cluster: rows of what agents, kubelets and pods' statuses tell. Pure.

Whose a process is the snapshots said. What is not known is None or '', never 0; what cannot be known of a node,
because no agent runs there or it is silent, is a gap with its reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from krm.client.usage import ABSENT, worth
from krm.model.kills import Kill
from krm.model.measures import Covers
from krm.model.trust import LIVE
from krm.store import latest_seen_reader as stored
from krm.store.latest import CollectorState
from krm.store.latest_seen import GONE, NO_AGENT, READ, SILENT, NodeProcesses, Running

ROTTEN = "damaged"  # what Redis holds of a node cannot be read
_SHOWN = 3  # nodes that a sentence names


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: Optional[str] = None  # None = all of them, and kills of no pod
    pod: str = ""  # '' = every
    node: str = ""
    host: bool = False  # of processes: those of no pod, instead of pods'


@dataclass(frozen=True)
class Process:
    """One process. CPU in millicores, memory in bytes; None = not known."""

    node: str
    namespace: str  # '' = no pod's: of the host, or of a container that no pod has
    pod: str
    container: str  # '' = the pod's own: its pause process
    pid: int  # on the host
    pid_inside: Optional[int]  # in its innermost PID namespace
    name: str
    state: str
    cpu: Optional[float]  # of `window` seconds: it needs two readings
    window: Optional[float]
    rss: int
    threads: int
    ppid: int
    uid: Optional[int]
    started: float  # Unix seconds
    started_ticks: int  # (node, pid, started_ticks) is its identity
    cpu_ns: int  # used since its start
    at: float  # Unix seconds by the node's clock: when it was read
    container_id: str
    pod_uid: str
    pid_depth: int
    is_pause: bool
    is_init: bool
    shares_pids_with: str
    command: str  # '' = agents run without --commands


@dataclass(frozen=True)
class Gap:
    """A node of which there is less than of others."""

    node: str
    state: str  # no agent, silent, damaged
    why: str


@dataclass(frozen=True)
class Unseen:
    """What agents cannot see, and why."""

    what: str
    why: str
    nodes: Tuple[str, ...]


@dataclass(frozen=True)
class Processes:
    """An answer: rows, and what they are worth."""

    rows: Tuple[Process, ...]
    state: (
        str  # live, stale (the collector is away), absent (no collector, or no agent, tells of any node asked for)
    )
    reasons: Tuple[str, ...]  # why not live, and what the rows lack
    nodes: Optional[Covers]  # nodes whose processes are known; None = not known
    gaps: Tuple[Gap, ...]
    unseen: Tuple[Unseen, ...]
    now: float  # Redis' clock, Unix seconds

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Kills:
    """An answer alike; the newest kill last. They are kept for a day."""

    rows: Tuple[Kill, ...]
    state: str
    reasons: Tuple[str, ...]
    nodes: Optional[Covers]  # nodes whose agents tell of kills; of others the kubelet and pods' statuses tell
    gaps: Tuple[Gap, ...]
    unseen: Tuple[Unseen, ...]
    now: float

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON."""
        rows = [{**kill._asdict(), "before": [one._asdict() for one in kill.before]} for kill in self.rows]
        plain = {name: value for name, value in vars(self).items() if name != "rows"}
        return {
            "rows": rows,
            **plain,
            "gaps": [asdict(gap) for gap in self.gaps],
            "unseen": [asdict(one) for one in self.unseen],
        }


def processes_of(found: stored.Processes, asked: Asked) -> Processes:
    """The rows that are asked for: by namespace, pod, container, node and PID."""
    state, reasons = worth(found.collector, found.now)
    nodes = [one for one in found.nodes if asked.node in ("", one.node)]
    rows = [
        _process(node, one)
        for node in nodes
        for one in node.processes
        if (not one.pod if asked.host else bool(one.pod))
        and asked.namespace in (None, one.namespace)
        and asked.pod in ("", one.pod)
    ]
    rows.sort(key=lambda row: (row.namespace, row.pod, row.container, row.node, row.pid))
    gaps = _gaps([(one.node, one.state, one.why) for one in nodes], found.rotten, asked.node)
    covers = _covers(found.collector, [one.state for one in nodes], gaps)
    if state != ABSENT:
        reasons += _lacking(covers, gaps, asked.node, "processes")
        reasons += [f"node {one.node}: {one.left_out} more processes are not told" for one in nodes if one.left_out]
    if state == LIVE and covers is not None and not covers.known:
        state = ABSENT  # nobody tells: that is no empty list
    unseen = _unseen((one.node, one.missing) for one in nodes)
    return Processes(tuple(rows), state, tuple(reasons), covers, gaps, unseen, found.now)


def kills_of(found: stored.Kills, asked: Asked) -> Kills:
    """The kills that are asked for, the newest last."""
    state, reasons = worth(found.collector, found.now)
    nodes = [one for one in found.nodes if asked.node in ("", one.node)]
    rows = [
        kill
        for node in nodes
        for kill in node.kills
        if asked.namespace in (None, kill.namespace) and asked.pod in ("", kill.pod)
    ]
    rows.sort(key=lambda kill: (kill.at, kill.node, kill.id))
    gaps = _gaps([(one.node, one.state, one.why) for one in nodes], found.rotten, asked.node)
    covers = _covers(found.collector, [one.state for one in nodes], gaps)
    if state != ABSENT:
        gone = bool(nodes) and all(one.state == GONE for one in nodes)
        lacking = [] if gone else _lacking(covers, gaps, asked.node, "OOM kills")
        reasons += lacking
        if lacking:
            reasons.append("without an agent a kill is known by the kubelet's counter or its pod's status alone")
        reasons += [
            f"node {one.node}: {one.dropped} more kills of the last day are not kept"
            for one in nodes
            if one.dropped
        ]
    if state == LIVE and asked.node and covers is not None and not (covers.of or nodes):
        state = ABSENT  # of no such node
    unseen = _unseen((one.node, one.missing) for one in nodes)
    return Kills(tuple(rows), state, tuple(reasons), covers, gaps, unseen, found.now)


def _process(node: NodeProcesses, one: Running) -> Process:
    return Process(
        node.node, one.namespace, one.pod, one.container, one.pid, one.pid_inside, one.name, one.state, one.cpu,
        one.window, one.rss, one.threads, one.ppid, one.uid, one.started, one.started_ticks, one.cpu_ns,
        node.at or 0.0, one.container_id, one.pod_uid, one.pid_depth, one.is_pause, one.is_init,
        one.shares_pids_with, one.command,
    )  # fmt: skip


def _gaps(standings: Iterable[Tuple[str, str, str]], rotten: Sequence[str], node: str) -> Tuple[Gap, ...]:
    # Of a node that has gone there is nothing more to know: what was killed there stands in the rows.
    found = [Gap(name, state, why) for name, state, why in standings if state not in (READ, GONE)]
    found += [Gap(name, ROTTEN, "what Redis holds of it cannot be read") for name in rotten if node in ("", name)]
    return tuple(sorted(found, key=lambda gap: gap.node))


def _covers(collector: Optional[CollectorState], states: Sequence[str], gaps: Sequence[Gap]) -> Optional[Covers]:
    if collector is None:
        return None
    known = sum(state == READ for state in states)
    return Covers(known, known + len(gaps), "nodes")


def _lacking(covers: Optional[Covers], gaps: Sequence[Gap], node: str, what: str) -> List[str]:
    """What the rows lack: a sentence a reason, and not a node."""
    if covers is None or (covers.whole and covers.of):
        return []
    if not covers.of:
        where = f"node {node} is not known to the collector" if node else "the collector knows of no node yet"
        return [f"{where}: no {what} are told of it"]
    found = []
    if not node:
        none = not covers.known and all(gap.state == NO_AGENT for gap in gaps)
        nobody = f"no agent runs: nobody tells of {what} (docs/agent.md)"
        found.append(nobody if none else f"agents tell of {what} of {covers}")
    by_reason: Dict[Tuple[str, str], List[str]] = {}
    for gap in gaps:
        by_reason.setdefault((gap.state, gap.why), []).append(gap.node)
    return found + [f"{_named(nodes)}: {state}: {why}" for (state, why), nodes in by_reason.items()]


def _named(nodes: Sequence[str]) -> str:
    if len(nodes) == 1:
        return f"node {nodes[0]}"
    more = len(nodes) - _SHOWN
    return f"nodes {', '.join(nodes[:_SHOWN])}" + (f" and {more} more" if more > 0 else "")


def _unseen(told: Iterable[Tuple[str, Sequence[Tuple[str, str]]]]) -> Tuple[Unseen, ...]:
    by_what: Dict[Tuple[str, str], List[str]] = {}
    for node, missing in told:
        for one in missing:
            by_what.setdefault(one, []).append(node)
    return tuple(Unseen(what, why, tuple(nodes)) for (what, why), nodes in by_what.items())


__all__ = ["NO_AGENT", "READ", "ROTTEN", "SILENT", "Asked", "Gap", "Kills", "Process", "Processes", "Unseen"]
