"""Files of cgroups of version 1, as kernels write them, to figures with exact values and units."""

from typing import Dict

import pytest
from agent.cgroup_files import FIGURES_V1, FILES_V1
from krm.agent.cgroupfs import v1
from krm.agent.cgroupfs.parsing import working_set
from krm.agent.figures import FIGURES, UNLIMITED, Value


def parsed(files: Dict[str, bytes]) -> Dict[str, Value]:
    figures: Dict[str, Value] = {}
    for row in v1.USAGE + v1.SLOW:
        for name in (row.name, row.of_leaf):
            if name in files:
                row.parse(files[name], figures)
                break
    working_set(figures)
    return figures


def test_every_file_gives_its_figures_in_their_units() -> None:
    assert parsed(FILES_V1) == FIGURES_V1
    assert set(FIGURES_V1) <= set(FIGURES)


@pytest.mark.parametrize("no_limit", [2**63 - 1, 2**63 - 4096, 2**63 - 65536, 2**64 - 1])
def test_what_the_kernel_writes_for_no_limit_is_no_number(no_limit: int) -> None:
    huge = b"%d\n" % no_limit  # by page size and age of the kernel
    files = {
        "memory.limit_in_bytes": huge,
        "memory.memsw.limit_in_bytes": huge,
        "cpu.cfs_quota_us": b"-1\n",
        "pids.max": b"max\n",
    }
    assert parsed(files) == {
        "memory_limit": UNLIMITED,
        "swap_limit": UNLIMITED,
        "cpu_quota_us": UNLIMITED,
        "pids_limit": UNLIMITED,
    }


def test_a_limit_of_both_without_one_of_memory_leaves_swap_unknown() -> None:
    both = {"memory.limit_in_bytes": b"%d" % (2**63 - 4096), "memory.memsw.limit_in_bytes": b"268435456"}
    assert "swap_limit" not in parsed(both)
    assert "swap_limit" not in parsed({"memory.memsw.limit_in_bytes": b"268435456"})


def test_a_cgroup_that_did_no_io_has_done_none_and_one_that_says_nothing_is_unknown() -> None:
    name = "blkio.throttle.io_service_bytes_recursive"
    assert parsed({name: b"Total 0\n"}) == {"io_read_bytes": 0, "io_written_bytes": 0}
    assert parsed({name: b""}) == {}
    assert parsed({name: b"8:0 Read 5\n8:0 Wri"}) == {}  # cut


def test_kernels_without_recursive_files_have_the_others() -> None:
    files = {"blkio.throttle.io_service_bytes": b"8:0 Read 1\n8:0 Write 2\nTotal 3\n"}
    assert parsed(files) == {"io_read_bytes": 1, "io_written_bytes": 2}


def test_more_idle_file_pages_than_memory_in_use_is_a_working_set_of_0() -> None:
    files = {"memory.usage_in_bytes": b"4096", "memory.stat": b"total_inactive_file 8192\n"}
    assert parsed(files)["memory_working_set"] == 0


def test_without_usage_or_idle_pages_there_is_no_working_set() -> None:
    assert "memory_working_set" not in parsed({"memory.stat": b"total_inactive_file 8192\n"})
    assert "memory_working_set" not in parsed({"memory.usage_in_bytes": b"1", "memory.stat": b"total_rss 1\n"})


NONSENSE = [
    b"", b"\n", b"\0", b"-5\n", b"-1 -1\n", b"max max max\n", b"9" * 60, b"18446744073709551616\n", b"1_000\n",
    b"+7\n", b"0x10\n", b"1.5\n", b"\xc2\xb2\n", b"\xff\xfe\n", b"Total\n", b"user\nsystem\n", b"user -1\n",
    b"total_rss 9%s\n" % (b"9" * 60), b"usage_usec\n", b"8:0 Read\n", b"some avg10=0.00\n", b"a b c d e f\n" * 1000,
]  # fmt: skip


@pytest.mark.parametrize("content", NONSENSE, ids=[repr(one[:16]) for one in NONSENSE])
def test_nonsense_is_unknown_in_every_file_and_never_0(content: bytes) -> None:
    numbers = {
        name: value for name, value in parsed(dict.fromkeys(FILES_V1, content)).items() if value != UNLIMITED
    }
    assert numbers == {}
