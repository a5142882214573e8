"""Real processes in real containers, without Kubernetes: each is where its cgroup is, from wherever one looks."""

from __future__ import annotations

import ctypes
import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Set, Tuple, TypeVar

import pytest
from agent.containers import CGROUPS, Container, Containers, containers, skip_or_fail, tree
from agent.lesser import UID, as_agent, open_folder  # noqa: F401 (fixture)
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.cgroupfs.walk import Walked, walk
from krm.agent.process.processes import Processes
from krm.agent.seen import Named, Process

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
T = TypeVar("T")
PROC = Path("/proc")
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWPID = 0x00020000, 0x02000000, 0x20000000
STAY = "exec sleep 1000000"
# Two of three short-lived processes are in containers that share a PID namespace, the third is on the host.
SHORT, LOOPS = 3400, 20
REUSES, LIVES = 200, 0.05  # seconds: more than two ticks, for a start is told in ticks


class Pods(NamedTuple):
    made: Containers
    sandbox: Container
    one: Container  # in the sandbox's PID namespace, as `two`
    two: Container
    other: Container  # of another pod, in a namespace of its own
    hosts: Container  # of that other pod, in the host's

    def all(self) -> List[Container]:
        return [self.sandbox, self.one, self.two, self.other, self.hosts]


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    skip_or_fail()
    with containers() as made:
        for name in ("in-one", "in-two", "on-host"):
            made.program(name)
        shared, other = made.new_pod(), made.new_pod()
        sandbox = made.run(shared, STAY)
        namespace = f"/proc/{sandbox.process}/ns/pid"
        one = made.run(shared, "sleep 1000000 & sleep 1000000 & wait", pids_of=namespace)
        two = made.run(shared, "sh -c 'sleep 1000000; true'", pids_of=namespace)
        yield Pods(made, sandbox, one, two, made.run(other, STAY), made.run(other, STAY, pids_of="host"))


class Look:
    """Turns of the agent's processes."""

    def __init__(self) -> None:
        self.hierarchy = open_hierarchy(CGROUPS)
        self.processes = Processes(PROC, False, self.hierarchy)
        self.walked = Walked({}, ())
        self.why = ""

    def turn(self, named: Dict[str, Named]) -> Dict[int, Process]:
        self.walked = walk(self.hierarchy, self.walked)
        rows, missing = self.processes.turn(self.walked.places, named, time.time())
        self.why = "\n".join(f"{one.what}: {one.why}" for one in missing)
        return {row.pid: row for row in rows}


def check(rows: Dict[int, Process], pods: Pods) -> None:
    """Against cgroup.procs and /proc/PID/ns/pid, which root alone may read."""
    sandbox = os.readlink(f"/proc/{pods.sandbox.process}/ns/pid")
    inside: Set[int] = set()
    for container in pods.all():
        pids = container.pids()
        assert container.process in pids
        inside.update(pids)
        for pid in pids:
            row = rows[pid]
            assert (row.container_id, row.pod_uid, row.cgroup) == (container.id, container.pod, container.cgroup)
            shares = os.readlink(f"/proc/{pid}/ns/pid") == sandbox and container is not pods.sandbox
            assert row.shares_pids_with == (pods.sandbox.id if shares else ""), row
            status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert row.pid_inside == int(status["NSpid"].split()[-1])
    ours = {container.id for container in pods.all()}
    assert {row.pid for row in rows.values() if row.container_id in ours} == inside
    assert rows[os.getpid()].container_id == ""
    assert [row.pid for row in rows.values() if row.is_init and row.pid in inside] == [
        pods.sandbox.process,
        pods.other.process,
    ]
    assert rows[pods.hosts.process].pid_depth == 1


def test_every_process_is_in_the_container_whose_cgroup_lists_it(pods: Pods) -> None:
    look = Look()
    check(look.turn({}), pods)
    named = {pods.sandbox.id: Named("shop", "web-0", "", pods.sandbox.pod, sandbox=True)}
    rows = look.turn(named)
    check(rows, pods)
    assert [pid for pid, row in rows.items() if row.is_pause] == [pods.sandbox.process]
    row, uptime = rows[pods.one.process], time.clock_gettime(time.CLOCK_BOOTTIME)
    assert 0 < time.time() - row.started < uptime
    assert row.rss > 0


def test_the_agents_user_sees_the_same_and_says_what_it_does_not(pods: Pods) -> None:
    def look() -> Tuple[Dict[int, Process], str]:
        one = Look()
        return one.turn({}), one.why

    rows, why = as_agent(look)
    check(rows, pods)
    assert "io, smaps_rollup, fd, environ, exe of processes: the kernel shows them only" in why


def test_from_namespaces_of_its_own_it_sees_the_same(pods: Pods) -> None:
    """As in the cluster: in a container's cgroup and PID namespace, without root, over the host's /proc."""

    def look() -> Tuple[Dict[int, Process], str]:
        assert os.getuid() == UID
        return Look().turn({}), Path("/proc/1/cgroup").read_text()

    agent = pods.made.run(pods.other.pod, STAY)
    rows, shown = in_container(agent, lambda: as_agent(look))
    assert ":/.." in shown
    check(rows, pods)
    # The agent itself, which /proc shows at `/`.
    assert len([row for row in rows.values() if row.container_id == agent.id]) >= 2
    assert rows[agent.process].cgroup == agent.cgroup


def in_container(container: Container, work: Callable[[], T]) -> T:
    """What `work` returns in a child in that container's cgroups, in a cgroup and a PID namespace of its own."""

    def joined() -> T:
        for folder in {path.resolve() for path in [CGROUPS, *CGROUPS.iterdir()]}:
            procs = folder / container.cgroup.lstrip("/") / "cgroup.procs"
            if procs.exists():
                procs.write_text("0")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWCGROUP | CLONE_NEWPID) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        return work()

    return in_child(joined)


def in_child(work: Callable[[], T]) -> T:
    """What `work` returns in a child process. Its error is told as this one's."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = pickle.dumps((True, work()))
        except BaseException as error:  # noqa: BLE001 (it is told where it is awaited)
            answer = pickle.dumps((False, repr(error)))
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    well, answer = pickle.loads(content)
    assert well, answer
    return answer  # type: ignore[no-any-return]


def test_a_proc_that_hides_processes_of_others_is_told(open_folder: Path) -> None:  # noqa: F811
    """Mounted with hidepid=2, in a mount namespace of its own."""
    skip_or_fail()

    def mounted() -> Tuple[List[int], str]:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", str(open_folder)], check=True)
        return as_agent(look)

    def look() -> Tuple[List[int], str]:
        rows, missing = Processes(open_folder, False).turn({}, {}, time.time())
        return [row.pid for row in rows], "\n".join(one.why for one in missing)

    pids, why = in_child(mounted)
    assert len(pids) == 1  # itself
    assert "threads are to be seen: mount the node's own /proc without hidepid" in why


def test_ten_thousand_short_lived_processes_leave_no_wrong_row(pods: Pods) -> None:
    """Loops in two containers and on the host start programs of one name each: a name says where it has to be."""
    loop = f"(i=0; while [ $i -lt {SHORT // LOOPS} ]; do /bin/%s; i=$((i+1)); done) & "
    namespace = f"/proc/{pods.sandbox.process}/ns/pid"
    one, two = (
        pods.made.run(pods.one.pod, loop % name * LOOPS + "wait; " + STAY, pids_of=namespace)
        for name in ("in-one", "in-two")
    )
    words = ["chroot", str(pods.made.root), "/bin/sh", "-c", loop % "on-host" * LOOPS + "wait"]
    host = subprocess.Popen(words)
    places = {"in-one": one.id, "in-two": two.id, "on-host": ""}
    parents = {one.process: one.id, two.process: two.id, host.pid: ""}
    look, turns, ends = Look(), 0, time.monotonic() + 240
    seen: Dict[str, Set[Tuple[int, int]]] = {name: set() for name in places}
    try:
        while host.poll() is None or any(loops(container) for container in (one, two)):
            turns += 1
            for row in look.turn({}).values():
                expected = places.get(row.name, parents.get(row.ppid))
                if expected is not None:
                    assert row.container_id == expected, row
                    seen.get(row.name, set()).add((row.pid, row.started_ticks))
            assert time.monotonic() < ends, "the loops do not end"
    finally:
        host.kill()
        host.wait()
    counts = {name: len(identities) for name, identities in seen.items()}
    print(f"\n{turns} turns while {3 * SHORT} processes came and went; seen: {counts}")
    assert min(counts.values()) > 20, counts
    assert not [row for row in look.turn({}).values() if row.name in places]


def loops(container: Container) -> bool:
    return Path(f"/proc/{container.process}/comm").read_text() == "sh\n"


REUSER = """
import ctypes, os, sys, time
last, wanted, lives, count = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
procs = sys.argv[5:7]
name = ctypes.CDLL(None).prctl
got = 0
for number in range(count):
    with open(last, "w") as file:
        file.write(str(wanted - 1))
    child = os.fork()
    if child == 0:
        with open(procs[number % 2], "w") as file:
            file.write("0")
        name(15, b"reuse-%d" % (number % 2), 0, 0, 0)
        time.sleep(lives)
        os._exit(0)
    got += child == wanted
    wanted = child  # another one was quicker: then this, which is free once it is waited for
    os.waitpid(child, 0)
print(got)
"""


def test_a_pid_that_moves_between_two_containers_is_never_mistaken(pods: Pods) -> None:
    """The same PID, two hundred times, in one container and the other by turns."""
    if not LAST_PID.exists():
        pytest.skip("this kernel lets nobody choose a PID (CONFIG_CHECKPOINT_RESTORE)")
    wanted = next(pid for pid in range(20_000, 30_000) if not Path(f"/proc/{pid}").exists())
    targets = [pods.one, pods.other]
    procs = [str(tree("memory") / target.cgroup.lstrip("/") / "cgroup.procs") for target in targets]
    words = [str(LAST_PID), str(wanted), str(LIVES), str(REUSES), *procs]
    reuser = subprocess.Popen([sys.executable, "-c", REUSER, *words], stdout=subprocess.PIPE, text=True)
    places = {f"reuse-{number}": target.id for number, target in enumerate(targets)}
    look, seen = Look(), set()
    while reuser.poll() is None:
        for row in look.turn({}).values():
            if row.name in places:
                assert row.container_id == places[row.name], row
                seen.add((row.pid, row.started_ticks))
    reused = int(reuser.communicate()[0])
    starts = Counter(pid for pid, _ in seen)
    print(f"\na PID was used again {reused} times of {REUSES}; seen: {starts}")
    assert reused > REUSES / 2
    assert max(starts.values()) > 5


def test_what_is_executed_in_a_container_is_followed_into_it(pods: Pods) -> None:
    """The runtime makes the process on the host and moves it. Once it runs its program, it is in the container."""
    look, found = Look(), set()
    for number in range(10):
        exec_ = pods.made.exec(pods.one, "sh", "-c", f"exec sleep 0.{3 + number % 5}")
        while exec_.poll() is None:
            for row in look.turn({}).values():
                if row.name == "sleep" and row.ppid == exec_.pid:
                    assert row.container_id == pods.one.id, row
                    assert row.shares_pids_with == pods.sandbox.id
                    found.add((row.pid, row.started_ticks))
        assert exec_.returncode == 0
    assert len(found) >= 8
    check(look.turn({}), pods)
