"""Real kills, in cgroups of the test's own with small limits: counted, and found in the kernel's log.

The tree looks as a kubelet's does, so that a killed process is a container's. Root only.
"""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import pytest
from agent.killed import KMSG, KillAgent, log_readable, wait_for_reports
from krm.agent.cgroupfs.hierarchy import V2, Hierarchy, NoCgroups, open_hierarchy
from krm.model.kills import ANCESTOR_LIMIT, CGROUP, CONTAINER_LIMIT, KERNEL_LOG, POD_LIMIT, Kill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
LIMIT = 32 << 20
NODE = "here"
WITHIN = 10.0  # seconds until a kill is in the ledger
# Its argument: 1 = it itself takes more than it may; else a child of it does, and it goes on.
EATER = """
import os, sys, time
def eat():
    held = bytearray(1 << 27)
if sys.argv[1] == "1":
    eat()
child = os.fork()
if not child:
    os.execv(sys.executable, ["hungry", "-c", "x = bytearray(1 << 27)"])
os.waitpid(child, 0)
print("goes on", flush=True)
time.sleep(60)
"""


class Tree:
    """A pod's cgroup with a container's in it, below one of this test: in each tree that a container has one in."""

    def __init__(self, hierarchy: Hierarchy) -> None:
        self.version = hierarchy.version
        names = [name for name in ("memory", "cpu", "cpuacct", "pids", "blkio") if name in hierarchy.controllers]
        self.bases = list(dict.fromkeys(Path(hierarchy.folder(name, "")) for name in names))
        self.pod_uid, self.container = str(uuid.uuid4()), uuid.uuid4().hex * 2
        self.top = f"krm-test-kills-{os.getpid()}-{self.pod_uid[:8]}"
        self.kubepods = self.bases[0] / self.top / "kubepods"
        self.pod = self.kubepods / f"pod{self.pod_uid}"
        self.own = self.pod / self.container
        self.started: List[subprocess.Popen[str]] = []

    def owns(self) -> List[Path]:
        return [base / self.path(self.own).lstrip("/") for base in self.bases]

    def make(self) -> None:
        for own in self.owns():
            own.mkdir(parents=True)
        if self.version == V2:
            for folder in (self.kubepods.parent, self.kubepods, self.pod):
                (folder / "cgroup.subtree_control").write_text("+memory +pids")

    def limit(self, folder: Path) -> None:
        names = ("memory.max", "memory.swap.max") if self.version == V2 else ("memory.limit_in_bytes",)
        for name in names:
            if (folder / name).exists():
                (folder / name).write_text("0" if "swap" in name else str(LIMIT))

    def start(self, itself: bool) -> "subprocess.Popen[str]":
        moves = " && ".join(f"echo $$ > {own}/cgroup.procs" for own in self.owns())
        move = f"{moves} && exec {sys.executable} -c '{EATER}' {int(itself)}"
        process = subprocess.Popen(["sh", "-c", move], stdout=subprocess.PIPE, text=True)
        self.started.append(process)
        return process

    def path(self, folder: Path) -> str:
        return f"/{folder.relative_to(self.bases[0])}"

    def remove(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()
        for own in self.owns():
            for folder in (own, *list(own.parents)[:3]):
                ends = time.monotonic() + 5
                while folder.exists():
                    try:
                        folder.rmdir()
                    except OSError:
                        if time.monotonic() > ends:
                            raise
                        time.sleep(0.05)


@pytest.fixture
def tree() -> Iterator[Tree]:
    lack = _lack()
    if lack:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)
    wait_for_reports()
    made = Tree(open_hierarchy(Path("/sys/fs/cgroup")))
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _lack() -> str:
    if os.geteuid() != 0:
        return "cgroups are made by root alone: sudo make test-slow"
    try:
        hierarchy = open_hierarchy(Path("/sys/fs/cgroup"))
    except NoCgroups as error:
        return str(error)
    return (
        "" if "memory" in hierarchy.controllers else "the kernel accounts no memory: boot with cgroup_enable=memory"
    )


def of(kills: Tuple[Kill, ...], tree: Tree) -> List[Kill]:
    return [kill for kill in kills if kill.container_id == tree.container]


@pytest.fixture
def made() -> Iterator[Callable[[str], KillAgent]]:
    """Agents, which are closed in the end."""
    agents: List[KillAgent] = []

    def make(log: str) -> KillAgent:
        agents.append(KillAgent(NODE, log if log_readable() else ""))
        return agents[-1]

    yield make
    for agent in agents:
        agent.close()


@pytest.mark.parametrize("log", [KMSG, ""])
def test_a_process_that_its_own_limit_killed_is_known_once(
    tree: Tree, made: Callable[[str], KillAgent], log: str
) -> None:
    tree.limit(tree.own)
    agent = made(log)
    before = agent.turn()
    assert of(before, tree) == []
    eater = tree.start(itself=True)
    assert eater.wait(20) == -signal.SIGKILL
    kills = agent.until(lambda kills: any(CGROUP in kill.witnesses for kill in of(kills, tree)), WITHIN)
    (kill,) = of(kills, tree)
    assert kill.pod_uid == tree.pod_uid
    assert kill.witnesses == ((KERNEL_LOG, CGROUP) if log and log_readable() else (CGROUP,))
    if log and log_readable():
        said = (kill.pid, kill.scope, kill.limited, kill.limit)
        assert said == (eater.pid, CONTAINER_LIMIT, tree.path(tree.own), LIMIT)
        assert kill.process.startswith("python")
        assert kill.rss is not None
        assert LIMIT / 2 < kill.rss < LIMIT * 2
        assert abs(kill.at - time.time()) < WITHIN
    else:
        assert (kill.pid, kill.process, kill.scope) == (None, "", "unknown")
        assert "--kernel-log" in agent.missing[0]


def test_a_child_is_killed_and_its_container_goes_on(tree: Tree, made: Callable[[str], KillAgent]) -> None:
    tree.limit(tree.own)
    agent = made(KMSG)
    agent.turn()
    parent = tree.start(itself=False)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "goes on\n"
    kills = agent.until(lambda kills: any(kill.container_ended is False for kill in of(kills, tree)), WITHIN)
    (kill,) = of(kills, tree)
    assert parent.poll() is None
    assert kill.container_ended is False
    assert kill.pid not in (parent.pid, 0)
    # Turns later it is still the one.
    assert [one.id for one in of(agent.turn(), tree)] == [kill.id]


@pytest.mark.parametrize(("level", "scope"), [("pod", POD_LIMIT), ("kubepods", ANCESTOR_LIMIT)])
def test_a_limit_above_the_container_is_named(
    tree: Tree, made: Callable[[str], KillAgent], level: str, scope: str
) -> None:
    folder = tree.pod if level == "pod" else tree.kubepods
    tree.limit(folder)
    agent = made(KMSG)
    agent.turn()
    eater = tree.start(itself=True)
    eater.wait(20)
    kills = agent.until(lambda kills: any(CGROUP in kill.witnesses for kill in of(kills, tree)), WITHIN)
    (kill,) = of(kills, tree)
    if log_readable():
        assert (kill.scope, kill.limited, kill.limit) == (scope, tree.path(folder), LIMIT)
        assert kill.pid == eater.pid


def test_an_agent_that_begins_anew_names_a_kill_as_before(tree: Tree, made: Callable[[str], KillAgent]) -> None:
    if not log_readable():
        pytest.skip(f"{KMSG} cannot be read here: run as root, with the device")
    tree.limit(tree.own)
    first = made(KMSG)
    first.turn()
    tree.start(itself=True).wait(20)
    (kill,) = of(first.until(lambda kills: bool(of(kills, tree)), WITHIN), tree)
    (again,) = of(made(KMSG).turn(), tree)
    assert (again.id, again.pid) == (kill.id, kill.pid)
    assert abs(again.at - kill.at) < 1.0
    assert re.fullmatch(rf"{NODE}/[0-9a-f]{{8}}\.[0-9]+", kill.id)


def test_a_container_that_is_gone_before_the_next_turn_is_in_the_nodes_count(
    tree: Tree, made: Callable[[str], KillAgent]
) -> None:
    tree.limit(tree.own)
    agent = made("")
    known = agent.turn()
    tree.start(itself=True).wait(20)
    for own in tree.owns():
        own.rmdir()
    new = [kill for kill in agent.until(lambda kills: len(kills) > len(known), WITHIN) if kill not in known]
    assert len(new) == 1
    assert new[0].witnesses == (CGROUP,)
    assert new[0].container_id == ""
