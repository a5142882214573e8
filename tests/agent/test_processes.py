"""Processes are read once a turn, belong where their cgroup is, and a PID that is used again is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional

import pytest
from krm.agent import processes as module
from krm.agent import procfs
from krm.agent.places import place_of
from krm.agent.processes import Processes
from krm.agent.seen import Named, Place, Process
from paper_proc import BOOTED, TICKS, PaperProc

UID, OTHER_UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11", "0b3d5a52-9a3d-4a0e-8ac0-6a8f3b7e2d22"
A, B, C = "a" * 64, "b" * 64, "c" * 64
POD = f"/kubepods/burstable/pod{UID}"
NOW = BOOTED + 1000.0


def walked(*paths: str) -> Dict[str, Place]:
    """Places of these cgroups and of all above them."""
    found = {"/": place_of("/")}
    for path in paths:
        names = path.split("/")[1:]
        for number in range(1, len(names) + 1):
            above = "/" + "/".join(names[:number])
            found[above] = place_of(above)
    return found


PLACES = walked(f"{POD}/{A}", f"{POD}/{B}", f"{POD}/{C}", "/system.slice/containerd.service")


@pytest.fixture
def proc(tmp_path: Path) -> PaperProc:
    proc = PaperProc(tmp_path / "proc")
    proc.put(1, 1, name=b"systemd", cgroup="/init.scope", ppid=0)
    return proc


class Turns:
    """The same Processes, turn after turn."""

    def __init__(self, proc: PaperProc, commands: bool = False) -> None:
        self.of = Processes(proc.folder, commands)
        self.now = NOW
        self.why = ""

    def turn(
        self,
        seconds: float = 10.0,
        named: Optional[Mapping[str, Named]] = None,
        places: Mapping[str, Place] = PLACES,
    ) -> Dict[int, Process]:
        self.now += seconds
        rows, missing = self.of.turn(places, named or {}, self.now)
        self.why = "\n".join(f"{one.what}: {one.why}" for one in missing)
        assert len({one.pid for one in rows}) == len(rows)
        return {one.pid: one for one in rows}


def test_a_row_says_all_of_a_process(proc: PaperProc) -> None:
    proc.put(
        7, 5000, name=b"web", cgroup=f"{POD}/{A}", inside=[1], uid=1000, ppid=3, state="R", user=150, system=50,
        threads=9, pages=256, command=[b"web", b"--token=x"],
    )  # fmt: skip
    row = Turns(proc, commands=True).turn()[7]
    assert row == Process(
        7, 5000, 3, "web", "R", 9, 256 * procfs.PAGE, 200 * 10_000_000, BOOTED + 5000 / TICKS, 1, 2, 1000,
        f"{POD}/{A}", A, UID, False, True, "", "web --token=***",
    )  # fmt: skip
    assert Turns(proc).turn()[7].command == ""


def test_a_pid_that_is_used_again_is_another_process(proc: PaperProc) -> None:
    turns = Turns(proc)
    proc.put(7, 5000, name=b"web", cgroup=f"{POD}/{A}", inside=[1], uid=1000)
    assert turns.turn()[7].container_id == A
    proc.put(7, 6000, name=b"web", cgroup="/system.slice/containerd.service", uid=5)
    row = turns.turn()[7]
    assert (row.started_ticks, row.container_id, row.pid_depth, row.uid) == (6000, "", 1, 5)


def test_a_pid_that_is_used_again_between_two_reads_of_a_turn(
    proc: PaperProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """stat is of the first process, cgroup of the second: such a row is nobody's."""
    proc.put(7, 5000, name=b"first", cgroup=f"{POD}/{A}", inside=[1], uid=1)
    read, swaps = procfs.read_once, []

    def swapping(path: str, most: int) -> bytes:
        data = read(path, most)
        if path.endswith("/7/stat") and len(swaps) < 1:
            swaps.append(1)
            proc.put(7, 6000, name=b"second", cgroup=f"{POD}/{B}", inside=[22], uid=2)
        return data

    monkeypatch.setattr(procfs, "read_once", swapping)
    row = Turns(proc).turn()[7]
    assert (row.name, row.started_ticks, row.container_id, row.pid_inside, row.uid) == ("second", 6000, B, 22, 2)


def test_a_pid_that_goes_from_hand_to_hand_has_no_row(proc: PaperProc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.put(7, 5000)
    read, count = procfs.read_once, []

    def swapping(path: str, most: int) -> bytes:
        data = read(path, most)
        if path.endswith("/7/stat"):
            count.append(1)
            proc.put(7, 5000 + len(count))
        return data

    monkeypatch.setattr(procfs, "read_once", swapping)
    assert sorted(Turns(proc).turn()) == [1]
    assert len(count) < 10


def test_a_young_process_is_followed_into_its_cgroup(proc: PaperProc) -> None:
    turns = Turns(proc)
    young = int((turns.now + 8 - BOOTED) * TICKS)
    proc.put(7, young, name=b"runc:[2:INIT]", cgroup="/system.slice/containerd.service")
    assert turns.turn()[7].container_id == ""
    proc.put(7, young, name=b"runc:[2:INIT]", cgroup=f"{POD}/{A}")
    assert turns.turn()[7].container_id == A


def test_an_old_one_is_looked_at_again_once_in_a_while(proc: PaperProc) -> None:
    turns = Turns(proc)
    proc.put(7, 5000, cgroup=f"{POD}/{A}")
    assert turns.turn()[7].container_id == A
    proc.put(7, 5000, cgroup=f"{POD}/{B}")
    assert turns.turn()[7].container_id == A
    assert turns.turn(module.AGAIN + module.SPREAD)[7].container_id == B


def test_a_turn_costs_one_read_a_process(proc: PaperProc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(100, 200):
        proc.put(pid, 5000, cgroup=f"{POD}/{A}")
    turns = Turns(proc)
    turns.turn()
    reads = []
    once, whole = procfs.read_once, procfs.read_whole
    monkeypatch.setattr(procfs, "read_once", lambda path, most: (reads.append(path), once(path, most))[1])
    monkeypatch.setattr(procfs, "read_whole", lambda path, most: (reads.append(path), whole(path, most))[1])
    assert len(turns.turn()) == 101
    assert len([path for path in reads if path.endswith("/stat")]) == 101
    assert len(reads) == 101 + 2  # and PID 1's cgroup and loadavg
