"""Counters to rates: what a load was is what the rates say, whatever restarts, resets and repeats."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import rates as rates_of
from krm.model.measures import Sample, Subject
from krm.model.metrics import RATE, TABLE
from krm.model.rates import KEEP, SHORTEST_START, Rates

NOW = 1_800_000_000.0
CONTAINER = Subject("shop", "web-0", "u1", "app", "n1")
NODE = Subject(node="n1")
SECOND = 1_000_000_000.0  # nanoseconds


def sample(at: float, subject: Subject = CONTAINER, started: Optional[float] = None, **values: float) -> Sample:
    return Sample(
        subject, at, {name.replace("__", "/"): value for name, value in values.items()}, "s", 0.0, started
    )


def one(rates: Rates, taken: Sample, now: Optional[float] = None) -> Sample:
    found = rates.take([taken], taken.at if now is None else now)
    assert len(found) == 1
    return found[0]


def looked_at(rates: Rates, at: float = NOW) -> Rates:
    """After a first look at the node, at which the container was not there."""
    rates.take([sample(at, NODE, cpu__usage=0)], at)
    return rates


def integral(samples: List[Sample], metric: str = "cpu/usage_rate") -> float:
    return sum(found.values[metric] * found.window for found in samples if metric in found.values)


steps = st.lists(st.integers(500, 60_000), min_size=2, max_size=20)  # milliseconds between two looks


@settings(deadline=None)
@given(steps, st.integers(1, 64_000), st.integers(0, 10**15))
def test_a_constant_load_gives_that_constant(waits: List[int], millicores: int, before: int) -> None:
    rates, millis = Rates(), round(NOW * 1000)
    for turn, wait in enumerate(waits):
        found = one(rates, sample(millis / 1000, cpu__usage=before))
        if turn:
            assert found.values["cpu/usage_rate"] == pytest.approx(millicores, abs=1.1e-6)  # a nanocore
            assert found.window == pytest.approx(waits[turn - 1] / 1000, abs=1e-9)
        else:
            assert "cpu/usage_rate" not in found.values
            assert found.window == 0.0
        millis, before = millis + wait, before + wait * millicores * 1000


class Life(NamedTuple):
    """A container's instance: seconds from the beginning, and its load."""

    begin: float
    end: float
    millicores: int


@st.composite
def lives(draw) -> List[Life]:
    at, found = draw(st.sampled_from([0.0, 7.5, 31.0])), []
    for length, pause, load in draw(
        st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40), st.integers(0, 4000)), min_size=1, max_size=8)
    ):
        found.append(Life(at, at + length, load))
        at += length + pause
    return found


@settings(deadline=None)
@given(lives(), st.lists(st.integers(700, 25_000), min_size=3, max_size=40))
def test_restarts_give_neither_negatives_nor_spikes_and_what_is_counted_is_what_was_used(
    lived: List[Life], waits: List[int]
) -> None:
    rates = looked_at(Rates(), NOW + 0.5)
    at, found = 0.5, []
    counted: Dict[float, float] = {}  # a life's begin -> nanoseconds that its last look saw
    for wait in waits:
        at += wait / 1000
        rates.take([sample(NOW + at, NODE, cpu__usage=0)], NOW + at)
        for life in lived:
            if life.begin <= at < life.end:
                used = (at - life.begin) * life.millicores * 1e6
                seen = sample(NOW + at, started=NOW + life.begin, cpu__usage=used)
                found.append(one(rates, seen))
                # What is seen at the first look may have been counted by somebody else; of the rest all counts.
                if life.begin > 0.5 and at - life.begin >= SHORTEST_START:
                    counted[life.begin] = used
    for got in found:
        assert 0.0 <= got.values.get("cpu/usage_rate", 0.0) <= 4000.01
    seen_at_first = [life for life in lived if life.begin <= 0.5]
    truth = sum(counted.values()) / 1e6
    if not seen_at_first:
        assert integral(found) == pytest.approx(truth, rel=1e-5, abs=1e-3)
    else:
        assert integral(found) >= truth - 1e-3


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(500, 20_000), st.booleans()), min_size=2, max_size=40))
def test_a_reset_that_nobody_announces_is_no_negative_and_no_spike(looks: List[object]) -> None:
    rates, at, counter = Rates(), NOW, 1e12
    grown, found = 0.0, []
    for wait, reset in looks:  # type: ignore[misc]
        at += wait / 1000
        grew = wait * 125.0
        counter = 0.0 if reset else counter + grew
        found.append(one(rates, sample(at, Subject("shop", "web-0"), network__rx=counter)))
        grown += 0.0 if reset or len(found) == 1 else grew
    for got in found:
        assert got.values.get("network/rx_rate", 0.0) in (0.0, pytest.approx(125_000.0, rel=1e-5))
    assert integral(found, "network/rx_rate") == pytest.approx(grown, rel=1e-6, abs=1e-3)


def test_the_same_time_again_is_the_former_point_with_its_rate() -> None:
    rates = Rates()
    one(rates, sample(NOW, cpu__usage=0))
    second = one(rates, sample(NOW + 10, cpu__usage=5 * SECOND))
    assert (second.values["cpu/usage_rate"], second.window) == (500.0, 10.0)
    assert one(rates, sample(NOW + 10, cpu__usage=5 * SECOND), NOW + 15) == second
    third = one(rates, sample(NOW + 20, cpu__usage=15 * SECOND))
    assert (third.values["cpu/usage_rate"], third.window) == (1000.0, 10.0)


def test_an_older_point_is_dropped_and_spoils_nothing() -> None:
    rates = Rates()
    one(rates, sample(NOW, cpu__usage=10 * SECOND))
    assert rates.take([sample(NOW - 5, cpu__usage=5 * SECOND)], NOW + 5) == []
    assert one(rates, sample(NOW + 10, cpu__usage=15 * SECOND)).values["cpu/usage_rate"] == 500.0


def test_a_node_whose_clock_was_put_back_is_measured_on() -> None:
    """Else it had no numbers, and no reason for that, until its clock came to where it was."""
    rates, back = Rates(), 600.0
    rates.take([sample(1000.0, cpu__usage=0)], 1000.0)
    assert one(rates, sample(1010.0, cpu__usage=10e9), 1010.0).values["cpu/usage_rate"] == 1000.0
    assert "cpu/usage_rate" not in one(rates, sample(1020.0 - back, cpu__usage=20e9), 1020.0).values
    found = one(rates, sample(1030.0 - back, cpu__usage=25e9), 1030.0)
    assert (found.values["cpu/usage_rate"], found.window) == (500.0, 10.0)


def test_a_clock_that_was_an_hour_ahead_is_forgiven() -> None:
    rates = Rates()
    one(rates, sample(NOW + 3600, cpu__usage=10 * SECOND), NOW)
    assert "cpu/usage_rate" not in one(rates, sample(NOW + 10, cpu__usage=11 * SECOND)).values
    assert one(rates, sample(NOW + 20, cpu__usage=12 * SECOND)).values["cpu/usage_rate"] == 100.0


def test_all_that_a_new_container_used_since_its_start_counts() -> None:
    found = one(looked_at(Rates()), sample(NOW + 10, started=NOW + 6, cpu__usage=2 * SECOND))
    assert (found.values["cpu/usage_rate"], found.window) == (500.0, 4.0)


def test_a_kubelet_that_shows_a_container_late_takes_nothing_from_it() -> None:
    rates = looked_at(Rates())
    for turn in range(1, 4):
        rates.take([sample(NOW + 10 * turn, NODE, cpu__usage=0)], NOW + 10 * turn)
    found = one(rates, sample(NOW + 40, started=NOW + 6, cpu__usage=17 * SECOND))
    assert (found.values["cpu/usage_rate"], found.window) == (500.0, 34.0)


def test_a_new_pod_of_a_node_that_was_silent_for_long_counts_from_its_start() -> None:
    rates = looked_at(Rates())
    found = one(rates, sample(NOW + 3 * KEEP, started=NOW + 1 * KEEP, cpu__usage=2 * KEEP * SECOND))
    assert (found.values["cpu/usage_rate"], found.window) == (1000.0, 2 * KEEP)


def test_before_the_first_look_at_a_node_nothing_counts() -> None:
    """A collector that was there before may have counted it."""
    found = one(Rates(), sample(NOW + 10, started=NOW + 6, cpu__usage=2 * SECOND))
    assert "cpu/usage_rate" not in found.values


def test_a_container_that_is_a_moment_old_shows_no_rate_and_loses_nothing() -> None:
    rates = looked_at(Rates())
    assert "cpu/usage_rate" not in one(rates, sample(NOW + 6.1, started=NOW + 6, cpu__usage=0.05 * SECOND)).values
    found = one(rates, sample(NOW + 16, started=NOW + 6, cpu__usage=1 * SECOND))
    assert (found.values["cpu/usage_rate"], found.window) == (100.0, 10.0)


@pytest.mark.parametrize("away", [20.0, KEEP - 40, KEEP + 200])
def test_what_vanishes_and_comes_back_is_never_counted_twice(away: float) -> None:
    rates = looked_at(Rates())
    found = [one(rates, sample(NOW + 20, started=NOW + 10, cpu__usage=10 * SECOND))]
    at = NOW + 20
    while at < NOW + 20 + away:
        at += 10
        rates.take([sample(at, NODE, cpu__usage=0)], at)
    found.append(one(rates, sample(at + 10, started=NOW + 10, cpu__usage=(at - NOW) * SECOND)))
    assert integral(found) <= (at - NOW) * 1000.0 + 1e-6


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_collector_whose_clock_jumps_counts_nothing_twice(step: float) -> None:
    rates = looked_at(Rates())
    found = [one(rates, sample(NOW + 20, started=NOW + 10, cpu__usage=10 * SECOND))]
    found.append(one(rates, sample(NOW + 30, started=NOW + 10, cpu__usage=20 * SECOND), NOW + 30 + step))
    found.append(one(rates, sample(NOW + 40, started=NOW + 10, cpu__usage=30 * SECOND), NOW + 40 + step))
    assert integral(found) in (20_000.0, 30_000.0)


def test_a_former_instance_that_is_shown_in_between_makes_nothing_count_twice() -> None:
    rates = looked_at(Rates())
    found = []
    for turn in range(2, 12):
        at = 10.0 * turn
        old, used = turn % 2 == 0, (at - 15) * SECOND
        found.append(
            one(rates, sample(NOW + at, started=NOW + (5 if old else 15), cpu__usage=7.0 if old else used))
        )
    assert 0.0 <= integral(found) <= 95_000.0


def test_what_is_gone_is_forgotten() -> None:
    rates = looked_at(Rates())
    for turn in range(300):
        at = NOW + 10 * turn
        rates.take([sample(at, NODE, cpu__usage=0), sample(at, Subject("shop", f"job-{turn}"), cpu__usage=1)], at)
        assert len(rates) <= 1 + KEEP * 1.1 / 10 + 1
    rates.take([sample(NOW + 10_000, NODE, cpu__usage=0)], NOW + 10_000)
    assert len(rates) == 1


def test_more_subjects_than_there_is_room_for_get_no_rates_and_are_counted() -> None:
    rates = Rates(most=10)
    for turn in range(3):
        found = rates.take(
            [sample(NOW + turn, Subject("shop", f"p{n}"), cpu__usage=turn * 1e9) for n in range(25)], NOW + turn
        )
        assert len(found) == 25
        assert sum("cpu/usage_rate" in got.values for got in found) == (10 if turn else 0)
    assert (len(rates), rates.refused) == (10, 45)


def test_a_node_that_tells_of_ever_more_pods_takes_no_other_s_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_of, "MOST_OF_ONE", 10)
    rates = Rates(most=20)
    for turn in range(10):
        made_up = [CONTAINER._replace(pod=f"p-{turn}-{place}") for place in range(5)]
        rates.take([sample(NOW + turn, subject, cpu__usage=1) for subject in made_up], NOW + turn)
    honest = CONTAINER._replace(node="another")
    one(rates, sample(NOW + 10, honest, cpu__usage=0))
    assert one(rates, sample(NOW + 20, honest, cpu__usage=SECOND)).values["cpu/usage_rate"] == 100.0
    assert rates.refused == 40


@pytest.mark.parametrize(
    ("uid", "started"), [("u2", None), ("u2", NOW + 5), ("u1", NOW + 5), ("", NOW + 5), ("u1", NOW - 500)]
)
def test_another_instance_is_not_the_former_one(uid: str, started: Optional[float]) -> None:
    """Its counter is higher, so that it looks like growth."""
    rates = Rates()
    one(rates, sample(NOW, started=NOW - 100 if started else None, cpu__usage=0))
    found = one(rates, sample(NOW + 10, CONTAINER._replace(uid=uid), started=started, cpu__usage=4 * SECOND))
    begun = started is not None and started > NOW
    assert found.values.get("cpu/usage_rate") == (800.0 if begun else None)
    assert found.window == (5.0 if begun else 0.0)


def test_a_uid_that_becomes_known_changes_nothing() -> None:
    rates = looked_at(Rates())
    found = [
        one(rates, sample(NOW + at, CONTAINER._replace(uid=uid), started=NOW + 5.1, cpu__usage=(at - 5.1) * SECOND))
        for at, uid in ((10, ""), (20, "u1"), (30, ""), (40, "u1"))
    ]
    assert integral(found) == pytest.approx(34_900.0)


def test_pods_of_one_name_on_two_nodes_do_not_mix() -> None:
    rates = Rates()
    for turn in range(3):
        at = NOW + 10 * turn
        first, second = (sample(at, CONTAINER._replace(node=node), cpu__usage=turn * step * SECOND)
                         for node, step in (("n1", 1), ("n2", 5)))  # fmt: skip
        found = rates.take([first, second], at)
    assert [got.values["cpu/usage_rate"] for got in found] == [100.0, 500.0]


@pytest.mark.parametrize(
    ("at", "used", "nanocores"),
    # As metrics-server's arithmetic gives it: uint64(float64(difference) / window.Seconds()).
    [(15.0, 1_500_000_001, 100_000_000), (15.023, 1_502_300_000, 100_000_000), (14.999, 1, 0), (30.5, 7, 0),
     (10.001, 123_456_789, 12_344_444)],
)  # fmt: skip
def test_cpu_is_cut_to_whole_nanocores_as_metrics_server_does(at: float, used: int, nanocores: int) -> None:
    rates = Rates()
    one(rates, sample(NOW + 0.377, cpu__usage=987_654_321_000))
    found = one(rates, sample(NOW + 0.377 + at, cpu__usage=987_654_321_000 + used))
    assert found.values["cpu/usage_rate"] == nanocores / 1e6
    assert found.window == at


def test_the_other_rates() -> None:
    rates = Rates()
    names = {
        "cpu/periods": 100, "cpu/throttled_periods": 25, "cpu/throttled_time": 2.5,
        "pressure/cpu_waiting_time": 5.0, "pressure/io_stalled_time": 0.0, "memory/page_faults": 40,
        "memory/major_page_faults": 0, "network/rx": 1000, "network/tx_errors": 10,
    }  # fmt: skip
    one(rates, Sample(CONTAINER, NOW, dict.fromkeys(names, 7), "s"))
    values = {name: 7 + value for name, value in names.items()}
    found = one(rates, Sample(CONTAINER, NOW + 10, values, "s"))
    assert {name: value for name, value in found.values.items() if name not in names} == {
        "cpu/throttled_share": 0.25, "cpu/throttled_time_rate": 0.25, "pressure/cpu_waiting": 0.5,
        "pressure/io_stalled": 0.0, "memory/page_faults_rate": 4.0, "memory/major_page_faults_rate": 0.0,
        "network/rx_rate": 100.0, "network/tx_errors_rate": 1.0,
    }  # fmt: skip
    idle = one(rates, Sample(CONTAINER, NOW + 20, values, "s"))
    assert idle.values["cpu/throttled_share"] == 0.0


def test_a_counter_that_was_missing_once_has_a_window_of_its_own() -> None:
    rates = Rates()
    one(rates, sample(NOW, cpu__usage=0, memory__page_faults=0))
    one(rates, sample(NOW + 10, cpu__usage=1e9))
    first, second = rates.take([sample(NOW + 20, cpu__usage=2e9, memory__page_faults=100)], NOW + 20)
    assert (first.window, first.values["cpu/usage_rate"]) == (10.0, 100.0)
    assert (second.window, second.values) == (20.0, {"memory/page_faults_rate": 5.0})


def test_every_rate_of_the_table_that_has_a_counter_is_made() -> None:
    rates = Rates()
    counters = [metric.counter for metric in TABLE.values() if metric.form == RATE and metric.counter]
    one(rates, Sample(CONTAINER, NOW, dict.fromkeys(counters, 0.0), "s"))
    found = one(rates, Sample(CONTAINER, NOW + 1, dict.fromkeys(counters, 1.0), "s"))
    assert {metric.name for metric in TABLE.values() if metric.counter} <= set(found.values)


def test_samples_without_counters_pass_as_they_are() -> None:
    given_ = [Sample(NODE, NOW, {"cpu/usage_rate": 5.0, "memory/working_set": 1.0}, "metrics.k8s.io", 30.0)]
    assert Rates().take(given_, NOW) == given_
