"""What is recorded is answered: points, totals, levels, namespaces, the end of time and its beginning."""

from __future__ import annotations

from math import isnan
from typing import Dict, List, Optional

import pytest
from krm.model.measures import Sample, Subject
from krm.store.history.asked import DETAIL, HOUR, NoHistory, Query, TooMuch
from krm.store.history.lease import Held
from krm.store.history.local import LocalHistory

T0 = 1_700_006_400.0  # an hour's begin
WEB = Subject("shop", "web-0", "u0", "", "n1")
CPU, MEMORY = "cpu/usage_rate", "memory/working_set"


@pytest.fixture
def history(tmp_path):
    found = LocalHistory(str(tmp_path / "history.db"))
    yield found
    found.close()


def sample(at: float, values: Dict[str, float], subject: Subject = WEB, window: float = 10.0) -> Sample:
    return Sample(subject, at, values, "kubelet/resource", window)


def run(history: LocalHistory, begin: float, end: float, every: float = 10.0, value: float = 100.0,
        subjects: Optional[List[Subject]] = None, metric: str = CPU) -> None:  # fmt: skip
    at = begin
    while at < end:
        at += every
        history.record([sample(at, {metric: value}, one, every) for one in subjects or [WEB]], at)


def asked(metric: str = CPU, begin: float = T0, end: float = T0 + HOUR, level: str = "pod", **more) -> Query:
    return Query(metric, level, begin, end, **more)


def test_points_are_what_was_measured(history) -> None:
    run(history, T0, T0 + 600)
    found = history.range(asked()).series
    assert [one.subject for one in found] == [WEB]
    assert found[0].times == [T0 + 15.0 * step for step in range(1, 41)]
    assert list(found[0].values) == [100.0] * 40


def test_a_silence_is_a_gap_and_no_zero(history) -> None:
    run(history, T0, T0 + 300, metric=MEMORY, value=4096.0)
    run(history, T0 + 600, T0 + 900, metric=MEMORY, value=4096.0)
    one = history.range(asked(MEMORY)).series[0]
    gap = [at for at, value in zip(one.times, one.values) if isnan(value)]
    assert gap == [T0 + 15.0 * step for step in range(21, 41)]
    assert {value for value in one.values if not isnan(value)} == {4096.0}
    total = history.totals(asked(MEMORY)).totals[0]
    # The sample after the gap stands for two steps before it, and no more.
    assert total.covered == pytest.approx(300 + 300 + 20, abs=15)
    assert total.sum == pytest.approx(total.covered * 4096)


def test_levels_are_not_mixed(history) -> None:
    subjects = [WEB, WEB._replace(container="app"), Subject("shop"), Subject(node="n1"), Subject()]
    run(history, T0, T0 + 600, subjects=subjects)
    for level, subject in zip(("pod", "container", "namespace", "node", "cluster"), subjects):
        assert [one.subject for one in history.range(asked(level=level)).series] == [subject]
        totals = history.totals(asked(level=level, end=T0 + 600)).totals
        assert [(one.subject, one.sum) for one in totals] == [(subject, pytest.approx(60000.0))]


def test_what_is_named_must_match(history) -> None:
    other = Subject("shop", "web-1", "u1", "", "n2")
    elsewhere = Subject("bank", "web-0", "u2", "", "n1")
    run(history, T0, T0 + 300, subjects=[WEB, other, elsewhere])
    for more, wanted in (
        ({}, [elsewhere, WEB, other]),
        ({"namespace": "shop"}, [WEB, other]),
        ({"pod": "web-0"}, [elsewhere, WEB]),
        ({"node": "n1"}, [elsewhere, WEB]),
        ({"namespace": "shop", "node": "n1"}, [WEB]),
        ({"namespace": "nowhere"}, []),
    ):
        assert [one.subject for one in history.range(asked(**more)).series] == wanted
        assert [one.subject for one in history.totals(asked(**more)).totals] == wanted


@pytest.mark.parametrize("written", [False, True])
def test_only_what_is_allowed_is_seen(history, written) -> None:
    bank = Subject("bank", "web-0", "u2", "", "n1")
    run(history, T0, T0 + 300, subjects=[WEB, bank, Subject(node="n1"), Subject()])
    if written:
        history.flush()
    for ask in (lambda query: history.range(query).series, lambda query: history.totals(query).totals):
        assert [one.subject for one in ask(asked(allowed=("shop",)))] == [WEB]
        assert ask(asked(allowed=("shop",), namespace="bank")) == []
        assert ask(asked(allowed=())) == []
        for level in ("node", "cluster"):
            assert ask(asked(level=level, allowed=("shop", ""))) == []
            assert len(ask(asked(level=level))) == 1


def test_a_pod_of_the_same_name_is_another(history) -> None:
    again = WEB._replace(uid="u9")
    run(history, T0, T0 + 300)
    run(history, T0 + 300, T0 + 600, subjects=[again])
    assert [one.subject.uid for one in history.totals(asked()).totals] == ["u0", "u9"]


def test_a_source_that_does_not_name_the_node_makes_no_second_series(history) -> None:
    run(history, T0, T0 + 300, subjects=[WEB._replace(node="")])
    run(history, T0 + 300, T0 + 600)
    assert [one.subject for one in history.totals(asked()).totals] == [WEB]
    assert [one.subject for one in history.range(asked()).series] == [WEB]


def test_a_restart_goes_on_and_counts_nothing_twice(tmp_path) -> None:
    path = str(tmp_path / "history.db")
    for begin in (T0, T0 + 1200, T0 + 2400):
        history = LocalHistory(path)
        run(history, begin, begin + 1200)
        history.record([sample(begin + 1200, {CPU: 100.0})], begin + 1200)  # once more: it is known
        history.close()
    history = LocalHistory(path)
    total = history.totals(asked(end=T0 + HOUR)).totals[0]
    assert (total.sum, total.covered, total.samples) == (pytest.approx(360000.0), pytest.approx(3600), 360)
    assert list(history.range(asked(end=T0 + HOUR + 1)).series[0].values) == [100.0] * 240
    history.close()


def test_hours_are_put_together_and_read_the_same(history) -> None:
    run(history, T0, T0 + HOUR + 900)
    assert history._file.unfinished(int(T0 // HOUR) + 1) == []
    assert list(history.range(asked(end=T0 + HOUR + 1)).series[0].values) == [100.0] * 240
    parts = [row.part for row in history._file.points(["shop"], int(T0 // HOUR), int(T0 // HOUR))]
    assert parts == [0]


def test_parts_of_hours_come_from_points(history) -> None:
    run(history, T0, T0 + 3 * HOUR)
    found = history.totals(asked(begin=T0 + 600, end=T0 + 2 * HOUR + 300))
    assert found.totals[0].sum == pytest.approx(100.0 * (2 * HOUR - 300), rel=1e-6)
    assert found.extent.notes == ()
    within = history.totals(asked(begin=T0 + 610, end=T0 + 670)).totals[0]
    assert (within.sum, within.covered) == (pytest.approx(6000.0), pytest.approx(60))


def test_old_points_go_and_their_sums_stay(history) -> None:
    run(history, T0, T0 + HOUR)
    later = T0 + DETAIL + 3 * HOUR
    run(history, later, later + HOUR + 120)
    assert history.range(asked()).series == []
    found = history.totals(asked(begin=T0 + 600, end=T0 + 1200))
    assert found.totals[0].sum == pytest.approx(360000.0)
    assert "counted whole" in found.extent.notes[0]
    assert (found.extent.begin, found.extent.end) == (T0, T0 + HOUR)
    assert history._file.oldest("points") == int(later // HOUR)


def test_a_second_process_is_told_who_has_the_file(history) -> None:
    with pytest.raises(Held, match="process"):
        LocalHistory(history.path)


def test_what_cannot_be_asked_is_told(history) -> None:
    with pytest.raises(NoHistory, match="nothing was measured"):
        history.range(asked())
    run(history, T0, T0 + 60)
    with pytest.raises(NoHistory, match="no metric"):
        history.range(asked("cpu/nonsense"))
    with pytest.raises(NoHistory, match="no level"):
        history.totals(asked(level="planet"))
    with pytest.raises(NoHistory, match="before it begins"):
        history.totals(asked(end=T0))


def test_too_much_is_refused(history, monkeypatch) -> None:
    monkeypatch.setattr("krm.store.history.points.MOST_POINTS", 50)
    run(history, T0, T0 + 300, subjects=[WEB, WEB._replace(uid="u1"), WEB._replace(uid="u2")])
    with pytest.raises(TooMuch, match="ask for less time"):
        history.range(asked())
    assert len(history.range(asked(end=T0 + 150)).series) == 3


def test_what_is_bad_changes_nothing_and_is_counted(history) -> None:
    run(history, T0, T0 + 600)
    nan, endless = float("nan"), float("inf")
    now = T0 + 600
    history.record(
        [
            sample(now + 1, {CPU: nan}),
            sample(now + 2, {CPU: endless}),
            sample(now + 3, {CPU: 1e300}),
            sample(now + 4, {"no/such": 1.0}),
            sample(now - 500, {CPU: 7.0}),  # late
            sample(now + 500, {CPU: 7.0}),  # of the future
            sample(nan, {CPU: 7.0}),
            sample(now, {CPU: 7.0}),  # known
        ],
        now,
    )
    total = history.totals(asked()).totals[0]
    assert (total.sum, total.maximum, total.samples) == (pytest.approx(60000.0), 100.0, 60)
    refused = history._live.refused
    assert (refused.bad, refused.unknown, refused.late, refused.ahead, refused.repeated) == (3, 1, 1, 2, 1)
