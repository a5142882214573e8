"""Robust trends: how fast something grows, when it reaches a level, what it will be, with 90 % intervals. Pure.

    slope(times, values)                 -> Slope, or None: too few points
    crossing(times, values, level, now)  -> Crossing, or None: no basis (flat, away from the level, noise, too far)
    forecast(times, values, [at, ...])   -> [Expected, ...], or None: too few points

Times are Unix seconds in any order, values of any unit, NaN = a gap. What is assumed is a straight line and, where
two days or more are there and tell of one, a daily pattern on it. A jump (a restart, a release) begins anew: what
was before the last one is not looked at. The slope is Theil and Sen's (the median of the slopes of all pairs, of
the same hours where there is a daily pattern), its interval the one of Kendall's statistic, wider by as much as the
residuals depend on one another. How often the interval holds the truth: tests/analysis/test_trend.py.
"""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.line import Line, fitted

# A level that lies further ahead than this many times the span that was seen is no basis for a date.
REACH = 5.0
# Seconds. The steps in which a line with a daily pattern is followed.
_DAILY_STEP = 900.0
_LONGEST_WALK = 4000  # such steps: some 40 days


class Slope(NamedTuple):
    """In the values' unit a second, with its 90 % interval."""

    per_second: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 it grows, -1 it falls, 0 neither is sure."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


class Crossing(NamedTuple):
    """When a level is reached: Unix seconds, with the 90 % interval, none before `now`."""

    at: float
    earliest: float
    latest: float


class Expected(NamedTuple):
    """One value to come, with the interval that holds 90 % of such measurements."""

    at: float
    value: float
    low: float
    high: float
    daily: bool  # a daily pattern is in it


def slope(times: Sequence[float], values: Sequence[float]) -> Optional[Slope]:
    """None: fewer than 8 points, or all of one moment."""
    line = fitted(times, values)
    if line is None:
        return None
    wide = line.quantile * line.slope_error
    return Slope(line.slope, line.slope - wide, line.slope + wide)


def crossing(
    times: Sequence[float],
    values: Sequence[float],
    level: float,
    now: float,
    reach: float = REACH,
    touch: bool = False,
) -> Optional[Crossing]:
    """When the trend reaches `level`, from whichever side of it it is on at `now`.

    reach: no date further ahead than this many spans of the points. touch: what swings around the trend counts, so
    that the first value which is there is meant, and not the trend alone. None: no basis. A level that is passed
    already is the caller's to tell.
    """
    line = fitted(times, values)
    if line is None or abs(line.slope) <= line.quantile * line.slope_error:
        return None
    if (level - line.level(now)) * line.slope <= 0:
        return None  # it moves away from it, or is there
    horizon = now + reach * line.span
    found = _walked(line, level, now, horizon) if line.pattern else _solved(line, level, now)
    if found is None or found.at > horizon:
        return None
    return _touched(line, found, level, now) if touch and line.swing > 0 else found


def _touched(line: Line, found: Crossing, level: float, now: float) -> Crossing:
    """A crest of the swings is there before the trend is: at the earliest a high one, in the middle half of it."""
    way = math.copysign(line.swing, line.slope)
    sooner, likely = _solved(line, level - way, now), _solved(line, level - way / 2, now)
    earliest = now if sooner is None else min(found.earliest, sooner.earliest)
    at = found.at if likely is None else min(found.at, max(now, likely.at))
    earliest = max(earliest, now)
    return Crossing(max(at, earliest), earliest, found.latest)


def forecast(times: Sequence[float], values: Sequence[float], moments: Sequence[float]) -> Optional[List[Expected]]:
    """What is to be measured at each of these moments. None: fewer than 8 points."""
    line = fitted(times, values)
    if line is None:
        return None
    rows = []
    for at in moments:
        value, wide = line.expected(at), math.hypot(line.quantile * line.error(at), line.scatter)
        rows.append(Expected(at, value, value - wide, value + wide, bool(line.pattern)))
    return rows


def _solved(line: Line, level: float, now: float) -> Optional[Crossing]:
    """Where the line, and where the edges of its band, reach the level (Fieller's interval)."""
    gap = level - line.middle_value
    steep, loose, held = line.slope, line.quantile * line.slope_error, line.quantile * line.middle_error
    # The edges: (gap - slope x)^2 = held^2 + (loose x)^2, x in seconds from the middle of the points.
    square = steep * steep - loose * loose
    if square <= 0:
        return None
    root = gap * gap * loose * loose + square * held * held
    edges = sorted((gap * steep + sign * math.sqrt(root)) / square + line.middle for sign in (-1, 1))
    at = line.middle + gap / steep
    return Crossing(at, max(now, edges[0]), max(at, edges[1]))


def _walked(line: Line, level: float, now: float, horizon: float) -> Optional[Crossing]:
    """The same step by step, where a daily pattern lies on the line; an edge beyond the horizon is straight."""
    way = 1.0 if line.slope > 0 else -1.0
    step = max(_DAILY_STEP, (horizon - now) / _LONGEST_WALK)
    reached: List[Optional[float]] = [None, None, None]
    before: Optional[Tuple[float, float, float]] = None
    for number in range(_LONGEST_WALK + 1):
        at = now + number * step
        value, wide = way * (line.expected(at) - level), line.quantile * line.error(at)
        heights = (value + wide, value, value - wide)
        for place, height in enumerate(heights):
            if height >= 0 and reached[place] is None:
                back = 0.0 if before is None else step * height / (height - before[place])
                reached[place] = at - back
        before = heights
        if reached[2] is not None:
            break
    earliest, likely, latest = reached
    if earliest is None or likely is None:
        return None
    if latest is None:
        straight = _solved(line, level, now)
        if straight is None:
            return None
        latest = max(straight.latest, likely)
    return Crossing(likely, earliest, latest)
