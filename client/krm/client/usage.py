"""What pods, containers, namespaces and nodes use now: rows of the newest measurements. Pure.

Each row keeps its source's own time. What is not known is None, never 0; a sum says what it covers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from krm.client.errors import BadRequest
from krm.model.measures import CONTAINER, NAMESPACE, NODE, POD, Covers, Silence
from krm.model.metrics import TABLE
from krm.model.trust import LIVE, STALE
from krm.store.latest import SNAPSHOT, CollectorState, Latest, Measured, Pod

CPU, MEMORY = "cpu/usage_rate", "memory/working_set"
WORDS = {"pods": POD, "containers": CONTAINER, "namespaces": NAMESPACE, "nodes": NODE}
# Seconds beside two turns after which a newer one should have come: it may take its time on a busy machine.
LATE = 5.0
ABSENT = "absent"


@dataclass(frozen=True)
class Span:
    """One metric over a window, of the history's points (15 s each)."""

    average: float
    p95: float
    maximum: float
    points: int  # that there are
    of: int  # that the window has


@dataclass(frozen=True)
class Used:
    """One subject. CPU in millicores, memory in bytes; None = not known."""

    level: str  # container, pod, namespace, node
    namespace: str
    name: str
    container: str
    node: str
    cpu: Optional[float]
    memory: Optional[float]  # working set
    cpu_request: Optional[float]
    cpu_limit: Optional[float]
    memory_request: Optional[float]
    memory_limit: Optional[float]
    cpu_allocatable: Optional[float]  # of a node
    memory_allocatable: Optional[float]
    at: Optional[float]  # Unix seconds by the source's clock: when the CPU was read
    window: Optional[float]  # seconds that its rate was taken over
    source: str
    covers: str  # of a sum: `2 of 3 pods`; '' = all of it
    values: Mapping[str, float]  # every metric that is told, in the units of krm.model.metrics
    spans: Mapping[str, Span]  # metric -> the window that was asked for


@dataclass(frozen=True)
class Usage:
    """An answer: rows, and what they are worth."""

    rows: Tuple[Used, ...]
    state: str  # live, stale (the collector is away), absent (none ever wrote)
    reasons: Tuple[str, ...]  # why not live, and what the rows lack
    nodes: Optional[Covers]  # how many nodes are measured
    silences: Tuple[Silence, ...]  # targets that give no data
    now: float  # Redis' clock, Unix seconds
    history: Tuple[str, ...] = ()  # what is wrong with the history, a sentence each
    agents: Optional[Covers] = None  # nodes whose processes an agent tells; None = it is not known

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def to_dataframe(self, package: str = "") -> Any:
        """A row a subject. package: pandas or polars, '' = what is installed. Raises NeedsPackage."""
        from krm.client.measured_frames import usage_frame

        return usage_frame(self.rows, package)


def level_of(word: str) -> str:
    """`pods` -> pod. Raises BadRequest."""
    singular = word[:-1] if word in WORDS else word
    if singular not in WORDS.values():
        raise BadRequest(f"{word!r} is not measured: {', '.join(WORDS)} are")
    return singular


def usage_of(latest: Latest, level: str, name: str = "") -> Usage:
    """The rows of one level, in the order in which kubectl lists them. `name`: of a pod, namespace or node."""
    rows = [row for row in _rows(latest, level) if not name or name == _name(row)]
    state, reasons = worth(latest.collector, latest.now)
    collector = latest.collector
    reasons += _lacking(latest, level, name)
    return Usage(
        tuple(rows),
        state,
        tuple(reasons),
        None if collector is None else collector.nodes,
        () if collector is None else collector.silences,
        latest.now,
        () if collector is None else collector.history,
        None if collector is None else collector.agents,
    )


def _name(row: Used) -> str:
    return row.namespace if row.level == NAMESPACE else row.name


def _rows(latest: Latest, level: str) -> Iterable[Used]:
    if level == NODE:
        for node in latest.nodes:
            yield used(level, node.measured, name=node.name, node=node.name)
    elif level == NAMESPACE:
        for namespace in sorted(latest.namespaces):
            yield used(level, latest.namespaces[namespace], namespace=namespace, name=namespace)
    else:
        for namespace in sorted(latest.pods):
            for pod in latest.pods[namespace]:
                yield from _of_pod(namespace, pod, level)


def _of_pod(namespace: str, pod: Pod, level: str) -> Iterable[Used]:
    where = {"namespace": namespace, "name": pod.name, "node": pod.node}
    if level == CONTAINER:
        for container in sorted(pod.containers):
            yield used(level, pod.containers[container], container=container, **where)
        return
    yield used(level, _as_pod(pod), **where)


def _as_pod(pod: Pod) -> Tuple[Measured, ...]:
    """What its containers use together; their oldest time is its."""
    together: Dict[str, float] = {}
    parts = [
        row for rows in pod.containers.values() for row in rows if not row.resource_id and row.source != "state"
    ]
    for row in parts:
        for metric, value in row.values.items():
            # An age, or a share of time, is that of its oldest, or worst, container.
            together[metric] = (
                together.get(metric, 0.0) + value if _adds_up(metric) else max(value, together.get(metric, value))
            )
    timed = [row for row in parts if CPU in row.values]
    own = tuple(
        row._replace(values={name: value for name, value in row.values.items() if name not in together})
        for row in pod.measured
    )
    if not parts:
        return own
    oldest = min(timed or parts, key=lambda row: row.at)
    measured = sum(any(CPU in row.values for row in rows) for rows in pod.containers.values())
    covers = Covers(measured, measured + len(pod.lacks), "containers") if pod.lacks else None
    return (Measured(oldest.source, oldest.at, oldest.window, together, covers), *own)


def _adds_up(metric: str) -> bool:
    row = TABLE.get(metric)
    return row is None or row.adds_up


def used(
    level: str,
    measured: Sequence[Measured],
    namespace: str = "",
    name: str = "",
    container: str = "",
    node: str = "",
) -> Used:
    """One row of what is told of a subject."""
    values: Dict[str, float] = {}
    for row in measured:
        if not row.resource_id:
            values.update(row.values)
    timed = next((row for row in measured if CPU in row.values and not row.resource_id), None)
    covers = next((row.covers for row in measured if row.covers is not None), None)
    get = values.get
    return Used(
        level, namespace, name, container, node, get(CPU), get(MEMORY),
        get("cpu/request"), get("cpu/limit"), get("memory/request"), get("memory/limit"),
        get("cpu/node_allocatable"), get("memory/node_allocatable"),
        None if timed is None else timed.at,
        None if timed is None else timed.window,
        "" if timed is None else timed.source,
        "" if covers is None or covers.whole else str(covers),
        values, {},
    )  # fmt: skip


def worth(collector: Optional[CollectorState], now: float) -> Tuple[str, List[str]]:
    """The state of what a collector wrote, and why it is not live."""
    if collector is None:
        return ABSENT, ["no collector runs: `krm up` starts one, unless it keeps some kinds or namespaces alone"]
    age = now - collector.beat
    if age > 2 * collector.every + LATE:
        return STALE, [f"the collector is away: its newest turn is {age:.0f} s old"]
    return LIVE, []


def _lacking(latest: Latest, level: str, name: str) -> List[str]:
    """What the rows lack, a sentence each."""
    if latest.collector is None:
        return []
    # Without a snapshot nobody knows whom to ask: then no row means nothing, and `all nodes` is few.
    sources = sorted(latest.collector.sources.items())
    found = [f"the {name} is not live: {why}" for name, why in sources if name.startswith(SNAPSHOT)]
    nodes = latest.collector.nodes
    if not nodes.whole and (level != NODE or not name):
        found.append(f"only {nodes} are measured")
    of_nodes = [one for one in latest.collector.silences if one.target.startswith("node ")]
    seen = set()
    for one in of_nodes:
        if one.target not in seen and (not name or one.target == f"node {name}"):
            seen.add(one.target)
            found.append(f"{one.target}: no data: {one.reason}")
    return found


def span_of(values: Sequence[float], of: int = 0) -> Optional[Span]:
    """Of points, NaN = a gap; None where there is none. of: how many the window has, where some are not here."""
    known = sorted(value for value in values if value == value)
    if not known:
        return None
    # Nearest rank, as krr and the field's tools have it.
    rank = max(0, -(-len(known) * 95 // 100) - 1)
    return Span(sum(known) / len(known), known[rank], known[-1], len(known), max(of, len(values)))
