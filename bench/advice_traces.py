"""Traces that advice is judged on: 200 workloads of 2 pods over 10 days, a point each 5 minutes, from a fixed seed.

Five shapes, 40 workloads each; docs/recommendations.md describes them. Every second workload is held out: the
rules of krm.analysis.sizing were chosen on the others alone. Nothing here may change once rules were tuned on it.
"""

from __future__ import annotations

import random
from math import exp, sin, tau
from typing import List, NamedTuple, Tuple

SEED = 707
STEP = 300.0  # seconds
DAY, HOUR = 288, 12  # steps
DAYS, WARM = 10, 3  # days in all, and those before the first advice
PODS, EACH = 2, 40
START = 1_760_054_400.0  # a midnight, UTC
MIB = 2**20
SHAPES = ("bursty", "diurnal", "leaking", "batch", "deploys")


class Demand(NamedTuple):
    """What one pod would use if nothing limited it."""

    cpu: List[float]  # millicores, the mean of each step
    memory: List[float]  # bytes, the most within each step, without what leaked
    leak: float  # bytes a step that are never given back while the container runs


class Workload(NamedTuple):
    """One of them."""

    name: str
    pods: Tuple[Demand, ...]
    restarts: Tuple[int, ...]  # steps at which a rollout starts its pods anew
    held_out: bool


def workloads() -> List[Workload]:
    """All 200, the same each time."""
    draw = random.Random(SEED)
    return [_made(draw, shape, number) for number in range(EACH) for shape in SHAPES]


def _made(draw: random.Random, shape: str, number: int) -> Workload:
    cpu, memory = exp(draw.uniform(3.4, 7.2)), 64 * MIB * exp(draw.uniform(0, 4.2))  # 30m..1.3, 64 MiB..4.2 GiB
    every = draw.randint(3, 8) * DAY if shape == "leaking" else draw.randint(2, 3) * DAY
    first = draw.randint(DAY, every)  # at any time of a day
    restarts = tuple(range(first, DAYS * DAY, every)) if shape in ("leaking", "deploys") else ()
    factors = _versions(draw, shape, restarts)
    cpu_form, memory_form = _forms(draw, shape)
    leak = memory * draw.uniform(0.05, 0.4) / DAY if shape == "leaking" else 0.0
    pods = []
    for _ in range(PODS):
        own = draw.uniform(0.9, 1.1)
        pods.append(
            Demand(
                [cpu * own * one * factors[at][0] * _noise(draw, 0.12) for at, one in enumerate(cpu_form)],
                [memory * one * factors[at][1] * _noise(draw, 0.02) for at, one in enumerate(memory_form)],
                leak,
            )
        )
    return Workload(f"{shape}-{number:02d}", tuple(pods), restarts, number % 2 == 1)


def _noise(draw: random.Random, sigma: float) -> float:
    return max(0.05, 1 + draw.gauss(0, sigma))


def _versions(draw: random.Random, shape: str, restarts: Tuple[int, ...]) -> List[Tuple[float, float]]:
    """A step: what this version of the program takes of CPU and memory, as a factor; it grows by 1 % a day."""
    factors, cpu, memory = [], 1.0, 1.0
    for at in range(DAYS * DAY):
        if shape == "deploys":
            if at in restarts:
                cpu, memory = draw.uniform(0.7, 1.5), draw.uniform(0.8, 1.4)
            grown = 1 + 0.01 * at / DAY
            factors.append((cpu * grown, memory * grown))
        else:
            factors.append((1.0, 1.0))
    return factors


def _forms(draw: random.Random, shape: str) -> Tuple[List[float], List[float]]:
    """CPU and memory of each step, as factors."""
    phase, swing = draw.random() * tau, draw.uniform(0.2, 0.7)
    wave = [sin(at * tau / DAY + phase) for at in range(DAYS * DAY)]
    weekend = [0.7 if at // DAY % 7 in (5, 6) else 1.0 for at in range(DAYS * DAY)]
    if shape == "bursty":
        return _bursts(draw)
    if shape == "batch":
        return _runs(draw)
    if shape == "diurnal":
        breath = draw.uniform(0.05, 0.3)
        cpu = [(1 + swing * one) * rest for one, rest in zip(wave, weekend)]
        return cpu, [(1 + breath * one) * (0.9 + 0.1 * rest) for one, rest in zip(wave, weekend)]
    return [1 + 0.3 * one for one in wave], [1 + 0.03 * one for one in wave]


def _bursts(draw: random.Random) -> Tuple[List[float], List[float]]:
    """About four a day, of 5 to 40 minutes; how high is log-normal."""
    cpu, memory = [1.0] * (DAYS * DAY), [1.0] * (DAYS * DAY)
    high = draw.uniform(0.05, 0.25)
    at = 0
    while at < DAYS * DAY:
        at += 1 + int(draw.expovariate(4 / DAY))
        for place in range(at, min(at + draw.randint(1, 8), DAYS * DAY)):
            cpu[place] = 1 + draw.uniform(1, 7)
            memory[place] = 1 + high * exp(draw.gauss(0, 0.5))
    return cpu, memory


def _runs(draw: random.Random) -> Tuple[List[float], List[float]]:
    """Each 6 or 24 hours, of 20 to 90 minutes; memory rises to a peak that differs by run."""
    cpu, memory = [0.05] * (DAYS * DAY), [0.15] * (DAYS * DAY)
    every = draw.choice((DAY // 4, DAY))
    for begin in range(draw.randrange(every), DAYS * DAY, every):
        long = draw.randint(4, 18)
        peak = exp(draw.gauss(0, 0.12))
        for place in range(begin, min(begin + long, DAYS * DAY)):
            cpu[place] = draw.uniform(0.8, 1.2)
            memory[place] = 0.15 + (peak - 0.15) * (place - begin + 1) / long
    return cpu, memory
