"""What pods hold and nodes offer, against values that were worked out by hand."""

from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, List, Tuple

import pytest
from collector.sources.held import LOG, SIDE, TABLE_OF_PODS, WEB, Body, container, pod, resized
from krm.collector.sources.podstate import pod_state
from krm.collector.sources.state import claim_state, node_state, quota_state, state_samples
from krm.model.measures import CONTAINER, POD, Sample, Subject
from krm.model.metrics import TABLE

MI = 1024.0**2
NOW = 1_800_000_000.0


def own(samples: List[Sample], **subject: str) -> Dict[str, float]:
    """The values of the one sample about this subject."""
    found = [one for one in samples if one.subject._asdict() == {**Subject()._asdict(), **subject}]
    assert len(found) == 1, (subject, [one.subject for one in samples])
    assert found[0].at == NOW
    assert found[0].source == "state"
    return dict(found[0].values)


@pytest.mark.parametrize(("what", "body", "expected"), TABLE_OF_PODS, ids=[row[0] for row in TABLE_OF_PODS])
def test_a_pod_holds_what_the_scheduler_reserves(what: str, body: Body, expected: Tuple[Any, ...]) -> None:
    values = own(pod_state(body).samples(NOW), namespace="shop", pod="web-0", uid="uid-web-0", node="node-1")
    names = ("cpu/request", "memory/request", "cpu/limit", "memory/limit")
    scales = (1, MI, 1, MI)
    wanted = {name: value * scale for name, value, scale in zip(names, expected, scales) if value is not None}
    assert {name: values[name] for name in names if name in values} == wanted


def test_what_a_runtime_class_declares_stands_by_itself_too() -> None:
    values = pod_state(pod(containers=[LOG], overhead={"cpu": "250m", "memory": "120Mi"})).samples(NOW)[0].values
    assert values["overhead/cpu_request"] == 250
    assert values["overhead/memory_request"] == 120 * MI
    assert "overhead/cpu_request" not in pod_state(pod(containers=[LOG])).samples(NOW)[0].values


def of_container(body: Body, name: str) -> Dict[str, float]:
    samples = pod_state(body).samples(NOW)
    return own(samples, namespace="shop", pod="web-0", uid="uid-web-0", node="node-1", container=name)


def test_a_container_is_shown_with_what_the_kubelet_has_applied() -> None:
    body = resized("500m", "100m", "300m")
    assert of_container(body, "web")["cpu/request"] == 100
    assert of_container(body, "web")["cpu/limit"] == 200
    del body["status"]["containerStatuses"][0]["resources"]  # a kubelet before 1.33
    assert of_container(body, "web")["cpu/request"] == 300
    assert of_container(body, "web")["cpu/limit"] == 1000
    del body["status"]["containerStatuses"][0]["allocatedResources"]
    assert of_container(body, "web")["cpu/request"] == 500


def test_a_request_that_a_resize_took_away_is_gone_and_what_no_kubelet_resizes_stays() -> None:
    body = resized("500m", "100m", "100m")
    web, status = body["spec"]["containers"][0], body["status"]["containerStatuses"][0]
    web["resources"]["requests"].update({"ephemeral-storage": "1Gi", "example.com/fpga": "2"})
    del status["resources"]["requests"]["memory"]
    assert of_container(body, "web") == {
        "cpu/request": 100, "cpu/limit": 200, "memory/request": 0, "ephemeral_storage/request": 1024 * MI,
    }  # fmt: skip


def test_an_init_container_holds_while_it_runs_and_a_sidecar_always() -> None:
    inits = [container("mesh", {"cpu": "20m"}, **SIDE), container("load", {"cpu": "1"})]
    running = {"name": "load", "state": {"running": {}}}
    done = {"name": "load", "state": {"terminated": {"exitCode": 0}}}

    def names(status: Body) -> List[str]:
        found = pod_state(pod(containers=[WEB], initContainers=inits, status={"initContainerStatuses": [status]}))
        return [subject.container for subject, _ in found.values if subject.level == CONTAINER]

    assert names(running) == ["web", "mesh", "load"]
    assert names(done) == ["web", "mesh"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_holds_nothing(phase: str) -> None:
    assert pod_state(pod(phase=phase, containers=[WEB])).values == ()
    samples = state_samples([pod(phase=phase, containers=[WEB])], [], [], [], [], NOW)
    assert [(one.subject, one.values) for one in samples] == [(Subject(), {"pods/count": 0})]


def test_extended_resources_are_counted_each_by_its_name() -> None:
    gpus = {"nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi", "deviceclass.resource.kubernetes.io/big": "1"}
    body = pod(
        containers=[container("web", gpus, gpus), container("more", {"nvidia.com/gpu": "1"})],
        initContainers=[container("load", {"nvidia.com/gpu": "4"})],
    )
    found = {(s.level, s.resource_id): dict(v) for s, v in pod_state(body).values if s.resource_id}
    assert found == {
        (POD, "nvidia.com/gpu"): {"extended/request": 4},
        (POD, "deviceclass.resource.kubernetes.io/big"): {"extended/request": 1},
        (CONTAINER, "nvidia.com/gpu"): {"extended/request": 1},  # the last one's
        (CONTAINER, "deviceclass.resource.kubernetes.io/big"): {"extended/request": 1},
    }


@pytest.mark.parametrize("bad", ["1x", "", "-1", 5, None, ["1"], {"a": 1}, "1e999999999", "9" * 100_000])
def test_a_quantity_that_is_none_is_unknown_and_told_and_the_rest_stays(bad: Any) -> None:
    found = pod_state(pod(containers=[container("web", {"cpu": bad, "memory": "64Mi"}), LOG]))
    values = {subject.container: dict(some) for subject, some in found.values}
    assert "cpu/request" not in values[""], "a sum of which a part is unknown"
    assert values[""]["memory/request"] == 96 * MI
    assert "cpu/request" not in values["web"]
    assert values["web"]["memory/request"] == 64 * MI
    assert values["log"]["cpu/request"] == 50
    assert len(found.troubles) == 1
    assert found.troubles[0].startswith("pod shop/web-0: container web: requests: cpu: ")
    assert len(found.troubles[0]) < 200


def test_a_pod_that_is_spoilt_all_over_is_told_of_a_few_times() -> None:
    found = pod_state(pod(containers=[container(f"c{one}", {"cpu": f"{one}x"}) for one in range(1000)]))
    assert len(found.troubles) == 8


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"metadata": [], "spec": 3, "status": "x"},
        {"spec": {"containers": [None, {"name": 5, "resources": []}], "overhead": 4, "resources": "x"}},
        {"spec": {"containers": {"a": 1}}, "status": {"containerStatuses": [{"name": [], "resources": 4}]}},
    ],
)
def test_a_body_of_another_shape_costs_nothing(body: Body) -> None:
    for _, values in pod_state(body).values:
        assert values.get("cpu/request", 0) == 0


def test_a_node_offers() -> None:
    status = {
        "capacity": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "9Gi", "pods": "9", "nvidia.com/gpu": "2"},
        "allocatable": {
            "cpu": "3920m", "memory": "7000Mi", "ephemeral-storage": "90Gi", "pods": "110", "nvidia.com/gpu": "1",
            "hugepages-2Mi": "0", "attachable-volumes-csi-x": "3",
        },
    }  # fmt: skip
    found = node_state({"metadata": {"name": "node-1"}, "status": status})
    samples = found.samples(NOW)
    assert own(samples, node="node-1") == {
        "cpu/node_capacity": 4000, "memory/node_capacity": 8192 * MI,
        "cpu/node_allocatable": 3920, "memory/node_allocatable": 7000 * MI,
        "ephemeral_storage/node_allocatable": 90 * 1024 * MI, "pods/node_allocatable": 110,
        "cpu/node_reserved": 80, "memory/node_reserved": 1192 * MI,
    }  # fmt: skip
    assert own(samples, node="node-1", resource_id="nvidia.com/gpu") == {
        "extended/node_capacity": 2, "extended/node_allocatable": 1,
    }  # fmt: skip
    assert len(samples) == 2
    assert found.troubles == ()


def test_what_a_node_does_not_say_is_not_known() -> None:
    found = node_state({"metadata": {"name": "node-1"}, "status": {"allocatable": {"cpu": "x", "pods": []}}})
    assert found.samples(NOW) == [Sample(Subject(node="node-1"), NOW, {}, "state")]
    assert [trouble.split(": ")[1:3] for trouble in found.troubles] == [
        ["allocatable", "cpu"],
        ["allocatable", "pods"],
    ]


def test_a_quota_tells_what_is_used_of_what() -> None:
    status = {
        "hard": {"requests.cpu": "4", "memory": "1Gi", "pods": "10", "count/jobs.batch": "5"},
        "used": {"requests.cpu": "1500m", "memory": "512Mi", "pods": "nonsense"},
    }
    found = quota_state({"metadata": {"namespace": "shop", "name": "team"}, "status": status})
    samples = found.samples(NOW)

    def of(resource: str) -> Dict[str, float]:
        return own(samples, namespace="shop", resource_id=f"team/{resource}")

    assert of("requests.cpu") == {"quota/hard": 4000, "quota/used": 1500}
    assert of("memory") == {"quota/hard": 1024 * MI, "quota/used": 512 * MI}
    assert of("pods") == {"quota/hard": 10}
    assert of("count/jobs.batch") == {"quota/hard": 5}
    assert len(found.troubles) == 1
    assert quota_state({"metadata": {"namespace": "a", "name": "b"}, "spec": {"hard": {"pods": "1"}}}).values == ()


def test_pods_are_counted_and_an_empty_node_has_none() -> None:
    waiting = pod("waiting", "Pending", containers=[WEB])
    del waiting["spec"]["nodeName"]
    nodes = [{"metadata": {"name": name}} for name in ("node-1", "node-2")]
    samples = state_samples([pod(containers=[WEB]), waiting], nodes, [], [], [], NOW)
    counted = {one.subject: one.values["pods/count"] for one in samples if "pods/count" in one.values}
    assert counted == {
        Subject(): 2, Subject("shop"): 2, Subject(node="node-1"): 1, Subject(node="node-2"): 0,
    }  # fmt: skip


def test_every_value_is_in_the_table_at_its_level() -> None:
    everything = pod(
        containers=[container("web", *[{"cpu": "1", "memory": "1", "ephemeral-storage": "1", "a.b/c": "1"}] * 2)]
    )
    offered = {"cpu": "1", "memory": "1", "pods": "1", "a.b/c": "1"}
    status = {"capacity": offered, "allocatable": offered}
    quota = {
        "metadata": {"name": "q", "namespace": "shop"},
        "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}},
    }
    nodes = [{"metadata": {"name": "node-1"}, "status": status}]
    for sample in state_samples([everything], nodes, [quota], [], [], NOW):
        for name in sample.values:
            assert "state" in TABLE[name].sources, name
            assert sample.subject.level in TABLE[name].levels, (name, sample.subject)


def cpu_of(work: Callable[[], object]) -> float:
    """The least CPU seconds of five turns."""
    spent = []
    for _ in range(5):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def test_five_thousand_pods_cost_less_than_a_third_of_a_second() -> None:
    """All of them at once; a machine that others slow down is given the time that they take."""
    bodies = [
        json.loads(json.dumps(pod(f"p-{one}", containers=[WEB, LOG], initContainers=[LOG]))) for one in range(5000)
    ]
    plain = cpu_of(lambda: sum(one * one for one in range(500_000)))  # .025 s where nothing else runs
    spent = cpu_of(lambda: state_samples(bodies, [], [], [], [], NOW))
    assert spent < 0.3 * max(1.0, plain / 0.025), (spent, plain)


def test_a_bound_claim_holds_what_its_volume_has() -> None:
    claim = {
        "metadata": {"namespace": "shop", "name": "data"},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "8Gi"}},
    }
    samples = claim_state(claim).samples(NOW)
    assert own(samples, namespace="shop", resource_id="fast/data") == {"storage/claimed": 8 * 1024 * MI}
    pending = {**claim, "status": {"phase": "Pending"}}
    assert claim_state(pending).values == ()
    spoilt = {**claim, "status": {"phase": "Bound", "capacity": {"storage": "much"}}}
    assert (claim_state(spoilt).values, len(claim_state(spoilt).troubles)) == ((), 1)
