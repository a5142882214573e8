"""Issue 6, line 4: with 50 real containers the agent's figure for shims and daemons is the sum read by hand.

By hand: /proc/PID/exe says which program a process is, its arguments which pod's shim, and its stat what it used.
The agent knows none of these but stat: it goes by names, cgroups and parents, as it has no right to the others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

import pytest
from controlplane.processes import wait_until
from krm.agent.cgroupfs.cgroups import Cgroups
from krm.agent.cgroupfs.hierarchy import Hierarchy, open_hierarchy
from krm.agent.cgroupfs.walk import walk
from krm.agent.process.processes import Processes
from krm.agent.runtime.overhead import Kept, pod_overheads, runtime_cgroups, runtime_costs
from krm.agent.runtime.runtime_door import open_runtime
from krm.agent.seen import Named, PodOverhead, RuntimeCost
from node import machine, runtimes

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]
PODS, CONTAINERS, OF_DOCKER = 10, 5, 3
PROC, TICK_NS, PAGE = Path("/proc"), 10_000_000, os.sysconf("SC_PAGE_SIZE")
# Program: what the agent calls it.
PARTS = {"containerd": "containerd", "containerd-shim-runc-v2": "containerd-shim", "dockerd": "dockerd"}
WORK = "while :; do seq 1000 > /dev/null; sleep 1; done"
TRIES = 40
WINDOW = 10.0  # seconds
# What five containers, which work for a ms each second, may use between the reads of one pod's cgroups.
# Memory comes and goes with their children, and version 1 counts it in lots of 64 pages a CPU.
SKEW_NS, SKEW_BYTES = 5e6, 2 * 2**20
HELD = 20 * 2**20
# In a pod's cgroup and in no container, as what runs a VM would be. It begins when it is told that it is there.
BESIDE = (
    f"read go; dd if=/dev/zero bs={HELD} count=1 2>/dev/null | sleep 600 & "
    "while :; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.05; done"
)


class ByHand(NamedTuple):
    program: str
    started: int
    cpu_ns: int
    rss: int
    sandbox: str  # of a shim: the id that it was started with


class Pod(NamedTuple):
    uid: str
    ids: Tuple[str, ...]  # the sandbox's first
    cgroup: str  # path below each hierarchy's root


class World(NamedTuple):
    pods: List[Pod]
    named: Mapping[str, Named]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    lack = runtimes.missing()
    if lack is not None and os.environ.get("CI") == "true":
        pytest.fail(lack, pytrace=False)
    if lack is not None:
        pytest.skip(lack)
    with runtimes.running() as running:
        pods = []
        for number in range(PODS):
            uid = str(uuid.uuid4())
            sandbox = running.pods.sandbox("crowd", f"pod-{number}", uid)
            ids = [running.pods.container(sandbox, f"c{n}", WORK) for n in range(CONTAINERS)]
            pods.append(Pod(uid, (sandbox, *ids), f"/{runtimes.CGROUP}/kubepods/burstable/pod{uid}"))
        for number in range(OF_DOCKER):
            running.dockerd.run(f"crowd-{number}", WORK)
        door = open_runtime(str(running.containerd.socket), "node")
        try:
            named = door.names()
        finally:
            door.close()
        yield World(pods, named)


class Agent:
    """What the agent makes of this machine, turn by turn."""

    def __init__(self, named: Mapping[str, Named]) -> None:
        self.hierarchy: Hierarchy = open_hierarchy(Path("/sys/fs/cgroup"))
        self._cgroups = Cgroups(self.hierarchy)
        self._processes = Processes(PROC, False, self.hierarchy)
        self._named = named
        self._kept: Optional[Kept] = None

    def turn(self) -> Tuple[Dict[str, RuntimeCost], Dict[str, PodOverhead]]:
        walked, now = walk(self.hierarchy), time.time()
        processes, _ = self._processes.turn(walked.places, self._named, now)
        cgroups = self._cgroups.turn(walked.places.values(), runtime_cgroups(processes), now)
        overheads, self._kept = pod_overheads(cgroups, processes, self._named, self._kept)
        costs = runtime_costs(cgroups, processes)
        return {cost.part: cost for cost in costs}, {one.pod_uid: one for one in overheads}


def by_hand() -> Dict[int, ByHand]:
    """What PARTS lists, on this machine."""
    found = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            program = os.readlink(folder / "exe").rpartition("/")[2]
            if program not in PARTS:
                continue
            words = (folder / "cmdline").read_text().split("\0")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        sandbox = words[words.index("-id") + 1] if "-id" in words else ""
        used = (int(fields[11]) + int(fields[12])) * TICK_NS
        found[int(folder.name)] = ByHand(program, int(fields[19]), used, int(fields[21]) * PAGE, sandbox)
    return found


def used(rows: Dict[int, ByHand], program: str) -> Tuple[int, int, int]:
    those = [row for row in rows.values() if row.program == program]
    return len(those), sum(row.cpu_ns for row in those), sum(row.rss for row in those)


def test_shims_and_daemons_are_the_sum_read_by_hand(world: World) -> None:
    """The same to the byte in a turn before and after which the hand read the same."""
    agent = Agent(world.named)
    for _ in range(TRIES):
        before = by_hand()
        costs, overheads = agent.turn()
        after = by_hand()
        if before == after:
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"in none of {TRIES} looks all of them stood still")
    for program, part in PARTS.items():
        told = costs[part]
        print(f"{part}: {told.processes} processes, {told.cpu_ns / 1e9:.2f} s CPU, {told.rss / 2**20:.1f} MiB")
        assert (told.processes, told.cpu_ns, told.rss) == used(before, program)
    assert costs["containerd-shim"].processes >= PODS + OF_DOCKER
    assert costs["containerd"].rss > 0
    assert costs["dockerd"].rss > 0
    shims = {row.sandbox: row for row in before.values() if row.sandbox}
    for pod in world.pods:
        mine, shim = overheads[pod.uid], shims[pod.ids[0]]
        assert (mine.shims, mine.shim_cpu_ns, mine.shim_rss) == (1, shim.cpu_ns, shim.rss)


@contextlib.contextmanager
def beside(pod: Pod) -> Iterator[None]:
    """A process that works in a cgroup of the pod's own, which is no container's."""
    folders = [hierarchy / f"{pod.cgroup}/vm"[1:] for hierarchy in machine.hierarchies()]
    folders = [folder for folder in folders if folder.parent.is_dir() and "cpuset" not in str(folder)]
    for folder in folders:
        folder.mkdir()
    child = subprocess.Popen(["sh", "-c", BESIDE], stdin=subprocess.PIPE, start_new_session=True)
    try:
        for folder in folders:
            (folder / "cgroup.procs").write_text(str(child.pid))
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.close()
        yield
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        for folder in folders:
            wait_until(lambda folder=folder: _removed(folder), 10.0, "its cgroup is empty")  # type: ignore[misc]


def _removed(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def test_a_pods_overhead_is_its_cgroup_less_its_containers(world: World) -> None:
    """Over ten seconds, with a hand that reads before and after each of the agent's two turns."""
    agent = Agent(world.named)
    agent.turn()
    looks: List[Dict[str, Tuple[int, int]]] = []

    def turn() -> Dict[str, PodOverhead]:
        looks.append({pod.uid: beyond(agent.hierarchy, pod) for pod in world.pods})
        _, overheads = agent.turn()
        looks.append({pod.uid: beyond(agent.hierarchy, pod) for pod in world.pods})
        return overheads

    busy = world.pods[0]
    with beside(busy):
        wait_until(lambda: beyond(agent.hierarchy, busy)[1] > HELD, 30.0, "it holds its memory")
        begun = turn()
        over = time.monotonic() + WINDOW
        wait_until(lambda: time.monotonic() > over, 2 * WINDOW, "the window is over", pause=0.2)
        now = turn()
    for pod in world.pods:
        first, second, third, last = (look[pod.uid] for look in looks)
        counted, was, memory = now[pod.uid].cpu_ns, begun[pod.uid].cpu_ns, now[pod.uid].memory
        assert counted is not None
        assert was is not None
        assert memory is not None
        inner, outer = third[0] - second[0], last[0] - first[0]
        told = f"{(counted - was) / 1e6:.1f} ms of CPU, by hand {inner / 1e6:.1f} to {outer / 1e6:.1f} ms"
        print(f"{pod.uid}: {told}; {memory / 2**20:.2f} MiB, by hand {last[1] / 2**20:.2f} MiB")
        assert inner - SKEW_NS <= counted - was <= outer + SKEW_NS
        assert memory == pytest.approx(last[1], abs=SKEW_BYTES)
    assert (now[busy.uid].memory or 0) > HELD
    grown = now[busy.uid].cpu_ns or 0
    assert grown - (begun[busy.uid].cpu_ns or 0) > 20 * SKEW_NS
    assert all((now[pod.uid].cpu_ns or 0) < grown for pod in world.pods[1:])


def beyond(hierarchy: Hierarchy, pod: Pod) -> Tuple[int, int]:
    """CPU in ns, and working set in bytes, of the pod's cgroup less its containers but the sandbox."""
    values = [one(hierarchy, pod.cgroup), *(one(hierarchy, f"{pod.cgroup}/{id_}") for id_ in pod.ids[1:])]
    return values[0][0] - sum(v[0] for v in values[1:]), values[0][1] - sum(v[1] for v in values[1:])


def one(hierarchy: Hierarchy, path: str) -> Tuple[int, int]:
    root = Path("/sys/fs/cgroup")
    if hierarchy.version == "v2":
        lines = dict(line.split() for line in (root / path[1:] / "cpu.stat").read_text().splitlines())
        stat = dict(line.split() for line in (root / path[1:] / "memory.stat").read_text().splitlines())
        usage = int((root / path[1:] / "memory.current").read_text())
        return int(lines["usage_usec"]) * 1000, usage - int(stat["inactive_file"])
    cpu = int((root / "cpuacct" / path[1:] / "cpuacct.usage").read_text())
    memory = root / "memory" / path[1:]
    stat = dict(line.split() for line in (memory / "memory.stat").read_text().splitlines())
    return cpu, int((memory / "memory.usage_in_bytes").read_text()) - int(stat["total_inactive_file"])
