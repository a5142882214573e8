"""Where pods should go: nodes to prefer, nodes to avoid and why, the largest free block, the imbalance. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable, List, Optional, Sequence, Tuple

from krm.analysis.nodes.predicting import MET, NEARING, Eviction
from krm.analysis.nodes.standing import PRESSURES, READY, UNKNOWN, Standing
from krm.analysis.nodes.texts import amount, span
from krm.model.amounts import CPU, MEMORY

PREFER, TAKES, AVOID = "prefer", "takes", "avoid"
# Of the scheduling pressure: from the first on a node is to be avoided, below the second it is to be preferred.
FULL, EMPTY = 90.0, 60.0
NEAR = 3600.0  # seconds: an eviction that may begin within them


@dataclass(frozen=True)
class Hint:
    """For who places pods, or waits for room."""

    word: str  # prefer, takes, avoid
    reasons: Tuple[str, ...]


@dataclass(frozen=True)
class Free:
    """The most of a resource that one node still has for a pod; it needs not be the same node for each."""

    resource: str
    unit: str
    node: str
    amount: float


@dataclass(frozen=True)
class Imbalance:
    """How far apart nodes are in what is requested of them."""

    resource: str  # cpu or memory: the one in which they are further apart
    spread: float  # the highest share less the lowest, 0..1
    fullest: str
    fullest_share: float
    emptiest: str
    emptiest_share: float


def open_nodes(nodes: Iterable[Standing]) -> List[Standing]:
    """Those that take pods that tolerate nothing."""
    return [node for node in nodes if node.state == READY and not node.cordoned and not node.taints]


def hint_of(node: Standing, pressure: Optional[float], evictions: Sequence[Eviction], now: float) -> Hint:
    """`evictions`: of it; () = they were not asked for."""
    against: List[str] = []
    if node.state != READY:
        against.append("its kubelet does not report" if node.state == UNKNOWN else "it is not ready")
    if node.cordoned:
        against.append("it is cordoned")
    against += [f"taint {taint}" for taint in node.taints if not node.cordoned or "unschedulable" not in taint]
    told = [one.type for one in node.conditions if one.type in PRESSURES and one.status == "True"]
    against += [f"it says {name}" for name in told]
    for one in evictions:
        if one.state == MET and not one.grace:
            against.append(f"{one.signal} is below its threshold")
        elif one.state == NEARING and one.earliest is not None and one.earliest - now <= NEAR:
            against.append(f"{one.signal} may reach its threshold in {span(one.earliest - now)}")
    if pressure is not None and pressure >= FULL:
        against.append(f"its pressure is {pressure:.0f} of 100")
    if against:
        return Hint(AVOID, tuple(dict.fromkeys(against)))
    if pressure is None or node.measured_at is None:
        return Hint(TAKES, ("what is used of it is not known",))
    if pressure < EMPTY:
        return Hint(PREFER, (f"its pressure is {pressure:.0f} of 100", *_room(node)))
    return Hint(TAKES, (f"its pressure is {pressure:.0f} of 100",))


def _room(node: Standing) -> Iterable[str]:
    for name in (CPU, MEMORY):
        one = node.resource(name)
        if one is not None and one.free is not None:
            yield f"{amount(one.free, one.unit)} of {name} are free"


def free_blocks(nodes: Sequence[Standing]) -> Tuple[Free, ...]:
    """By resource; of nodes that take pods."""
    found = []
    takers = open_nodes(nodes)
    for name in sorted({one.name for node in takers for one in node.resources}):
        frees = [
            (one.free, node.name, one.unit) for node in takers for one in [node.resource(name)] if one and one.free
        ]
        known = [(free, node, unit) for free, node, unit in frees if free is not None]
        if known:
            free, node_name, unit = max(known, key=lambda row: (row[0], row[1]))
            found.append(Free(name, unit, node_name, max(0.0, free)))
    return tuple(found)


def imbalance_of(nodes: Sequence[Standing]) -> Optional[Imbalance]:
    """None: fewer than two nodes that take pods, or one whose requests are not known."""
    found: List[Imbalance] = []
    takers = open_nodes(nodes)
    for name in (CPU, MEMORY):
        shares = []
        for node in takers:
            one = node.resource(name)
            if one is not None and one.reserved is not None:
                shares.append((one.reserved, node.name))
        if len(shares) >= 2 and len(shares) == len(takers):
            low, high = min(shares), max(shares)
            found.append(Imbalance(name, high[0] - low[0], high[1], high[0], low[1], low[0]))
    return max(found, key=lambda one: one.spread, default=None)
