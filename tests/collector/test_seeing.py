"""From a real agent process over TLS to Redis: what runs here, who was killed, and the nodes without an agent."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import pytest
from authorities import Authority
from kept_cluster import KeptCluster, KeptKind
from krm.cluster.credentials import connect
from krm.cluster.endpoints import Endpoints, Identity, Trust
from krm.cluster.errors import Unauthorized
from krm.collector import loop as loops
from krm.collector.loop import Collector, Endpoint
from krm.collector.seeing import NOT_ASKED, Seeing
from krm.collector.sources.annotated import Reach
from krm.collector.sourcing import AGENT, Asked, rounds
from krm.collector.world import World
from krm.model import times
from krm.model.kills import STATUS
from krm.model.measures import Covers
from krm.simulator.kubeconfig import write_kubeconfig
from krm.store.latest_seen import NO_AGENT, READ, SILENT, NodeProcesses
from krm.store.latest_seen_reader import SeenReader, kills_left
from krm.store.latest_writer import LatestWriter
from metered import until

TOKEN = "an-agents-token-0123456789"
AGENT_POD = "krm-agent/krm-agent-x"


class Agent:
    """`python -m krm.agent` on this machine, as the agent of node n1."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder, "agents")
        pair = authority.server("agent", names=("krm-agent",))
        self.ca, self.token = authority.file, folder / "agent-token"
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o600)
        self._command = [sys.executable, "-m", "krm.agent", "--node", "n1", "--port", "0", "--cert", str(pair.cert),
                         "--key", str(pair.key), "--token-file", str(self.token), "--every", "1s",
                         "--processes-every", "1s"]  # fmt: skip
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.said: List[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            found = re.search(r"serving https://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        else:
            pytest.fail("the agent did not start: " + "".join(self.said))
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def agent_pod(port: int) -> Dict[str, Any]:
    running = {"name": "agent", "containerID": "containerd://agent", "state": {"running": {}}}
    ports = [{"containerPort": port, "protocol": "TCP"}]
    return {
        "labels": {"app.kubernetes.io/name": "krm-agent"},
        "spec": {"nodeName": "n1", "containers": [{"name": "agent", "ports": ports}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [running]},
    }


def killed_pod(at: float) -> Dict[str, Any]:
    ended = {"reason": "OOMKilled", "finishedAt": times.write(int(at)), "containerID": "containerd://gone"}
    status = {"name": "run", "state": {"running": {}}, "lastState": {"terminated": ended}}
    return {
        "spec": {"nodeName": "w1", "containers": [{"name": "run"}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


class Cluster:
    """Three nodes on paper, of which one has an agent."""

    def __init__(self, kept: KeptCluster, folder: Path, port: int) -> None:
        self.kept = kept
        self.pods: KeptKind = kept.kind("pods", {AGENT_POD: agent_pod(port)})
        windows = {"labels": {"kubernetes.io/os": "windows"}}
        kept.kind("nodes", {"/n1": {}, "/n2": {}, "/w1": windows})
        self.kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self.kubeconfig, "http://127.0.0.1:1")
        self.reader = SeenReader(kept.database, kept.name)

    @contextlib.contextmanager
    def collecting(self, agent: Agent, token: Optional[str] = None, ca: str = "") -> Iterator[Collector]:
        stop = threading.Event()
        world = World(self.kept.database, self.kept.name, (), stop)
        asked = Asked((AGENT,), 0.5, 0.5, reach=Reach(loopback=True), processes_every=0.5)
        read = {None: lambda: agent.token.read_text().strip(), "": None}.get(token, lambda: str(token))
        asked = asked._replace(agent_ca=ca or str(agent.ca), agent_token=read)
        found = rounds(asked, connect(str(self.kubeconfig)), world)
        left = partial(kills_left, self.kept.database, self.kept.name)
        seeing = Seeing(world, found.pages, left, "krm-agent")
        writer = LatestWriter(self.kept.database, self.kept.name)
        collector = Collector(world, found.jobs, writer, None, Endpoint("", ""), 0.5, stop, seeing=seeing)
        thread = threading.Thread(target=collector.run, name="collector")
        thread.start()
        try:
            yield collector
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def node(self, name: str) -> NodeProcesses:
        return next((one for one in self.reader.processes().nodes if one.node == name), NodeProcesses(name, ""))

    def kills(self) -> List[Tuple[str, Tuple[str, ...]]]:
        """Of w1: what the agent tells of this machine is its own business."""
        return [(kill.pod, kill.witnesses) for node in self.reader.kills("w1").nodes for kill in node.kills]


@pytest.fixture
def cluster(kept: KeptCluster, tmp_path: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(loops, "TURN", 0.1)
    return Cluster(kept, tmp_path, agent.port)


def own(node: NodeProcesses) -> List[Any]:
    return [one for one in node.processes if one.pid == os.getpid()]


def test_processes_of_this_machine_with_their_rates(cluster: Cluster, agent: Agent) -> None:
    with cluster.collecting(agent):
        until("a rate of this process", lambda: [one for one in own(cluster.node("n1")) if one.cpu is not None])
        node = cluster.node("n1")
        (here,) = own(node)
        assert here.rss > 2**20
        assert here.window is not None
        assert 0.5 < here.window < 30
        assert (here.namespace, here.pod) == ("", ""), "of the host, whatever its cgroup is called"
        assert abs(time.time() - (node.at or 0.0)) < 30
        assert cluster.node("n2")[1:3] == (
            NO_AGENT,
            "no agent runs on it: there is no krm-agent pod in namespace krm-agent",
        )
        assert cluster.node("w1")[1:3] == (NO_AGENT, "it runs Windows: the agent reads a Linux kernel")
        state = cluster.reader.processes().collector
        assert state is not None
        assert state.agents == Covers(1, 3, "nodes")


def test_an_agent_that_went_away_is_silent_and_its_rows_are_gone(cluster: Cluster, agent: Agent) -> None:
    with cluster.collecting(agent):
        until("it is read", lambda: cluster.node("n1").state == READ)
        agent.stop()
        until("it is silent", lambda: cluster.node("n1").state == SILENT)
        node = cluster.node("n1")
        assert node.processes == ()
        assert node.why
        cluster.pods.publish((AGENT_POD, None))
        until("it is none", lambda: cluster.node("n1").state == NO_AGENT)


def test_another_token_or_ca_is_told(cluster: Cluster, agent: Agent, tmp_path: Path) -> None:
    with cluster.collecting(agent, token="another-token-0123456789"):
        until("it is refused", lambda: "401" in cluster.node("n1").why)
    other = Authority(tmp_path, "others")
    with cluster.collecting(agent, ca=str(other.file)):
        until("it is not trusted", lambda: "certificate" in cluster.node("n1").why.lower())
    with cluster.collecting(agent, token=""):
        until("it is not asked", lambda: cluster.node("n1").why == NOT_ASKED)
        assert cluster.node("w1").why.startswith("it runs Windows")


def test_a_token_may_be_changed_while_all_runs(cluster: Cluster, agent: Agent) -> None:
    with cluster.collecting(agent):
        until("it is read", lambda: cluster.node("n1").state == READ)
        agent.token.write_text("the-next-token-0123456789\n")
        until("the former one is refused", lambda: refused(agent, TOKEN))
        before = cluster.node("n1").at or 0.0
        until("it is read on", lambda: (cluster.node("n1").at or 0.0) > before + 3)


def refused(agent: Agent, token: str) -> bool:
    door = Endpoints(Trust(str(agent.ca)), Identity(lambda _: f"Bearer {token}"))
    try:
        door.get(f"https://127.0.0.1:{agent.port}/v1/node", "krm-agent")
    except Unauthorized:
        return True
    finally:
        door.close()
    return False


def test_a_kill_is_in_the_ledger_within_ten_seconds_and_outlives_the_collector(
    cluster: Cluster, agent: Agent
) -> None:
    with cluster.collecting(agent):
        until("it is read", lambda: cluster.node("n1").state == READ)
        begun = time.monotonic()
        cluster.pods.publish(("lab/job", killed_pod(time.time() - 2)))
        until("it is in the ledger", lambda: cluster.kills())
        assert time.monotonic() - begun < 10
        assert cluster.kills() == [("job", (STATUS,))]
        cluster.pods.publish(("lab/job", None))
        until("ten turns", lambda: cluster.reader.kills().collector.turn > 20)  # type: ignore[union-attr]
        assert cluster.kills() == [("job", (STATUS,))], "its pod is gone"
    with cluster.collecting(agent) as second:
        turn = cluster.reader.kills().collector.turn  # type: ignore[union-attr]
        until("further turns", lambda: cluster.reader.kills().collector.turn > turn + 5)  # type: ignore[union-attr]
        assert cluster.kills() == [("job", (STATUS,))]
        assert (second.figures()["krm_collector_oom_kills"] or 0) >= 1
