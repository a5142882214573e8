"""Simulated kubelets before a real API server: a real metrics-server finds them and counts what they tell."""

import time
from typing import Iterator

import pytest
from controlplane.metrics_server import API, MetricsServer
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.simulator.kubelet_loads import MIB, Load
from krm.simulator.kubelet_nodes import Node, pod
from krm.simulator.kubelets import Kubelets

PATHS = {"Namespace": "/api/v1/namespaces", "Node": "/api/v1/nodes"}


@pytest.fixture
def kubelets() -> Iterator[Kubelets]:
    begun = time.time() - 3600
    nodes = [
        Node("paper-1", [pod("paper", "a", begun, {"x": Load(cpu=250, memory=64 * MIB), "y": Load(cpu=7)})]),
        Node("paper-2", [pod("paper", "b", begun, {"x": Load(cpu=1500, memory=300 * MIB)})], interval=10.0),
    ]
    with Kubelets(nodes) as kubelets:
        yield kubelets


@pytest.mark.slow  # it has figures after two turns of ten seconds
def test_metrics_server_counts_what_simulated_kubelets_tell(
    metrics_plane: ControlPlane, metrics_server: MetricsServer, kubelets: Kubelets
) -> None:
    admin = metrics_plane.admin
    for found in kubelets.objects():
        if found["kind"] != "Pod":
            admin.create(PATHS[found["kind"]], found)
            continue
        path, name = "/api/v1/namespaces/paper/pods", found["metadata"]["name"]
        made = admin.create(path, found)
        admin.patch(f"{path}/{name}/status", {"status": found["status"]})
        kubelets.adopt(found["spec"]["nodeName"], f"paper/{name}", made["metadata"]["uid"])
    metrics_server.wait_for_nodes(["paper-1", "paper-2"])

    def known() -> bool:
        return len(admin.get(f"{API}/namespaces/paper/pods")["items"]) == 2

    wait_until(known, 60.0, "metrics-server knows the pods", pause=0.2)
    pods = {item["metadata"]["name"]: item for item in admin.get(f"{API}/namespaces/paper/pods")["items"]}
    used = {each["name"]: each["usage"] for each in pods["a"]["containers"]}
    assert {name: millicores(usage["cpu"]) for name, usage in used.items()} == {"x": 250, "y": 7}
    assert {name: usage["memory"] for name, usage in used.items()} == {"x": "64Mi", "y": "64Mi"}
    assert millicores(pods["b"]["containers"][0]["usage"]["cpu"]) == 1500
    nodes = {item["metadata"]["name"]: item["usage"] for item in metrics_server.nodes()}
    assert millicores(nodes["paper-1"]["cpu"]) == 407  # 150 of the system's
    assert millicores(nodes["paper-2"]["cpu"]) == 1650
    assert nodes["paper-2"]["memory"] == "1324Mi"


def millicores(text: str) -> int:
    """Rounded: metrics-server cuts each counter to a nanosecond."""
    return (
        round(int(text[:-1]) / 1e6)
        if text.endswith("n")
        else int(text[:-1])
        if text[-1] == "m"
        else 1000 * int(text)
    )
