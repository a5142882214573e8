"""A real node: it is Ready, its pods run in cgroups of their own, and its kubelet asks who is asking."""

from __future__ import annotations

import pytest
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from node.counters import Counters
from node.machine import ADDRESS, CGROUP
from node.real import NAME, Node, container

PAGES = ("/metrics/resource", "/metrics/cadvisor", "/stats/summary")
RIGHTS = ["nodes/metrics", "nodes/stats"]


def test_it_is_ready_and_says_where_its_kubelet_is(node: Node, node_plane: ControlPlane) -> None:
    status = node_plane.admin.get(f"/api/v1/nodes/{NAME}")["status"]
    assert {"type": "InternalIP", "address": ADDRESS} in status["addresses"]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == node.port
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
    assert status["nodeInfo"]["kubeletVersion"].startswith("v1.36.")


def test_a_pod_runs_in_a_cgroup_of_its_own(node: Node) -> None:
    pod = node.run_pod("own", [container("idle", "sleep 2147483647")])
    try:
        counters = Counters(node.status("own", "idle")["containerID"])
        assert counters.path.startswith(f"/{CGROUP}/kubepods/besteffort/pod{pod['metadata']['uid']}/")
        first = counters.read()
        assert first.used > 0
        assert first.working_set > 0
        assert pod["status"]["podIP"].startswith("10.199.1.")
    finally:
        node.delete_pod("own")
    with pytest.raises(FileNotFoundError):
        Counters(pod["status"]["containerStatuses"][0]["containerID"])


def test_two_rights_are_enough_for_all_pages_and_without_them_there_is_none(
    node: Node, node_plane: ControlPlane
) -> None:
    node_plane.revoke("krm-reader", ["get"], RIGHTS)
    assert {path: node.page(path, "krm-reader").status for path in PAGES} == dict.fromkeys(PAGES, 403)
    node_plane.grant("krm-reader", ["get"], RIGHTS)
    # A kubelet remembers a refusal for a while, a second here.
    for path in PAGES:
        wait_until(lambda path=path: node.page(path, "krm-reader").status != 403, 10, f"{path} is shown", 0.2)
    answers = {path: node.page(path, "krm-reader").status for path in PAGES}
    assert answers.pop("/stats/summary") in (200, 500)
    assert set(answers.values()) == {200}
    assert node.page("/pods", "krm-reader").status == 403
