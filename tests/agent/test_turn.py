"""A turn puts together what every reader says, keeps what is read less often, and is stopped by nothing."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

import pytest
from agent.paper_proc import PaperProc
from agent.trees import Tree
from krm.agent import turn
from krm.agent.documents import kills_document, listed, node_document, packed, processes_document
from krm.agent.exposition import exposition
from krm.agent.figures import FIGURES, LIMIT
from krm.agent.runtime import asking
from krm.agent.runtime.runtimes import RuntimeSilent, RuntimeStats
from krm.agent.seen import CONTAINER, POD, QOS, Named, Seen
from krm.agent.turn import Asked, Turns
from krm.model.kills import Evidence

from agent import trees


class World:
    """A paper node: cgroups, processes, and the agent's turns over them."""

    def __init__(self, folder: Path, style: str, **asked: Any) -> None:
        self.tree: Tree = trees.build(folder / "cgroup", style)
        self.proc = PaperProc(folder / "proc")
        self.proc.put(1, 1, name=b"systemd", cgroup="/init.scope", ppid=0)
        self.pids: Dict[str, int] = {}
        number = 100
        there = {place.container_id for place in self.tree.places.values()}
        for pod in self.tree.pods:
            for container in (pod.sandbox, *pod.containers):  # pause is the oldest of its pod
                if container not in there:
                    continue  # Docker's own have no sandbox
                number += 1
                self.pids[container] = number
                name = b"pause" if container == pod.sandbox else b"server"
                self.proc.put(number, number, name=name, cgroup=self.tree.container(container).path, ppid=1)
        self.turns = Turns(Asked("worker-1", self.proc.folder, self.tree.root, **asked))


@pytest.fixture(params=["cgroupfs-v1", "systemd-v2"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, style_like(request.param))


def style_like(name: str) -> str:
    """The first style of that driver and version, containerd's."""
    driver, version = name.split("-")
    return next(style for style in trees.STYLES if driver in style and style.endswith(version))


def whole(seen: Seen) -> None:
    """Every view of it can be made."""
    for document in (node_document(seen), processes_document(seen), kills_document(seen)):
        packed(document)
    exposition(seen)


@pytest.mark.parametrize("style", sorted(trees.STYLES))
def test_each_container_of_each_style_is_told_with_its_processes(style: str, tmp_path: Path) -> None:
    world = World(tmp_path, style)
    seen = world.turns.turn(True)
    whole(seen)
    every = listed(seen)
    running = {one.place.container_id for one in every.containers}
    for pod in world.tree.pods:
        assert set(pod.containers) <= running
        assert pod.sandbox not in running, "its only process is pause"
        for container in pod.containers:
            (process,) = [one for one in seen.processes if one.pid == world.pids[container]]
            place = world.tree.container(container)
            assert (process.container_id, process.pod_uid) == (container, place.pod_uid)
            assert place.pod_uid in (pod.uid, "")  # Docker's own containers are no pod's
    assert [one.container_id for one in seen.processes if one.pid == 1] == [""]


def test_what_a_turn_carries_over(world: World) -> None:
    first = world.turns.turn(True)
    world.proc.put(999, 999, name=b"new", cgroup="/init.scope")
    second = world.turns.turn(False)
    assert second.processes is first.processes
    assert second.processes_at == first.processes_at
    assert second.runtime is first.runtime, "a sum over processes is of their moment"
    assert second.overheads is first.overheads
    assert second.time > first.time
    assert 999 in {one.pid for one in world.turns.turn(True).processes}


def test_limits_are_told_each_turn_and_read_each_sixth(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(seen: Seen) -> Dict[str, Mapping[str, Any]]:
        return {
            one.place.path: {name: value for name, value in one.figures.items() if FIGURES[name].kind == LIMIT}
            for one in seen.cgroups
        }

    read: List[str] = []
    hierarchy = turn.Hierarchy.read

    def noted(self: Any, controller: str, path: str, name: str, *rest: Any) -> bytes:
        read.append(name)
        return hierarchy(self, controller, path, name, *rest)

    first = limits(world.turns.turn(True))
    assert any(first.values())
    monkeypatch.setattr(turn.Hierarchy, "read", noted)
    for _ in range(5):
        assert limits(world.turns.turn(False)) == first
        assert not {"memory.max", "memory.limit_in_bytes"} & set(read)
    world.turns.turn(False)
    assert {"memory.max", "memory.limit_in_bytes"} & set(read)


def test_levels(world: World) -> None:
    seen = world.turns.turn(True)
    levels = {one.place.level for one in seen.cgroups}
    assert {CONTAINER, POD, QOS} <= levels
    assert len([one for one in seen.cgroups if one.place.level == POD]) == len(world.tree.pods)


def test_counters_count_since_the_first_process(world: World) -> None:
    seen = world.turns.turn(True)
    container = world.tree.pods[1].containers[0]
    (process,) = [one for one in seen.processes if one.container_id == container]
    (cgroup,) = [one for one in seen.cgroups if one.place.container_id == container]
    assert cgroup.started == process.started
    # It stays, although the process that told it ends.
    world.proc.end(world.pids[container])
    (later,) = [one for one in world.turns.turn(True).cgroups if one.place.container_id == container]
    assert later.started == process.started


def test_a_container_that_is_gone_is_not_told(world: World) -> None:
    container = world.tree.pods[1].containers[0]
    assert container in {one.place.container_id for one in world.turns.turn(True).cgroups}
    path = world.tree.container(container).path
    for folder in {world.tree.root, *world.tree.root.iterdir()}:
        if (folder / path.lstrip("/")).is_dir():
            shutil.rmtree(folder / path.lstrip("/"))
    assert container not in {one.place.container_id for one in world.turns.turn(True).cgroups}


PARTS = ["walk", "read_node", "runtime_costs", "pod_overheads", "Cgroups.turn", "Processes.turn", "Kills.turn"]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_is_missing_and_stops_no_other(
    part: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("made by the test")

    before = world.turns.turn(True)
    owner, _, name = part.rpartition(".")
    with monkeypatch.context() as patch:
        patch.setattr(getattr(turn, owner) if owner else turn, name, fail)
        broken = world.turns.turn(True)
    whole(broken)
    assert any("made by the test" in one.why for one in broken.missing)
    for what in ("cgroups", "processes", "node_figures"):
        if what != "cgroups" or part != "Cgroups.turn":
            assert getattr(broken, what), what
    after = world.turns.turn(True)
    assert not any("made by the test" in one.why for one in after.missing)
    assert len(after.cgroups) == len(before.cgroups)


def test_without_cgroups_and_without_proc_a_turn_says_so(tmp_path: Path) -> None:
    turns = Turns(Asked("worker-1", tmp_path / "no-proc", tmp_path / "no-cgroups"))
    seen = turns.turn(True)
    whole(seen)
    assert (seen.version, seen.cgroups, seen.processes, seen.processes_at) == ("none", (), (), None)
    told = {one.what: one.why for one in seen.missing}
    assert str(tmp_path / "no-cgroups") in told["cgroups"]
    assert "--procfs" in told["processes"]


def test_cgroups_that_come_later_are_found(tmp_path: Path) -> None:
    proc = PaperProc(tmp_path / "proc")
    turns = Turns(Asked("worker-1", proc.folder, tmp_path / "cgroup"))
    assert turns.turn(True).version == "none"
    tree = trees.build(tmp_path / "cgroup", style_like("cgroupfs-v1"))
    assert len([one for one in turns.turn(True).cgroups if one.place.level == POD]) == len(tree.pods)


class PaperRuntime:
    """What a runtime says; silent when told to be."""

    name = "paper 1.0"

    def __init__(self, named: Mapping[str, Named], stats: Mapping[str, RuntimeStats]) -> None:
        self._named, self._stats, self.silent = named, stats, False
        self.closed = 0
        self.hangs = threading.Event()  # set = it answers
        self.hangs.set()

    def names(self) -> Mapping[str, Named]:
        self.hangs.wait(20)
        if self.silent:
            raise RuntimeSilent("the socket is gone")
        return self._named

    def stats(self) -> Mapping[str, RuntimeStats]:
        return self._stats

    def ended(self) -> Sequence[Evidence]:
        return ()

    def close(self) -> None:
        self.closed += 1


def test_names_come_from_the_runtime_and_outlive_its_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = trees.PODS[1]
    container = pod.containers[0]
    named = {container: Named("shop", "web-0", "web", pod.uid)}
    runtime = PaperRuntime(named, {container: RuntimeStats({"cpu_usage_ns": 5}, None, None)})
    monkeypatch.setattr(asking, "open_runtime", lambda path, node: runtime)
    world = World(tmp_path, style_like("cgroupfs-v1"), runtime_sockets=("/run/paper.sock",))
    seen = world.turns.turn(True)
    rows = {row["id"]: row for row in node_document(seen)["containers"]}
    assert (rows[container]["namespace"], rows[container]["pod"]) == ("shop", "web-0")
    assert any(row["pod"] == "web-0" for row in node_document(seen)["pods"] if row["pod_uid"] == pod.uid)
    assert [one.runtime for one in seen.differences if one.figure == "cpu_usage_ns"] == [5]
    runtime.silent = True
    silent = world.turns.turn(True)
    assert silent.named == named
    assert silent.differences == ()
    assert "the socket is gone" in {one.why for one in silent.missing}
    world.turns.close()
    assert runtime.closed == 1


def test_a_runtime_that_hangs_holds_up_no_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PATIENCE", 0.1)
    container = trees.PODS[1].containers[0]
    runtime = PaperRuntime({container: Named("shop", "web-0", "web", trees.PODS[1].uid)}, {})
    monkeypatch.setattr(asking, "open_runtime", lambda path, node: runtime)
    world = World(tmp_path, style_like("cgroupfs-v1"), runtime_sockets=("/run/paper.sock",))
    runtime.hangs.clear()
    began = time.monotonic()
    for _ in range(3):
        seen = world.turns.turn(True)
        assert seen.cgroups
        assert any("no answer for" in one.why for one in seen.missing)
    assert time.monotonic() - began < 10
    runtime.hangs.set()
    deadline = time.monotonic() + 20
    while not world.turns.turn(True).named:
        assert time.monotonic() < deadline
    world.turns.close()
