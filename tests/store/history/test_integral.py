"""A month's sum over a namespace is the integral of a known load, to 0.1 %, whoever looked how often.

The load is a sum of waves, whose integral anybody can compute. Containers come and go, some for seconds;
the collector restarts, and is away at times; sources are read each 5, 10, 15, 30 or 60 s with jitter.
"""

from __future__ import annotations

import random
from math import cos, sin, tau
from typing import Dict, Iterator, List, NamedTuple, Tuple

import pytest
from krm.model.measures import Sample, Subject
from krm.store.history.asked import HOUR, Query
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0
DAY = 24 * HOUR
CPU, NANOSECONDS, MEMORY = "cpu/usage_rate", "cpu/usage", "memory/working_set"


class Pod(NamedTuple):
    """One that lives from `begin` to `end`."""

    subject: Subject
    begin: float
    end: float
    base: float  # millicores
    phase: float

    def used(self, at: float) -> float:
        """Millicore-seconds since its begin: the integral of base x (1 + sin / 2) with a wave of an hour."""
        wave = tau / HOUR
        grown = at - self.begin
        return self.base * (grown + (cos(self.phase) - cos(self.phase + wave * grown)) / (2 * wave))

    def memory(self, at: float) -> float:
        """Bytes: a wave of six hours."""
        return 1e8 * (1 + sin(self.phase + tau * at / (6 * HOUR)) / 2)

    def memory_used(self, begin: float, end: float) -> float:
        """Its integral."""
        wave = tau / (6 * HOUR)
        swing = cos(self.phase + wave * begin) - cos(self.phase + wave * end)
        return 1e8 * ((end - begin) + swing / (2 * wave))


def pods(draw: random.Random, until: float) -> List[Pod]:
    """Long ones, ones of minutes, and many of seconds."""
    found = []
    for number, (count, longest, shortest) in enumerate(
        ((4, 1e9, 1e9), (40, min(5 * HOUR, until / 2), 300), (400, 59, 3))
    ):
        for place in range(count):
            begin = T0 + 1 if longest > until else T0 + draw.random() * (until - longest)
            end = min(T0 + until, begin + shortest + draw.random() * (longest - shortest))
            subject = Subject("shop", f"pod-{number}-{place}", f"u{number}-{place}", "app", "n1")
            found.append(Pod(subject, begin, end, draw.random() * 900 + 5, draw.random() * tau))
    return found


def samples(pod: Pod, every: float, draw: random.Random, away: List[Tuple[float, float]]) -> Iterator[Sample]:
    """As a collector makes them: counters read each `every` seconds give rates; the last read is just before
    the end, as a kubelet tells of what ends."""
    known, at = pod.begin, pod.begin
    while at < pod.end:
        at = min(pod.end, at + every * (0.9 + 0.2 * draw.random()))
        if any(begin <= at < end for begin, end in away):
            continue  # no data: the next window holds what happened meanwhile
        values: Dict[str, float] = {
            CPU: (pod.used(at) - pod.used(known)) / (at - known),
            NANOSECONDS: pod.used(at) * 1e6,
            MEMORY: pod.memory(at),
        }
        yield Sample(pod.subject, at, values, "kubelet/resource", at - known, pod.begin)
        known = at


def recorded(
    path: str, pods: List[Pod], every: float, draw: random.Random, until: float
) -> Tuple[Dict[Subject, float], List[Tuple[float, float]]]:
    """Records all of it, with restarts and silences. Answers until when each pod was told of, and the silences."""
    away = []
    for place in range(5):
        begin = T0 + (place + draw.random() / 2) * until / 5
        away.append((begin, begin + draw.choice((40.0, 300.0, min(2000.0, until / 10)))))
    everything = sorted(
        (sample for pod in pods for sample in samples(pod, every, draw, away)), key=lambda sample: sample.at
    )
    restarts = sorted(T0 + draw.random() * until for _ in range(6))
    history = LocalHistory(path)
    place, now = 0, T0
    while now < T0 + until + 120:
        now += every
        if restarts and now > restarts[0]:
            restarts.pop(0)
            history.close()
            history = LocalHistory(path)
        turn = []
        while place < len(everything) and everything[place].at <= now:
            turn.append(everything[place])
            place += 1
        history.record(turn, now)
    history.close()
    return {sample.subject: sample.at for sample in everything}, away


def overlap(begin: float, end: float, spans: List[Tuple[float, float]]) -> float:
    return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in spans)


RATES = (5.0, 10.0, 15.0, 30.0, 60.0)


def proved(path: str, every: float, until: float) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    load = pods(draw, until)
    told, away = recorded(path, load, every, draw, until)
    history = LocalHistory(path)
    end = T0 + until + 60

    def sums(metric: str) -> float:
        asked = history.totals(Query(metric, "container", T0, end, namespace="shop"))
        assert asked.extent.notes == ()
        return sum(total.sum for total in asked.totals)

    # What a pod did after it was last told of, in a silence that it did not outlive, nobody can know.
    wanted = sum(pod.used(told[pod.subject]) for pod in load if pod.subject in told)
    for metric, factor in ((CPU, 1.0), (NANOSECONDS, 1e6)):
        assert sums(metric) / factor == pytest.approx(wanted, rel=1e-3), metric
    # Gauges: where nobody looked nothing is covered, but for what the sample after it stands for.
    lived = [(pod.begin, told[pod.subject]) for pod in load if pod.subject in told]
    looked = sum(end - begin - overlap(begin, end, away) for begin, end in lived)
    totals = history.totals(Query(MEMORY, "container", T0, end, namespace="shop")).totals
    covered = sum(total.covered for total in totals)
    held = sum(min(90.0, overlap(begin, end, [one])) for begin, end in lived for one in away)
    assert looked * 0.99 <= covered <= looked * 1.01 + held
    mean = sum(pod.memory_used(pod.begin, told[pod.subject]) for pod in load if pod.subject in told) / sum(
        end - begin for begin, end in lived
    )
    assert sum(total.sum for total in totals) / covered == pytest.approx(
        mean, rel=0.05
    )  # it waved on in the silences
    history.close()


@pytest.mark.parametrize("every", RATES)
def test_a_days_sum_is_the_integral_of_the_load(tmp_path, every) -> None:
    proved(str(tmp_path / "history.db"), every, DAY / 8 if every < 15 else DAY / 12)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_months_sum_is_the_integral_of_the_load(tmp_path) -> None:
    proved(str(tmp_path / "history.db"), 30.0, 30 * DAY)


def test_without_silences_gauges_are_exact_too(tmp_path, monkeypatch) -> None:
    """Read twice as often, it is the same."""
    found = []
    for every in (5.0, 10.0, 20.0):
        draw = random.Random(7)
        load = pods(random.Random(3), DAY / 12)
        history = LocalHistory(str(tmp_path / f"{every}.db"))
        turns = sorted(
            (sample for pod in load for sample in samples(pod, every, draw, [])), key=lambda sample: sample.at
        )
        for sample in turns:
            history.record([sample], sample.at)
        totals = history.totals(Query(MEMORY, "container", T0, T0 + DAY / 12 + 60)).totals
        found.append(sum(total.sum for total in totals))
        history.close()
        wanted = sum(pod.memory_used(pod.begin, pod.end) for pod in load)
        assert found[-1] == pytest.approx(wanted, rel=1e-3), every
