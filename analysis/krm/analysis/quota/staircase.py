"""When a quota is used up. Pure.

What is used of a quota moves in steps, a pod at a time, and does not come back to a line: it is a walk. A line's
interval holds the truth in 7 of 10 such cases, or in none where steps are regular. So the walk's own drift and
spread are taken, of the medians of equal parts of the window (what lasts a moment, as the surge of a rollout, is
not in them); and the date is uncertain by a step besides. What does not move in steps krm.analysis.trend dates.
How often the interval holds the truth: tests/analysis/quota/test_staircase.py.
"""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Tuple

from krm.analysis import trend
from krm.analysis.stats import nearest_rank

Points = Sequence[Tuple[float, float]]  # (Unix seconds, used), oldest first, no gaps

PARTS, _LEAST = 24, 6  # of the window; parts that must be known
_NORMAL = 1.645  # of a 90 % interval
# Share of points that differ from the one before, above which it is no staircase.
_SMOOTH = 0.2
_FARTHEST = 1e9  # seconds


def used_up(points: Points, hard: float, used: float, now: float) -> Optional[trend.Crossing]:
    """None: no basis, as krm.analysis.trend has it. hard, used: as of now, in the points' unit."""
    if len(points) < 8 or used >= hard:
        return None
    step = step_of([value for _, value in points])
    if step is None:
        return trend.crossing([at for at, _ in points], [value for _, value in points], hard, now)
    return _walked(points, hard - used, step, now)


def step_of(values: Sequence[float]) -> Optional[float]:
    """The usual height of a step; None where it is no staircase, or has none."""
    steps = sorted(abs(late - early) for early, late in zip(values, values[1:]) if late != early)
    if not steps or len(steps) > _SMOOTH * len(values):
        return None
    return nearest_rank(steps, 0.5)


def _walked(points: Points, gap: float, step: float, now: float) -> Optional[trend.Crossing]:
    """A walk from here on: its drift is as sure as the window is long, and it spreads with the root of time."""
    parts = _medians(points)
    if len(parts) < _LEAST:
        return None
    seconds = parts[-1][0] - parts[0][0]
    drift = (parts[-1][1] - parts[0][1]) / seconds
    moves = [(late[0] - early[0], late[1] - early[1]) for early, late in zip(parts, parts[1:])]
    spread = (
        math.fsum((rise - drift * lasted) ** 2 for lasted, rise in moves) / (len(moves) - 1) * len(moves) / seconds
    )
    # Student's quantile, by its first term: the spread is an estimate too.
    wide = _NORMAL * (1 + (_NORMAL**2 + 1) / (4 * (len(moves) - 1)))
    if drift <= 0 or drift * seconds <= wide * math.sqrt(spread * seconds):
        return None

    def reached(level: float, side: int) -> float:
        """Seconds until drift, with so much spread before or behind it, has come to the level."""
        low, high = 0.0, _FARTHEST
        for _ in range(80):
            middle = (low + high) / 2
            away = wide * math.sqrt(spread * middle * (1 + middle / seconds))
            low, high = (low, middle) if drift * middle + side * away >= level else (middle, high)
        return high

    at = reached(gap - step / 2, 0)
    if at > trend.REACH * (points[-1][0] - points[0][0]):
        return None
    return trend.Crossing(now + at, now + reached(max(0.0, gap - step), 1), now + max(at, reached(gap, -1)))


def _medians(points: Points) -> List[Tuple[float, float]]:
    """(mean time, median) of the parts that are known."""
    begin, width = points[0][0], (points[-1][0] - points[0][0]) / PARTS
    if width <= 0:
        return []
    parts: List[List[Tuple[float, float]]] = [[] for _ in range(PARTS)]
    for at, value in points:
        parts[min(PARTS - 1, int((at - begin) / width))].append((at, value))
    return [
        (math.fsum(at for at, _ in part) / len(part), nearest_rank(sorted(value for _, value in part), 0.5))
        for part in parts
        if part
    ]
