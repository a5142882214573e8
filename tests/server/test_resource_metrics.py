"""What a turn of the collector looks like as NodeMetrics and PodMetrics. The texts are a real metrics-server's."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.server.resource_metrics import LACKS, NODES, PODS, Item, Usage, View, nanocores, usage
from krm.store.latest import Measured
from server.measurements import AT, WINDOW, measured, pod, turn_of

MIB = 1 << 20


def item_of(found: View, key: str) -> Item:
    """`key`: namespace/name of a pod, /name of a node."""
    namespace, _, name = key.partition("/")
    item = found.item(PODS if namespace else NODES, namespace, name)
    assert item is not None
    return item


def shown(found: View, key: str) -> Any:
    return json.loads(item_of(found, key).written(b""))


def one_pod(*containers: Measured, **more: Any) -> View:
    names = {f"c-{number}": [one] for number, one in enumerate(containers)}
    return View(turn_of({"shop": [pod("web-0", names, **more)]}))


def is_shown(found: View) -> bool:
    return found.item(PODS, "shop", "web-0") is not None


def usages(found: View) -> Dict[str, Any]:
    return {one["name"]: one["usage"] for one in shown(found, "shop/web-0")["containers"]}


def test_a_pod_is_written_as_metrics_server_writes_it() -> None:
    containers = {"side": [measured(1.0, 10.0 * MIB)], "app": [measured(250.000001, 64.0 * MIB)]}
    item = item_of(View(turn_of({"shop": [pod("web-0", containers)]})), "shop/web-0")
    assert item.written(b'{"app":"web","z":"1"}') == (
        b'{"metadata":{"name":"web-0","namespace":"shop","creationTimestamp":"2026-11-28T09:12:35Z",'
        b'"labels":{"app":"web","z":"1"}},"timestamp":"2026-11-28T09:12:35Z","window":"9.996s","containers":['
        b'{"name":"app","usage":{"cpu":"250000001n","memory":"64Mi"}},'
        b'{"name":"side","usage":{"cpu":"1m","memory":"10Mi"}}]}'
    )
    assert item.cells == b'["web-0","251000001n","74Mi","9.996s"]'


def test_a_node_is_written_as_metrics_server_writes_it() -> None:
    item = item_of(View(turn_of({}, {"n-1": [measured(2000.00001, 8.0 * 1024 * MIB)]})), "/n-1")
    assert item.written(b"") == (
        b'{"metadata":{"name":"n-1","creationTimestamp":"2026-11-28T09:12:35Z"},'
        b'"timestamp":"2026-11-28T09:12:35Z","window":"9.996s","usage":{"cpu":"2000000010n","memory":"8Gi"}}'
    )
    assert item.cells == b'["n-1","2000000010n","8Gi","9.996s"]'


def test_the_moment_of_a_pod_is_that_of_its_oldest_container() -> None:
    found = one_pod(measured(1, 1), measured(1, 1, AT - 5, window=10.5), measured(1, 1, AT + 5))
    assert (shown(found, "shop/web-0")["timestamp"], shown(found, "shop/web-0")["window"]) == (
        "2026-11-28T09:12:30Z", "10.5s",
    )  # fmt: skip


@pytest.mark.parametrize("lost", [measured(None, 5.0), measured(5.0, None), measured(None, None)])
def test_a_container_without_a_value_is_shown_with_the_others_and_named(lost: Measured) -> None:
    lacks = ["c-1"]  # the collector names what runs and lacks a value
    found = one_pod(measured(3.0, 7.0), lost, lacks=lacks)
    known = {name[:3]: value for name, value in lost.values.items()}
    expected = {"cpu": "5m"} if "cpu" in known else {"memory": "5"} if known else {}
    assert usages(found) == {"c-0": {"cpu": "3m", "memory": "7"}, "c-1": expected}
    assert shown(found, "shop/web-0")["metadata"]["annotations"] == {LACKS: "c-1"}
    assert found.lacking("shop") == found.lacking("") == ["shop/web-0"]
    assert found.lacking("sho") == []


def test_a_container_that_gave_no_point_at_all_is_named_too() -> None:
    found = one_pod(measured(3.0, 7.0), lacks=("gone", "away"))
    assert usages(found) == {"away": {}, "c-0": {"cpu": "3m", "memory": "7"}, "gone": {}}
    assert shown(found, "shop/web-0")["metadata"]["annotations"] == {LACKS: "away,gone"}


def test_a_pod_of_which_no_container_has_both_values_is_not_shown() -> None:
    assert not is_shown(one_pod(measured(None, 5.0), measured(5.0, None)))
    assert not is_shown(one_pod(lacks=("c",)))


def test_a_node_without_both_values_is_not_shown() -> None:
    found = View(turn_of({}, {"a": [measured(None, 5.0)], "b": [measured(5.0, None)], "c": []}))
    assert [found.item(NODES, "", name) for name in "abcd"] == [None] * 4


def test_zero_is_a_value() -> None:
    assert usages(one_pod(measured(0.0, 0.0))) == {"c-0": {"cpu": "0", "memory": "0"}}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0, -float("inf")])
def test_what_is_no_amount_is_not_known(wrong: float) -> None:
    found = one_pod(measured(1.0, 1.0), measured(wrong, 1.0), measured(1.0, wrong))
    assert usages(found)["c-1"] == {"memory": "1"}
    assert usages(found)["c-2"] == {"cpu": "1m"}


@pytest.mark.parametrize("at", [float("nan"), float("inf"), -1.0, 0.0, 1e18])
def test_what_is_no_moment_costs_that_container_alone(at: float) -> None:
    assert usages(one_pod(measured(1.0, 1.0), measured(1.0, 1.0, at), lacks=["c-1"])) == {
        "c-0": {"cpu": "1m", "memory": "1"},
        "c-1": {},
    }
    assert not is_shown(one_pod(measured(1.0, 1.0, window=float("nan"))))


def test_each_value_is_of_the_first_source_that_has_it_and_of_the_moment_of_the_cpu() -> None:
    rows = [
        measured(1.0, 1.0, AT - 9, source="metrics.k8s.io"),
        measured(2.0, None, source="kubelet/resource"),
        measured(3.0, 3.0, AT - 5, source="kubelet/summary"),
        measured(None, 2.0, AT - 3, source="kubelet/resource"),
        measured(4.0, 4.0, source="a source of tomorrow"),
    ]
    assert usage(rows) == Usage(AT, WINDOW, 2_000_000, 2)
    assert usage(rows[:1] + rows[2:3]) == Usage(AT - 5, WINDOW, 3_000_000, 3)
    assert usage(rows[3:4]) == Usage(AT - 3, WINDOW, None, 2)
    assert usage(rows[4:]) is None


def test_a_container_that_does_not_run_is_left_out() -> None:
    """The collector tells what it requests, and nothing else."""
    asks = Measured("state", AT, 0.0, {"cpu/request": 100.0})
    assert usages(one_pod(measured(1.0, 1.0), asks)) == {"c-0": {"cpu": "1m", "memory": "1"}}


def test_what_rotted_in_redis_costs_itself_alone() -> None:
    packed = turn_of({"shop": [pod("web-0", {"c": [measured(1, 1)]})]}, {"n-1": [measured(1, 1)]})
    rotten = packed._replace(
        pods={"shop": {**packed.pods["shop"], "web-1": b"\xc1", "web-2": b"\x90"}},
        nodes={**packed.nodes, "n-2": b"", "n-3": b"\x91\x01"},
    )
    found = View(rotten)
    assert [found.item(PODS, "shop", f"web-{number}") is not None for number in range(4)] == [
        True,
        False,
        False,
        False,
    ]
    assert [found.item(NODES, "", f"n-{number}") is not None for number in range(1, 5)] == [
        True,
        False,
        False,
        False,
    ]


def test_the_sums_of_the_cluster_are_no_node() -> None:
    assert View(turn_of({}, {"": [measured(1, 1)]})).item(NODES, "", "") is None


def test_what_did_not_change_since_the_turn_before_is_not_made_again() -> None:
    def turn(cpu: float) -> View:
        pods = [pod("same", {"c": [measured(1, 1)]}, lacks=["d"]), pod("other", {"c": [measured(cpu, 1)]})]
        return View(turn_of({"shop": pods}), before)

    before: Optional[View] = None
    before = turn(1)
    before.make(PODS, "")
    after = turn(2)
    after.make(PODS, "shop")
    assert item_of(after, "shop/same") is item_of(before, "shop/same")
    assert item_of(after, "shop/other") is not item_of(before, "shop/other")
    assert after.lacking("") == ["shop/same"]
    third = View(turn_of({}), after)
    third.make(PODS, "")
    assert third.item(PODS, "shop", "same") is None


def test_a_part_of_a_container_is_not_taken_for_it() -> None:
    assert usage([measured(1.0, 1.0)._replace(resource_id="gpu-0")]) is None


@given(st.integers(0, 10**12))
@settings(max_examples=500, deadline=None, print_blob=True)
def test_whole_billionths_survive_being_a_float_of_millicores(nanos: int) -> None:
    """Up to 1,000 cores."""
    assert nanocores(nanos / 1e6) == nanos


@pytest.mark.parametrize(
    ("millicores", "nanos"), [(249.9999999, 249999999), (250.0000001, 250000000), (0.3, 300000)]
)
def test_what_is_finer_than_a_billionth_is_cut_off(millicores: float, nanos: int) -> None:
    assert nanocores(millicores) == nanos


def test_windows_are_whole_microseconds() -> None:
    """They are differences of epoch seconds, of which a float holds a quarter of a microsecond."""
    windows: List[Optional[str]] = []
    for millis in (1, 9_996, 10_000, 10_062, 60_500):
        start = 1_795_857_155.123
        found = one_pod(measured(1, 1, window=(start + millis / 1000) - start))
        windows.append(shown(found, "shop/web-0")["window"])
    assert windows == ["1ms", "9.996s", "10s", "10.062s", "1m0.5s"]
