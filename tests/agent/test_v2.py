"""Files of cgroups of version 2, as kernels write them, to figures with exact values and units."""

from typing import Dict

import pytest
from krm.agent import v2
from krm.agent.figures import FIGURES, UNLIMITED, Value

# Of a container on Linux 6.1 (containerd, systemd driver), shortened to what is read and its neighbours.
FILES = {
    "memory.current": b"104857600\n",
    "memory.peak": b"120000000\n",
    "memory.stat": b"anon 67108864\nfile 33554432\nkernel 1\nfile_mapped 2\nswapcached 8192\ninactive_anon 3\n"
    b"inactive_file 20971520\nactive_file 4\npgfault 250000\npgmajfault 12\npgrefill 5\n",
    "memory.swap.current": b"4096\n",
    "memory.events": b"low 1\nhigh 2\nmax 17\noom 4\noom_kill 3\noom_group_kill 0\n",
    "memory.events.local": b"low 0\nhigh 0\nmax 16\noom 4\noom_kill 2\noom_group_kill 0\n",
    "cpu.stat": b"usage_usec 123456789\nuser_usec 100000000\nsystem_usec 23456789\nnice_usec 0\n"
    b"nr_periods 50000\nnr_throttled 1250\nthrottled_usec 7500000\nnr_bursts 0\nburst_usec 0\n",
    "pids.current": b"17\n",
    "io.stat": b"8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=9 dios=9\n"
    b"253:1 rbytes=1024 wbytes=0 rios=3 wios=0 dbytes=0 dios=0\n",
    "cpu.pressure": b"some avg10=1.00 avg60=2.00 avg300=3.00 total=2500000\n"
    b"full avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n",
    "memory.pressure": b"some avg10=0.00 avg60=0.00 avg300=0.00 total=11\n"
    b"full avg10=0.00 avg60=0.00 avg300=0.00 total=12\n",
    "io.pressure": b"some avg10=0.00 avg60=0.00 avg300=0.00 total=13\n"
    b"full avg10=0.00 avg60=0.00 avg300=0.00 total=14\n",
    "cpu.max": b"20000 100000\n",
    "cpu.weight": b"8\n",
    "memory.max": b"134217728\n",
    "memory.high": b"100663296\n",
    "memory.low": b"0\n",
    "memory.min": b"1048576\n",
    "memory.swap.max": b"0\n",
    "pids.max": b"1024\n",
}  # fmt: skip
FIGURES_OF_FILES = {
    "memory_usage": 104857600,
    "memory_working_set": 104857600 - 20971520,
    "memory_rss": 67108864,
    "memory_cache": 33554432,
    "memory_peak": 120000000,
    "memory_page_faults": 250000,
    "memory_major_page_faults": 12,
    "swap_usage": 4096,
    "oom_kills": 3,
    "oom_kills_local": 2,
    "memory_limit_hits": 17,
    "cpu_usage_ns": 123_456_789_000,
    "cpu_user_ns": 100_000_000_000,
    "cpu_system_ns": 23_456_789_000,
    "cpu_periods": 50000,
    "cpu_throttled_periods": 1250,
    "cpu_throttled_ns": 7_500_000_000,
    "pids": 17,
    "io_read_bytes": 5120,
    "io_written_bytes": 8192,
    "io_reads": 4,
    "io_writes": 2,
    "cpu_waiting_us": 2500000,
    "cpu_stalled_us": 500000,
    "memory_waiting_us": 11,
    "memory_stalled_us": 12,
    "io_waiting_us": 13,
    "io_stalled_us": 14,
    "cpu_quota_us": 20000,
    "cpu_period_us": 100000,
    "cpu_weight": 8,
    "memory_limit": 134217728,
    "memory_high": 100663296,
    "memory_low": 0,
    "memory_min": 1048576,
    "swap_limit": 0,
    "pids_limit": 1024,
}


def parsed(files: Dict[str, bytes]) -> Dict[str, Value]:
    figures: Dict[str, Value] = {}
    for row in v2.USAGE + v2.SLOW:
        if row.names[0] in files:
            row.parse(files[row.names[0]], figures)
    return figures


def test_every_file_gives_its_figures_in_their_units() -> None:
    assert parsed(FILES) == FIGURES_OF_FILES
    assert set(FIGURES_OF_FILES) <= set(FIGURES)


def test_max_is_no_limit_and_no_number() -> None:
    names = ["memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max", "pids.max"]
    figures = parsed({**dict.fromkeys(names, b"max\n"), "cpu.max": b"max 100000\n"})
    assert figures.pop("cpu_period_us") == 100000
    assert set(figures.values()) == {UNLIMITED}
    assert len(figures) == 7


def test_without_the_cpu_controller_nothing_is_said_of_throttling() -> None:
    figures = parsed({"cpu.stat": b"usage_usec 5\nuser_usec 3\nsystem_usec 2\n"})
    assert figures == {"cpu_usage_ns": 5000, "cpu_user_ns": 3000, "cpu_system_ns": 2000}


def test_lines_of_devices_without_figures_are_passed_over() -> None:
    raw = b"7:0 \n8:16 8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:0\n"  # seen on Linux 5.10 to 5.15
    assert parsed({"io.stat": raw}) == {"io_read_bytes": 1, "io_written_bytes": 2, "io_reads": 3, "io_writes": 4}


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    raw = b"8:0 rbytes=1 wbytes=2\n8:1 rbytes=-1 wbytes=3\n"
    assert parsed({"io.stat": raw}) == {"io_written_bytes": 5}


def test_pressure_of_old_kernels_has_no_full_line_for_cpu() -> None:
    raw = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
    assert parsed({"cpu.pressure": raw}) == {"cpu_waiting_us": 7}


NONSENSE = [
    b"", b"\n", b"\0", b"-5\n", b"-1 -1\n", b"9" * 60, b"18446744073709551616\n", b"1_000\n", b"+7\n", b"1.5\n",
    b"\xff\xfe\n", b"anon\n", b"anon -1\n", b"usage_usec 9%s\n" % (b"9" * 60), b"rbytes=\n",
    b"rbytes=x wbytes=-1\n",
    b"some total=\n", b"some avg10=0.00\n", b"some avg10=0 total=-1\nfull avg10=0 total=1e9\n", b"a b c\n" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("content", NONSENSE, ids=[repr(one[:16]) for one in NONSENSE])
def test_nonsense_is_unknown_in_every_file_and_never_0(content: bytes) -> None:
    assert parsed(dict.fromkeys(FILES, content)) == {}
