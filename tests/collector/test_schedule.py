"""The schedule: every target in its own rhythm, and none that waits for another."""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, Iterator, List

import pytest
from krm.collector import schedule as schedules
from krm.collector.levels import measured
from krm.collector.newest import Newest
from krm.collector.schedule import Job, Outcome, Schedule, pause
from krm.collector.source import NoData, Target
from krm.model.measures import Sample, Subject
from krm.store.latest import pack_measured


class Asked:
    """A source that counts, and answers as it is told."""

    def __init__(self, answer: Callable[[Target], List[Sample]]) -> None:
        self.name = "kubelet/resource"
        self.calls: List[str] = []
        self._answer = answer

    def __call__(self, target: Target, now: float) -> List[Sample]:
        self.calls.append(target.name)
        return self._answer(target)


def sample(node: str, at: float = 1.0, **values: float) -> Sample:
    return Sample(Subject(node=node), at, values or {"cpu/usage_rate": 1.0}, "kubelet/resource")


def jobs(source: Asked, *names: str, every: float = 0.05) -> Dict[schedules.Name, Job]:
    return {(source.name, name): Job(source, Target(name, node=name), every) for name in names}


def until(what: str, condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Iterator[Schedule]:
    monkeypatch.setattr(schedules, "LOOK_EVERY", 0.01)
    made = Schedule(workers=4, slow_workers=1)
    yield made
    made.close()


def test_each_target_is_asked_again_and_again_and_none_that_is_wanted_no_more(schedule: Schedule) -> None:
    source = Asked(lambda target: [sample(target.node)])
    schedule.want(jobs(source, "a", "b"))
    until("three times each", lambda: min(source.calls.count("a"), source.calls.count("b")) >= 3)
    schedule.want(jobs(source, "b"))
    schedule.drain()
    count = source.calls.count("a")
    begun = source.calls.count("b")
    until("b goes on", lambda: source.calls.count("b") > begun + 3)
    assert source.calls.count("a") <= count + 1  # one that was on its way


def test_targets_that_hang_hold_up_no_other(schedule: Schedule) -> None:
    release = threading.Event()
    hung = [f"hung-{number}" for number in range(3)]  # all but one of the workers

    def answer(target: Target) -> List[Sample]:
        if target.name in hung:
            release.wait(30)
            raise NoData("it hung")
        return [sample(target.node)]

    source = Asked(answer)
    schedule.want(jobs(source, *hung, "quick"))
    until("the quick one was asked ten times", lambda: source.calls.count("quick") >= 10)
    assert all(source.calls.count(name) == 1 for name in hung)
    release.set()
    until("their failures come", lambda: sum(bool(one.reason) for one in schedule.drain()) >= 1)


def test_what_a_source_raises_unforeseen_is_a_reason_without_its_text(schedule: Schedule) -> None:
    def answer(_: Target) -> List[Sample]:
        raise RuntimeError("token=secret")

    schedule.want(jobs(Asked(answer), "a"))
    came: List[Outcome] = []
    until("an outcome", lambda: bool(came.extend(schedule.drain()) or came))
    assert "secret" not in came[0].reason
    assert "RuntimeError" in came[0].reason


def test_a_target_that_fails_is_asked_more_seldom_up_to_a_minute() -> None:
    assert pause(4.0, 0, 1.0) == 4.0
    assert pause(4.0, 0, 0.0) == pytest.approx(3.6)
    assert [pause(4.0, failures, 1.0) for failures in (1, 2, 3, 4, 5, 50)] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert pause(120.0, 9, 1.0) == 120.0


def outcome(at: float, samples: List[Sample], reason: str = "", every: float = 4.0) -> Outcome:
    return Outcome(Job(Asked(lambda _: []), Target("node n1", node="n1"), every), at, samples, reason)


def test_an_answer_counts_for_two_intervals_and_then_its_target_is_silent() -> None:
    newest = Newest()
    name = ("kubelet/resource", "node n1")
    newest.take([outcome(100.0, [sample("n1")])])
    newest.take([outcome(104.0, [], "it does not answer")])
    newest.keep([name], 108.9)
    assert newest.of_node("n1")
    (silence,) = newest.silences()
    assert (silence.target, silence.since, silence.last) == ("node n1", 104.0, 100.0)
    newest.keep([name], 109.1)
    assert newest.of_node("n1") == []
    assert newest.sources() == {"kubelet/resource": "it does not answer"}
    newest.take([outcome(120.0, [sample("n1", 2.0)])])
    assert newest.silences() == ()
    assert newest.sources() == {"kubelet/resource": "ok"}
    newest.keep([], 120.0)
    assert newest.of_node("n1") == []


def test_what_slower_sources_heard_before_a_target_went_silent_counts_no_more() -> None:
    newest = Newest()

    def heard(source: str, at: float, reason: str = "", every: float = 4.0) -> Outcome:
        asked = Asked(lambda _: [])
        asked.name = source
        samples = [] if reason else [sample("n1", at)._replace(source=source)]
        return Outcome(Job(asked, Target("node n1", node="n1"), every), at, samples, reason)

    names = [("quick", "node n1"), ("slow", "node n1")]
    newest.take([heard("quick", 100.0), heard("slow", 101.0, every=15.0)])
    newest.take([heard("quick", 104.0, "it is away")])
    newest.keep(names, 108.0)
    assert len(newest.of_node("n1")) == 2
    newest.keep(names, 110.0)
    assert newest.of_node("n1") == []
    # The quick one alone is refused: the slow one answers after that, and counts.
    newest.take([heard("slow", 116.0, every=15.0)])
    newest.keep(names, 117.0)
    assert [one.source for one in newest.of_node("n1")] == ["slow"]


def test_what_an_answer_names_no_more_is_gone_and_only_what_moved_on_is_new() -> None:
    newest = Newest()
    pods = [Sample(Subject("shop", name, "u", "c", "n1"), 1.0, {"cpu/usage": 1.0}, "x") for name in ("a", "b")]
    assert newest.take([outcome(1.0, pods)]) == pods
    assert newest.clean() == {("shop", "a"), ("shop", "b")}
    moved = pods[0]._replace(at=2.0)
    assert newest.take([outcome(5.0, [moved])]) == [moved]
    assert newest.clean() == {("shop", "a"), ("shop", "b")}
    assert newest.of_pod(("shop", "b")) == {}
    newest.clean()
    assert newest.take([outcome(9.0, [moved._replace()])]) == []  # the kubelet has not looked again
    assert newest.clean() == set()
    assert newest.of_pod(("shop", "a"))
    newest.take([outcome(13.0, [])])
    assert newest.clean() == {("shop", "a")}


def test_a_number_that_can_be_none_is_left_out_and_nothing_else() -> None:
    """A broken kubelet's page may say anything: 1e20 s of CPU are more nanoseconds than Redis' packing holds."""
    good = {"memory/rss": 2.0**63}
    for number in (10**29, 1e300, float("inf"), float("nan"), -(10**30)):
        for values in ({"cpu/usage": number, **good}, {**good, "cpu/usage": number}):
            source = Asked(lambda _, told=values: [sample("n1", **good), sample("n1", **told)])  # type: ignore[misc]
            found = schedules.ask(Job(source, Target("a"), 1.0)).samples
            assert [dict(one.values) for one in found] == [good, good]
            pack_measured([measured(one) for one in found])


def test_who_tells_the_same_moments_for_minutes_does_not_measure_any_more() -> None:
    """A kubelet whose runtime hangs goes on to serve its last numbers: they are no measure of now."""
    newest, name = Newest(), ("kubelet/resource", "node n1")
    for turn in range(100):
        at = 1000.0 + 4 * turn
        newest.take([outcome(at, [sample("n1", 900.0)])])
        newest.keep([name], at)
        assert bool(newest.of_node("n1")) == (4 * turn <= 180 + 9), turn
    (silence,) = newest.silences()
    assert "stand still: the newest are of 1970-01-01T00:15:00Z" in silence.reason
    newest.take([outcome(1400.0, [sample("n1", 850.0)])])  # its clock was put back: that is no standstill
    assert newest.of_node("n1")
    assert newest.silences() == ()


def test_an_answer_of_the_future_is_dropped_where_the_clock_was_put_back() -> None:
    newest, name = Newest(), ("kubelet/resource", "node n1")
    newest.take([outcome(10_000.0, [sample("n1", 9_999.0)])])
    newest.keep([name], 9_998.0)
    assert newest.of_node("n1")
    newest.keep([name], 6_400.0)
    assert newest.of_node("n1") == []
