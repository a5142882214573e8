"""Nodes: what they have, what is requested and used of it, how full they are, and where pods should go.

The scheduling pressure of a node is a number from 0 to 100: a hundred times the largest of its parts, each 0 to 1,

    requested   the largest share of an allocatable resource that is requested (CPU, memory, storage, pods, devices)
    used        the largest share of allocatable CPU or memory that is used
    waiting     the largest share of time in which tasks of the node waited for CPU or memory (PSI); I/O is told and
                does not count, for one task that reads a disk all the time is enough for all of it
    evicting    1 where its kubelet says MemoryPressure, DiskPressure or PIDPressure, else 0

so that whoever reads it sees which part to lower. A part that is not known is None and named in the doubts: then
the number is at least what it says. A node that is not ready has none: it takes no pods.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.inputs import Inputs, Needs, Reading
from krm.analysis.nodes.evictions import id_of
from krm.analysis.nodes.hints import AVOID, Free, Hint, Imbalance, free_blocks, hint_of, imbalance_of
from krm.analysis.nodes.node_findings import findings_of
from krm.analysis.nodes.predicting import MET, NEARING, Eviction, evictions_of
from krm.analysis.nodes.predicting import UNKNOWN as NOT_KNOWN
from krm.analysis.nodes.signals import POINTS
from krm.analysis.nodes.standing import PRESSURES, READY, Condition, Resource, Standing, pod_readings, standings
from krm.analysis.nodes.storage_limits import storage_findings, unmeasured
from krm.analysis.nodes.texts import UNKNOWN, amount, percent, span
from krm.analysis.worth import worth_of
from krm.model.amounts import CPU, MEMORY, STORAGE
from krm.model.measures import NODE, POD, Covers

WINDOW = 3600.0  # seconds of the past that trends are made of
WAITING = ("pressure/cpu_waiting", "pressure/memory_waiting")
PARTS = ("requested", "used", "waiting", "evicting")


class Asked(NamedTuple):
    """What is wanted besides the figures."""

    hints: bool = True
    predict: bool = True
    window: float = WINDOW


@dataclass(frozen=True)
class NodeRow:
    """One node."""

    node: str
    state: str  # ready, not ready, unknown (its kubelet does not report)
    cordoned: bool
    pressure: Optional[float]  # 0..100; None = not known, or it takes no pods
    parts: Dict[str, Optional[float]]  # of PARTS, 0..1
    resources: Tuple[Resource, ...]
    conditions: Tuple[Condition, ...]
    taints: Tuple[str, ...]
    waiting: Dict[str, float]  # PSI: metric -> share of time; what is not told is not there
    measured_at: Optional[float]
    hint: Optional[Hint]  # None = hints were not asked for
    evictions: Tuple[Eviction, ...]  # () = they were not asked for
    doubts: Tuple[str, ...]

    def resource(self, name: str) -> Optional[Resource]:
        """None: it has none of it."""
        return next((one for one in self.resources if one.name == name), None)

    @property
    def nearest(self) -> Optional[Eviction]:
        """The eviction that comes first; None = none is foretold."""
        coming = [one for one in self.evictions if one.state in (MET, NEARING) and one.at is not None]
        return min(coming, key=lambda one: one.at or 0.0, default=None)


def _status(row: NodeRow) -> str:
    told = [one.type for one in row.conditions if one.type in PRESSURES and one.status == "True"]
    return ",".join([row.state, *(["cordoned"] if row.cordoned else []), *told])


def _both(name: str) -> Column:
    def cell(row: NodeRow) -> str:
        one = row.resource(name)
        return UNKNOWN if one is None else f"{percent(one.reserved)}/{percent(one.busy)}"

    return Column({CPU: "CPU", MEMORY: "MEMORY", STORAGE: "STORAGE"}[name] + "(req/used)", cell)


def _pods(row: NodeRow) -> str:
    one = row.resource("pods")
    return UNKNOWN if one is None else f"{amount(one.requested, one.unit)}/{amount(one.allocatable, one.unit)}"


def _evicts(row: NodeRow) -> str:
    nearest = row.nearest
    if nearest is None:
        return UNKNOWN
    return nearest.signal if nearest.state == MET else f"{nearest.signal} {span(nearest.left)}"


def _free(name: str) -> Column:
    def cell(row: NodeRow) -> str:
        one = row.resource(name)
        return UNKNOWN if one is None else amount(one.free, one.unit)

    return Column(f"FREE-{'CPU' if name == CPU else 'MEMORY'}", cell, wide=True)


def _waiting(row: NodeRow) -> str:
    return percent(row.parts.get("waiting"))


@dataclass(frozen=True)
class NodePressure(Answer):
    """An answer: a row a node, by name."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node),
        Column("STATUS", _status),
        Column("PRESSURE", lambda row: UNKNOWN if row.pressure is None else f"{row.pressure:.0f}"),
        _both(CPU),
        _both(MEMORY),
        _both(STORAGE),
        Column("PODS", _pods),
        Column("EVICTS", _evicts),
        Column("HINT", lambda row: row.hint.word if row.hint else UNKNOWN),
        _free(CPU),
        _free(MEMORY),
        Column("WAITING", _waiting, wide=True),
        Column("WHY", lambda row: "; ".join(row.hint.reasons) if row.hint else UNKNOWN, wide=True),
    )
    NOTHING: ClassVar[str] = "there are no nodes"

    rows: Tuple[NodeRow, ...]
    free_blocks: Tuple[Free, ...]  # by resource, the largest that one node still has; () = hints were not asked for
    imbalance: Optional[Imbalance]  # None = not known, or nothing to compare
    measured: Covers  # nodes

    @property
    def avoid(self) -> Tuple[str, ...]:
        """Nodes that should get no pods now."""
        return tuple(row.node for row in self.rows if row.hint is not None and row.hint.word == AVOID)


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    if not asked.predict:
        return Needs(("nodes", "pods"), newest=(NODE,))
    return Needs(("nodes", "pods"), points=POINTS, window=asked.window, newest=(NODE, POD), kubelets=True)


def answer(inputs: Inputs, asked: Asked) -> NodePressure:
    """Pure. Raises NotKnown."""
    nodes = standings(inputs)
    readings = pod_readings(inputs)
    rows = []
    for node in nodes:
        evictions = evictions_of(node, inputs, readings) if asked.predict else ()
        rows.append(_row(node, evictions, asked.hints, inputs.now))
    measured = Covers(sum(node.measured_at is not None for node in nodes), len(nodes), "nodes")
    blocks = free_blocks(nodes) if asked.hints else ()
    imbalance = imbalance_of(nodes) if asked.hints else None
    findings = findings_of(nodes, [row.evictions for row in rows], imbalance, inputs)
    if asked.predict:
        findings += tuple(storage_findings(nodes, inputs, readings))
    worth = worth_of(inputs, needs(asked))
    if asked.predict:
        worth = replace(worth, unjudged=_unjudged(nodes, rows, readings))
    return NodePressure(worth, findings, tuple(rows), blocks, imbalance, measured)


def _unjudged(
    nodes: List[Standing], rows: List[NodeRow], readings: Mapping[Tuple[str, str], Reading]
) -> FrozenSet[str]:
    """Nodes and thresholds of which nobody knows how near they are, and pods whose storage is not measured."""
    found = [f"node-eviction/node//{node.name}" for node in nodes if node.measured_at is None]
    found += [id_of(one) for row in rows for one in row.evictions if one.state == NOT_KNOWN]
    return frozenset((*found, *unmeasured(nodes, readings)))


def _row(node: Standing, evictions: Tuple[Eviction, ...], hints: bool, now: float) -> NodeRow:
    parts = parts_of(node)
    missing = [name for name in PARTS if parts[name] is None]
    doubts = list(node.doubts)
    pressure = None
    if node.state == READY:
        known = [part for part in parts.values() if part is not None]
        # Requests are krm's own sums of live objects: without them there is no number at all.
        pressure = None if parts["requested"] is None or not known else 100 * max(known)
        if missing and pressure is not None:
            doubts.append(f"{', '.join(missing)} is not known: the pressure is at least what it says")
    return NodeRow(
        node.name, node.state, node.cordoned, pressure, parts, node.resources, node.conditions, node.taints,
        dict(node.waiting), node.measured_at, hint_of(node, pressure, evictions, now) if hints else None,
        evictions, tuple(dict.fromkeys(doubts)),
    )  # fmt: skip


def parts_of(node: Standing) -> Dict[str, Optional[float]]:
    """0..1 each; None = not known."""
    requested = [one.reserved for one in node.resources if one.reserved is not None]
    used = [one.busy for one in node.resources if one.name in (CPU, MEMORY) and one.busy is not None]
    conditions = {one.type: one.status for one in node.conditions}
    told = [conditions[name] for name in PRESSURES if name in conditions]
    evicting = None if not told or "Unknown" in told else float("True" in told)
    return {
        "requested": _capped(requested),
        "used": _capped(used) if len(used) == 2 else None,
        "waiting": _capped([node.waiting[name] for name in WAITING if name in node.waiting]),
        "evicting": evicting,
    }


def _capped(shares: List[float]) -> Optional[float]:
    return min(1.0, max(shares)) if shares else None
