"""Why pods wait: states, the comparison with what the scheduler said, and changes that are proven."""

import json
import random
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.analysis.inputs import State
from krm.analysis.scheduling.board import read_board
from krm.analysis.scheduling.changes import change_for
from krm.analysis.scheduling.pending import Asked, Pending, PendingPod, answer
from krm.analysis.scheduling.predicates import Cycle
from oracles.scheduler.bodies import CPU2, HOST, busy, near, node, pod, taint, three
from paper_nodes import NOW, inputs, state

SCENARIOS = json.loads((Path(__file__).resolve().parents[2] / "oracles/scheduler.json").read_text())["scenarios"]


def one(nodes: Any, pods: Any, **more: Any) -> Pending:
    (row,) = answer(inputs(state(nodes, pods, **more)), Asked()).rows
    return row


# What is smallest, by hand. The pod asks for two cores unless it says otherwise.
TABLE: List[Any] = [
    ("a core less", [node("n1")], pod(requests=CPU2), busy("n1"), "lower its request of cpu from 2 to 1: then n1"),
    ("a taint", [node("n1", taints=[taint("a", "b")])], pod(), [], "tolerate a=b:NoSchedule: then n1 holds it"),
    ("cordoned", [node("n1", unschedulable=True)], pod(), [], "uncordon n1: then n1 holds it"),
    ("selector", [node("n1")], pod(nodeSelector={"a": "b"}), [], "drop a=b from its node selector"),
    (
        "nothing is left of it, so only more room helps", [node("n1", "2")], pod(requests=CPU2),
        [pod("p", "n1", requests=CPU2)], "give it priority 1 instead of 0: default/p would be",
    ),
    (
        "a taint of a condition is never tolerated: another node is",
        [node("n1", taints=[taint("node.kubernetes.io/not-ready")])], pod(), [], "add a node with room for a pod",
    ),
    ("larger than every node", [node("n1", memory="1Gi")], pod(requests={"memory": "3Gi"}), [],
     "lower its request of memory from 3Gi to 1Gi: then n1 holds it"),
    ("no node", [], pod(requests=CPU2), [], "add a node with at least 2 cpu allocatable"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "nodes", "waits", "placed", "change"), TABLE, ids=[row[0] for row in TABLE])
def test_the_smallest_change(name: str, nodes: Any, waits: Any, placed: Any, change: str) -> None:
    row = one(nodes, [waits, *placed])
    assert str(row.changes[0]).startswith(change), row.changes
    assert "none refuses" in row.changes[0].proof


def test_each_change_of_a_request_holds_to_the_last_millicore() -> None:
    """With it the scheduler's filters pass; with one more they do not."""
    placed = [pod(f"p{n}", f"n{n}", requests={"cpu": f"{3000 + 7 * n}m"}) for n in (1, 2, 3)]
    row = one(three(), [pod(requests=CPU2), *placed])
    assert row.changes[0].steps == ("lower its request of cpu from 2 to 993m",)
    assert one(three(), [pod(requests={"cpu": "993m"}), *placed]).fits_on == ("n1",)
    assert one(three(), [pod(requests={"cpu": "994m"}), *placed]).fits_on == ()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one["name"])
def test_no_change_is_told_for_a_node_that_still_refuses(scenario: Dict[str, Any]) -> None:
    board, (waits,), _ = read_board(State(scenario["state"], {}, {}))
    if Cycle(board, waits).refused():
        return
    for name in board.nodes:
        change = change_for(board, waits, name)
        assert change is None or (change.steps and change.node == name)


def test_what_the_scheduler_said_is_compared() -> None:
    def event(message: str) -> Any:
        return {
            "reason": "FailedScheduling", "message": message, "lastTimestamp": "2027-01-15T07:59:00Z",
            "involvedObject": {"uid": "u1"},
        }  # fmt: skip

    waits = pod(requests={"cpu": "8"})
    waits["metadata"]["uid"] = "u1"
    assert one(three(), [waits]).differs is None
    agreed = one(three(), [waits], events=[event("0/3 nodes are available: 3 Insufficient cpu. preemption: x")])
    assert (agreed.differs, agreed.said_at) == ((), NOW - 60)
    told = event("0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {a: b}.")
    found = answer(inputs(state(three(), [waits], events=[told])), Asked())
    assert found.rows[0].differs == (
        "3 Insufficient cpu, not 1",
        "0 node(s) had untolerated taint(s), not 2",
    )
    assert found.findings[0].sureness == "low"
    assert "said otherwise 60s ago" in found.findings[0].doubts[0]


def test_the_condition_speaks_where_no_event_does() -> None:
    waits = pod(requests={"cpu": "8"})
    told = "0/3 nodes are available: 3 Insufficient cpu."
    waits["status"] = {"conditions": [{"type": "PodScheduled", "status": "False", "message": told}]}
    row = one(three(), [waits], events=[])
    assert (row.said, row.differs) == (told, ())


def test_states_other_than_unschedulable() -> None:
    gated = pod("gated", schedulingGates=[{"name": "a/b"}])
    ends = pod("ends")
    ends["metadata"]["deletionTimestamp"] = "2027-01-15T07:59:00Z"
    fits = pod("fits")
    fits["metadata"]["creationTimestamp"] = "2027-01-15T07:59:00Z"
    found = answer(inputs(state([node("n1")], [gated, ends, fits], namespaces=[])), Asked())
    assert [(row.pod, row.state) for row in found.rows] == [("ends", "ends"), ("fits", "fits"), ("gated", "gated")]
    assert [finding.severity for finding in found.findings] == ["info", "warning", "info"]
    assert "fits on n1 as things are now" in found.findings[1].sentence


def test_a_node_kept_for_another_pod_is_not_free() -> None:
    chosen = pod("chosen", requests={"cpu": "3"})
    chosen["status"] = {"nominatedNodeName": "n1"}
    rows = {row.pod: row for row in answer(inputs(state([node("n1")], [chosen, pod(requests=CPU2)])), Asked()).rows}
    assert rows["chosen"].fits_on == ("n1",)
    assert rows["waits"].counts == {"Insufficient cpu": 1}


def test_pods_of_one_owner_are_judged_alike_and_each_is_told() -> None:
    def replica(name: str, cpu: str) -> Any:
        body = pod(name, requests={"cpu": cpu})
        body["metadata"]["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "controller": True}
        ]
        return body

    found = answer(inputs(state(three(), [replica("a", "8"), replica("b", "8"), replica("c", "9")])), Asked())
    assert [row.changes[0].cost for row in found.rows] == [3.0, 3.0, pytest.approx(3.222)]


def test_one_pod_is_told_node_by_node() -> None:
    found = answer(
        inputs(state([node("n1", unschedulable=True), node("n2", "1")], [pod(requests=CPU2)])), Asked(None, "waits")
    )
    assert isinstance(found, PendingPod)
    assert found.cells()[1:] == [
        ["n1", "NodeUnschedulable", "node(s) were unschedulable", "the node is cordoned"],
        ["n2", "NodeResourcesFit", "Insufficient cpu", "cpu: 2000 asked, 1000 free of 1000"],
    ]


@pytest.mark.parametrize("spec", [[], 7, "", None])
def test_a_spec_that_is_none_stops_nothing(spec: Any) -> None:
    broken = {**pod("broken"), "spec": spec}
    rows = answer(inputs(state(three(), [broken, pod("waits", requests={"cpu": "64"})])), Asked()).rows
    assert "waits" in [row.pod for row in rows]


def test_what_is_malformed_stops_nothing_and_is_told() -> None:
    spoilt = pod("spoilt", requests={"cpu": "a lot"})
    odd: Any = {"metadata": {"name": 7, "namespace": []}, "spec": {"containers": "none", "affinity": [1]}}
    found = answer(
        inputs(state([node("n1"), {"metadata": None}], [pod(requests={"cpu": "9"}), spoilt, odd])), Asked()
    )
    by_name = {row.pod: row for row in found.rows}
    assert by_name["waits"].counts["Insufficient cpu"] == 2
    assert "the request of cpu is not known" in by_name["spoilt"].counts
    assert any("spoilt" in reason for reason in found.worth.reasons)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_input_changes_no_answer(seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    for scenario in source.sample(SCENARIOS, 20):
        shuffled = {kind: source.sample(bodies, len(bodies)) for kind, bodies in scenario["state"].items()}
        first = answer(inputs(State(scenario["state"], {}, {})), Asked())
        assert answer(inputs(State(shuffled, {}, {})), Asked()) == first, scenario["name"]


def test_many_pods_on_many_nodes_are_judged_in_seconds() -> None:
    """What is counted of a node is counted once, for all pods and changes that do not touch it."""
    nodes = [node(f"n{number:03}", "32", "128Gi") for number in range(100)]
    apart = near("podAntiAffinity", HOST, {"app": "x"})
    placed = [
        pod(f"p{number}", f"n{number % 100:03}", requests={"cpu": "1"}, affinity=apart) for number in range(2000)
    ]
    waits = [
        pod(f"w{number}", requests={"cpu": "40"}, affinity=near("podAntiAffinity", HOST, {"app": f"w{number}"}))
        for number in range(20)
    ]
    began = time.process_time()
    found = answer(inputs(state(nodes, [*placed, *waits])), Asked())
    assert time.process_time() - began < 10.0
    assert {row.changes[0].kinds for row in found.rows} == {("lower-request",)}
