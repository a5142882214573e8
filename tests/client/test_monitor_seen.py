"""get_processes and get_runtime_overhead: what agents tell, with its worth; what nobody tells is unknown."""

from __future__ import annotations

import seen_in_redis
from kept_cluster import KeptCluster
from krm.client import connect
from krm.client.client import Client
from krm.model.measures import Covers
from krm.monitor import K8sResourceMonitor
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn
from seen_in_redis import NOW


def test_processes_of_a_namespace_and_of_the_host(kept: KeptCluster, client: Client) -> None:
    seen_in_redis.write(kept.database, kept.name)
    monitor = K8sResourceMonitor(client)
    found = monitor.get_processes(namespace="shop")
    assert [(row.container, row.name, row.cpu) for row in found.rows][1:] == [
        ("web", "nginx", 250.4), ("web", "worker\x1b[31m", None),
    ]  # fmt: skip
    assert found.worth.state == "live"
    assert found.worth.measured_at == NOW - 4
    assert any("n2" in reason for reason in found.worth.reasons)
    assert "\x1b" not in str(found)
    assert "nginx" in str(found)
    assert [row.name for row in monitor.get_processes(host=True).rows] == ["kubelet", "rogue"]
    assert len(found.to_dict()["rows"]) == len(found.rows)


def test_nobody_tells(kept: KeptCluster) -> None:
    with connect(kept.url, kept.name) as client:
        found = K8sResourceMonitor(client).get_processes()
        assert (found.rows, found.worth.state, found.worth.measured_at) == ((), "absent", None)
        assert (K8sResourceMonitor(client).get_runtime_overhead().worth.state) == "absent"


def test_what_is_used_beside_containers(kept: KeptCluster) -> None:
    def node(**values: float) -> tuple[Measured, ...]:
        return (Measured("agent", NOW, 10.0, {name.replace("__", "/"): one for name, one in values.items()}),)

    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    own = {"overhead/cpu_usage_rate": 3.0, "overhead/memory": 1000.0}
    pods = {
        "a": Pod("a", "u1", "n1", (Measured("agent", NOW, 10.0, own),), {}),
        "b": Pod("b", "u2", "n1", (Measured("agent", NOW, 10.0, own),), {}),
        "c": Pod("c", "u3", "n1", (), {}),
    }
    state = CollectorState("", "", 3600.0, (), {}, (), Covers(2, 2, "nodes"))
    nodes = {
        "n1": node(runtime__cpu_usage_rate=40.0, runtime__memory=5e8, cpu__node_reserved=100.0),
        "n2": node(cpu__node_reserved=200.0),
    }
    packed = {name: pack_pod(pod) for name, pod in pods.items()}
    writer.write(Turn({"shop": packed}, {"shop": ()}, nodes, state))
    with connect(kept.url, kept.name) as client:
        found = K8sResourceMonitor(client).get_runtime_overhead()
        one, two = found.rows
        assert (one.node, one.cpu, one.memory, one.cpu_reserved, one.memory_reserved) == (
            "n1",
            40.0,
            5e8,
            100.0,
            None,
        )
        assert (one.pods_cpu, one.pods_memory, one.covers) == (6.0, 2000.0, Covers(2, 3, "pods"))
        assert (two.cpu, two.memory, two.pods_cpu, two.covers) == (None, None, None, Covers(0, 0, "pods"))
        assert any("no agent tells what the runtime of n2 uses" in reason for reason in found.worth.reasons)
        assert [row.node for row in K8sResourceMonitor(client).get_runtime_overhead("n1").rows] == ["n1"]
