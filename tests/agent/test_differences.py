"""How far the runtime's figures are from the cgroup's: what is compared, and what is not known."""

from __future__ import annotations

import random
from typing import Any, Dict, Optional

import pytest
from krm.agent.runtime.differences import CPU, RATE, WORKING_SET, Look, differences
from krm.agent.runtime.runtimes import RuntimeStats
from krm.agent.seen import CONTAINER, Cgroup, Difference, Place

ID = "a" * 64
T = 1_800_000_000.0


def cgroup(at: float, **figures: Any) -> Dict[str, Cgroup]:
    return {ID: Cgroup(Place(CONTAINER, f"/{ID}", container_id=ID), at, None, figures)}


def stats(cpu_at: Optional[float], memory_at: Optional[float] = None, **figures: int) -> Dict[str, RuntimeStats]:
    return {ID: RuntimeStats(figures, cpu_at, memory_at)}


def compared(now: Look, before: Optional[Look] = None) -> Dict[str, Difference]:
    found = differences(now, before)
    assert {one.container_id for one in found} <= {ID}
    by_figure = {one.figure: one for one in found}
    assert len(by_figure) == len(found)
    return by_figure


def test_a_counter_that_agrees_agrees_whenever_it_is_read() -> None:
    """A container that uses one and a half cores; the runtime reads it before, after and between our looks."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)

    def used(at: float) -> int:
        return int((at - T + 100) * 1.5e9)

    for _ in range(200):
        ours, theirs = T + 10, T + 10 + rng.uniform(-12, 3)
        before = Look(cgroup(T, cpu_usage_ns=used(T)), stats(T - 3, cpu_usage_ns=used(T - 3)))
        now = Look(cgroup(ours, cpu_usage_ns=used(ours)), stats(theirs, cpu_usage_ns=used(theirs)))
        found = compared(now, before)
        assert found[CPU].share == pytest.approx(0, abs=1e-6)
        assert found[CPU].apart == pytest.approx(theirs - ours)
        assert (found[CPU].runtime, found[CPU].cgroup) == (used(theirs), pytest.approx(used(theirs), abs=1000))
        if theirs > T - 3 + 0.1:
            assert found[RATE].share == pytest.approx(0, abs=1e-3)
            assert found[RATE].cgroup == pytest.approx(1.5e9, abs=1000)


def test_a_counter_that_is_wrong_is_seen() -> None:
    before = Look(cgroup(T, cpu_usage_ns=10**10), stats(T, cpu_usage_ns=11 * 10**9))
    found = compared(Look(cgroup(T + 10, cpu_usage_ns=2 * 10**10), stats(T + 10, cpu_usage_ns=23 * 10**9)), before)
    assert found[CPU] == Difference(ID, CPU, 2 * 10**10, 23 * 10**9, 0.0, 0.15)
    assert found[RATE] == Difference(ID, RATE, 10**9, 1_200_000_000, 0.0, 0.2)


def test_the_first_look_knows_no_rate() -> None:
    found = compared(Look(cgroup(T, cpu_usage_ns=1000), stats(T + 2, cpu_usage_ns=1100)))
    assert found[CPU] == Difference(ID, CPU, 1000, 1100, 2.0, 0.1)
    assert RATE not in found


def test_a_counter_that_began_anew_has_no_rate() -> None:
    before = Look(cgroup(T, cpu_usage_ns=5000), stats(T, cpu_usage_ns=5000))
    found = compared(Look(cgroup(T + 10, cpu_usage_ns=100), stats(T + 12, cpu_usage_ns=120)), before)
    assert RATE not in found
    assert found[CPU].cgroup == 100


def test_the_same_reading_again_is_no_rate() -> None:
    """CRI-O may tell what it read ten seconds ago, twice."""
    before = Look(cgroup(T, cpu_usage_ns=10**9), stats(T - 5, cpu_usage_ns=5 * 10**8))
    found = compared(Look(cgroup(T + 10, cpu_usage_ns=2 * 10**9), stats(T - 5, cpu_usage_ns=5 * 10**8)), before)
    assert RATE not in found
    assert found[CPU] == Difference(ID, CPU, 5 * 10**8, 5 * 10**8, -15.0, 0.0)


def test_memory() -> None:
    ours = cgroup(T, memory_working_set=1000, memory_usage=2000, memory_rss=0)
    found = compared(Look(ours, stats(None, T + 0.5, memory_working_set=950, memory_usage=2000, memory_rss=5)))
    assert found[WORKING_SET] == Difference(ID, WORKING_SET, 1000, 950, 0.5, -0.05)
    assert found["memory_usage"].share == 0.0
    assert found["memory_rss"] == Difference(ID, "memory_rss", 0, 5, 0.5, None)  # a share of nothing
    assert found[CPU] == Difference(ID, CPU, None, None, None, None)


def test_what_one_side_does_not_know_is_unknown() -> None:
    told = stats(T, T, cpu_usage_ns=5, memory_working_set=6, memory_usage=7)
    found = compared(Look({}, told))
    assert found == {
        CPU: Difference(ID, CPU, None, 5, None, None),
        WORKING_SET: Difference(ID, WORKING_SET, None, 6, None, None),
    }
    found = compared(Look(cgroup(T, cpu_usage_ns=5, memory_working_set=6), stats(None)))
    assert found == {
        CPU: Difference(ID, CPU, 5, None, None, None),
        WORKING_SET: Difference(ID, WORKING_SET, 6, None, None, None),
    }
    assert compared(Look(cgroup(T, memory_working_set="unlimited"), stats(T, T, memory_working_set=6)))[
        WORKING_SET
    ] == Difference(ID, WORKING_SET, None, 6, 0.0, None)


def test_what_the_runtime_does_not_tell_of_is_not_compared() -> None:
    assert differences(Look(cgroup(T, cpu_usage_ns=5), {}), None) == []
