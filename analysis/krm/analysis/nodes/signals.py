"""What a kubelet watches, from what krm measures: what is left by each signal, now and over the past. Pure.

memory.available is the capacity less the node's working set, as the kubelet has it; pid.available is the limit less
the threads. What all pods have left together is what they may use (allocatable, and the hard threshold that is kept
back) less the sum of their working sets: an estimate, and nobody keeps its past.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Inputs, Which
from krm.analysis.nodes.standing import FRESHEST, Standing
from krm.analysis.nodes.thresholds import (
    ALL_PODS,
    IMAGEFS,
    IMAGEFS_INODES,
    MEMORY,
    NODEFS,
    NODEFS_INODES,
    PIDS,
    Thresholds,
)
from krm.model import amounts
from krm.model.measures import NODE, Covers, Subject

WORKING_SET = "memory/working_set"
# Signal -> the filesystem, what is free of it, and its size.
_DISKS: Dict[str, Tuple[str, str, str]] = {
    NODEFS: ("/", "filesystem/available", "filesystem/limit"),
    NODEFS_INODES: ("/", "filesystem/inodes_free", "filesystem/inodes"),
    IMAGEFS: ("imagefs", "filesystem/available", "filesystem/limit"),
    IMAGEFS_INODES: ("imagefs", "filesystem/inodes_free", "filesystem/inodes"),
}
_METRICS = (
    WORKING_SET, "pids/usage", "pids/limit", "filesystem/available", "filesystem/limit", "filesystem/inodes_free",
    "filesystem/inodes",
)  # fmt: skip
POINTS: Tuple[Which, ...] = tuple((metric, NODE) for metric in _METRICS)
STEP = 15.0  # seconds between two points of the history
Points = Tuple[Sequence[float], Sequence[float]]  # times, values


class Signal(NamedTuple):
    """Of one node. In bytes or a count."""

    name: str
    available: Optional[float]  # now; None = not known
    capacity: Optional[float]
    at: Optional[float]  # Unix seconds by the node's clock, of `available`
    times: Sequence[float]  # the past, oldest first
    values: Sequence[float]
    source: str
    covers: Optional[Covers]  # points that are there
    doubts: Tuple[str, ...]


def signals_of(
    node: Standing, thresholds: Thresholds, inputs: Inputs, pods_use: Optional[float], lacking: int
) -> Dict[str, Signal]:
    """By name, of what its thresholds name. pods_use: bytes, the sum of the working sets of its pods that are
    measured; lacking: how many are not."""
    names = {row.signal for row in thresholds.rows}
    found: Dict[str, Signal] = {}
    for name in sorted(names):
        if name == MEMORY:
            found[name] = _memory(node, inputs)
        elif name == ALL_PODS:
            found[name] = _all_pods(node, thresholds, pods_use, lacking)
        elif name in _DISKS:
            found[name] = _disk(name, node, inputs)
        elif name == PIDS:
            found[name] = _pids(node, inputs)
    return found


def _memory(node: Standing, inputs: Inputs) -> Signal:
    memory = node.resource(amounts.MEMORY)
    capacity = memory.capacity if memory else None
    used = memory.used if memory else None
    times, values = _points(inputs.history, WORKING_SET, node.name)
    past = [] if capacity is None else [capacity - value for value in values]
    available = None if capacity is None or used is None else max(0.0, capacity - used)
    doubts = () if available is not None else ("what is free of its memory is not known",)
    return Signal(
        MEMORY, available, capacity, node.measured_at, times if past else (), past, "kubelet",
        _covers(past, inputs.history), doubts,
    )  # fmt: skip


def _all_pods(node: Standing, thresholds: Thresholds, pods_use: Optional[float], lacking: int) -> Signal:
    memory = node.resource(amounts.MEMORY)
    allocatable = memory.allocatable if memory else None
    hard = [row for row in thresholds.rows if row.hard and row.signal == MEMORY]
    kept = hard[0].amount.of(memory.capacity if memory else None) if hard else 0
    doubts = ["it is estimated: krm does not see the limit of all pods together, nor its past"]
    if lacking:
        doubts.append(f"{lacking} of its pods are not measured")
    known = allocatable is not None and kept is not None and pods_use is not None and not lacking
    capacity = None if allocatable is None or kept is None else allocatable + kept
    available = max(0.0, (capacity or 0.0) - (pods_use or 0.0)) if known else None
    return Signal(ALL_PODS, available, capacity, node.measured_at, (), (), "sum of pods", None, tuple(doubts))


def _disk(name: str, node: Standing, inputs: Inputs) -> Signal:
    filesystem, free, whole = _DISKS[name]
    times, values = _points(inputs.history, free, node.name, filesystem)
    at, available = _last(times, values)
    size = _last(*_points(inputs.history, whole, node.name, filesystem))[1]
    doubts: Tuple[str, ...] = ()
    if at is None:
        lacks = "; ".join(inputs.history.lacks) or "its kubelet tells of none"
        doubts = (f"filesystem {filesystem} is not measured: {lacks}",)
    elif inputs.now - at > FRESHEST:
        doubts = (f"filesystem {filesystem} was measured last {inputs.now - at:.0f} s ago",)
        available = None
    return Signal(
        name, available, size, at, times, values, "history", _covers(values, inputs.history), doubts
    )  # fmt: skip


def _pids(node: Standing, inputs: Inputs) -> Signal:
    used_times, used = _points(inputs.history, "pids/usage", node.name)
    limit_times, limits = _points(inputs.history, "pids/limit", node.name)
    by_time = dict(zip(limit_times, limits))
    pairs = [(at, by_time[at] - value) for at, value in zip(used_times, used) if at in by_time]
    times, values = [at for at, _ in pairs], [value for _, value in pairs]
    at, available = _last(times, values)
    if at is not None and inputs.now - at > FRESHEST:
        available = None
    doubts = () if available is not None else ("its process IDs are not measured",)
    limit = _last(limit_times, limits)[1]
    return Signal(PIDS, available, limit, at, times, values, "history", _covers(values, inputs.history), doubts)


def _points(history: History, metric: str, node: str, filesystem: str = "") -> Points:
    """Within the history's window."""
    track = history.track(metric, NODE, Subject(node=node, resource_id=filesystem))
    if track is None:
        return (), ()
    inside = [(at, one) for at, one in zip(track.times, track.values) if history.begin < at <= history.end]
    return [at for at, _ in inside], [one for _, one in inside]


def _last(times: Sequence[float], values: Sequence[float]) -> Tuple[Optional[float], Optional[float]]:
    for place in range(len(values) - 1, -1, -1):
        if values[place] == values[place]:
            return times[place], values[place]
    return None, None


def _covers(values: Sequence[float], history: History) -> Optional[Covers]:
    of = int((history.end - history.begin) // STEP)
    known: List[float] = [value for value in values if value == value]
    return Covers(len(known), max(of, len(known)), "points") if of else None
