"""ResourceClaims and ResourceSlices, counted by hand, in each version that is served."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from krm.collector.sources.devices import claims_held, slices_offered
from krm.model.measures import Subject

Body = Dict[str, Any]
PODS = {f"u-{name}": Subject("lab", f"p-{name}", f"u-{name}", node=f"node-{name}") for name in "abc"}


def claim(requests: List[Body], results: Any = None, holders: str = "a", owner: str = "") -> Body:
    status: Body = {"reservedFor": [{"resource": "pods", "name": f"p-{one}", "uid": f"u-{one}"} for one in holders]}
    if results is not None:
        status["allocation"] = {"devices": {"results": results}}
    owners = [{"kind": "Pod", "uid": f"u-{owner}"}] if owner else []
    return {"metadata": {"ownerReferences": owners}, "spec": {"devices": {"requests": requests}}, "status": status}


def given(*requests: str, **fields: Any) -> List[Body]:
    return [
        {"request": name, "driver": "d", "pool": "p", "device": f"{n}", **fields} for n, name in enumerate(requests)
    ]


def asks(name: str, version: str, **fields: Any) -> Body:
    return {"name": name, **fields} if version == "v1beta1" else {"name": name, "exactly": fields}


def held(*claims: Body) -> Dict[Tuple[str, str], float]:
    return {(s.pod, s.resource_id): dict(v)["extended/request"] for s, v in claims_held(claims, PODS).values}


@pytest.mark.parametrize("version", ["v1", "v1beta2", "v1beta1"])
def test_an_allocated_claim_counts_the_devices_that_it_was_given(version: str) -> None:
    requests = [
        asks("gpu", version, deviceClassName="gpu.example.com", allocationMode="All"),
        asks("nic", version, deviceClassName="nic.example.com", count=2),
    ]
    found = held(claim(requests, given("gpu", "gpu", "gpu", "nic")))
    assert found == {("p-a", "gpu.example.com"): 3, ("p-a", "nic.example.com"): 1}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_one_that_waits_counts_what_it_asks_for_where_that_is_a_number(version: str) -> None:
    requests = [
        asks("one", version, deviceClassName="one.example.com"),
        asks("four", version, deviceClassName="four.example.com", count=4),
        asks("all", version, deviceClassName="all.example.com", allocationMode="All"),
        asks("look", version, deviceClassName="look.example.com", adminAccess=True),
        {"name": "either", "firstAvailable": [{"name": "big", "deviceClassName": "big.example.com"}]},
        asks("absurd", version, deviceClassName="absurd.example.com", count=10**9),
    ]
    found = held(claim(requests, holders="", owner="b"))
    assert found == {("p-b", "one.example.com"): 1, ("p-b", "four.example.com"): 4}


def test_the_alternative_that_was_taken_is_counted_by_its_own_class() -> None:
    either = {
        "name": "either",
        "firstAvailable": [
            {"name": "big", "deviceClassName": "big.example.com"},
            {"name": "small", "deviceClassName": "small.example.com"},
        ],
    }
    assert held(claim([either], given("either/small"))) == {("p-a", "small.example.com"): 1}


def test_a_claim_that_pods_share_is_in_the_sum_once() -> None:
    gpu = asks("gpu", "v1", deviceClassName="gpu.example.com")
    found = held(claim([gpu], given("gpu"), holders="abc"), claim([gpu], given("gpu"), holders="a"))
    assert found[("p-b", "gpu.example.com")] == pytest.approx(1 / 3)
    assert found[("p-a", "gpu.example.com")] == pytest.approx(4 / 3)
    assert sum(found.values()) == pytest.approx(2)


def test_a_claim_that_nobody_holds_and_one_for_administration_count_for_nobody() -> None:
    gpu = asks("gpu", "v1", deviceClassName="gpu.example.com")
    assert held(claim([gpu], given("gpu"), holders="")) == {}
    assert held(claim([gpu], given("gpu"), holders="x")) == {}, "a pod that has ended"
    assert held(claim([gpu], given("gpu", adminAccess=True))) == {}


@pytest.mark.parametrize(
    "body", [{}, {"spec": [], "status": 1}, {"spec": {"devices": {"requests": [1, {"name": []}]}}}]
)
def test_a_claim_of_another_shape_costs_nothing(body: Body) -> None:
    assert held(body) == {}
    assert slices_offered([body]).values == ()


def offer(pool: str, generation: int, devices: List[Body], **spec: Any) -> Body:
    return {"spec": {"driver": "d.example.com", "pool": {"name": pool, "generation": generation},
                     "devices": devices, **spec}}  # fmt: skip


def offered(*slices: Body) -> Dict[str, Tuple[float, float]]:
    found = {}
    for subject, values in slices_offered(slices).values:
        assert subject == Subject(node=subject.node, resource_id="d.example.com")
        found[subject.node] = (values["extended/node_capacity"], values["extended/node_allocatable"])
    return found


def test_devices_are_their_nodes() -> None:
    taken = {"name": "x", "taints": [{"key": "broken", "effect": "NoSchedule"}]}
    old = {"name": "y", "basic": {"taints": [{"key": "broken", "effect": "NoExecute"}]}}
    fine = {"name": "z", "taints": [{"key": "odd", "effect": "None"}]}
    assert offered(
        offer("node-1", 1, [taken, fine], nodeName="node-1"),
        offer("node-1", 1, [old, {"name": "w"}], nodeName="node-1"),  # a pool in two slices
        offer("node-2", 5, [{"name": "a"}], nodeName="node-2"),
    ) == {"node-1": (4, 2), "node-2": (1, 1)}


def test_only_the_newest_generation_of_a_pool_is_in_force() -> None:
    old = offer("p", 1, [{"name": "a"}, {"name": "b"}], nodeName="n")
    new = offer("p", 2, [{"name": "a"}], nodeName="n")
    assert offered(old, new) == offered(new, old) == {"n": (1, 1)}


def test_devices_of_no_node_are_the_clusters_and_each_may_name_its_own() -> None:
    assert offered(offer("net", 1, [{"name": "a"}, {"name": "b"}], allNodes=True)) == {"": (2, 2)}
    each = [{"name": "a", "nodeName": "n1"}, {"name": "b", "basic": {"nodeName": "n2"}}]
    assert offered(offer("net", 1, each, perDeviceNodeSelection=True)) == {"n1": (1, 1), "n2": (1, 1)}
