"""When a kubelet will evict, and whom first: each threshold of a node, its trend and its pods in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.finding import HIGH, LOW, MEDIUM
from krm.analysis.inputs import Inputs, Reading
from krm.analysis.nodes.ranking import Candidate, candidate, oom_scores, ranked
from krm.analysis.nodes.signals import Signal, signals_of
from krm.analysis.nodes.standing import UNKNOWN as AWAY
from krm.analysis.nodes.standing import Standing
from krm.analysis.nodes.texts import amount
from krm.analysis.nodes.thresholds import (
    ALL_PODS,
    IMAGEFS,
    IMAGEFS_INODES,
    MEMORY,
    NODEFS,
    NODEFS_INODES,
    PIDS,
    UNITS,
    Threshold,
    Thresholds,
    thresholds_of,
)
from krm.analysis.trend import REACH, crossing, slope
from krm.model import amounts
from krm.model.amounts import NANO
from krm.model.measures import Covers
from krm.model.metrics import COUNT
from krm.model.reading import mapping, text
from krm.model.trust import LIVE

MET, NEARING, STEADY, UNKNOWN = "met", "nearing", "steady", "unknown"
# By signal: the resource that pods request of it, and the metric of what they use. '' = there is none.
_OF_PODS: Dict[str, Tuple[str, str]] = {
    MEMORY: (amounts.MEMORY, "memory/working_set"),
    ALL_PODS: (amounts.MEMORY, "memory/working_set"),
    NODEFS: (amounts.STORAGE, "ephemeral_storage/usage"),
    IMAGEFS: (amounts.STORAGE, "ephemeral_storage/usage"),
    NODEFS_INODES: (amounts.STORAGE, ""),
    IMAGEFS_INODES: (amounts.STORAGE, ""),
    PIDS: ("", "pids/usage"),
}
_DISKS = (NODEFS, IMAGEFS, NODEFS_INODES, IMAGEFS_INODES)
_FEW = 0.9  # share of the points: below it the trend is doubted
PodReadings = Mapping[Tuple[str, str], Reading]


@dataclass(frozen=True)
class Victim:
    """A pod in the order in which the kubelet would evict. Amounts in the signal's unit; None = not known."""

    place: Optional[int]  # 1 = first; None = what it uses is not known, or it is never evicted
    namespace: str
    pod: str
    priority: int
    used: Optional[float]
    request: Optional[float]
    above: Optional[float]  # used less request
    protected: str  # why it is never evicted, ''
    oom_score_adj: Mapping[str, Optional[int]]  # by container


@dataclass(frozen=True)
class Eviction:
    """One threshold of one node. Times are Unix seconds."""

    node: str
    signal: str
    unit: str  # bytes, count
    available: Optional[float]
    capacity: Optional[float]
    threshold: Optional[float]  # below it the kubelet evicts
    grace: float  # seconds that it must stay below; 0 = none
    own: bool  # the threshold is what the kubelet itself says; else the documented default
    state: str  # met, nearing (there is a date), steady (no trend towards it), unknown
    at: Optional[float]  # when evicting begins; None = no basis
    earliest: Optional[float]  # its 90 % interval
    latest: Optional[float]
    left: Optional[float]  # seconds from now to `at`
    soonest: Optional[float]  # to `earliest`
    per_second: Optional[float]  # how fast what is available changes, with sign; None = hardly, or not known
    measured_at: Optional[float]
    covers: Optional[Covers]  # points of the trend
    source: str
    victims: Tuple[Victim, ...]
    would_change: str
    sureness: str
    doubts: Tuple[str, ...]

    @property
    def first(self) -> Optional[Victim]:
        """Who is evicted first; None = nobody, or it is not known."""
        return next((one for one in self.victims if one.place == 1), None)


class _Trend(NamedTuple):
    state: str
    at: Optional[float] = None
    earliest: Optional[float] = None
    latest: Optional[float] = None
    per_second: Optional[float] = None


def evictions_of(node: Standing, inputs: Inputs, readings: PodReadings) -> Tuple[Eviction, ...]:
    """`readings`: of all pods. By signal; hard thresholds before soft ones."""
    thresholds = thresholds_of(inputs.kubelets.get(node.name))
    working = [_used(pod_name, "memory/working_set", readings) for pod_name in _names(node)]
    known = [value for value in working if value is not None]
    signals = signals_of(node, thresholds, inputs, sum(known), len(working) - len(known))
    memory = node.resource(amounts.MEMORY)
    capacity = None if memory is None or memory.capacity is None else int(memory.capacity)
    bare = [candidate(pod, held) for pod, held in zip(node.pods, node.held)]
    each = zip(_names(node), node.pods, node.held)
    scores = {name: oom_scores(dict(pod), held, capacity) for name, pod, held in each}
    orders: Dict[str, Tuple[Tuple[Victim, ...], str, Tuple[str, ...]]] = {}
    found = []
    for row in thresholds.rows:
        if row.signal not in signals:
            continue
        if row.signal not in orders:
            orders[row.signal] = _order(bare, row.signal, readings, scores)
        found.append(_eviction(node, row, thresholds, signals[row.signal], orders[row.signal], inputs))
    return tuple(found)


def _names(node: Standing) -> List[Tuple[str, str]]:
    found = [mapping(pod.get("metadata")) for pod in node.pods]
    return [(text(one.get("namespace")), text(one.get("name"))) for one in found]


def _used(name: Tuple[str, str], metric: str, readings: PodReadings) -> Optional[float]:
    """None where a part of it is not known, too."""
    reading = readings.get(name)
    return None if reading is None or reading.covers else reading.values.get(metric)


def _order(
    bare: Sequence[Candidate],
    signal: str,
    readings: PodReadings,
    scores: Mapping[Tuple[str, str], Mapping[str, Optional[int]]],
) -> Tuple[Tuple[Victim, ...], str, Tuple[str, ...]]:
    """Pods in order, what would change it, and doubts."""
    resource, metric = _OF_PODS[signal]
    unit = UNITS.get(signal, COUNT)
    everyone = [
        one.of(resource, _used((one.namespace, one.name), metric, readings) if metric else None) for one in bare
    ]
    known = [one for one in everyone if one.used is not None and one.request is not None]
    order = ranked([one for one in known if not one.protected], signal)
    rest = [one for one in everyone if one.protected or one.used is None or one.request is None]
    places: List[Tuple[Optional[int], Candidate]] = [(place, one) for place, one in enumerate(order, 1)]
    places += [(None, one) for one in sorted(rest, key=lambda one: (bool(one.protected), one.namespace, one.name))]
    victims = tuple(
        Victim(
            place, one.namespace, one.name, one.priority, one.used,
            None if one.request is None else one.request / NANO, one.above, one.protected,
            scores[one.namespace, one.name],
        )
        for place, one in places
    )  # fmt: skip
    unmeasured = sum(not one.protected for one in rest)
    doubts = []
    if unmeasured:
        what = "inodes are not measured by the pod" if not metric else "pods are not measured"
        doubts.append(f"{unmeasured} of {len(everyone)} {what}: their places are not known")
    if signal == PIDS:
        doubts.append("the kubelet counts processes, krm threads: the order may differ")
    if signal in (NODEFS, IMAGEFS):
        doubts.append("where images have a filesystem of their own the kubelet ranks by a part of this storage")
    return victims, _would_change(order, signal, unit), tuple(doubts)


def _would_change(order: Sequence[Candidate], signal: str, unit: str) -> str:
    """What puts another pod first."""
    if not order:
        return ""
    first = order[0]
    name = f"{first.namespace}/{first.name}"
    if len(order) == 1:
        return f"{name} is the only pod that may be evicted"
    if signal == PIDS:
        return f"a priority of {name} above {order[1].priority}, or fewer processes in it"
    if first.used is not None and first.above is not None and first.above > 0:
        other = ranked([first._replace(request=round(first.used) * NANO), *order[1:]], signal)[0]
        if other != first and (other.namespace, other.name) != (first.namespace, first.name):
            return (
                f"with a request of {amount(first.used, unit)} of {name}, {other.namespace}/{other.name} goes first"
            )
    return f"a priority of {name} above {order[1].priority}, or less use of it"


def _eviction(
    node: Standing,
    row: Threshold,
    thresholds: Thresholds,
    signal: Signal,
    order: Tuple[Tuple[Victim, ...], str, Tuple[str, ...]],
    inputs: Inputs,
) -> Eviction:
    now = inputs.now
    victims, would_change, order_doubts = order
    quantity = row.amount.of(signal.capacity)
    doubts = [*signal.doubts, *node.doubts, *([thresholds.why] if thresholds.why else [])]
    if node.state == AWAY:
        doubts.insert(0, "its kubelet does not report: what it would do now is not known")
        trend = _Trend(UNKNOWN)
    else:
        trend = _trend(row, quantity, signal, now)
    if row.signal in _DISKS:
        doubts.append(
            "the kubelet first removes dead containers and unused images: how much that frees is not known"
        )
    few = signal.covers is not None and signal.covers.known < _FEW * signal.covers.of
    if few:
        doubts.append(f"only {signal.covers} are there")
    stale = [f"{kind} are {one.state}" for kind, one in sorted(inputs.state.trust.items()) if one.state != LIVE]
    doubts += stale
    if trend.state == STEADY and not signal.values:
        doubts.append("there is no history of it: whether it moves is not known")
    weak = signal.available is None or row.signal in (ALL_PODS, PIDS, *_DISKS) or any(
        one.place is None and not one.protected for one in victims
    )  # fmt: skip
    sureness = (
        LOW
        if weak or stale or node.doubts or trend.state == UNKNOWN
        else MEDIUM
        if few or not thresholds.own
        else HIGH
    )
    return Eviction(
        node=node.name,
        signal=row.signal,
        unit=UNITS.get(row.signal, COUNT),
        available=signal.available,
        capacity=signal.capacity,
        threshold=None if quantity is None else float(quantity),
        grace=row.grace,
        own=thresholds.own,
        state=trend.state,
        at=trend.at,
        earliest=trend.earliest,
        latest=trend.latest,
        left=_until(trend.at, now),
        soonest=_until(trend.earliest, now),
        per_second=trend.per_second,
        measured_at=signal.at,
        covers=signal.covers,
        source=signal.source,
        victims=victims,
        would_change=would_change,
        sureness=sureness,
        doubts=tuple(dict.fromkeys([*doubts, *order_doubts])),
    )


def _until(at: Optional[float], now: float) -> Optional[float]:
    return None if at is None else max(0.0, at - now)


def _trend(row: Threshold, quantity: Optional[int], signal: Signal, now: float) -> _Trend:
    """A soft threshold evicts once its grace period has passed below it."""
    if signal.available is None or quantity is None:
        return _Trend(UNKNOWN)
    met = signal.available < quantity
    known = [value for value in signal.values if value == value]
    # Most nodes are far from most thresholds: what moved less cannot get there within the reach of a trend.
    if not met and (not known or max(known) - min(known) < (signal.available - quantity) / (2 * REACH)):
        return _Trend(STEADY)
    moves = slope(signal.times, signal.values)
    per_second = None if moves is None else moves.per_second
    if met:
        return _Trend(MET, now, now, now + row.grace, per_second)
    if moves is None or moves.per_second >= 0:
        return _Trend(STEADY, per_second=per_second)
    found = crossing(signal.times, signal.values, quantity, now, touch=True)
    if found is None:
        return _Trend(STEADY, per_second=per_second)
    return _Trend(NEARING, found.at + row.grace, found.earliest + row.grace, found.latest + row.grace, per_second)
