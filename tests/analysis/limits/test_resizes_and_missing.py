"""Resizes that are not done, and containers whom nothing limits: a table of pods, answered by hand."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.analysis.finding import HIGH, INFO, MEDIUM, WARNING
from krm.analysis.limits import missing, resizes
from krm.analysis.limits.breaches import Asked, answer
from krm.analysis.limits.pods import holders
from krm.model import times
from paper_inputs import NOW, a_pod, container, inputs, owned

FULL = {"cpu": "100m", "memory": "64Mi"}
ASKED = container("app", {"cpu": "2", "memory": "64Mi"}, FULL)
HELD = {"name": "app", "resources": {"requests": FULL, "limits": FULL}}


def condition(kind: str, reason: str = "", message: str = "") -> Dict[str, Any]:
    since = times.write(NOW - 60)
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since}


@pytest.mark.parametrize(
    ("status", "severity", "said"),
    [
        ({"conditions": [condition("PodResizePending", "Infeasible", "Node didn't have enough capacity: cpu")]},
         WARNING, "Infeasible (app cpu request 100m to 2000m): its node can never give it: Node didn't have"),
        ({"conditions": [condition("PodResizePending", "Deferred")]}, WARNING, "Deferred"),
        ({"conditions": [condition("PodResizeInProgress")]}, INFO, "InProgress"),
        ({"conditions": [condition("PodResizeInProgress", "Error", "out of luck")]}, WARNING, "out of luck"),
        ({"conditions": [condition("PodResizeInProgress"), condition("PodResizePending", "Deferred")]},
         WARNING, "Deferred"),
        ({"resize": "Proposed"}, INFO, "Proposed"),
        ({"resize": "Infeasible"}, WARNING, "Infeasible"),
        ({"resize": "Sideways"}, None, ""),
        ({"conditions": [{**condition("PodResizePending", "Deferred"), "status": "False"}]}, None, ""),
        ({"conditions": "none"}, None, ""),
    ],
)  # fmt: skip
def test_a_resize(status: Dict[str, Any], severity: Optional[str], said: str) -> None:
    pod = a_pod("web-0", ASKED, status={"containerStatuses": [HELD], **status})
    found = resizes.findings(holders(inputs([pod]).state, None))
    assert [one.severity for one in found] == ([severity] if severity else [])
    if severity:
        assert said in found[0].sentence
        assert {one.what: one.value for one in found[0].evidence}["app cpu request asked for"] == 2000.0
        shown = answer(inputs([pod]), Asked(None, 0.9, 300.0)).findings
        assert [one.rule for one in shown] == ["resize"]


def limit_range(name: str, age: float, kind: str = "Container", **defaults: Dict[str, str]) -> Dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": times.write(NOW - age)},
        "spec": {"limits": [{"type": kind, **defaults}]},
    }


# What stands in a container -> what it lacks.
LACKS: List[Tuple[Any, Any, Tuple[str, ...]]] = [
    (FULL, FULL, ()),
    (None, None, ("cpu request", "memory request", "cpu limit", "memory limit")),
    (FULL, {"memory": "64Mi"}, ("cpu limit",)),
    (FULL, {"cpu": "1"}, ("memory limit",)),
    ({"cpu": "1", "memory": "much"}, {"cpu": "1", "memory": "64Mi"}, ()),  # unknown is not missing
]


@pytest.mark.parametrize(("requests", "limits", "lacks"), LACKS)
def test_what_a_container_lacks(requests: Any, limits: Any, lacks: Tuple[str, ...]) -> None:
    state = inputs([a_pod("web-0", container("app", requests, limits))]).state
    rows = missing.missing(holders(state, None), state)
    assert [row.lacks for row in rows] == ([lacks] if lacks else [])


def test_sidecars_are_looked_at_init_containers_that_end_are_not_and_the_pod_stands_for_its_containers() -> None:
    inits = [container("proxy", FULL, restartPolicy="Always"), container("setup")]
    pod = a_pod("web-0", container("app", FULL), spec={
        "initContainers": inits, "resources": {"limits": {"memory": "1Gi"}}})  # fmt: skip
    state = inputs([pod]).state
    found = missing.missing(holders(state, None), state)
    assert [(row.container, row.lacks) for row in found] == [("app", ("cpu limit",)), ("proxy", ("cpu limit",))]


@pytest.mark.parametrize(
    ("ranges", "given", "younger", "said"),
    [
        ([], (), None, ""),
        ([limit_range("lr", 60, default={"memory": "1Gi"})], ("memory limit",), True, "it is younger than the pod"),
        ([limit_range("lr", 7200, default={"memory": "1Gi"})], ("memory limit",), False, "were changed since"),
        ([limit_range("lr", 60, "Pod", default={"memory": "1Gi"})], (), None, ""),
        ([limit_range("lr", 60, max={"memory": "1Gi"})], (), None, ""),
        ([limit_range("a", 60, default={"memory": "1Gi"}), limit_range("b", 7200, defaultRequest={"cpu": "1"})],
         ("cpu request", "memory limit"), None, "is not known of all"),
        ([{**limit_range("lr", 60, default={"memory": "1Gi"}), "metadata": {"namespace": "lab"}}], (), None, ""),
        ([limit_range("lr", 60, default={"memory": "-1"}), {"metadata": 4}, {"spec": {"limits": 4}}],
         ("memory limit",), True, ""),
    ],
)  # fmt: skip
def test_a_limit_range_that_would_have_given_one(
    ranges: List[Any], given: Tuple[str, ...], younger: Optional[bool], said: str
) -> None:
    state = inputs([a_pod("web-0", container("app"))], limitranges=ranges).state
    (row,) = missing.missing(holders(state, None), state)
    assert (row.would_be_given, row.younger) == (given, younger)
    (finding,) = missing.findings(holders(state, None), state)
    assert said in finding.sentence
    assert (finding.severity, finding.sureness) == (WARNING, HIGH)


def test_one_finding_a_container_of_a_workload() -> None:
    pods = [
        a_pod(f"web-7d-{name}", container("app", FULL, {"cpu": "1"}), labels={"pod-template-hash": "7d"},
              ownerReferences=owned("ReplicaSet", "web-7d"))
        for name in "dcba"
    ]  # fmt: skip
    pods.append(a_pod("lone", container("main", FULL, {"memory": "64Mi"})))
    state = inputs(pods).state
    first, second = missing.findings(holders(state, None), state)
    assert first.sentence == (
        "shop/web container app (pods: 4; web-7d-a, web-7d-b, web-7d-c and others): no memory limit"
    )
    assert (first.about.kind, first.about.name, first.sureness) == ("deployment.apps", "web", MEDIUM)
    assert (second.about.kind, second.severity) == ("pod", INFO)
    # Of all breaches, who lacks a CPU limit alone is not told.
    shown = answer(inputs(pods), Asked(None, 0.9, 300.0)).findings
    assert [one.about.name for one in shown] == ["web"]
