"""Issue 7, line 4: a real OOM kill on the real node is in the case file with its cause within 10 s, the whole way:
kernel, agent, collector, Redis, `get_oom_events`. A node-pressure kill is told apart from one at an own limit.

Every process runs at its own default pace. The agent is one of the host's, behind a pod of its name that is on the
host's network. Node pressure is a limit on the cgroup of all pods, as the kubelet sets one; of a machine with its
memory full the kernel's lines are read in the virtual machine (test_issue6_line_3_v2), and what is made of them is
in tests/analysis/oom.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
import redis_servers
from acceptance.product import Product
from acceptance.rights import grant, start_stages
from acceptance.test_issue6_line_3_kills import EAT, FOREVER, LIMIT, LIMITED, limited_kubepods
from agent.killed import KMSG, log_readable, wait_for_reports
from authorities import Authority
from controlplane.plane import ControlPlane
from controlplane.processes import free_port, wait_until
from krm.analysis.finding import CRITICAL, HIGH
from krm.analysis.oom.case import Case
from krm.analysis.oom.cases import OomEvents
from krm.client.client import connect
from krm.monitor import K8sResourceMonitor
from node import machine
from node.fixtures import COLLECTOR
from node.real import NAME, NAMESPACE, Node, container

pytestmark = [pytest.mark.timeout(400)]
KINDS = ("pods", "nodes")
WITHIN = 10.0  # seconds from the kernel's kill until the case is told
SECONDS = 60.0
AGENT = "krm-agent"


class Watched:
    """krm on the real node."""

    def __init__(self, node: Node, monitor: K8sResourceMonitor) -> None:
        self.node, self.monitor = node, monitor

    def look(self) -> OomEvents:
        return self.monitor.get_oom_events()

    def case(self, pod: str) -> Case:
        """The one of this pod."""
        (case,) = [row for row in self.look().rows if row.pod == pod]
        return case

    def caused(self, pod: str) -> Tuple[Case, OomEvents, float]:
        """The case of this pod as soon as its cause is told, the answer that it is in, and how many seconds after
        the kill that was. Before, a pod's status may have told that there was one, of cause `unknown`."""
        end = time.monotonic() + SECONDS
        while True:
            found = self.look()
            rows = [row for row in found.rows if row.pod == pod]
            if rows and rows[0].cause != "unknown":
                (case,) = rows
                took = time.time() - case.at
                print(f"{pod}: told {took:.1f} s after the kill")
                return case, found, took
            assert time.monotonic() < end, f"no cause of pod {pod}: {found}"
            time.sleep(0.2)


def an_agent_answers(found: OomEvents) -> bool:
    """That of this node: others may stand beside it, on paper, without one."""
    print(found.worth.reasons)
    lacking = ("no agent runs: nobody", f"node {NAME}:", f" {NAME},", f" {NAME}:")
    return found.worth.state == "live" and not any(
        words in reason for reason in found.worth.reasons for words in lacking
    )


def start_agent(krm: Product, node: Node, plane: ControlPlane, folder: Path) -> Tuple[Path, Path]:
    """The agent, and the pod that it is found by; the CA of its certificate and its token's file."""
    authority = Authority(folder, "agents")
    pair = authority.server("agent", (machine.ADDRESS,), (AGENT,))
    token = folder / "token"
    token.write_text("a-token-of-the-test")
    port = free_port()
    krm.start(
        "agent", "-m", "krm.agent", "--node", NAME, "--address", machine.ADDRESS, "--port", str(port),
        "--cert", str(pair.cert), "--key", str(pair.key), "--token-file", str(token),
        "--kernel-log", KMSG, "--runtime-socket", str(node.runtime_socket),
    )  # fmt: skip
    shown = {**container("agent", FOREVER), "ports": [{"containerPort": port, "hostPort": port}]}
    body: Dict[str, Any] = {
        "metadata": {"name": AGENT, "labels": {"app.kubernetes.io/name": AGENT}},
        "spec": {
            "nodeName": NAME, "hostNetwork": True, "containers": [shown], "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
        },
    }  # fmt: skip
    plane.admin.create(f"/api/v1/namespaces/{NAMESPACE}/pods", body)
    wait_until(lambda: node.pod(AGENT)["status"].get("podIP"), SECONDS, "the agent's pod has an address")
    return authority.file, token


@pytest.fixture(scope="module")
def watched(
    node: Node,
    node_plane: ControlPlane,
    redis_server: redis_servers.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Watched]:
    if not log_readable():
        why = "the cause of a kill stands in the kernel's log: run it as root, where /dev/kmsg may be read"
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("oom")
    grant(node_plane, [(kind, "") for kind in KINDS])
    node_plane.grant(COLLECTOR, ["get"], ["nodes/metrics", "nodes/stats"])
    with Product(folder, redis_server) as krm:
        try:
            ca, token = start_agent(krm, node, node_plane, folder)
            start_stages(krm, node_plane, KINDS)
            secret = folder / "history-token"
            secret.write_text("another-token-of-the-test")
            krm.stage(
                "collector", (), "--kubeconfig", str(node_plane.kubeconfig(COLLECTOR)),
                "--kubelet-ca", str(node.ca_file), "--agent-namespace", NAMESPACE, "--agent-ca", str(ca),
                "--agent-token-file", str(token), "--scrape-host-network", "--scrape-loopback",
                "--history", str(folder / "history.db"), "--history-token-file", str(secret),
            )  # fmt: skip
            client = connect(redis_server.url, krm.cluster, "oom", history_token_file=str(secret))
            try:
                found = Watched(node, K8sResourceMonitor(client))
                for kind in KINDS:
                    krm.wait_state(kind, "live", SECONDS)
                krm.wait("an agent answers", lambda: an_agent_answers(found.look()), SECONDS)
                yield found
            finally:
                client.close()
        finally:
            node.delete_pod(AGENT)


def test_a_kill_at_its_own_limit_within_ten_seconds(watched: Watched) -> None:
    node = watched.node
    wait_for_reports()
    eats = container("eats", f"sleep 12; exec {EAT}", **LIMITED)
    node.run_pod("own", [eats, container("rests", FOREVER, **LIMITED)], restartPolicy="Never")
    case, found, took = watched.caused("own")
    assert (case.cause, case.limit, case.sureness, case.process) == ("own limit", LIMIT, HIGH, "tail"), found
    assert (case.namespace, case.container, case.there) == (NAMESPACE, "eats", True)
    assert took <= WITHIN
    assert case.before
    # 32 MiB and 100 MiB: the larger bump.
    assert case.limit_advised == LIMIT + (100 << 20)
    wait_until(lambda: watched.case("own").child is False, SECONDS, "it is known that the container ended")
    node.delete_pod("own")
    wait_until(lambda: watched.case("own").there is False, SECONDS, "its pod is gone, and it is told still")


def test_a_child_whose_container_goes_on_within_ten_seconds(watched: Watched) -> None:
    node = watched.node
    wait_for_reports()
    child = container("goes-on", f"sleep 12; {EAT}; {FOREVER}", **LIMITED)
    node.run_pod("parent", [child, container("rests", FOREVER, **LIMITED)])
    case, _, took = watched.caused("parent")
    assert took <= WITHIN
    assert (case.cause, case.process) == ("own limit", "tail")
    wait_until(lambda: watched.case("parent").child is True, SECONDS, "it is known that the container goes on")
    node.delete_pod("parent")


def test_node_pressure_is_told_apart_within_ten_seconds(watched: Watched) -> None:
    node = watched.node
    wait_for_reports()
    node.run_pod("greedy", [container("eats", f"sleep 12; exec {EAT}")], restartPolicy="Never")
    with limited_kubepods() as path:
        case, found, took = watched.caused("greedy")
    assert (case.cause, case.limited, case.process, case.sureness) == ("node pressure", path, "tail", HIGH)
    assert took <= WITHIN
    # No limit of its own was hit, so none is named.
    assert (case.limit_now, case.limit_advised) == (None, None)
    rules = {(row.rule, row.severity) for row in found.findings if "greedy" in row.id or row.rule != "oom-kill"}
    assert rules == {("oom-kill", CRITICAL), ("node-out-of-memory", CRITICAL)}
    assert {row.cause for row in found.rows if row.pod in ("own", "parent")} <= {"own limit"}
    node.delete_pod("greedy")
