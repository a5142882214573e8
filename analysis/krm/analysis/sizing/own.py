"""krm's own advice for one container of a workload, from what all its pods used. Pure.

CPU is compressible: the request is a percentile of the last day's points, and of the hourly means of the last
week, so that a quiet day does not make it forget a busy one; there is no limit, because throttling costs response
time and saves nothing. Memory is not: the limit is the peak of the last week with a margin, what it is expected to
grow until the advice is looked at again, and room above what was killed. docs/recommendations.md has the numbers
and what they were chosen on.
"""

from __future__ import annotations

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.stats import linear
from krm.analysis.trend import Slope, slope

BALANCED, PERFORMANCE, COST = TARGETS = ("balanced", "performance", "cost")
HORIZON = 24 * 3600.0  # seconds that advice is given for: it is looked at again each day
RECENT = 24 * 3600.0  # seconds of hourly peaks that a trend is taken from
MIB = 1024 * 1024
# The last third of a day's peaks to its first third, below which nothing grows that a margin does not hold.
_GROWN = 1.02
_MIN_CPU, _MIN_MEMORY = 10, 32 * MIB  # millicores, bytes
_CPU_STEP, _MEMORY_STEP = 1, MIB  # advice is rounded up to


class Rule(NamedTuple):
    """What an optimization target means."""

    cpu_share: float  # percentile of the points of the last day
    cpu_margin: float  # factor on it
    memory_request: float  # factor on the peak
    memory_limit: float  # factor on the peak
    after_kill: float  # factor on the limit that was hit


RULES: Dict[str, Rule] = {
    BALANCED: Rule(0.85, 1.15, 1.05, 1.35, 1.5),
    PERFORMANCE: Rule(0.95, 1.15, 1.35, 1.35, 1.5),
    COST: Rule(0.80, 1.0, 1.0, 1.15, 1.3),
}


class PodPast(NamedTuple):
    """What one pod's container used."""

    cpu: Sequence[float]  # millicores, the points of the last day, smallest first
    cpu_hours: Sequence[float]  # millicores, means of the hours of the last week
    ends: Sequence[float]  # Unix seconds of the hours that memory's peaks are of, oldest first
    peaks: Sequence[float]  # bytes, working set, the most in each of these hours
    killed_at: float = 0.0  # bytes: the highest limit that it was killed at; 0 = it was not


class Cpu(NamedTuple):
    """Millicores."""

    request: int
    usage: float  # what it is made of
    of_week: bool  # hours of the last week say more than the points of the last day


class Memory(NamedTuple):
    """Bytes."""

    request: int
    limit: int
    peak: float
    growth: float  # expected until HORIZON
    trend: Optional[Slope]  # of the pod that grows fastest; None where none surely grows
    killed_at: float


def cpu(pods: Sequence[PodPast], target: str) -> Optional[Cpu]:
    """None: there are no points."""
    rule = RULES[target]
    days = [linear(one.cpu, rule.cpu_share) for one in pods if one.cpu]
    weeks = [linear(sorted(one.cpu_hours), rule.cpu_share) for one in pods if one.cpu_hours]
    if not days and not weeks:
        return None
    day, week = max(days, default=0.0), max(weeks, default=0.0)
    usage = max(day, week)
    return Cpu(_up(usage * rule.cpu_margin, _CPU_STEP, _MIN_CPU), usage, week > day)


def memory(pods: Sequence[PodPast], target: str) -> Optional[Memory]:
    """None: there are no peaks."""
    rule = RULES[target]
    peak = max((max(one.peaks) for one in pods if one.peaks), default=None)
    if peak is None:
        return None
    trend = max(
        (found for one in pods for found in [_growing(one)] if found is not None),
        key=lambda found: found.per_second,
        default=None,
    )
    # Where the newest pods stand, not the peak: an old pod's may be from before a restart.
    newest = max((one.peaks[-1] for one in pods if one.peaks), default=0.0)
    growth = trend.per_second * HORIZON if trend else 0.0
    needed = max(peak, newest + growth)
    killed_at = max((one.killed_at for one in pods), default=0.0)
    limit = max(needed * rule.memory_limit, killed_at * rule.after_kill)
    request = needed * rule.memory_request
    return Memory(
        min(_up(request, _MEMORY_STEP, _MIN_MEMORY), _up(limit, _MEMORY_STEP, _MIN_MEMORY)),
        _up(limit, _MEMORY_STEP, _MIN_MEMORY),
        peak,
        growth,
        trend,
        killed_at,
    )


def _growing(pod: PodPast) -> Optional[Slope]:
    if len(pod.peaks) < 2:
        return None
    times, values = _recent(pod)
    third = len(values) // 3
    if not third or sum(values[-third:]) < _GROWN * sum(values[:third]):
        return None  # looked at first: the slope itself costs a hundred times as much
    found = slope(times, values)
    return found if found is not None and found.sign > 0 else None


def _recent(pod: PodPast) -> Tuple[List[float], List[float]]:
    since = pod.ends[-1] - RECENT
    rows = [(at, value) for at, value in zip(pod.ends, pod.peaks) if at > since]
    return [at for at, _ in rows], [value for _, value in rows]


def _up(value: float, step: int, least: int) -> int:
    return max(math.ceil(value / step) * step, least)
