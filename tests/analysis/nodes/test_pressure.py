"""Nodes: figures worked out by hand, the pressure and its parts, hints; what is not known is None and never 0."""

from __future__ import annotations

import random
from typing import Any, List

import pytest
from krm.analysis.inputs import Inputs, NotKnown, State
from krm.analysis.nodes.pressure import Asked, NodePressure, NodeRow, answer
from krm.model.trust import STALE
from paper_findings import NOW, found
from paper_kubelets import GI, cluster, node, pod, reads_node, reads_pod


def asked(inputs: Inputs, **wanted: Any) -> NodePressure:
    return answer(inputs, Asked(**wanted))


def row(inputs: Inputs, name: str = "n1") -> NodeRow:
    return next(one for one in asked(inputs).rows if one.node == name)


def test_figures_of_a_node_are_those_of_its_objects_and_its_kubelet() -> None:
    pods = [pod("a", "n1", "10Gi", "3"), pod("b", "n1", "20Gi", "1500m"), pod("c", "n2", "1Gi"),
            pod("done", "n1", "30Gi", "9", phase="Succeeded")]  # fmt: skip
    inputs = cluster(
        [node("n1", nvidia_com__gpu="4"), node("n2")],
        pods,
        [
            reads_node(
                "n1",
                15 * GI,
                6000.0,
                ephemeral_storage__usage=9 * GI,
                pressure__memory_waiting=0.25,
                pressure__io_waiting=1.0,
            )
        ],
    )
    one = row(inputs)
    (cpu, memory, storage) = (one.resource(name) for name in ("cpu", "memory", "ephemeral-storage"))
    assert cpu is not None
    assert (cpu.capacity, cpu.allocatable, cpu.requested, cpu.used, cpu.free) == (16000, 15000, 4500, 6000, 10500)
    assert memory is not None
    assert (memory.capacity, memory.requested, memory.used) == (64 * GI, 30 * GI, 15 * GI)
    assert (memory.reserved, memory.busy) == (0.5, 0.25)
    assert storage is not None
    assert storage.used == 9 * GI
    count = one.resource("pods")
    assert count is not None
    assert (count.allocatable, count.requested) == (110, 2)
    gpu = one.resource("nvidia.com/gpu")
    assert gpu is None or (gpu.allocatable, gpu.used) == (4, None)
    assert one.parts == {"requested": 0.5, "used": 0.4, "waiting": 0.25, "evicting": 0.0}
    assert one.pressure == 50
    assert one.state == "ready"
    assert next(each.since for each in one.conditions if each.type == "Ready") == NOW - 600


def test_an_extended_resource_counts_where_pods_ask_for_it() -> None:
    body = node("n1")
    for field in ("capacity", "allocatable"):
        body["status"][field]["nvidia.com/gpu"] = "4"
    taker = pod("a", "n1")
    taker["spec"]["containers"][0]["resources"]["requests"] = {"nvidia.com/gpu": "3"}
    one = row(cluster([body], [taker], [reads_node("n1", GI)]))
    gpu = one.resource("nvidia.com/gpu")
    assert gpu is not None
    assert (gpu.capacity, gpu.requested, gpu.used, gpu.reserved) == (4, 3, None, 0.75)
    assert one.pressure == 75


def test_what_is_not_measured_is_not_known_and_never_0() -> None:
    one = row(cluster([node("n1")], [pod("a", "n1", "6Gi")]))
    memory = one.resource("memory")
    assert memory is not None
    assert (memory.used, memory.busy) == (None, None)
    assert (one.parts["used"], one.parts["waiting"]) == (None, None)
    assert one.pressure == pytest.approx(10)
    assert any("at least" in doubt for doubt in one.doubts)
    assert found(asked(cluster([node("n1")], [])), "node-unmeasured")


@pytest.mark.parametrize(("ready", "state"), [("Unknown", "unknown"), ("False", "not ready")])
def test_a_node_that_is_not_ready_has_no_pressure(ready: str, state: str) -> None:
    inputs = cluster([node("n1", ready), node("n2")], [pod("a", "n1", "6Gi")], [reads_node("n2", GI)])
    one = row(inputs)
    assert (one.state, one.pressure) == (state, None)
    assert one.hint is not None
    assert one.hint.word == "avoid"
    (finding,) = found(asked(inputs), "node-not-ready")
    assert finding.severity == "critical"
    assert f"Ready is {ready} for 10m" in finding.sentence
    if ready == "Unknown":
        assert one.parts["evicting"] is None


def test_hints_name_what_speaks_against_a_node() -> None:
    nodes = [
        node("calm"), node("cordoned", cordoned=True), node("full"), node("pressed", pressure=["MemoryPressure"]),
        node("tainted", taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]), node("unmeasured"),
        node("softly", taints=[{"key": "x", "effect": "PreferNoSchedule"}]), node("busy"),
    ]  # fmt: skip
    readings = [
        reads_node(body["metadata"]["name"], 10 * GI) for body in nodes if body["metadata"]["name"] != "unmeasured"
    ]
    pods = [pod("a", "full", "58Gi"), pod("b", "busy", "45Gi")]
    answered = asked(cluster(nodes, pods, readings))
    words = {one.node: (one.hint.word, " ".join(one.hint.reasons)) for one in answered.rows if one.hint}
    assert words["calm"][0] == words["softly"][0] == "prefer"
    assert words["busy"][0] == words["unmeasured"][0] == "takes"
    for name, why in (("cordoned", "cordoned"), ("full", "97 of 100"), ("pressed", "MemoryPressure"),
                      ("tainted", "gpu=yes:NoSchedule")):  # fmt: skip
        assert words[name][0] == "avoid", name
        assert why in words[name][1]
    assert set(answered.avoid) == {"cordoned", "full", "pressed", "tainted"}
    blocks = {block.resource: (block.node, block.amount) for block in answered.free_blocks}
    assert blocks["memory"][1] == 60 * GI
    assert answered.imbalance is not None
    assert (answered.imbalance.resource, answered.imbalance.fullest) == ("memory", "full")
    assert found(answered, "node-imbalance")
    assert found(answered, "node-full")[0].about.name == "full"


def test_what_was_not_asked_for_is_not_there() -> None:
    answered = asked(cluster([node("n1")], []), hints=False, predict=False)
    assert (answered.rows[0].hint, answered.rows[0].evictions, answered.free_blocks) == (None, (), ())
    assert answered.imbalance is None


def test_a_clock_ahead_and_an_old_reading_are_said() -> None:
    old = row(cluster([node("n1")], [], [reads_node("n1", GI, at=NOW - 500)]))
    assert old.measured_at is None
    assert old.parts["used"] is None
    assert any("500 s old" in doubt for doubt in old.doubts)
    ahead = row(cluster([node("n1")], [], [reads_node("n1", GI, at=NOW + 90)]))
    assert ahead.parts["used"] is not None
    assert any("90 s ahead" in doubt for doubt in ahead.doubts)


def test_one_malformed_object_stops_nothing() -> None:
    spoilt: List[Any] = [
        {"metadata": {"name": "bad"}}, {"metadata": 7}, {},
        {"metadata": {"name": "worse"}, "spec": [], "status": {"allocatable": {"cpu": "much"}, "conditions": 5}},
    ]  # fmt: skip
    pods: List[Any] = [{}, {"spec": {"nodeName": "n1"}}, {"spec": {"nodeName": ["n1"]}, "metadata": None},
                       pod("a", "n1", "6Gi")]  # fmt: skip
    answered = asked(cluster([*spoilt, node("n1")], pods, [reads_node("n1", GI)]))
    assert [one.node for one in answered.rows] == ["bad", "n1", "worse"]
    assert answered.rows[1].pressure == pytest.approx(10)
    assert answered.rows[0].pressure is None
    unread = pod("x", "n1")
    unread["spec"]["containers"][0]["resources"]["requests"] = {"memory": "lots"}
    one = row(cluster([node("n1")], [unread], [reads_node("n1", GI)]))
    memory = one.resource("memory")
    assert memory is not None
    assert memory.requested is None
    assert any("lots" in doubt for doubt in one.doubts)


def test_the_order_of_the_input_is_nothing() -> None:
    draw = random.Random(7)
    nodes = [node(f"n{number}") for number in range(5)]
    pods = [pod(f"p{number}", f"n{number % 5}", f"{draw.randint(1, 9)}Gi") for number in range(40)]
    readings = [reads_node(f"n{number}", 9 * GI) for number in range(5)]
    readings += [reads_pod(f"p{number}", f"n{number % 5}", draw.randint(1, 9) * GI) for number in range(40)]
    first = asked(cluster(nodes, pods, readings)).to_dict()
    for rows in (nodes, pods, readings):
        draw.shuffle(rows)  # type: ignore[arg-type]
    assert asked(cluster(nodes, pods, readings)).to_dict() == first


def test_without_nodes_or_pods_there_is_no_answer() -> None:
    inputs = cluster([], [])
    assert asked(inputs).rows == ()
    with pytest.raises(NotKnown, match="pods"):
        asked(inputs._replace(state=State({"nodes": []}, {}, {"pods": "forbidden"})))


def test_what_rests_on_objects_that_are_not_live_is_unsure() -> None:
    inputs = cluster([node("n1", "False")], [], states={"nodes": STALE})
    answered = asked(inputs)
    assert answered.worth.state == STALE
    assert found(answered, "node-not-ready")[0].sureness == "low"
