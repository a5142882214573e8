"""Files of cgroups of version 2, as kernels write them, to figures with exact values and units."""

from typing import Dict

import pytest
from agent.cgroup_files import FIGURES_V2, FILES_V2
from krm.agent.cgroupfs import v2
from krm.agent.cgroupfs.parsing import working_set
from krm.agent.figures import FIGURES, UNLIMITED, Value


def parsed(files: Dict[str, bytes]) -> Dict[str, Value]:
    figures: Dict[str, Value] = {}
    for row in v2.USAGE + v2.SLOW:
        if row.name in files:
            row.parse(files[row.name], figures)
    working_set(figures)
    return figures


def test_every_file_gives_its_figures_in_their_units() -> None:
    assert parsed(FILES_V2) == FIGURES_V2
    assert set(FIGURES_V2) <= set(FIGURES)


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
    assert parsed(dict.fromkeys(FILES_V2, content)) == {}
