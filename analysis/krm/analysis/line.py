"""One straight line through points, robustly, with what it is unsure of; a daily pattern on it where there is one.

Points are first gathered into steps (at most 96, or hours where two days are there), each the mean of its middle
half: single wild points do not count. krm.analysis.trend is what others ask.
"""

from __future__ import annotations

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.stats import nearest_rank

DAY, HOUR = 86400.0, 3600.0
FEWEST = 8  # points, and steps
MOST_STEPS = 96
_MOST_DAYS = 30  # of hours that a daily pattern is made of
_NORMAL = 1.6448536  # of a 90 % interval, both sides
_TO_SIGMA = 1.4826  # the median of the distances from the median -> the standard deviation of normal ones
# A jump: so many times what two neighbouring steps usually differ by, and this share of all that was seen.
_JUMP, _JUMP_SHARE = 6.0, 0.3
_MOST_JUMPS = 4
# How many times more the hours of the day differ among themselves than the same hours of different days.
_DAILY_RATIO = 3.0
Points = List[Tuple[float, float]]


class Line(NamedTuple):
    """value(at) = middle_value + slope x (at - middle) + pattern(hour of the day)."""

    middle: float  # Unix seconds, the mean of the points' times
    middle_value: float
    slope: float  # a second
    middle_error: float  # standard errors
    slope_error: float
    scatter: float  # half of the interval around it that holds 90 % of the points
    quantile: float  # times the standard error: half of the 90 % interval
    span: float  # seconds from the first point to the last
    pattern: Tuple[float, ...] = ()  # 24 values, what each hour of a day (UTC) lies above the line; () = none
    pattern_error: float = 0.0  # standard error of one of them
    swing: float = 0.0  # how far 90 % of the steps are from it, where they hang together; 0 = they are noise

    def level(self, at: float) -> float:
        """Without the daily pattern."""
        return self.middle_value + self.slope * (at - self.middle)

    def expected(self, at: float) -> float:
        """With it."""
        return self.level(at) + (_at_hour(self.pattern, at) if self.pattern else 0.0)

    def error(self, at: float) -> float:
        """The standard error of `expected`."""
        straight = math.hypot(self.middle_error, self.slope_error * (at - self.middle))
        return math.hypot(straight, self.pattern_error)


def _at_hour(pattern: Sequence[float], at: float) -> float:
    """Between the middles of two hours."""
    place = at % DAY / HOUR - 0.5
    low = math.floor(place)
    share = place - low
    return pattern[low % 24] * (1 - share) + pattern[(low + 1) % 24] * share


def fitted(times: Sequence[float], values: Sequence[float]) -> Optional[Line]:
    """None: too few points, or all of one moment."""
    points = sorted((at, value) for at, value in zip(times, values) if math.isfinite(at) and math.isfinite(value))
    if len(points) < FEWEST or points[-1][0] <= points[0][0]:
        return None
    if points[-1][0] - points[0][0] >= 2 * DAY - HOUR:
        line = _daily(points)
        if line is not None:
            return line
    for _ in range(_MOST_JUMPS):
        steps = _steps(points)
        after = _after_jump(steps)
        if after is None:
            break
        points = [one for one in points if one[0] > after]
        if len(points) < FEWEST:
            return None
    steps = _steps(points)
    return _line(points, steps) if len(steps) >= FEWEST else None


def median(ordered: Sequence[float]) -> float:
    """Of sorted values, not empty."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _middle_half(values: Sequence[float]) -> float:
    ordered = sorted(values)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return math.fsum(kept) / len(kept)


def _steps(points: Points, width: float = 0.0) -> Points:
    """width: seconds a step; 0 = as many as MOST_STEPS allow."""
    if not width:
        if len(points) <= MOST_STEPS:
            return points
        width = (points[-1][0] - points[0][0]) / (MOST_STEPS - 1e-6)
        first = points[0][0]
    else:
        first = 0.0
    gathered: List[Points] = []
    held = -1.0
    for one in points:
        number = (one[0] - first) // width
        if number != held or not gathered:
            gathered.append([])
            held = number
        gathered[-1].append(one)
    return [
        (math.fsum(at for at, _ in part) / len(part), _middle_half([value for _, value in part]))
        for part in gathered
    ]


def _after_jump(steps: Points) -> Optional[float]:
    """Unix seconds: the last jump, between two steps. A jump stays: the three steps on either side differ."""
    values = [value for _, value in steps]
    if len(values) < FEWEST:
        return None
    changes = [after - before for before, after in zip(values, values[1:])]
    usual = median(sorted(changes))
    spread = _TO_SIGMA * median(sorted(abs(change - usual) for change in changes))
    least = max(_JUMP * spread, _JUMP_SHARE * (max(values) - min(values)))
    for place in range(len(changes) - 1, -1, -1):
        if abs(changes[place] - usual) <= least:
            continue
        before, after = values[max(0, place - 2) : place + 1], values[place + 1 : place + 4]
        lasting = median(sorted(after)) - median(sorted(before))
        if lasting * changes[place] > 0 and abs(lasting) > least * 0.75:
            return (steps[place][0] + steps[place + 1][0]) / 2
    return None


def _line(points: Points, steps: Points) -> Line:
    pairs = [(late, early) for place, late in enumerate(steps) for early in steps[:place] if late[0] > early[0]]
    slopes = sorted((late[1] - early[1]) / (late[0] - early[0]) for late, early in pairs)
    count = len(steps)
    return _finished(points, steps, slopes, count * (count - 1) * (2 * count + 5) / 18.0, 2, ())


def _finished(
    points: Points, steps: Points, slopes: List[float], variance: float, spent: int, pattern: Tuple[float, ...]
) -> Line:
    """slopes: sorted, of pairs. variance: of Kendall's statistic over these pairs, were the steps independent."""
    steep = median(slopes)
    count = len(steps)
    middle = math.fsum(at for at, _ in steps) / count
    flat = [value - steep * (at - middle) - (_at_hour(pattern, at) if pattern else 0.0) for at, value in steps]
    centre, span = _middle_half(flat), points[-1][0] - points[0][0]
    residuals = [value - centre for value in flat]
    wider = _dependence(residuals, spent)
    reach = _NORMAL * math.sqrt(variance) / 2.0
    low, high = _between(slopes, len(slopes) / 2.0 - reach), _between(slopes, len(slopes) / 2.0 + reach)
    error = (high - low) / (2 * _NORMAL) * math.sqrt(wider)
    across = math.fsum((at - middle) ** 2 for at, _ in steps)
    quantile = _student(max(2.0, count / wider - spent))
    middle_error = error * math.sqrt(across / count)
    loose = 0.0
    if pattern:
        deviation = _TO_SIGMA * median(sorted(abs(one) for one in residuals)) * math.sqrt(count / (count - 24))
        loose = deviation * math.sqrt(24.0 * wider / count)
    swing = nearest_rank(sorted(abs(one) for one in residuals), 0.9) if wider > 1 else 0.0
    line = Line(middle, centre, steep, middle_error, error, 0.0, quantile, span, pattern, loose, swing)
    apart = sorted(abs(value - line.expected(at)) for at, value in points)
    return line._replace(scatter=nearest_rank(apart, 0.9) * math.sqrt(count / max(1.0, count - spent)))


def _between(ordered: Sequence[float], place: float) -> float:
    held = min(max(place - 0.5, 0.0), len(ordered) - 1.0)
    low = int(held)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (held - low)


def _dependence(residuals: Sequence[float], spent: int) -> float:
    """How many times wider the variance is than that of independent steps: (1 + r) / (1 - r) of the correlation of
    neighbours, which a short series shows too small by about (spent + 3 r) / n."""
    count = len(residuals)
    whole = math.fsum(one * one for one in residuals)
    if whole <= 0:
        return 1.0
    near = math.fsum(one * two for one, two in zip(residuals, residuals[1:])) / whole
    near = min(0.9, near + (spent + 3 * max(near, 0.0)) / count)
    # Within chance of none it is taken for none.
    return (1 + near) / (1 - near) if near > 1.0 / math.sqrt(count) else 1.0


def _student(freedom: float) -> float:
    """Student's quantile of a 90 % interval (Cornish and Fisher)."""
    one = _NORMAL
    first = (one**3 + one) / 4
    second = (5 * one**5 + 16 * one**3 + 3 * one) / 96
    third = (3 * one**7 + 19 * one**5 + 17 * one**3 - 15 * one) / 384
    return one + first / freedom + second / freedom**2 + third / freedom**3


def _daily(points: Points) -> Optional[Line]:
    """With its pattern; None where the hours of the day tell of none."""
    last = points[-1][0]
    points = [one for one in points if one[0] > last - _MOST_DAYS * DAY]
    steps = _steps(points, HOUR)
    by_hour: List[Points] = [[] for _ in range(24)]
    for at, value in steps:
        by_hour[int(at % DAY // HOUR)].append((at, value))
    if min(len(hour) for hour in by_hour) < 2:
        return None
    slopes, variance = [], 0.0
    for hour in by_hour:
        slopes += [
            (late[1] - early[1]) / (late[0] - early[0]) for place, late in enumerate(hour) for early in hour[:place]
        ]
        variance += len(hour) * (len(hour) - 1) * (2 * len(hour) + 5) / 18.0
    slopes.sort()
    steep = median(slopes)
    middle = math.fsum(at for at, _ in steps) / len(steps)
    held = [[value - steep * (at - middle) for at, value in hour] for hour in by_hour]
    means = [_middle_half(hour) for hour in held]
    if not _differ(held, means):
        return None
    whole = math.fsum(means) / 24
    pattern = tuple(mean - whole for mean in means)
    return _finished(points, steps, slopes, variance, 25, pattern)


def _differ(held: Sequence[Sequence[float]], means: Sequence[float]) -> bool:
    """Whether hours of the day differ by more than days do: an F ratio."""
    count = sum(len(hour) for hour in held)
    whole = math.fsum(means) / 24
    among = math.fsum(len(hour) * (mean - whole) ** 2 for hour, mean in zip(held, means)) / 23
    within = math.fsum((one - mean) ** 2 for hour, mean in zip(held, means) for one in hour) / max(1, count - 24)
    return among > _DAILY_RATIO * within
