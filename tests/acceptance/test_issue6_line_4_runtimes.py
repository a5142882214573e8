"""Issue 6, line 4: cgroup figure and runtime API agree within 5 % for CPU and memory, and the names are right.

A real containerd over its CRI and a real dockerd on this machine, without a kubelet; CRI-O on trees of its cgroups
and answers as its API writes them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest
from agent.paper_grpc import PaperCri
from agent.trees import Tree, build
from controlplane.processes import wait_until
from krm.agent.cgroupfs.cgroups import Cgroups
from krm.agent.cgroupfs.hierarchy import Hierarchy, open_hierarchy
from krm.agent.cgroupfs.walk import walk
from krm.agent.runtime.differences import CPU, RATE, WORKING_SET, Look, differences
from krm.agent.runtime.protobuf import written
from krm.agent.runtime.runtime_door import open_runtime
from krm.agent.runtime.runtimes import Runtime, RuntimeSilent
from krm.agent.seen import CONTAINER, Difference, Named
from krm.model.kills import Evidence
from node import image, runtimes
from node.runtimes import HELD, LOADS, Runtimes

NODE = "worker-1"
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
AGREES = 0.05  # share
WINDOW = 10.0  # seconds
ENDED_SECONDS = 15.0
GROUP = 4711
# The kernel of version 1 counts pages of a cgroup in lots of 32 or 64 a CPU: of a small one that is much.
LOT = 64 * 4096 * (os.cpu_count() or 1)
CORES = LOADS["web"][2]

real = pytest.mark.node


class World(NamedTuple):
    running: Runtimes
    in_pod: Dict[str, str]  # name of LOADS -> id, with containerd
    in_docker: Dict[str, str]
    sandbox: str


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    lack = runtimes.missing()
    if lack is not None and os.environ.get("CI") == "true":
        pytest.fail(lack, pytrace=False)
    if lack is not None:
        pytest.skip(lack)
    with runtimes.running() as running:
        sandbox = running.pods.sandbox("shop", "web-0", UID)
        in_pod = {name: running.pods.container(sandbox, name, *run) for name, run in LOADS.items()}
        in_docker = {}
        for name, (script, memory, cpu) in LOADS.items():
            flags = [f"--memory={memory}", f"--cpus={cpu}"] if cpu else [f"--memory={memory}"]
            in_docker[name] = running.dockerd.run(name, script, *flags)
        yield World(running, in_pod, in_docker, sandbox)


@pytest.fixture
def cri(world: World) -> Iterator[Runtime]:
    runtime = open_runtime(str(world.running.containerd.socket), NODE)
    yield runtime
    runtime.close()


@pytest.fixture
def docker(world: World) -> Iterator[Runtime]:
    runtime = open_runtime(str(world.running.dockerd.socket), NODE)
    yield runtime
    runtime.close()


class Agent:
    """Looks at the cgroups below `root` and at what `runtime` tells of them."""

    def __init__(self, root: Path, runtime: Runtime) -> None:
        self._hierarchy: Hierarchy = open_hierarchy(root)
        self._cgroups, self._runtime = Cgroups(self._hierarchy), runtime

    def look(self) -> Look:
        stats = self._runtime.stats()
        places = walk(self._hierarchy).places.values()
        found = self._cgroups.turn(places, frozenset(), time.time())
        return Look({one.place.container_id: one for one in found if one.place.level == CONTAINER}, stats)


def compared(agent: Agent) -> Dict[str, Dict[str, Difference]]:
    """Container id -> figure -> the difference, over WINDOW."""
    before = agent.look()
    over = time.monotonic() + WINDOW
    wait_until(lambda: time.monotonic() > over, 2 * WINDOW, "the window is over", pause=0.2)
    found: Dict[str, Dict[str, Difference]] = {}
    for one in differences(agent.look(), before):
        found.setdefault(one.container_id, {})[one.figure] = one
    return found


def shown(name: str, found: Dict[str, Difference]) -> None:
    for one in found.values():
        print(f"{name}: {one.figure} cgroup {one.cgroup}, runtime {one.runtime}, share {one.share}")


def agrees(one: Difference, lot: int = 0) -> bool:
    assert one.cgroup is not None
    assert one.runtime is not None
    return abs(one.runtime - one.cgroup) <= max(AGREES * one.cgroup, lot)


@real
@pytest.mark.parametrize("kind", ["cri", "docker"])
def test_figures_agree(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    ids = world.in_pod if kind == "cri" else world.in_docker
    found = compared(Agent(Path("/sys/fs/cgroup"), request.getfixturevalue(kind)))
    assert set(found) == {ids["web"], ids["holding"]}, "those that run, and no other"
    for name in ("web", "holding"):
        shown(name, found[ids[name]])
    web, holding = found[ids["web"]], found[ids["holding"]]
    assert agrees(web[CPU])
    assert agrees(holding[CPU])
    assert agrees(web[RATE])
    assert agrees(holding[WORKING_SET])
    assert agrees(web[WORKING_SET], LOT)
    # And they are what is known of the load, so both are not wrong alike. A busy machine gives less.
    assert 0.1 * CORES * 1e9 < (web[RATE].runtime or 0) < 1.1 * CORES * 1e9
    assert HELD <= (holding[WORKING_SET].runtime or 0) < HELD * 1.2


@real
def test_containerd_s_names_are_those_of_its_own_command(world: World, cri: Runtime) -> None:
    assert cri.name.startswith("containerd 1.")
    names = cri.names()
    assert set(names) == set(world.running.containerd.ctr("containers", "list", "--quiet").split())
    assert names[world.sandbox] == Named("shop", "web-0", "", UID, sandbox=True)
    for name, container in world.in_pod.items():
        assert names[container] == Named("shop", "web-0", name, UID, image=image.NAME)


@real
def test_both_versions_of_the_cri(world: World, cri: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """containerd 1.x speaks the old one too."""
    monkeypatch.setattr("krm.agent.runtime.cri.PACKAGES", ("runtime.v0", "runtime.v1alpha2"))
    old = open_runtime(str(world.running.containerd.socket), NODE)
    assert (old.name, old.names(), set(old.stats())) == (cri.name, cri.names(), set(cri.stats()))
    assert old.ended() == cri.ended()
    old.close()


@real
def test_docker_s_names_are_those_of_its_own_command(world: World, docker: Runtime) -> None:
    assert docker.name.startswith("docker ")
    assert docker.names() == {
        container: Named("", "", name, "", image=image.NAME) for name, container in world.in_docker.items()
    }
    for name, container in world.in_docker.items():
        assert world.running.dockerd.inspect(name)["Id"] == container


@real
@pytest.mark.parametrize("kind", ["cri", "docker"])
def test_both_tell_of_oom_kills(kind: str, world: World, request: pytest.FixtureRequest) -> None:
    """Of a container that ended by one, and of one whose child was killed and which ended with 3 later."""
    runtime: Runtime = request.getfixturevalue(kind)
    ids = world.in_pod if kind == "cri" else world.in_docker
    told: List[Evidence] = []

    def both() -> bool:
        told[:] = runtime.ended()
        return len(told) == 2

    wait_until(both, ENDED_SECONDS, "both kills are told", pause=0.2)
    killed, child = told
    assert (killed.container_id, killed.container_ended) == (ids["killed"], True)
    assert (child.container_id, child.container_ended) == (ids["child"], None)
    assert (killed.witness, killed.container, killed.node) == (kind, "killed", NODE)
    assert all(one.after < one.at <= time.time() for one in told)


@real
def test_a_group_opens_the_socket_to_the_agent(world: World) -> None:
    """UID 64123 reads names with the socket's group, and without it is told which one."""
    socket = world.running.containerd.socket
    os.chown(socket, 0, GROUP)
    assert f"supplementalGroups: [{GROUP}]" in _as_agent(socket, [])
    assert _as_agent(socket, [GROUP]) == f"{len(world.in_pod) + 1} names"


def _as_agent(socket: Path, groups: List[int]) -> str:
    """What UID 64123 with these groups gets to know."""
    script = """
import os, sys
from krm.agent.runtime.runtime_door import open_runtime
from krm.agent.runtime.runtimes import RuntimeSilent
os.setgroups([int(one) for one in sys.argv[2:]])
os.setgid(64123)
os.setuid(64123)
try:
    print(len(open_runtime(sys.argv[1], "worker-1").names()), "names", end="")
except RuntimeSilent as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(socket), *map(str, groups)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


@real
def test_a_runtime_that_is_started_anew_is_asked_again(world: World, cri: Runtime) -> None:
    """Its containers run on meanwhile."""
    names = cri.names()
    process = world.running.containerd.process
    process.stop(ENDED_SECONDS)
    with pytest.raises(RuntimeSilent, match=r"nobody listens|there is no"):
        cri.names()
    process.start()

    def again() -> bool:
        try:
            return cri.names() == names
        except RuntimeSilent:
            return False

    wait_until(again, ENDED_SECONDS, "containerd answers as before", pause=0.2)


# CRI-O

STYLES = ("crio-systemd-v2", "crio-cgroupfs-v1")


def told(tree: Tree) -> Dict[str, Any]:
    """What CRI-O says of the containers of this tree: the truth of their loads, in its own API's words."""
    sandboxes, containers, stats = [], [], []
    for number, pod in enumerate(tree.pods):
        metadata = written([(1, f"pod-{number}"), (2, pod.uid), (3, "shop")])
        sandboxes.append(written([(1, pod.sandbox), (2, metadata), (4, 1)]))
        for container in pod.containers:
            named = written([(1, f"app-{number}")])
            containers.append(written([(1, container), (2, pod.sandbox), (3, named), (6, 1)]))
            stats.append(_crio_stats(tree, container))
    version = written([(1, "0.1.0"), (2, "cri-o"), (3, "1.30.0"), (4, "v1")])
    lists = (("ListPodSandbox", sandboxes), ("ListContainers", containers), ("ListContainerStats", stats))
    return {"Version": version, **{name: written([(1, row) for row in rows]) for name, rows in lists}}


def _crio_stats(tree: Tree, container: str) -> bytes:
    load, at = tree.loads[tree.container(container).path], time.time_ns()
    cpu = written([(1, at), (2, written([(1, load.user_ns + load.system_ns)]))])
    sizes = ((2, load.usage - load.inactive_file), (4, load.usage), (5, load.anon))
    memory = written([(1, at), *((number, written([(1, size)])) for number, size in sizes)])
    return written([(1, written([(1, container)])), (2, cpu), (3, memory)])


@pytest.mark.parametrize("style", STYLES)
def test_figures_of_crio_agree(style: str, tmp_path: Path) -> None:
    tree = build(tmp_path / "cgroup", style)
    with PaperCri(tmp_path / "crio.sock", told(tree)) as server:
        runtime = open_runtime(server.path, NODE)
        look = Agent(tree.root, runtime).look()
        names = runtime.names()
        runtime.close()
    found = differences(look, None)
    containers = [container for pod in tree.pods for container in pod.containers]
    assert {one.container_id for one in found} == set(containers)
    assert {CPU, WORKING_SET, "memory_usage"} <= {one.figure for one in found}
    for one in found:
        assert one.cgroup, one
        assert agrees(one), one
    for number, pod in enumerate(tree.pods):
        assert names[pod.sandbox] == Named("shop", f"pod-{number}", "", pod.uid, sandbox=True)
        assert {names[one] for one in pod.containers} == {Named("shop", f"pod-{number}", f"app-{number}", pod.uid)}
