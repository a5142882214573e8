"""The rows of the POST API: which levels, which tags, in which order, and what a sum adds up."""

from __future__ import annotations

import json
import math
from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.model import times
from krm.model.measures import LEVELS, Subject
from krm.model.metrics import PART_ONE, TABLE
from krm.server import classic_rows
from krm.server.classic_asked import ALL_NAMESPACE, ALL_POD, POD_BY_NAMESPACE, POINTS, Asked
from krm.server.classic_rows import Found, number, read, windows
from krm.store.history.asked import STEP, NoHistory
from server.paper_history import PaperHistory

NOW = times.parse("2026-11-28T12:00:00Z")
BEGIN = NOW - 600
CPU = "cpu/usage_rate"
POD = Subject("shop", "web-0", "u1", node="n1")
ONE, TWO = POD._replace(container="app"), POD._replace(container="proxy")


def question(
    metric: str,
    agg: str = POINTS,
    namespace: str = "shop",
    limit: int = 100,
    begin: float = BEGIN,
    end: float = NOW,
) -> Asked:
    return Asked(TABLE[metric], agg, "" if agg in (ALL_NAMESPACE, ALL_POD) else namespace, limit, begin, end, NOW)


def rows(history: PaperHistory, asked: Asked, allowed: Optional[Tuple[str, ...]] = None) -> List[Dict[str, Any]]:
    return read(history, asked, allowed).rows


@pytest.fixture
def history() -> PaperHistory:
    """Every level that Heapster had, of one pod with two containers, and of others."""
    made = PaperHistory()
    made.put(CPU, POD, BEGIN, 30.5, 60, 90)
    made.put(CPU, ONE, BEGIN, 10.5, 20, 30)
    made.put(CPU, TWO, BEGIN, 20, 40, 60)
    made.put(CPU, Subject("shop"), BEGIN, 30.5, 60, 90)
    made.put(CPU, Subject(node="n1"), BEGIN, 1000, 1000, 1000)
    made.put(CPU, Subject(), BEGIN, 1000, 1000, 1000)
    made.put(CPU, Subject("kube-system", "dns-0", "u2", node="n1"), BEGIN, 5, 5, 5)
    made.put(CPU, Subject("test", "web-0", "u3", node="n2"), BEGIN, 7, 7, 7)
    return made


def test_points_are_of_pods_and_containers_newest_first_with_heapsters_tags(history: PaperHistory) -> None:
    found = rows(history, question(CPU))
    assert [(row["time"], row["value"], row["type"], row["container_name"]) for row in found] == [
        ("2026-11-28T11:50:30Z", 90, "pod", None),
        ("2026-11-28T11:50:30Z", 30, "pod_container", "app"),
        ("2026-11-28T11:50:30Z", 60, "pod_container", "proxy"),
        ("2026-11-28T11:50:15Z", 60, "pod", None),
        ("2026-11-28T11:50:15Z", 20, "pod_container", "app"),
        ("2026-11-28T11:50:15Z", 40, "pod_container", "proxy"),
        ("2026-11-28T11:50:00Z", 30.5, "pod", None),
        ("2026-11-28T11:50:00Z", 10.5, "pod_container", "app"),
        ("2026-11-28T11:50:00Z", 20, "pod_container", "proxy"),
    ]
    assert found[1] == {
        "time": "2026-11-28T11:50:30Z", "value": 30, "type": "pod_container", "nodename": "n1",
        "namespace_name": "shop", "pod_name": "web-0", "container_name": "app", "resource_id": None,
    }  # fmt: skip


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
def test_a_limit_keeps_the_newest(history: PaperHistory, limit: int) -> None:
    assert rows(history, question(CPU, limit=limit)) == rows(history, question(CPU))[:limit]


def test_the_begin_is_in_it_and_the_end_is_not(history: PaperHistory) -> None:
    found = rows(history, question(CPU, begin=BEGIN, end=BEGIN + 2 * STEP))
    assert sorted({row["time"] for row in found}) == ["2026-11-28T11:50:00Z", "2026-11-28T11:50:15Z"]
    assert rows(history, question(CPU, begin=BEGIN + 2 * STEP + 0.001)) == []


def test_a_gap_is_no_point(history: PaperHistory) -> None:
    history.put("memory/rss", ONE, BEGIN, 4096, math.nan, math.nan, 8192)
    found = rows(history, question("memory/rss"))
    assert [(row["time"][11:19], row["value"]) for row in found] == [("11:50:45", 8192), ("11:50:00", 4096)]


def test_windows_are_the_whole_time_once() -> None:
    for span in (1.0, 299.0, 300.0, 301.0, 3600.0, 86400.0, 400 * 86400.0, NOW):
        held = list(windows(question(CPU, begin=NOW - span)))
        assert held[0][1] == NOW
        assert held[-1][0] == NOW - span
        assert all(newer[0] == older[1] for newer, older in zip(held, held[1:]))
        assert all(begin < end for begin, end in held)
        assert len(held) <= 14
    assert next(windows(question(CPU, end=NOW + 1e9)))[1] == NOW + 3600.0
    assert list(windows(question(CPU, begin=NOW + 1e8, end=NOW + 1e9))) == []


def test_points_of_many_windows_are_in_one_order_and_few_are_read_where_few_are_asked() -> None:
    history = PaperHistory()
    history.put(CPU, POD, NOW - 7200, *range(480))
    found = rows(history, question(CPU, begin=NOW - 7200, limit=300))
    assert [row["value"] for row in found] == list(range(479, 179, -1))
    history.asked.clear()
    assert [row["value"] for row in rows(history, question(CPU, begin=NOW - 7200, limit=5))] == [
        479,
        478,
        477,
        476,
        475,
    ]
    assert min(query.begin for query in history.asked) == NOW - 300


def test_where_no_points_are_kept_any_more_none_are_looked_for_and_it_is_told() -> None:
    history = PaperHistory()
    history.kept_from = NOW - 86400
    history.put(CPU, POD, NOW - 86400, 1)
    found = read(history, question(CPU, begin=0), None)
    assert [row["value"] for row in found.rows] == [1]
    assert found.notes == ("points are kept for a day",)
    assert min(query.end for query in history.asked) > NOW - 86400


def test_more_points_than_may_be_given_are_cut_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic_rows, "MOST_POINTS", 10)
    history = PaperHistory()
    history.put(CPU, POD, NOW - 300, *range(20))
    found = read(history, question(CPU, limit=10**9), None)
    assert len(found.rows) == 10
    assert "more than 10 points are not given at once" in found.notes[0]


def test_sums_are_of_one_level_and_in_units_of_time(history: PaperHistory) -> None:
    whole = (30.5 + 60 + 90) * STEP  # millicore-seconds
    at = "2026-11-28T11:50:00Z"
    assert rows(history, question(CPU, POD_BY_NAMESPACE)) == [
        {"time": at, "sum": whole, "namespace_name": "shop", "pod_name": "web-0"}
    ]
    assert rows(history, question(CPU, ALL_NAMESPACE)) == [
        {"time": at, "sum": whole, "namespace_name": "shop"},
        {"time": at, "sum": 315, "namespace_name": "test"},
    ]
    assert rows(history, question(CPU, ALL_POD)) == [
        {"time": at, "sum": 225, "pod_name": "dns-0"},
        {"time": at, "sum": whole + 315, "pod_name": "web-0"},
    ]
    assert {query.level for query in history.asked} == {"pod"}


def test_a_sum_does_not_depend_on_how_often_was_sampled() -> None:
    """100 millicores for 10 minutes: Heapster's sum was 4,000 at 15 s and 1,000 at a minute."""
    history = PaperHistory()
    history.put(CPU, POD, BEGIN, *[100.0] * 40)
    (row,) = rows(history, question(CPU, POD_BY_NAMESPACE))
    assert row["sum"] == 100 * 600


def test_pods_that_came_again_under_a_name_are_one_row() -> None:
    history = PaperHistory()
    for turn, node in enumerate(("n1", "n2", "n3")):
        history.put(CPU, Subject("shop", "db-0", f"u{turn}", node=node), BEGIN + 60 * turn, 10, 10)
    (row,) = rows(history, question(CPU, POD_BY_NAMESPACE))
    assert row["sum"] == 3 * 2 * 10 * STEP
    assert len(rows(history, question(CPU, limit=1000))) == 6


def test_a_metric_without_pods_is_summed_over_its_containers() -> None:
    history = PaperHistory()
    for container in (ONE, TWO):
        for part in ("rootfs", "logs"):
            history.put("filesystem/usage", container._replace(resource_id=part), BEGIN, 1024)
    (row,) = rows(history, question("filesystem/usage", POD_BY_NAMESPACE))
    assert row["sum"] == 4 * 1024 * STEP
    found = rows(history, question("filesystem/usage"))
    assert [(row["container_name"], row["resource_id"]) for row in found] == [
        ("app", "logs"), ("app", "rootfs"), ("proxy", "logs"), ("proxy", "rootfs"),
    ]  # fmt: skip
    assert {row["type"] for row in found} == {"pod_container"}


def test_parts_of_what_is_there_as_a_whole_are_not_counted_again() -> None:
    history = PaperHistory()
    history.put("gpu/usage", POD, BEGIN, 300)
    for card, used in (("gpu-0", 100), ("gpu-1", 200)):
        history.put("gpu/usage", POD._replace(resource_id=card), BEGIN, used)
    (row,) = rows(history, question("gpu/usage", ALL_POD))
    assert row["sum"] == 300 * STEP
    assert [row["value"] for row in rows(history, question("gpu/usage"))] == [300]


def test_a_counters_sum_is_its_increase() -> None:
    history = PaperHistory()
    history.put("cpu/usage", POD, BEGIN, 1e9, 2e9, 0.5e9, 1e9)  # began again at the third
    (row,) = rows(history, question("cpu/usage", ALL_NAMESPACE))
    assert row == {"time": "2026-11-28T11:50:00Z", "sum": 1500000000, "namespace_name": "shop"}


def test_metrics_of_nodes_are_points_of_nodes_for_whoever_sees_all() -> None:
    history = PaperHistory()
    history.put("cpu/node_capacity", Subject(node="n1"), BEGIN, 4000)
    history.put("cpu/node_capacity", Subject(node="n2"), BEGIN, 8000)
    found = rows(history, question("cpu/node_capacity", namespace="default"))
    assert [(row["nodename"], row["value"], row["type"]) for row in found] == [
        ("n1", 4000, "node"),
        ("n2", 8000, "node"),
    ]
    assert {row["namespace_name"] for row in found} == {None}
    history.asked.clear()
    assert rows(history, question("cpu/node_capacity", namespace="shop"), ("shop",)) == []
    assert history.asked == []
    for agg in (POD_BY_NAMESPACE, ALL_POD, ALL_NAMESPACE):
        none = read(history, question("cpu/node_capacity", agg), None)
        assert (none.rows, len(none.notes)) == ([], 1)


def test_an_account_sees_its_namespaces_alone(history: PaperHistory) -> None:
    assert [row["namespace_name"] for row in rows(history, question(CPU, ALL_NAMESPACE), ("test",))] == ["test"]
    assert [row["sum"] for row in rows(history, question(CPU, ALL_POD), ("test",))] == [315]
    assert rows(history, question(CPU, ALL_POD), ()) == []
    assert rows(history, question(CPU, POD_BY_NAMESPACE), ("test",)) == []
    assert rows(history, question(CPU), ("test",)) == []
    assert {query.allowed for query in history.asked} == {("test",), ()}


def test_all_namespace_leaves_kube_system_out_even_for_whoever_may_see_it(history: PaperHistory) -> None:
    assert rows(history, question(CPU, ALL_NAMESPACE), ("kube-system",)) == []
    assert [row["sum"] for row in rows(history, question(CPU, POD_BY_NAMESPACE, "kube-system"))] == [225]


@pytest.mark.parametrize("agg", [POINTS, POD_BY_NAMESPACE, ALL_NAMESPACE, ALL_POD])
@pytest.mark.parametrize("metric", [one.name for one in PART_ONE])
def test_each_of_the_37_names_answers_what_its_row_has(metric: str, agg: str) -> None:
    """One sample at each level that the row has: a point of every level that is given, a sum where pods have it."""
    history = PaperHistory()
    subjects: Dict[str, Subject] = dict(zip(LEVELS, (Subject(), Subject(node="n1"), Subject("shop"), POD, ONE)))
    levels = TABLE[metric].levels
    for level in levels:
        history.put(metric, subjects[level], BEGIN, 1000, 1001)
    found = rows(history, question(metric, agg))
    of_pods = [level for level in ("pod", "container") if level in levels]
    if agg == POINTS:
        wanted = sorted(classic_rows.TYPES[level] for level in of_pods or ["node"])
        assert sorted({row["type"] for row in found}) == wanted
        assert len(found) == 2 * len(wanted)
    else:
        whole = 1 if TABLE[metric].form == "counter" else 2001 * STEP
        assert [row["sum"] for row in found] == ([whole] if of_pods else [])


def test_no_time_gives_no_rows_and_asks_nobody(history: PaperHistory) -> None:
    for end in (BEGIN, BEGIN - 1):
        found = read(history, question(CPU, begin=BEGIN, end=end), None)
        assert (found.rows, history.asked) == ([], [])
        assert "is not before" in found.notes[0]


def test_what_the_history_says_of_itself_is_told_once(history: PaperHistory) -> None:
    history.notes = ("one hour is damaged and left out",)
    for agg in (POINTS, ALL_POD):
        found = read(history, question(CPU, agg), None)
        assert found.notes == history.notes
        assert found.as_of == BEGIN + 2 * STEP


def test_without_history_there_is_no_answer(history: PaperHistory) -> None:
    history.away = NoHistory("the collector is away")
    for agg in (POINTS, ALL_POD):
        with pytest.raises(NoHistory):
            read(history, question(CPU, agg), None)


def test_numbers_are_whole_where_they_are_and_json_either_way() -> None:
    assert [json.dumps(number(value)) for value in (3.0, -2.0, 0.5, 2.0**60, 1e300)] == [
        "3", "-2", "0.5", "1.152921504606847e+18", "1e+300",
    ]  # fmt: skip
    assert json.loads(classic_rows.text(Found([{"a": "é<\u2028"}], (), None))) == [{"a": "é<\u2028"}]
