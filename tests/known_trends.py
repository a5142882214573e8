"""200 synthetic trends whose end is known, fixed by seed before anything was tuned on them.

Even numbers are for tuning, odd ones are held out. Each is a straight trend towards a level, measured with noise;
`end` is when the trend (with its daily wave, where it has one) first reaches the level. Three purposes: memory of
a node that runs out (15 s points, 1 to 6 h), a quota that fills (hourly points, 3 to 20 days), a load that grows
(60 s points, 2 h to 2 days).
"""

from __future__ import annotations

import math
import random
from typing import Callable, Dict, List, NamedTuple, Tuple

SEED = 20261128
COUNT = 200
DAY = 86400.0
START = 1_790_000_000.0
KINDS = ("gaussian", "heavy-tailed", "autocorrelated", "gaps", "resets", "daily")
# By purpose: seconds a point, the shortest and the longest span in seconds, where it starts, and its level.
PURPOSES: Dict[str, Tuple[float, float, float, float, float]] = {
    "eviction": (15.0, 3600.0, 6 * 3600.0, 24e9, 104857600.0),
    "quota": (3600.0, 3 * DAY, 20 * DAY, 2e3, 40e3),
    "scaling": (60.0, 2 * 3600.0, 2 * DAY, 200.0, 1800.0),
}


class Known(NamedTuple):
    number: int
    purpose: str
    kind: str
    times: List[float]
    values: List[float]
    level: float
    now: float
    end: float


def trends(seed: int = SEED, count: int = COUNT) -> List[Known]:
    made = random.Random(seed)
    return [_trend(number, random.Random(made.random())) for number in range(count)]


def _trend(number: int, draw: random.Random) -> Known:
    kind = KINDS[number // 2 % len(KINDS)]
    purpose = draw.choice(sorted(PURPOSES))
    step, shortest, longest, first, last = PURPOSES[purpose]
    span = draw.uniform(shortest, longest)
    if kind == "daily":
        span, step = draw.uniform(2.5, 12) * DAY, max(step, 900.0)
    now = START + span
    ahead = span * draw.uniform(0.1, 2.0)
    slope = (last - first) / (span + ahead)
    grown = abs(slope) * span
    count = int(span // step)
    times = [now - step * (count - 1 - place) for place in range(count)]
    signal: Callable[[float], float] = lambda at: first + slope * (at - START)  # noqa: E731
    end, level = now + ahead, last
    if kind == "daily":
        signal = _waved(signal, abs(slope) * DAY * draw.uniform(0.3, 2.0), draw)
        reached = [signal(at) for at in times]
        level = (max(reached) if slope > 0 else min(reached)) + slope * ahead
        end = _first(signal, level, now, slope)
    values = [signal(at) for at in times]
    if kind == "resets":
        values = _reset(times, values, slope, draw)
    noise = _noise(kind, grown * draw.uniform(0.03, 0.3), count, draw)
    values = [value + one for value, one in zip(values, noise)]
    if kind == "gaps":
        times, values = _with_gaps(times, values, draw)
    return Known(number, purpose, kind, times, values, level, now, end)


def _waved(line: Callable[[float], float], height: float, draw: random.Random) -> Callable[[float], float]:
    early, second = draw.uniform(0, 2 * math.pi), draw.uniform(0, 0.5)

    def signal(at: float) -> float:
        turn = 2 * math.pi * at / DAY + early
        return line(at) + height * (math.sin(turn) + second * math.sin(2 * turn + 1.0))

    return signal


def _first(signal: Callable[[float], float], level: float, now: float, slope: float) -> float:
    at = now
    while (signal(at) - level) * slope < 0:
        at += 60.0
    return at


def _reset(times: List[float], values: List[float], slope: float, draw: random.Random) -> List[float]:
    """What was before the last of one to three restarts stood nearer to the level."""
    span = times[-1] - times[0]
    moments = [times[0] + draw.uniform(0.1, 0.6) * span for _ in range(draw.randint(1, 3))]
    lifted = slope * span * draw.uniform(0.8, 1.5)
    return [value + lifted * sum(at < moment for moment in moments) for at, value in zip(times, values)]


def _noise(kind: str, sd: float, count: int, draw: random.Random) -> List[float]:
    if kind == "heavy-tailed":  # Student's t of 2.5 degrees
        return [0.6 * sd * draw.gauss(0, 1) / math.sqrt(draw.gammavariate(1.25, 2) / 2.5) for _ in range(count)]
    if kind == "autocorrelated":
        keep = math.exp(-1 / (count * draw.uniform(0.002, 0.04)))
        held, rows = draw.gauss(0, sd), []
        for _ in range(count):
            held = keep * held + draw.gauss(0, sd * math.sqrt(1 - keep * keep))
            rows.append(held)
        return rows
    return [draw.gauss(0, sd if kind != "resets" else sd / 3) for _ in range(count)]


def _with_gaps(times: List[float], values: List[float], draw: random.Random) -> Tuple[List[float], List[float]]:
    """About half of the points are away, in long runs: of these some are NaN and some are not there."""
    kept_times, kept = [], []
    away = False
    for at, value in zip(times, values):
        if draw.random() < 0.05:
            away = not away
        if not away or draw.random() < 0.5:
            kept_times.append(at)
            kept.append(math.nan if away else value)
    return kept_times, kept
