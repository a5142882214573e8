"""Processes are read once a turn, belong where their cgroup is, and a PID that is used again is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional

import pytest
from agent.paper_proc import BOOTED, TICKS, PaperProc
from krm.agent.cgroupfs.places import place_of
from krm.agent.process import processes as module
from krm.agent.process import procfs
from krm.agent.process.processes import Processes
from krm.agent.process.procfs import EXITING
from krm.agent.seen import Named, Place, Process

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
        return {one.pid: one for one in sorted(rows)}


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


def test_a_zombie_keeps_what_it_was(proc: PaperProc) -> None:
    """Version 1 of cgroups shows all that ends at the root."""
    turns = Turns(proc)
    proc.put(7, 5000, cgroup=f"{POD}/{A}", inside=[3])
    turns.turn()
    proc.put(7, 5000, cgroup="/", inside=[3], state="Z", flags=EXITING, pages=0)
    turns.now += module.AGAIN + module.SPREAD
    row = turns.turn()[7]
    assert (row.state, row.container_id, row.rss) == ("Z", A, 0)


def test_a_zombie_that_nobody_saw_live_is_nobodys(proc: PaperProc) -> None:
    turns = Turns(proc)
    proc.put(7, 5000, cgroup="/", inside=[3], state="Z", flags=EXITING)
    assert sorted(turns.turn()) == [1]
    assert "processes: 1 had ended before it was seen where" in turns.why
    # Version 2 still says where it was.
    proc.put(8, 5000, cgroup=f"{POD}/{A} (deleted)", inside=[3], state="Z", flags=EXITING, unified=True)
    assert turns.turn()[8].container_id == A


def test_one_that_ended_on_its_way_into_a_container_is_nobodys(proc: PaperProc) -> None:
    turns = Turns(proc)
    young = int((turns.now + 8 - BOOTED) * TICKS)
    proc.put(7, young, cgroup="/system.slice/containerd.service")
    assert turns.turn()[7].container_id == ""
    proc.put(7, young, cgroup="/", state="Z", flags=EXITING)
    assert 7 not in turns.turn()


def test_kernel_threads_and_stopped_processes(proc: PaperProc) -> None:
    proc.put(2, 1, name=b"kthreadd", ppid=0, flags=procfs.KERNEL_THREAD, pages=0)
    proc.put(
        3, 1, name=b"kworker/0:1-events_power_efficient", ppid=2, state="I", flags=procfs.KERNEL_THREAD, pages=0
    )
    proc.put(7, 5000, cgroup=f"{POD}/{A}", state="T", inside=[4])
    rows = Turns(proc).turn()
    assert [(rows[pid].container_id, rows[pid].cgroup, rows[pid].rss) for pid in (2, 3)] == [("", "/", 0)] * 2
    assert (rows[7].state, rows[7].container_id) == ("T", A)


def test_what_a_process_used_is_told_anew_each_turn(proc: PaperProc) -> None:
    turns = Turns(proc)
    for used in (0, 5, 5, 9):
        proc.put(7, 5000, name=b"n%d" % used, cgroup=f"{POD}/{A}", user=used, pages=used)
        row = turns.turn()[7]
        assert (row.cpu_ns, row.rss, row.name) == (used * 10_000_000, used * procfs.PAGE, f"n{used}")


def test_one_that_goes_while_it_is_read_is_gone(proc: PaperProc, monkeypatch: pytest.MonkeyPatch) -> None:
    proc.put(7, 5000)
    whole = procfs.read_whole

    def going(path: str, most: int) -> bytes:
        if path.endswith("/7/cgroup"):
            proc.end(7)
        return whole(path, most)

    monkeypatch.setattr(procfs, "read_whole", going)
    turns = Turns(proc)
    assert sorted(turns.turn()) == [1]
    assert "cannot be read" not in turns.why


def test_ended_processes_are_forgotten(proc: PaperProc) -> None:
    turns = Turns(proc)
    proc.put(7, 5000, cgroup=f"{POD}/{A}")
    turns.turn()
    proc.end(7)
    assert sorted(turns.turn()) == [1]
    proc.put(7, 5000, cgroup=f"{POD}/{B}")
    assert turns.turn()[7].container_id == B


def test_unreadable_and_nonsense_is_told_and_stops_nothing(
    proc: PaperProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pid in (7, 8, 9, 10):
        proc.put(pid, 5000)
    (proc.folder / "8/stat").write_bytes(b"nonsense")
    (proc.folder / "9/cgroup").write_bytes(b"nonsense")
    once, whole = procfs.read_once, procfs.read_whole

    def denied(path: str, most: int) -> bytes:
        if path.endswith(("/7/stat", "/10/status")):
            raise PermissionError(13, "Permission denied", path)
        return (whole if path.endswith("status") else once)(path, most)

    monkeypatch.setattr(procfs, "read_once", denied)
    monkeypatch.setattr(procfs, "read_whole", lambda path, most: denied(path, most))
    turns = Turns(proc)
    rows = turns.turn()
    assert sorted(rows) == [1, 10]
    assert (rows[10].pid_inside, rows[10].uid) == (None, None)
    assert "processes: 1 cannot be read: mount /proc without hidepid: 7" in turns.why
    assert "processes: 1 have a stat that is none: is that a /proc of Linux?: 8" in turns.why
    assert "processes: 1 show no cgroup that says whose they are: 9" in turns.why


def test_a_proc_that_hides_others_is_told(proc: PaperProc) -> None:
    """With hidepid=2 the listing holds one's own alone, and nothing fails."""
    turns = Turns(proc)
    turns.turn()
    assert "threads" not in turns.why
    proc.others = 500
    proc.count()
    turns.turn()
    assert "processes: 1 of the machine's 501 threads are to be seen" in turns.why


def test_more_processes_than_its_bounds(proc: PaperProc, monkeypatch: pytest.MonkeyPatch) -> None:
    for pid in range(100, 120):
        proc.put(pid, 5000)
    monkeypatch.setattr(module, "MOST_PROCESSES", 15)
    turns = Turns(proc)
    assert len(turns.turn()) == 15
    assert "processes: there are more than 15" in turns.why


def test_a_clock_that_is_set_moves_all_starts(proc: PaperProc) -> None:
    turns = Turns(proc)
    proc.put(7, 5000)
    assert turns.turn()[7].started == BOOTED + 50
    (proc.folder / "stat").write_text(f"cpu 1\nbtime {BOOTED + 3600}\n")
    assert turns.turn(module.BOOT_AGAIN)[7].started == BOOTED + 3650


def test_figures_that_need_more_rights_are_told(proc: PaperProc, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str, *_: object) -> bytes:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(procfs.os, "listdir", denied)
    monkeypatch.setattr(procfs.os, "readlink", denied)
    turns = Turns(proc)
    turns.turn()
    assert "fd, exe of processes: the kernel shows them only to who may trace a process" in turns.why


def test_pause_and_shared_namespaces_are_marked_as_soon_as_they_can_be_known(proc: PaperProc) -> None:
    proc.put(10, 1000, name=b"sleep", cgroup=f"{POD}/{A}", inside=[1])
    turns = Turns(proc)
    assert (turns.turn()[10].is_pause, turns.turn()[10].is_init) == (False, True)
    named = {A: Named("shop", "web-0", "", UID, sandbox=True)}
    assert turns.turn(named=named)[10].is_pause
    proc.put(11, 1100, cgroup=f"{POD}/{B}", inside=[7])
    assert turns.turn(named=named)[11].shares_pids_with == A
    proc.put(11, 1100, cgroup=f"{POD}/{B}", inside=[7], user=5)
    rows = turns.turn(named=named)
    assert (rows[11].shares_pids_with, rows[11].cpu_ns, rows[10].is_pause) == (A, 50_000_000, True)
    proc.end(10)
    assert turns.turn(named=named)[11].shares_pids_with == ""


def test_one_that_is_moved_and_begins_its_program_while_it_is_read(
    proc: PaperProc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of after the move does not stand beside the cgroup of before."""
    proc.put(7, 5000, name=b"runc:[2:INIT]", cgroup="/system.slice/containerd.service")
    whole, moved = procfs.read_whole, []

    def moving(path: str, most: int) -> bytes:
        data = whole(path, most)
        if path.endswith("/7/cgroup") and not moved:
            moved.append(1)
            proc.put(7, 5000, name=b"web", cgroup=f"{POD}/{A}", inside=[1])
        return data

    monkeypatch.setattr(procfs, "read_whole", moving)
    row = Turns(proc).turn()[7]
    assert (row.name, row.container_id, row.pid_inside) == ("web", A, 1)


def test_another_program_is_looked_at_at_once(proc: PaperProc) -> None:
    turns = Turns(proc, commands=True)
    proc.put(7, 5000, name=b"su", cgroup="/system.slice/containerd.service", command=[b"su"])
    turns.turn()
    proc.put(7, 5000, name=b"web", cgroup=f"{POD}/{A}", uid=33, command=[b"web", b"-v"])
    row = turns.turn()[7]
    assert (row.container_id, row.uid, row.command) == (A, 33, "web -v")
