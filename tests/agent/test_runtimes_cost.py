"""What each runtime costs on recorded nodes, by whole turns of the agent over their cgroups and processes."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List

import pytest
from agent.paper_proc import TICKS, PaperProc
from agent.trees import OUTER, PODS, Tree, build
from krm.agent.seen import CONTAINER, PodOverhead, RuntimeCost, Seen
from krm.agent.turn import Asked, Turns

PAGE = 4096
DAEMON, KUBELET = 100, 101
UNIT = "/system.slice/{}.service"


class RecordedNode:
    """A tree of cgroups, and a /proc with a kubelet, a runtime's daemon and each container's first process."""

    def __init__(self, folder: Path, style: str, daemon: bytes, unit: str) -> None:
        self.tree: Tree = build(folder / "cgroups", style)
        self.unified = self.tree.version == "v2"
        self.proc = PaperProc(folder / "proc")
        self._folder, self._pid = folder, 1000
        self.put(DAEMON, daemon, UNIT.format(unit), user=70, system=30, pages=900)
        self.put(KUBELET, b"kubelet", UNIT.format("kubelet"), user=40, system=10, pages=800)

    def put(self, pid: int, name: bytes, cgroup: str, **more: int) -> int:
        self.proc.put(pid, name=name, cgroup=cgroup, unified=self.unified, **more)  # type: ignore[arg-type]
        return pid

    def monitored(self, monitor: Callable[[str, str], Dict[str, object]], per_pod: bool = False) -> None:
        """Each container's first process, with the monitor that `monitor` says as its parent."""
        for pod in PODS:
            parent = 0
            for id_ in (pod.sandbox, *pod.containers):
                place = self.tree.container(id_)
                if not parent or not per_pod:
                    self._pid += 1
                    parent = self._pid
                    said = monitor(id_, place.path)
                    self.put(parent, said["name"], said["cgroup"], user=2, system=1, pages=50)  # type: ignore[arg-type]
                self._pid += 1
                name = b"pause" if id_ == pod.sandbox else b"app"
                inside = f"{place.path}/container"
                home = inside if inside in self.tree.places else place.path
                self.proc.put(
                    self._pid, self._pid, name=name, cgroup=home, ppid=parent, inside=[1], unified=self.unified
                )

    def seen(self) -> Seen:
        self.turns = Turns(Asked("node", self.proc.folder, self._folder / "cgroups"))
        self.turns.turn(True)
        seen = self.turns.turn(True)
        self.turns.close()
        return seen


def costs(seen: Seen) -> Dict[str, RuntimeCost]:
    return {one.part: one for one in seen.runtime}


def overheads(seen: Seen) -> Dict[str, PodOverhead]:
    return {one.pod_uid: one for one in seen.overheads}


def expected(part: str, number: int, ticks: int, pages: int) -> RuntimeCost:
    return RuntimeCost(part, number, ticks * 10**9 // TICKS, pages * PAGE)


@pytest.mark.parametrize("within", [True, False], ids=["conmon in its pod's cgroup", "conmon in system.slice"])
@pytest.mark.parametrize("style", ["crio-systemd-v2", "crio-cgroupfs-v1"])
def test_cri_o_and_a_conmon_for_each_container(tmp_path: Path, style: str, within: bool) -> None:
    node = RecordedNode(tmp_path, style, b"crio", "crio")

    def conmon(id_: str, path: str) -> Dict[str, object]:
        end = f"crio-conmon-{id_}" + (".scope" if path.endswith(".scope") else "")
        home = path.rpartition("/")[0] if within else "/system.slice"
        return {"name": b"conmon", "cgroup": f"{home}/{end}"}

    node.monitored(conmon)
    seen = node.seen()
    found = costs(seen)
    containers = sum(1 + len(pod.containers) for pod in PODS)
    assert set(found) == {"cri-o", "conmon", "kubelet"}
    assert found["conmon"] == expected("conmon", containers, 3 * containers, 50 * containers)
    assert found["cri-o"]._replace(figures={}) == expected("cri-o", 1, 100, 900)
    unit = node.tree.loads[UNIT.format("crio")]
    assert found["cri-o"].figures["memory_usage"] == unit.usage
    for pod in PODS:
        one = overheads(seen)[pod.uid]
        mine = 0 if within else 1 + len(pod.containers)  # within, they are in the pod's own figures
        assert (one.shims, one.shim_cpu_ns, one.shim_rss) == (mine, mine * 3 * 10**7, mine * 50 * PAGE)


@pytest.mark.parametrize(
    "style",
    ["containerd-systemd-v2", "containerd-cgroupfs-v1", "containerd-systemd-hybrid", "containerd-colons-v1"],
)
def test_containerd_and_a_shim_for_each_pod(tmp_path: Path, style: str) -> None:
    node = RecordedNode(tmp_path, style, b"containerd", "containerd")
    unit = UNIT.format("containerd")
    node.monitored(lambda id_, path: {"name": b"containerd-shim", "cgroup": unit}, per_pod=True)
    seen = node.seen()
    found = costs(seen)
    assert found["containerd-shim"] == expected("containerd-shim", len(PODS), 3 * len(PODS), 50 * len(PODS))
    assert found["containerd"]._replace(figures={}) == expected("containerd", 1, 100, 900)
    assert found["containerd"].figures["cpu_usage_ns"]
    assert {one.shims for one in seen.overheads} == {1}
    apart = style == "containerd-colons-v1"
    for one in seen.overheads:
        # Nothing moved between the two turns; where containers lie beside their pod nobody can tell.
        assert one.cpu_ns == (None if apart else 0)
        assert (one.memory is None) == apart


def test_dockerd_its_containerd_and_a_shim_for_each_container(tmp_path: Path) -> None:
    node = RecordedNode(tmp_path, "docker-pods-systemd-v2", b"dockerd", "docker")
    node.put(102, b"cri-dockerd", UNIT.format("docker"), pages=70)
    node.put(103, b"docker-proxy", UNIT.format("docker"), pages=30)
    node.put(104, b"containerd", UNIT.format("containerd"), pages=600)
    unit = UNIT.format("containerd")
    node.monitored(lambda id_, path: {"name": b"containerd-shim", "cgroup": unit})
    found = costs(node.seen())
    assert {part: (one.processes, one.rss // PAGE) for part, one in found.items()} == {
        "dockerd": (1, 900), "cri-dockerd": (1, 70), "docker-proxy": (1, 30), "containerd": (1, 600),
        "containerd-shim": (9, 450), "kubelet": (1, 800),
    }  # fmt: skip
    assert found["dockerd"].figures
    assert found["containerd"].figures


@pytest.mark.parametrize("style", ["kind-v1", "kind-v2"])
def test_a_nested_nodes_runtime_is_its_containers_and_not_the_nodes(tmp_path: Path, style: str) -> None:
    node = RecordedNode(tmp_path, style, b"dockerd", "docker")
    (outer,) = (p for p in node.tree.places.values() if p.level == CONTAINER and p.container_id == OUTER)
    inner = f"{outer.path}/system.slice/kubelet.service"
    names: List[bytes] = [b"containerd", b"kubelet", b"containerd-shim"]
    for number, name in enumerate(names):
        node.put(200 + number, name, inner)
    node.monitored(lambda id_, path: {"name": b"containerd-shim", "cgroup": inner}, per_pod=True)
    seen = node.seen()
    assert set(costs(seen)) == {"dockerd", "kubelet"}
    assert costs(seen)["kubelet"].processes == 1
    theirs = [one for one in seen.processes if one.name in ("containerd", "containerd-shim")]
    assert {one.container_id for one in theirs} == {OUTER}
