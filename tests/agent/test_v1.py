"""Files of cgroups of version 1, as kernels write them, to figures with exact values and units."""

from typing import Dict

import pytest
from krm.agent import v1
from krm.agent.figures import FIGURES, UNLIMITED, Value

# Of a container on Linux 6.1 (Docker, cgroupfs driver), shortened to what is read and its neighbours.
FILES = {
    "memory.usage_in_bytes": b"104857600\n",
    "memory.stat": b"cache 1\nrss 2\nswap 3\npgfault 4\ninactive_file 5\nhierarchical_memory_limit 134217728\n"
    b"total_cache 33554432\ntotal_rss 67108864\ntotal_rss_huge 9\ntotal_swap 4096\ntotal_swapcached 8192\n"
    b"total_pgpgin 7\ntotal_pgfault 250000\ntotal_pgmajfault 12\ntotal_inactive_anon 8\n"
    b"total_inactive_file 20971520\ntotal_active_file 6\n",
    "memory.max_usage_in_bytes": b"120000000\n",
    "memory.oom_control": b"oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "memory.failcnt": b"17\n",
    "cpuacct.usage": b"123456789012\n",
    "cpuacct.stat": b"user 10000\nsystem 2345\n",
    "cpu.stat": b"nr_periods 50000\nnr_throttled 1250\nthrottled_time 7500000000\nnr_bursts 1\nburst_time 2\n",
    "pids.current": b"17\n",
    "blkio.throttle.io_service_bytes_recursive": b"8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 12288\n8:0 Total 12288\n"
    b"253:1 Read 1024\n253:1 Write 0\n253:1 Total 1024\nTotal 13312\n",
    "blkio.throttle.io_serviced_recursive": b"8:0 Read 1\n8:0 Write 2\n253:1 Read 3\nTotal 6\n",
    "memory.limit_in_bytes": b"134217728\n",
    "memory.memsw.limit_in_bytes": b"268435456\n",
    "cpu.cfs_quota_us": b"20000\n",
    "cpu.cfs_period_us": b"100000\n",
    "cpu.shares": b"204\n",
    "pids.max": b"1024\n",
}
FIGURES_OF_FILES = {
    "memory_usage": 104857600,
    "memory_working_set": 104857600 - 20971520,
    "memory_rss": 67108864,
    "memory_cache": 33554432,
    "swap_usage": 4096,
    "memory_page_faults": 250000,
    "memory_major_page_faults": 12,
    "memory_peak": 120000000,
    "oom_kills": 3,
    "memory_limit_hits": 17,
    "cpu_usage_ns": 123456789012,
    "cpu_user_ns": 100_000_000_000,
    "cpu_system_ns": 23_450_000_000,
    "cpu_periods": 50000,
    "cpu_throttled_periods": 1250,
    "cpu_throttled_ns": 7_500_000_000,
    "pids": 17,
    "io_read_bytes": 5120,
    "io_written_bytes": 8192,
    "io_reads": 4,
    "io_writes": 2,
    "memory_limit": 134217728,
    "swap_limit": 134217728,
    "cpu_quota_us": 20000,
    "cpu_period_us": 100000,
    "cpu_shares": 204,
    "pids_limit": 1024,
}


def parsed(files: Dict[str, bytes]) -> Dict[str, Value]:
    figures: Dict[str, Value] = {}
    for row in v1.USAGE + v1.SLOW:
        for name in row.names:
            if name in files:
                row.parse(files[name], figures)
                break
    return figures


def test_every_file_gives_its_figures_in_their_units() -> None:
    assert parsed(FILES) == FIGURES_OF_FILES
    assert set(FIGURES_OF_FILES) <= set(FIGURES)


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
    numbers = {name: value for name, value in parsed(dict.fromkeys(FILES, content)).items() if value != UNLIMITED}
    assert numbers == {}
