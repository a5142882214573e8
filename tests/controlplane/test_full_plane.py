"""The whole control plane: what controllers, scheduler and kwok do is what a cluster does."""

from typing import Any, Dict, List

import pytest
from controlplane.listeners import listeners
from controlplane.objects import pod_body
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until

pytestmark = pytest.mark.slow

SECONDS = 60.0
TEMPLATE: Dict[str, Any] = {"containers": [{"name": "main", "image": "registry.example.com/main:1"}]}


def ready_nodes(plane: ControlPlane) -> List[str]:
    def is_ready(node: Dict[str, Any]) -> bool:
        conditions = node["status"].get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    return [node["metadata"]["name"] for node in plane.admin.get("/api/v1/nodes")["items"] if is_ready(node)]


def with_ready_nodes(plane: ControlPlane) -> None:
    if not ready_nodes(plane):
        made = set(plane.create_nodes(3))
        wait_until(lambda: made <= set(ready_nodes(plane)), SECONDS, "nodes are ready")


def test_a_deployment_runs_on_nodes(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    with_ready_nodes(plane)
    namespace = plane.create_namespaces(1)[0]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": TEMPLATE}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    plane.admin.create(path, {"metadata": {"name": "web"}, "spec": spec})

    def all_ready() -> bool:
        return bool(plane.admin.get(f"{path}/web")["status"].get("readyReplicas") == 3)

    wait_until(all_ready, SECONDS, "three pods are ready")
    pods = plane.admin.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(ready_nodes(plane))
    assert all(pod["status"]["podIP"] for pod in pods)


def test_a_job_completes(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    with_ready_nodes(plane)
    namespace = plane.create_namespaces(1)[0]
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    spec = {"template": {"spec": {**TEMPLATE, "restartPolicy": "Never"}}}
    plane.admin.create(path, {"metadata": {"name": "once"}, "spec": spec})
    wait_until(lambda: plane.admin.get(f"{path}/once")["status"].get("succeeded") == 1, SECONDS, "the job is done")


def test_a_pod_marked_to_complete_does_and_another_runs_on(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    with_ready_nodes(plane)
    namespace = plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/pods"
    plane.create_pods(1, [namespace], prefix="stays")
    marked = pod_body("ends")
    marked["metadata"]["annotations"]["krm.test/complete"] = "true"
    plane.admin.create(path, marked)

    def phases() -> Dict[str, str]:
        return {pod["metadata"]["name"][:4]: pod["status"]["phase"] for pod in plane.admin.get(path)["items"]}

    # The other came first: if it ended as well, it would have ended by then.
    wait_until(lambda: phases() == {"ends": "Succeeded", "stay": "Running"}, SECONDS, "only the marked pod is done")


@pytest.mark.slow  # a beat comes after 15 to 20 s
def test_a_node_beats(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    with_ready_nodes(plane)
    path = f"/api/v1/nodes/{ready_nodes(plane)[0]}"

    def beats() -> List[str]:
        return [item["lastHeartbeatTime"] for item in plane.admin.get(path)["status"]["conditions"]]

    first = beats()
    wait_until(lambda: beats() > first, SECONDS, "the node has written its status again")
    node = plane.admin.get(path)
    assert node["status"]["addresses"] == [{"type": "Hostname", "address": node["metadata"]["name"]}]
    assert node["status"]["capacity"]["cpu"] == "16"


def test_a_deleted_namespace_takes_its_pods_along(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    with_ready_nodes(plane)
    namespace = plane.create_namespaces(1)[0]
    plane.create_pods(5, [namespace])
    pods, whole = f"/api/v1/namespaces/{namespace}/pods", f"/api/v1/namespaces/{namespace}"

    def running() -> int:
        return sum(pod["status"]["phase"] == "Running" for pod in plane.admin.get(pods)["items"])

    wait_until(lambda: running() == 5, SECONDS, "five pods run")
    plane.admin.delete(whole)
    wait_until(lambda: plane.admin.request("GET", whole).status == 404, SECONDS, "the namespace is gone")
    assert plane.admin.get(pods)["items"] == []


def test_all_of_it_is_on_loopback_and_under_its_own_name(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    pids = set(plane.pids().values())
    assert len(pids) == 5
    found = listeners(pids)
    assert {pid for pid, _ in found} == pids
    assert {address for _, address in found} == {"127.0.0.1"}
    users = {event["user"].get("username") for event in plane.audit_events()}
    assert {"system:kube-controller-manager", "system:kube-scheduler", "kwok"} <= users
