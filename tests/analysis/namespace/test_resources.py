"""What a namespace holds: each number was computed by hand."""

from __future__ import annotations

import json
import random
from typing import Any, Dict, List

import pytest
from krm.analysis.inputs import NotKnown, State
from krm.analysis.namespace.resources import Asked, answer, needs
from krm.analysis.namespace.rows import NamespaceResources
from paper_inputs import MIB, a_pod, container, inputs, now_of, owned

RUNS = {"state": {"running": {}}, "ready": True, "restartCount": 3}


def running(*names: str) -> Dict[str, Any]:
    return {"containerStatuses": [{"name": name, **RUNS} for name in names]}


WEB = a_pod(
    "web-7d9f-a",
    container("app", {"cpu": "500m", "memory": "256Mi", "nvidia.com/gpu": "1"}, {"cpu": "1", "memory": "512Mi"}),
    container("side", {"cpu": "100m"}),
    labels={"pod-template-hash": "7d9f"},
    ownerReferences=owned("ReplicaSet", "web-7d9f"),
    status=running("app", "side"),
)
FREE = a_pod("free", container("main"), status=running("main"))
DONE = a_pod("done", container("main", {"cpu": "4"}), status={"phase": "Succeeded"})
OTHER = a_pod("other", container("main", {"cpu": "4"}), namespace="lab", status=running("main"))
PODS = [WEB, FREE, DONE, OTHER]
NEWEST = [
    now_of("web-7d9f-a", "app", cpu=100, memory=128 * MIB),
    now_of("web-7d9f-a", "side", cpu=150, memory=64 * MIB),
    now_of("other", "main", "lab", cpu=1, memory=1),
]
QUOTA = {
    "metadata": {"namespace": "shop", "name": "most"},
    "spec": {"hard": {"requests.cpu": "1", "pods": "10"}},
    "status": {"hard": {"requests.cpu": "1", "pods": "10"}, "used": {"requests.cpu": "960m", "pods": "2"}},
}
RANGE = {
    "metadata": {"namespace": "shop", "name": "range"},
    "spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"},
                         "max": {"memory": "1Gi"}}]},
}  # fmt: skip
KINDS: Dict[str, Any] = {
    "namespaces": [{"metadata": {"name": "shop"}}], "resourcequotas": [QUOTA], "limitranges": [RANGE],
}  # fmt: skip


def ask(pods: List[Dict[str, Any]], asked: Asked = Asked("shop"), **kinds: Any) -> NamespaceResources:  # noqa: B008
    return answer(inputs(pods, newest=NEWEST, **{**KINDS, **kinds}), asked)


def test_pods_with_what_is_in_force_and_used() -> None:
    found = ask(PODS)
    free, web = found.rows
    assert (web.name, web.owner, web.node, web.ready, web.of, web.restarts) == (
        "web-7d9f-a", "deployment.apps/web", "n1", 2, 2, 6,
    )  # fmt: skip
    assert (web.cpu.request, web.cpu.limit, web.cpu.used) == (600, 1000, 250)
    assert web.cpu.share == pytest.approx(250 / 600)
    assert (web.memory.request, web.memory.limit, web.memory.used) == (256 * MIB, 512 * MIB, 192 * MIB)
    assert [(one.resource, one.request) for one in web.others] == [("nvidia.com/gpu", 1)]
    app, side = web.containers
    assert (app.cpu.request, app.cpu.limit, app.cpu.used, app.cpu.share) == (500, 1000, 100, 0.2)
    assert (side.memory.request, side.memory.limit, side.memory.used, side.memory.share) == (
        0,
        None,
        64 * MIB,
        None,
    )
    # Nothing is measured of it: that is no 0.
    assert (free.cpu.request, free.cpu.limit, free.cpu.used, free.cpu.share) == (0, None, None, None)
    assert (free.cpu.covers, free.containers[0].at) == ((0, 1, "containers"), None)


def test_sums_and_efficiency() -> None:
    found = ask(PODS)
    sums = found.sums
    assert (sums.pods, sums.ended) == (2, 1)
    assert (sums.cpu.request, sums.cpu.limit, sums.cpu.used, sums.cpu.covers) == (
        600,
        1000,
        250,
        (2, 3, "containers"),
    )
    assert sums.cpu.share is None  # of a part of the containers it would look like less
    assert dict(sums.unlimited) == {"cpu": 2, "memory": 2}
    rows = {(one.level, one.name, one.resource): one for one in found.efficiency}
    whole = rows["namespace", "", "cpu"]
    assert (whole.requested, whole.used, whole.wasted, whole.covers) == (600, 250, 400, (2, 2, "requests"))
    assert rows["workload", "deployment.apps/web", "memory"].share == 0.5
    assert {one.namespace for one in found.efficiency} == {"shop"}


def test_quotas_and_limit_ranges() -> None:
    found = ask(PODS)
    assert found.quotas is not None
    assert [(one.resource, one.used, one.hard, one.share) for one in found.quotas] == [
        ("pods", "2", "10", 0.2), ("requests.cpu", "960m", "1", 0.96),
    ]  # fmt: skip
    assert any("requests.cpu" in one.sentence for one in found.findings)
    assert found.limit_ranges is not None
    cpu, memory = found.limit_ranges
    assert (cpu.of, cpu.resource, cpu.default_limit, cpu.default_request, cpu.most) == (
        "Container", "cpu", "1", "100m", None,
    )  # fmt: skip
    assert (memory.resource, memory.most, memory.default_limit) == ("memory", "1Gi", None)


def test_what_is_not_asked_for_is_not_there() -> None:
    found = ask(PODS, Asked("shop", pods=False, quota=False))
    assert (found.rows, found.quotas, found.limit_ranges) == ((), None, None)
    assert found.sums.pods == 2
    assert "resourcequotas" not in needs(Asked("shop", quota=False)).more_kinds
    assert "web-7d9f-a" not in str(found)


def test_what_is_not_known_is_told_apart_from_what_is_not_there() -> None:
    given = inputs(PODS, newest=NEWEST)
    found = answer(given, Asked("shop"))
    assert (found.exists, found.quotas, found.limit_ranges) == (None, None, None)
    empty = ask([], Asked("none"), resourcequotas=[], limitranges=[])
    assert (empty.exists, empty.quotas, empty.limit_ranges, empty.rows) == (False, (), (), ())
    assert "there is no such namespace" in str(empty)
    with pytest.raises(NotKnown, match="pods: no right"):
        answer(given._replace(state=State({}, {}, {"pods": "no right"})), Asked("shop"))


def test_it_prints_and_turns_into_plain_values() -> None:
    pytest.importorskip("pandas")
    found = ask(PODS)
    text = str(found)
    for words in ("Namespace shop: 2 pods, and 1 that ended", "250m/600m/1000m", "Quotas:", "LimitRanges:", "960m"):
        assert words in text, text
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["sums"]["cpu"]["request"] == 600
    frame = found.to_dataframe("pandas")
    assert list(frame["cpu_request"]) == [0, 600]
    assert frame["cpu_used"].isnull().tolist() == [True, False]


def test_one_malformed_pod_never_stops_the_rest_nor_does_order_matter() -> None:
    bad: List[Any] = [
        a_pod("bad-1", {"name": "x", "resources": {"requests": {"cpu": "much"}}}),
        a_pod("bad-2", status={"containerStatuses": "none", "phase": 7}),
        {"metadata": {"namespace": "shop", "name": "bad-3"}, "spec": None, "status": []},
        {"metadata": {"namespace": "shop", "name": "\x1b[31m"}, "spec": {"containers": [None, 3]}},
    ]
    first = ask([*PODS, *bad])
    assert {row.name for row in first.rows} == {"web-7d9f-a", "free", "bad-1", "bad-2", "bad-3", "\x1b[31m"}
    assert first.sums.cpu.request is None  # one part is not known, so the sum is not
    assert "bad-1" in first.troubles[0]
    assert "\x1b" not in str(first)
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    shuffled = [*PODS, *bad]
    random.Random(seed).shuffle(shuffled)
    again = ask(shuffled)
    assert (again.rows, again.sums, again.efficiency) == (first.rows, first.sums, first.efficiency)
