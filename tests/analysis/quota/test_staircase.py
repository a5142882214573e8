"""Dates of quotas that move in steps: the interval holds the moment at which they were used up."""

from __future__ import annotations

import math
import random
from typing import Dict, List, Optional, Tuple

import pytest
from krm.analysis.quota.staircase import step_of, used_up
from krm.analysis.trend import Crossing
from paper_findings import NOW, STEP

HOUR_POINTS = 240
KINDS = ("regular", "arrivals", "arrivals and departures", "rollouts", "cpu")


def _path(kind: str, draw: random.Random, rate: float, start: float, total: int) -> List[float]:
    """What is used each 15 s. rate: more pods a second."""
    if kind.startswith("arrivals"):
        back = rate * 3 if "departures" in kind else 0.0
        count, at, found = math.floor(start), 0.0, []
        for place in range(total):
            while at <= place * STEP:
                at += draw.expovariate(rate + 2 * back)
                count += 1 if draw.random() < (rate + back) / (rate + 2 * back) else -1
            found.append(float(count))
        return found
    line = [math.floor(start + rate * place * STEP) for place in range(total)]
    if kind == "rollouts":  # three pods more for three minutes of each hour
        return [float(value + (3 if place % HOUR_POINTS < 12 else 0)) for place, value in enumerate(line)]
    return [value * (250.0 if kind == "cpu" else 1.0) for value in line]


def _case(kind: str, seed: int) -> Optional[Tuple[Optional[Crossing], float, float]]:
    """What is told, the truth, and now, in seconds; None where the end lies outside what was made."""
    draw = random.Random(seed)
    rate, start, count = draw.uniform(0.5, 4) / 3600, draw.uniform(50, 200), draw.choice([6, 12, 24]) * HOUR_POINTS
    path = _path(kind, draw, rate, start, count * 4)
    level = math.floor(start + rate * count * STEP * (1 + draw.uniform(0.2, 1.5))) * (
        250.0 if kind == "cpu" else 1.0
    )
    end = next((place for place in range(count, len(path)) if path[place] >= level), None)
    if end is None or path[count - 1] >= level:
        return None
    points = [(place * STEP, path[place]) for place in range(count)]
    now = points[-1][0]
    return used_up(points, level, points[-1][1], now), end * STEP, now


@pytest.mark.parametrize("kind", KINDS)
def test_the_interval_holds_the_moment_at_which_it_is_used_up(kind: str) -> None:
    """At least as often as it says; of regular steps more often: they are taken for a walk too."""
    seeds = range(120)
    print(f"seed {seeds}")
    told = [case for seed in seeds for case in [_case(kind, seed)] if case is not None]
    found = [(date, end, now) for date, end, now in told if date is not None]
    held = sum(date.earliest <= end <= date.latest for date, end, _ in found)
    apart = sorted(abs(date.at - end) / (end - now) for date, end, now in found)
    print(f"{kind}: {held} of {len(found)} hold the truth, {len(told)} were asked")
    print(f"median error / time that is left: {apart[len(apart) // 2]:.2f}")
    assert len(found) >= 0.6 * len(told)
    assert held >= 0.9 * len(found)
    assert apart[len(apart) // 2] < 0.4


def test_of_a_walk_without_a_drift_nothing_is_foretold() -> None:
    wrong = 0
    for seed in range(200):
        draw, count, points = random.Random(seed), 100, []
        for place in range(24 * HOUR_POINTS):
            count += draw.choice((-1, 1)) if draw.random() < 0.005 else 0
            points.append((place * STEP, float(count)))
        wrong += used_up(points, points[-1][1] + 10, points[-1][1], points[-1][0]) is not None
    print(f"seed 0..199: {wrong} dates of 200 walks without a drift")
    assert wrong <= 0.08 * 200


def test_what_is_a_staircase() -> None:
    assert step_of([1.0] * 10 + [3.0] * 10 + [4.0] * 10 + [2.0] * 10) == 2.0
    assert step_of([1.0] * 40) is None
    assert step_of([float(place) for place in range(40)]) is None


@pytest.mark.parametrize("values", [[1.0] * 7, [5.0] * 300, [9.0 - place // 30 for place in range(200)]])
def test_no_basis_is_no_date(values: List[float]) -> None:
    points = [(NOW + place * STEP, value) for place, value in enumerate(values)]
    assert used_up(points, 100.0, values[-1], points[-1][0]) is None


def test_regular_steps_have_their_date() -> None:
    """A pod each ten minutes, 100 now, 112 may be: in two hours, less what of the next ten minutes is over."""
    points = [(place * STEP, float(math.floor(place / 40))) for place in range(24 * HOUR_POINTS)]
    now, used = points[-1]
    found = used_up(points, used + 12, used, now)
    assert found is not None
    true = (used + 12) * 40 * STEP
    assert abs(found.at - true) <= 600
    assert found.earliest <= true <= found.latest
    told: Dict[str, float] = found._asdict()
    assert told["earliest"] >= now
