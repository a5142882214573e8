"""Efficiency: each number of the table was computed by hand."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from krm.analysis.limits import waste, words
from krm.analysis.limits.efficiency import Efficiency, efficiency, used_now, used_over
from krm.analysis.limits.pods import holders
from krm.analysis.owners import Owner, Owners
from paper_inputs import CPU, GAP, MEMORY, MIB, NOW, a_pod, container, inputs, now_of, owned, track

PODS = [
    a_pod(
        "web-7d9f-a",
        container("app", {"cpu": "500m", "memory": "256Mi"}),
        container("side", {"cpu": "100m", "memory": "64Mi"}),
        labels={"pod-template-hash": "7d9f"},
        ownerReferences=owned("ReplicaSet", "web-7d9f"),
    ),
    a_pod(
        "web-7d9f-b",
        container("app", {"cpu": "500m", "memory": "256Mi"}),
        container("side", {"cpu": "100m", "memory": "64Mi"}),
        node="n2",
        labels={"pod-template-hash": "7d9f"},
        ownerReferences=owned("ReplicaSet", "web-7d9f"),
    ),
    a_pod("free", container("main"), namespace="lab", node="n2"),
    # Requests as a whole: its containers share one core.
    a_pod(
        "whole",
        container("one"),
        container("two", {"cpu": "100m"}),
        namespace="lab",
        spec={"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}},
    ),
    a_pod("waits", container("main", {"cpu": "4"}), node=""),
    a_pod("done", container("main", {"cpu": "4"}), status={"phase": "Succeeded"}),
]
NEWEST = [
    now_of("web-7d9f-a", "app", cpu=100, memory=64 * MIB),
    now_of("web-7d9f-a", "side", cpu=150, memory=16 * MIB),
    now_of("web-7d9f-b", "app", cpu=300, memory=128 * MIB),  # side is not measured
    now_of("free", "main", "lab", cpu=70, memory=10 * MIB),
    now_of("whole", "one", "lab", cpu=200, memory=512 * MIB),
    now_of("whole", "two", "lab", cpu=300, memory=256 * MIB),
]
# level, namespace, name, container, resource: requested, used, wasted, beside, covers
TABLE: Dict[Tuple[str, ...], Tuple[Any, ...]] = {
    ("container", "shop", "web-7d9f-a", "app", "cpu"): (500, 100, 400, None, "1 of 1"),
    ("container", "shop", "web-7d9f-a", "side", "cpu"): (100, 150, 0, None, "1 of 1"),
    ("container", "shop", "web-7d9f-b", "side", "cpu"): (None, None, None, None, "0 of 1"),
    ("container", "lab", "free", "main", "cpu"): (None, None, None, 70, "0 of 0"),
    ("container", "lab", "whole", "two", "cpu"): (100, 300, 0, None, "1 of 1"),
    # What the sidecar takes above its 100m gives nobody the 400m of app back.
    ("pod", "shop", "web-7d9f-a", "", "cpu"): (600, 250, 400, None, "2 of 2"),
    ("pod", "shop", "web-7d9f-b", "", "cpu"): (500, 300, 200, None, "1 of 2"),
    ("pod", "lab", "whole", "", "cpu"): (1000, 500, 500, None, "1 of 1"),
    ("workload", "shop", "deployment.apps/web", "", "cpu"): (1100, 550, 600, None, "3 of 4"),
    ("workload", "shop", "deployment.apps/web", "", "memory"): (
        576 * MIB, 208 * MIB, (192 + 48 + 128) * MIB, None, "3 of 4",
    ),
    ("workload", "lab", "pod/free", "", "cpu"): (None, None, None, 70, "0 of 0"),
    ("namespace", "shop", "", "", "cpu"): (1100, 550, 600, None, "3 of 4"),
    ("namespace", "lab", "", "", "cpu"): (1000, 500, 500, 70, "1 of 1"),
    ("node", "", "n1", "", "cpu"): (1600, 750, 900, None, "3 of 3"),
    ("node", "", "n2", "", "cpu"): (500, 300, 200, 70, "1 of 2"),
    ("cluster", "", "", "", "cpu"): (2100, 1050, 1100, 70, "4 of 5"),
    ("cluster", "", "", "", "memory"): (
        1600 * MIB, (64 + 16 + 128 + 768) * MIB, (192 + 48 + 128 + 256) * MIB, 10 * MIB, "4 of 5",
    ),
}  # fmt: skip


def rows_of(pods: List[Dict[str, Any]], newest: Any) -> Dict[Tuple[str, ...], Efficiency]:
    given = inputs(pods, newest=newest)
    found = efficiency(holders(given.state, None), used_now(given.newest))
    return {(one.level, one.namespace, one.name, one.container, one.resource): one for one in found}


@pytest.mark.parametrize("key", TABLE, ids="/".join)
def test_by_hand(key: Tuple[str, ...]) -> None:
    row = rows_of(PODS, NEWEST)[key]
    requested, used, wasted, beside, covers = TABLE[key]
    assert (row.requested, row.used, row.wasted, row.beside) == (requested, used, wasted, beside)
    assert str(row.covers) == f"{covers} requests"
    assert row.share == (used / requested if requested else None)


def test_a_pod_that_waits_for_a_node_or_has_ended_reserves_nothing() -> None:
    assert not {key[2] for key in rows_of(PODS, NEWEST)} & {"waits", "done"}


def test_the_order_of_pods_and_of_readings_changes_nothing() -> None:
    assert rows_of(PODS[::-1], NEWEST[::-1]) == rows_of(PODS, NEWEST)


def test_a_request_that_cannot_be_read_is_not_0() -> None:
    row = rows_of([a_pod("odd", container("app", {"cpu": "many"}))], [now_of("odd", "app", cpu=70)])
    assert row["container", "shop", "odd", "app", "cpu"].beside is None
    assert str(row["cluster", "", "", "", "cpu"].covers) == "0 of 1 requests"


def test_over_a_window_it_is_the_mean_of_the_points_in_it() -> None:
    given = inputs(PODS, {(CPU, "container"): [track([9000, 100, GAP, 200], "web-7d9f-a")]}, window=45.0)
    use = used_over(given.history, holders(given.state, None))
    assert use[CPU] == {("shop", "web-7d9f-a", "app"): 150.0}
    assert use[MEMORY] == {}


def test_a_window_that_the_history_does_not_cover_says_nothing_but_that() -> None:
    tracks = {(CPU, "container"): [track([100.0] * 20, "web-7d9f-a")]}
    whole = waste.answer(inputs(PODS, tracks), waste.Asked("shop", "namespace", 300.0))
    assert [(row.used, str(row.covers)) for row in whole.rows] == [
        (100, "1 of 4 requests"),
        (None, "0 of 4 requests"),
    ]
    young = waste.answer(inputs(PODS, tracks, since=NOW - 100), waste.Asked("shop", "namespace", 300.0))
    assert [row.used for row in young.rows] == [None, None]
    assert young.worth.reasons[-1].startswith("history since 2023-11-14T22:13:20Z")


def test_whose_a_pod_is() -> None:
    replicasets = [
        {
            "metadata": {
                "namespace": "shop",
                "name": "rollout-1",
                "ownerReferences": owned("Rollout", "r", "argoproj.io/v1alpha1"),
            }
        }
    ]
    jobs = [
        {
            "metadata": {
                "namespace": "shop",
                "name": "night-1",
                "ownerReferences": owned("CronJob", "night", "batch/v1"),
            }
        }
    ]
    owners = Owners(inputs([], replicasets__apps=replicasets, jobs__batch=jobs).state)

    def whose(kind: str, name: str, version: str = "apps/v1", **metadata: Any) -> Owner:
        return owners.of(a_pod("p", ownerReferences=owned(kind, name, version), **metadata))

    assert whose("StatefulSet", "db") == Owner("statefulset.apps", "db")
    assert whose("ReplicaSet", "rollout-1") == Owner("rollout.argoproj.io", "r")
    assert whose("ReplicaSet", "web-5b", labels={"pod-template-hash": "5b"}) == Owner("deployment.apps", "web")
    assert whose("ReplicaSet", "bare") == Owner("replicaset.apps", "bare")
    assert whose("Job", "night-1", "batch/v1") == Owner("cronjob.batch", "night")
    assert whose("Node", "n1", "v1") == Owner("pod", "p")
    assert owners.of(a_pod("p")) == Owner("pod", "p")


@pytest.mark.parametrize(
    ("resource", "value", "written"),
    [
        ("cpu", -0.000004, "0m"), ("cpu", 0.04, "0m"), ("cpu", 2.25, "2.2m"), ("cpu", 2.0, "2m"),
        ("cpu", -480.6, "-481m"), ("cpu", 499.999996, "500m"), ("memory", -0.01, "0"), ("memory", None, "-"),
    ],
)  # fmt: skip
def test_an_amount_in_a_table_has_no_minus_zero(resource: str, value: Any, written: str) -> None:
    assert words.amount(resource, value) == written
