"""Drain checks worked out by hand: where each pod goes, what stays, what a budget refuses, what is lost."""

import random
from typing import Any, Dict, List, Optional, Sequence

import pytest
from krm.analysis.inputs import NotKnown
from krm.analysis.scheduling.drain import Asked, Drain, answer
from krm.analysis.scheduling.fits import fits
from oracles.scheduler.bodies import HOST, node, pod, spread, taint
from paper_nodes import inputs, state

WEB = {"app": "web"}


def owned(name: str, on: str, cpu: str = "1", owner: str = "StatefulSet/web", **more: Any) -> Any:
    body = pod(name, on, requests={"cpu": cpu}, **more)
    kind, called = owner.split("/")
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": kind, "name": called, "controller": True}
    ]
    return body


def ready(body: Any, is_ready: bool = True) -> Any:
    condition = {"type": "Ready", "status": "True" if is_ready else "False"}
    return {**body, "status": {"phase": "Running", "conditions": [condition]}}


def budget(name: str, allowed: int, policy: str = "", healthy: int = 2, **status: Any) -> Any:
    spec: Dict[str, Any] = {"selector": {"matchLabels": WEB}}
    if policy:
        spec["unhealthyPodEvictionPolicy"] = policy
    counts = {"disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": 2, **status}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": counts}


def drained(
    nodes: Sequence[Any], pods: Sequence[Any], budgets: Optional[Sequence[Any]] = (), name: str = "n1"
) -> Drain:
    more = {} if budgets is None else {"poddisruptionbudgets": budgets}
    return answer(inputs(state(nodes, pods, namespaces=[], **more)), Asked(name))


def fates(found: Drain) -> Dict[str, Any]:
    return {row.pod: (row.fate, row.to) for row in found.rows}


# Nodes of 4 cores unless it says otherwise; n1 is drained.
TABLE: List[Any] = [
    (
        "each has a place, the largest first: 3 fills n2 up to its 4, 2 and 1 go to n3",
        [node("n1", "8"), node("n2"), node("n3")],
        [owned("a", "n1", "1"), owned("b", "n1", "2"), owned("c", "n1", "3"), owned("x", "n2", "1")],
        {"a": ("moves", "n3"), "b": ("moves", "n3"), "c": ("moves", "n2")},
    ),
    (
        "only one of two finds room",
        [node("n1"), node("n2")],
        [owned("a", "n1", "2"), owned("b", "n1", "2"), owned("x", "n2", "2")],
        {"a": ("moves", "n2"), "b": ("no-room", "")},
    ),
    (
        "cordoned and tainted nodes take nothing",
        [node("n1"), node("n2", unschedulable=True), node("n3", taints=[taint("a")])],
        [owned("a", "n1")],
        {"a": ("no-room", "")},
    ),
    (
        "DaemonSets and static pods stay, and hold nothing elsewhere",
        [node("n1"), node("n2", "1")],
        [
            owned("daemon", "n1", "2", "DaemonSet/logs"),
            {**pod("static", "n1"), "metadata": {
                "name": "static", "namespace": "kube-system", "annotations": {"kubernetes.io/config.mirror": "x"}}},
            owned("a", "n1"),
        ],
        {"a": ("moves", "n2"), "daemon": ("stays", ""), "static": ("stays", "")},
    ),
    (
        "what nobody owns is lost",
        [node("n1"), node("n2")],
        [pod("alone", "n1")],
        {"alone": ("lost", "")},
    ),
    (
        "the cordoned node still counts for the spread: 2 on n2 against 0 on n1 is too far apart",
        [node("n1"), node("n2")],
        [
            owned("a", "n1", labels=WEB, topologySpreadConstraints=[spread(HOST, WEB)]),
            owned("b", "n2", labels=WEB, topologySpreadConstraints=[spread(HOST, WEB)]),
        ],
        {"a": ("no-room", "")},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "nodes", "pods", "expected"), TABLE, ids=[row[0] for row in TABLE])
def test_by_hand(name: str, nodes: Any, pods: Any, expected: Any) -> None:
    found = drained(nodes, pods)
    assert fates(found) == expected
    assert found.fits == all(fate != "no-room" for fate, _ in expected.values())


BUDGETS: List[Any] = [
    # budgets, whether the pod is ready, whether it is blocked
    ([], True, False),
    ([budget("b", 1)], True, False),
    ([budget("b", 0)], True, True),
    ([budget("b", 1), budget("c", 1)], True, True),  # eviction takes one budget at most
    ([budget("b", 0)], False, False),  # unready, and the healthy ones are as many as wanted
    ([budget("b", 0, healthy=1)], False, True),
    ([budget("b", 0, "AlwaysAllow", healthy=1)], False, False),
    ([budget("b", 0, healthy=0, desiredHealthy=0)], False, True),  # nothing was counted yet
    ([budget("b", 0, disruptedPods={"a": "2027-01-01T00:00:00Z"})], True, True),  # it is asked again
    ([{**budget("b", 0), "spec": {"selector": {}}}], True, True),  # every pod's
    ([{**budget("b", 0), "spec": {}}], True, False),  # no pod's
    ([{**budget("b", 1), "metadata": {"name": "b", "namespace": "default", "generation": 2}}], True, True),
]


@pytest.mark.parametrize(("budgets", "is_ready", "is_blocked"), BUDGETS)
def test_budgets(budgets: Any, is_ready: bool, is_blocked: bool) -> None:
    found = drained([node("n1"), node("n2")], [ready(owned("a", "n1", labels=WEB), is_ready)], budgets)
    assert fates(found) == {"a": ("blocked" if is_blocked else "moves", "n2")}
    assert [one.rule for one in found.findings] == (["drain-blocked"] if is_blocked else [])


def test_a_budget_that_lets_some_go_slows() -> None:
    pods = [ready(owned(name, "n1", labels=WEB)) for name in "abc"]
    found = drained([node("n1"), node("n2")], pods, [budget("b", 1)])
    assert [one.rule for one in found.findings] == ["drain-slowed"]
    assert "lets 1 of 3 pods of n1 go at once" in found.findings[0].sentence


def test_budgets_that_are_not_known_are_no_permission() -> None:
    (finding,) = drained([node("n1"), node("n2")], [owned("a", "n1")], None).findings
    assert (finding.rule, finding.severity, finding.sureness) == ("drain-blocked", "info", "medium")


def test_local_volumes_are_told() -> None:
    volumes = [{"name": "scratch", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "x"}}]
    found = drained([node("n1"), node("n2")], [owned("a", "n1", volumes=volumes)])
    assert found.rows[0].local == ("scratch",)
    assert found.findings[0].rule == "drain-loses-data"


def test_whether_another_order_could_help_is_said() -> None:
    """9 cores fit nowhere, whatever comes first; of two that each fit alone the order decides which is left."""
    never = drained([node("n1", "16"), node("n2")], [owned("a", "n1", "9")])
    assert (never.fits, never.certain, never.findings[0].sureness) == (False, True, "high")
    either = drained([node("n1"), node("n2", "2")], [owned("a", "n1", "2"), owned("b", "n1", "1")])
    assert (either.fits, either.certain, either.findings[0].sureness) == (False, False, "medium")
    assert either.rows[1].reasons == {"Insufficient cpu": 1}


def test_a_node_that_is_not_there() -> None:
    with pytest.raises(NotKnown, match="node n9 is not there"):
        drained([node("n1")], [], name="n9")


@pytest.mark.parametrize("seed", range(8))
def test_what_is_placed_does_fit_and_order_changes_nothing(seed: int) -> None:
    """Each placement is replayed one by one against the filters."""
    print(f"seed {seed}")
    source = random.Random(seed)
    nodes = [node(f"n{number}", str(source.randint(2, 12)), f"{source.randint(2, 16)}Gi") for number in range(6)]
    pods = [
        owned(f"p{number}", f"n{source.randrange(6)}", f"{source.randint(1, 15) * 100}m", labels=WEB)
        for number in range(40)
    ]
    found = drained(nodes, pods)
    moved = {row.pod: row.to for row in found.rows if row.to}
    after = [
        {
            **body,
            "spec": {**body["spec"], "nodeName": moved.get(body["metadata"]["name"], body["spec"]["nodeName"])},
        }
        for body in pods
    ]
    for body in after:
        name, where = body["metadata"]["name"], body["spec"]["nodeName"]
        if name in moved:
            (place,) = [one for one in nodes if one["metadata"]["name"] == where]
            others = [other for other in after if other is not body]
            newest = [other for other in others if other["metadata"]["name"] not in moved]
            assert fits(body, place, newest) == (), "it fits beside those that were there"
            total = [one for one in after if one["spec"]["nodeName"] == where]
            assert fits(body, place, [one for one in total if one is not body]) == (), "and beside all that moved"
    assert drained(source.sample(nodes, 6), source.sample(pods, 40)) == found
