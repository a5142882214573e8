"""What was used beside what was set aside: of a pod's runtime class, and of a node's reserved resources."""

from __future__ import annotations

from krm.agent.seen import PodOverhead, RuntimeCost
from krm.model.set_aside import Share, Use, against, node_use, pod_use

UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"


def test_a_pod_beside_its_runtime_class() -> None:
    before = PodOverhead(UID, 1_000_000_000, 10, 1, 500_000_000, 20)
    now = PodOverhead(UID, 2_000_000_000, 30_000_000, 1, 1_500_000_000, 20_000_000)
    used = pod_use(now, before, 10.0)
    assert used == Use(0.2, 50_000_000)
    assert against(used, Use(0.1, 100_000_000)) == Share(2.0, 0.5)
    assert against(used, Use(None, 0)) == Share(None, None)


def test_what_is_not_known_is_no_use() -> None:
    one = PodOverhead(UID, None, None, 1, 5, 5)
    assert pod_use(one, one, 10.0) == Use(None, None)
    known = one._replace(cpu_ns=5, memory=5)
    assert pod_use(known, known._replace(shims=2), 10.0).cores is None
    assert pod_use(known, known._replace(cpu_ns=6), 10.0).cores is None
    assert pod_use(known, known, 0.0).cores is None


def test_a_node_beside_what_is_reserved() -> None:
    before = [RuntimeCost("containerd", 1, 0, 5), RuntimeCost("kubelet", 1, 0, 5)]
    now = [
        RuntimeCost("containerd", 1, 10**9, 100),
        RuntimeCost("kubelet", 1, 3 * 10**9, 200),
        RuntimeCost("runc", 2, 10**8, 50),
    ]
    assert node_use(now, before, 10.0) == Use(0.4, 350)
    assert node_use(now, before[:1], 10.0) == Use(None, 350)
    assert node_use([now[0]._replace(processes=2)], before, 10.0).cores is None
