"""What /proc says, read right whatever a process calls itself, and typed where it says nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from agent.paper_proc import BOOTED, PaperProc
from krm.agent.process import procfs
from krm.agent.process.procfs import CgroupLine, Stat, Status, parse_cgroup, parse_stat, parse_status

NAMES = (
    (b"app", "app"),
    (b"a) R 1 (", "a) R 1 ("),
    (b") S 1 2 3 4 5 6", ") S 1 2 3 4 5 6"),
    (b"two\nlines", "two\nlines"),
    (b"((", "(("),
    (b"))", "))"),
    (b"", ""),
    (b"\xff\xfe", "\\xff\\xfe"),
    ("käse".encode(), "käse"),
)


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_any_name_leaves_the_other_fields_where_they_are(tmp_path: Path, name: bytes, shown: str) -> None:
    proc = PaperProc(tmp_path)
    proc.put(7, 4711, name=name, ppid=3, state="D", user=20, system=3, threads=4, pages=99, flags=0x404)
    assert parse_stat((tmp_path / "7/stat").read_bytes()) == Stat(shown, "D", 3, 0x404, 23, 4, 4711, 99)
    assert parse_status((tmp_path / "7/status").read_bytes()) == Status((7,), 0)


def test_a_name_that_plays_a_line_of_status_is_a_name(tmp_path: Path) -> None:
    PaperProc(tmp_path).put(7, name=b"x\nNSpid:\t9\t1", inside=[5], uid=33)
    assert parse_status((tmp_path / "7/status").read_bytes()) == Status((7, 5), 33)


@pytest.mark.parametrize(
    "data", [b"", b"7", b"7 (a", b"7 a) S 1", b"7 (a) S 1 2", b"(a) " + b"x " * 40, b"7 (a) " + b"x " * 40]
)
def test_what_is_no_stat_is_an_error_of_values(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_stat(data)


def test_status_of_an_old_kernel_and_of_nothing() -> None:
    assert parse_status(b"Name:\ta\nUid:\t5\t6\t7\t8\n") == Status((), 5)
    assert parse_status(b"") == Status((), None)
    with pytest.raises(ValueError):
        parse_status(b"Name:\ta\nNSpid:\t5\tx\n")


CGROUPS = (
    (b"4:memory:/a\n0::/b\n", "memory", CgroupLine("/a", False)),
    (b"0::/b\n4:memory:/a\n", "memory", CgroupLine("/a", False)),
    (b"11:cpu,memory:/a:b:c\n", "memory", CgroupLine("/a:b:c", False)),
    (b"4:cpu:/c\n0::/../../podX/idX\n", "memory", CgroupLine("/../../podX/idX", True)),
    (b"1:name=systemd:/s\n", "name=systemd", CgroupLine("/s", False)),
    (b"0::/kubepods/podX (deleted)\n", "memory", CgroupLine("/kubepods/podX", True)),
    (b"4:memory:/\xff\n", "memory", CgroupLine("/\udcff", False)),
    (b"4:cpu:/c\n", "memory", None),
    (b"4:memory\n:::\nx:memory:relative\n", "memory", None),
    (b"", "memory", None),
)


@pytest.mark.parametrize(("data", "walked", "line"), CGROUPS)
def test_the_line_of_the_hierarchy_that_is_walked(data: bytes, walked: str, line: CgroupLine) -> None:
    assert parse_cgroup(data, walked.encode()) == line


def test_this_very_process() -> None:
    stat = parse_stat(Path("/proc/self/stat").read_bytes())
    assert (stat.ppid, stat.state) == (os.getppid(), "R")
    assert stat.threads >= 1
    assert stat.rss > 0
    assert 0 < stat.started / procfs.TICKS <= time.clock_gettime(time.CLOCK_BOOTTIME)
    status = parse_status(Path("/proc/self/status").read_bytes())
    assert (status.pids[-1], status.uid) == (os.getpid(), os.getuid())


def test_pids_are_bounded_and_nothing_else_is_one(tmp_path: Path) -> None:
    for name in ("1", "22", "333", "self", "\u00b2", "12345678901", "1x", "-1"):
        (tmp_path / name).mkdir()
    assert [sorted(procfs.pids(str(tmp_path), 3)[0]), procfs.pids(str(tmp_path), 3)[1]] == [[1, 22, 333], False]
    found, cut = procfs.pids(str(tmp_path), 2)
    assert (len(found), cut) == (2, True)
    with pytest.raises(OSError):
        procfs.pids(str(tmp_path / "none"), 2)


def test_reads_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    assert len(procfs.read_whole(str(tmp_path / "f"), 70_000)) == 70_000
    assert len(procfs.read_whole(str(tmp_path / "f"), 200_000)) == 100_000
    assert len(procfs.read_once(str(tmp_path / "f"), 10)) == 10


def test_when_the_node_booted_and_how_many_threads_it_has(tmp_path: Path) -> None:
    assert procfs.threads_in_all(str(tmp_path)) is None
    assert procfs.boot_time(str(tmp_path)) == pytest.approx(procfs.boot_time("/proc"), abs=2)
    proc = PaperProc(tmp_path)
    proc.put(7)
    assert procfs.boot_time(str(tmp_path)) == BOOTED
    assert procfs.threads_in_all(str(tmp_path)) == 1
