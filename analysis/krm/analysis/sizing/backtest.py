"""What advice would have come to on the cluster's own past, beside what is set now. Pure.

Over the points of the last day: what it would have set aside more or less, how often it would have killed, how
long it would have throttled. And a proof on what it did not see: the same rule is applied to the first three
quarters of what is known, and its limit is held against the last one.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.sizing.past import HOUR, STEP, Used

GIB = 1024.0**3
# Seconds between two kills: a container that is killed again and again waits up to 5 minutes between two starts.
_BACK_OFF = 300.0
_NEAR = 0.99  # of a CPU limit: use that is at it was throttled
_HELD_OUT = 0.25  # of the hours
_LEAST_BEFORE = 6  # hours that a rule is applied to


class Setting(NamedTuple):
    """Millicores and bytes; None = nothing is asked for, no limit."""

    cpu_request: Optional[float]
    memory_request: Optional[float]
    cpu_limit: Optional[float]
    memory_limit: Optional[float]


@dataclass(frozen=True)
class Backtest:
    """Over all pods of the last day that there are points of."""

    pod_hours: float
    cpu_saved: float  # core-hours set aside less; below 0 = more
    memory_saved: float  # GiB-hours, the same
    kills: int  # OOM kills that the advised limit would have caused
    kills_now: int  # and that there were, or that the limit that is set would have caused
    throttled: float  # minutes that it would have throttled
    throttled_now: float
    above_request: float  # minutes with more memory than the advised request: evicted first under pressure
    held_out_hours: int  # pod-hours that the rule had not seen; 0 = too little is known to hold any out
    held_out_kills: int  # of these, in which it would have killed


def backtest(
    pods: Sequence[Used], now: Setting, advised: Setting, before: Callable[[float], Optional[float]]
) -> Backtest:
    """before(until): the memory limit that would have been advised at `until`."""
    cpu_hours = sum(len(one.cpu.times) for one in pods) * STEP / HOUR
    memory_hours = sum(len(one.memory.times) for one in pods) * STEP / HOUR
    cpu_less = (now.cpu_request or 0.0) - (advised.cpu_request or 0.0)
    memory_less = (now.memory_request or 0.0) - (advised.memory_request or 0.0)
    real = sum(len(one.kills) for one in pods)
    held_out, killed = _held_out(pods, before)
    return Backtest(
        max(cpu_hours, memory_hours),
        cpu_less / 1000 * cpu_hours,
        memory_less / GIB * memory_hours,
        max(sum(_kills(one, advised.memory_limit) for one in pods), _not_saved(pods, advised.memory_limit)),
        max(real, sum(_kills(one, now.memory_limit) for one in pods)),
        sum(_throttled(one, advised.cpu_limit) for one in pods),
        sum(_throttled(one, now.cpu_limit) for one in pods),
        sum(_above(one, advised.memory_request) for one in pods),
        held_out,
        killed,
    )


def _kills(one: Used, limit: Optional[float]) -> int:
    """Times above it, and not sooner than a restart takes."""
    if limit is None or one.most <= limit:
        return 0
    kills, again = 0, float("-inf")
    for at, value in zip(one.memory.times, one.memory.values):
        if value > limit and at >= again:
            kills, again = kills + 1, at + _BACK_OFF
    return kills


def _not_saved(pods: Sequence[Used], limit: Optional[float]) -> int:
    """Kills that there were at a limit that is no lower than this one: it would not have saved them."""
    if limit is None:
        return 0
    return sum(1 for one in pods for _, at in one.kills if at >= limit)


def _throttled(one: Used, limit: Optional[float]) -> float:
    """Minutes at the limit or above it."""
    if limit is None:
        return 0.0
    return (len(one.ordered) - bisect_left(one.ordered, limit * _NEAR)) * STEP / 60


def _above(one: Used, request: Optional[float]) -> float:
    """Minutes with more memory than that."""
    if request is None or one.most <= request:
        return 0.0
    return sum(1 for value in one.memory.values if value > request) * STEP / 60


def _held_out(pods: Sequence[Used], before: Callable[[float], Optional[float]]) -> Tuple[int, int]:
    ends = sorted({end for one in pods for end in one.peaks.ends})
    kept = len(ends) - int(len(ends) * _HELD_OUT)
    if kept < _LEAST_BEFORE or kept == len(ends):
        return 0, 0
    until = ends[kept - 1]
    limit = before(until)
    rest = [peak for one in pods for end, peak in zip(one.peaks.ends, one.peaks.values) if end > until]
    return (0, 0) if limit is None else (len(rest), sum(1 for peak in rest if peak > limit))
