"""Figures of a node: of its root cgroup and of /proc, on paper and on this machine."""

import sys
import time
from pathlib import Path
from typing import Dict

import pytest
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.figures import FIGURES, UNLIMITED
from krm.agent.node import Node, read_node

PROC = {
    "loadavg": "0.71 12.05 1.09 4/812 18551\n",
    "meminfo": "MemTotal:       16384 kB\nMemFree:         4096 kB\nMemAvailable:    8192 kB\nBuffers:  0 kB\n"
    "Cached:  1024 kB\nShmem:  0 kB\nActive:  0 kB\nInactive:  0 kB\nSReclaimable:  0 kB\nSlab:  0 kB\n"
    "SwapTotal:       2048 kB\nSwapFree:        1536 kB\n",
    "vmstat": "pswpin 0\npswpout 0\npgfault 500\npgmajfault 7\noom_kill 3\n",
    "stat": "cpu  100 10 20 5000 30 4 5 600 0 0\nbtime 1799000000\n",
    "diskstats": "",
    "pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    "pressure/memory": "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=13\n",
    "pressure/io": "some avg10=0.00 avg60=0.00 avg300=0.00 total=14\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=15\n",
    "sys/kernel/pid_max": "4194304\n",
    "sys/kernel/threads-max": "126000\n",
}
# What the root of version 2 has, and that is all.
ROOT_V2 = {
    "cgroup.controllers": "cpu io memory pids\n",
    "cgroup.procs": "",
    "memory.stat": "anon 1000000\nfile 3000000\ninactive_file 500000\npgfault 1\n",
    "cpu.stat": "usage_usec 90\nuser_usec 60\nsystem_usec 30\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=10\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
}
KIB = 1024
# psutil asks this machine for these where /proc does not say: /sys/block, and sysinfo(2).
DISKS = {"io_read_bytes", "io_written_bytes", "io_reads", "io_writes"}
SWAP = {"swap_limit", "swap_usage"}


def laid(folder: Path, files: Dict[str, str]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def node(tmp_path: Path, proc: Dict[str, str]) -> Node:
    hierarchy = open_hierarchy(laid(tmp_path / "cgroup", ROOT_V2))
    return read_node(hierarchy, laid(tmp_path / "proc", proc), 1.0)


def test_what_the_root_of_version_2_lacks_comes_from_proc(tmp_path: Path) -> None:
    found = node(tmp_path, PROC)
    assert found.booted == 1799000000.0
    assert found.missing == ()
    assert {name: value for name, value in found.figures.items() if name not in DISKS} == {
        "cpu_usage_ns": 90_000,
        "cpu_user_ns": 60_000,
        "cpu_system_ns": 30_000,
        "memory_usage": 4_000_000,  # as version 1 counts for its root: anonymous memory and file pages
        "memory_working_set": 3_500_000,
        "memory_rss": 1_000_000,
        "memory_cache": 3_000_000,
        "memory_page_faults": 500,
        "memory_major_page_faults": 7,
        "memory_limit": 16384 * KIB,
        "memory_available": 8192 * KIB,
        "swap_limit": 2048 * KIB,
        "swap_usage": 512 * KIB,
        "oom_kills": 3,
        "pids": 812,
        "pids_limit": 126000,
        "load_1m": 710,
        "load_5m": 12050,
        "load_15m": 1090,
        "cpu_waiting_us": 11,
        "memory_waiting_us": 12,
        "memory_stalled_us": 13,
        "io_waiting_us": 14,
        "io_stalled_us": 15,
    }


def test_all_of_the_cpu_line_is_not_needed_to_know_the_cpu_time(tmp_path: Path) -> None:
    """No cgroups: user, nice, system, irq and softirq; idle, iowait and what the hypervisor took are none."""
    found = read_node(None, laid(tmp_path, PROC), 1.0)
    tick = 10_000_000
    assert found.figures["cpu_user_ns"] == 110 * tick
    assert found.figures["cpu_system_ns"] == 29 * tick
    assert found.figures["cpu_usage_ns"] == 139 * tick
    assert found.figures["memory_usage"] == 12288 * KIB
    assert "memory_working_set" not in found.figures


def test_the_cpu_of_a_node_has_no_full_pressure(tmp_path: Path) -> None:
    """The kernel writes a line with 0 there, which means nothing."""
    assert "cpu_stalled_us" not in node(tmp_path, PROC).figures


def test_what_lies_over_a_disk_and_parts_of_it_do_not_count_again(tmp_path: Path) -> None:
    """A file system on LVM: each byte is one of the disk's, of its partition's and of the volume's."""
    row = "{} 0 {} 3 0 10 0 5 0 20 0 0 0 0\n"
    names = ("sda", "sda1", "nvme0n1", "nvme0n1p2", "dm-0", "dm-1", "md0", "loop0", "zram0", "xvda1", "sr0")
    found = node(tmp_path, {**PROC, "diskstats": "".join(row.format(8, name) for name in names)})
    figures = [found.figures[name] for name in ("io_reads", "io_read_bytes", "io_writes", "io_written_bytes")]
    assert figures == [9, 3 * 10 * 512, 15, 3 * 20 * 512], "of sda, nvme0n1, and a disk that is called xvda1"


def test_without_psi_that_is_said(tmp_path: Path) -> None:
    proc = {name: content for name, content in PROC.items() if not name.startswith("pressure")}
    (tmp_path / "cgroup").mkdir()
    found = read_node(None, laid(tmp_path / "proc", proc), 1.0)
    assert [one.what for one in found.missing] == ["pressure"]
    assert "psi=1" in found.missing[0].why
    assert not any(name.endswith(("waiting_us", "stalled_us")) for name in found.figures)


def test_an_empty_proc_leaves_all_unknown_and_says_what_is_missing(tmp_path: Path) -> None:
    tmp_path.joinpath("nothing").mkdir()
    found = read_node(None, tmp_path / "nothing", 1.0)
    assert not set(found.figures) - DISKS - SWAP
    assert found.booted is None
    assert {"pressure", "memory", "CPU"} <= {one.what for one in found.missing}


@pytest.mark.parametrize("content", ["", "-1\n", "9" * 60, "a b c d e\n" * 10, "\0", "0.7.1 x 1.0 4/-1 7\n"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # psutil's, of a vmstat that is none
def test_nonsense_in_proc_is_unknown_and_never_0(tmp_path: Path, content: str) -> None:
    found = read_node(None, laid(tmp_path, dict.fromkeys(PROC, content)), 1.0)
    assert found.booted is None
    assert not [name for name, value in found.figures.items() if value == 0 and name not in DISKS | SWAP]
    assert not {"pids", "load_1m", "memory_available", "cpu_usage_ns", "oom_kills"} & set(found.figures)


def test_without_psutil_the_rest_is_read_and_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    found = node(tmp_path, PROC)
    assert "pip install 'krm[agent]'" in found.missing[0].why
    assert found.booted is None
    assert found.figures["pids"] == 812
    assert found.figures["memory_working_set"] == 3_500_000
    assert "memory_available" not in found.figures


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="Linux alone has /proc")
def test_this_machine() -> None:
    root = Path("/sys/fs/cgroup")
    mounted = (root / "cgroup.controllers").exists() or (root / "memory").exists()
    found = read_node(open_hierarchy(root) if mounted else None, Path("/proc"), time.time())
    figures = found.figures
    assert set(figures) <= set(FIGURES)
    assert UNLIMITED not in figures.values()
    limit, usage, available = figures["memory_limit"], figures["memory_usage"], figures["memory_available"]
    assert isinstance(limit, int)
    assert isinstance(usage, int)
    assert isinstance(available, int)
    assert 0 < usage < limit
    assert 0 < available < limit
    assert found.booted is not None
    assert 0 < found.booted < time.time()
