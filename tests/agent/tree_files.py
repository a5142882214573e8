"""What one cgroup used, and the files that a kernel would show of it, in version 1 and in version 2.

The formats are those of Linux 6.x: v1 as a host here showed them, v2 as recorded by projects that test against it.
"""

from __future__ import annotations

from typing import Dict, Iterable, NamedTuple, Optional

HUGE = 9223372036854771712  # bytes: version 1's "no limit", the largest whole number of pages
TICK = 10_000_000  # ns
PAGE = 4096


class Load(NamedTuple):
    """The truth of one cgroup. What is used adds up along the path; a limit is its own."""

    user_ns: int = 0  # whole ticks, so that both versions say the same
    system_ns: int = 0
    periods: int = 0
    throttled: int = 0
    throttled_ns: int = 0  # whole us
    anon: int = 0  # bytes, whole pages, all of them
    file: int = 0
    inactive_file: int = 0  # of file
    kernel: int = 0
    swap: int = 0
    faults: int = 0
    major_faults: int = 0
    kills: int = 0  # for want of memory
    limit_hits: int = 0
    pids: int = 0
    read: int = 0  # bytes
    written: int = 0
    reads: int = 0
    writes: int = 0
    cpu_waiting_us: int = 0
    memory_waiting_us: int = 0
    io_waiting_us: int = 0
    # Limits; None = none is set.
    quota_us: Optional[int] = None
    period_us: int = 100_000
    shares: int = 1024
    limit: Optional[int] = None
    high: Optional[int] = None
    low: int = 0
    min: int = 0
    swap_limit: Optional[int] = None
    pids_limit: Optional[int] = None

    @property
    def usage(self) -> int:
        return self.anon + self.file + self.kernel

    @property
    def weight(self) -> int:
        """Of version 2, as runtimes compute it from shares."""
        return 1 + ((self.shares - 2) * 9999) // 262142


LIMITS = ("quota_us", "period_us", "shares", "limit", "high", "low", "min", "swap_limit", "pids_limit")
USED = tuple(name for name in Load._fields if name not in LIMITS)


def together(own: Load, others: Iterable[Load]) -> Load:
    """`own` and its limits, with what the cgroups below it used."""
    loads = [own, *others]
    return own._replace(**{name: sum(getattr(load, name) for load in loads) for name in USED})


def figures(load: Load, version: str, pressure: bool = True) -> Dict[str, object]:
    """What krm.agent.figures' figures must be. `pressure`: whether there is a tree of version 2 to tell it."""
    v2 = version == "v2"
    found: Dict[str, object] = {
        "cpu_usage_ns": load.user_ns + load.system_ns,
        "cpu_user_ns": load.user_ns,
        "cpu_system_ns": load.system_ns,
        "cpu_periods": load.periods,
        "cpu_throttled_periods": load.throttled,
        "cpu_throttled_ns": load.throttled_ns,
        "cpu_quota_us": _or_unlimited(load.quota_us),
        "cpu_period_us": load.period_us,
        "memory_usage": load.usage,
        "memory_peak": load.usage + PAGE,
        "memory_working_set": load.usage - load.inactive_file,
        "memory_rss": load.anon,
        "memory_cache": load.file,
        "memory_page_faults": load.faults,
        "memory_major_page_faults": load.major_faults,
        "memory_limit": _or_unlimited(load.limit),
        "swap_usage": load.swap,
        "swap_limit": _or_unlimited(load.swap_limit),
        "memory_limit_hits": load.limit_hits,
        "oom_kills": load.kills,
        "pids": load.pids,
        "pids_limit": _or_unlimited(load.pids_limit),
        "io_read_bytes": load.read,
        "io_written_bytes": load.written,
        "io_reads": load.reads,
        "io_writes": load.writes,
        **({"cpu_weight": load.weight} if v2 else {"cpu_shares": load.shares}),
    }
    if v2:
        found.update(
            memory_high=_or_unlimited(load.high),
            memory_low=load.low,
            memory_min=load.min,
            oom_kills_local=load.kills,
            oom_group_kills=0,
        )
    if pressure:
        for name in ("cpu", "memory", "io"):
            waited = getattr(load, f"{name}_waiting_us")
            found.update({f"{name}_waiting_us": waited, f"{name}_stalled_us": waited // 2})
    return found


def v2_files(load: Load) -> Dict[str, str]:
    return {
        "cgroup.controllers": "cpuset cpu io memory hugetlb pids rdma misc\n",
        "cgroup.events": "populated 1\nfrozen 0\n",
        "cgroup.procs": "",
        "cgroup.type": "domain\n",
        "cpu.stat": f"usage_usec {(load.user_ns + load.system_ns) // 1000}\nuser_usec {load.user_ns // 1000}\n"
        f"system_usec {load.system_ns // 1000}\nnice_usec 0\ncore_sched.force_idle_usec 0\n"
        f"nr_periods {load.periods}\nnr_throttled {load.throttled}\nthrottled_usec {load.throttled_ns // 1000}\n"
        "nr_bursts 0\nburst_usec 0\n",
        "cpu.max": f"{_or_max(load.quota_us)} {load.period_us}\n",
        "cpu.weight": f"{load.weight}\n",
        "memory.current": f"{load.usage}\n",
        "memory.peak": f"{load.usage + PAGE}\n",
        "memory.max": f"{_or_max(load.limit)}\n",
        "memory.high": f"{_or_max(load.high)}\n",
        "memory.low": f"{load.low}\n",
        "memory.min": f"{load.min}\n",
        "memory.swap.current": f"{load.swap}\n",
        "memory.swap.max": f"{_or_max(load.swap_limit)}\n",
        "memory.stat": _v2_memory_stat(load),
        "memory.events": _v2_events(load),
        "memory.events.local": _v2_events(load),
        "pids.current": f"{load.pids}\n",
        "pids.max": f"{_or_max(load.pids_limit)}\n",
        "pids.events": "max 0\n",
        # Two disks, and one that was never used: a line without numbers, as kernels before 6.1 have it.
        "io.stat": f"259:0 rbytes={load.read - load.read // 4} wbytes={load.written} rios={load.reads} wios=0 "
        f"dbytes=0 dios=0\n8:0 rbytes={load.read // 4} wbytes=0 rios=0 wios={load.writes} dbytes=0 dios=0\n7:0 \n",
        **pressure_files(load),
    }


def v1_files(load: Load) -> Dict[str, Dict[str, str]]:
    """controller -> name -> content."""
    limit = HUGE if load.limit is None else load.limit
    memsw = HUGE if load.limit is None or load.swap_limit is None else load.limit + load.swap_limit
    return {
        "cpu": {
            "cpu.cfs_quota_us": f"{-1 if load.quota_us is None else load.quota_us}\n",
            "cpu.cfs_period_us": f"{load.period_us}\n",
            "cpu.shares": f"{load.shares}\n",
            "cpu.stat": f"nr_periods {load.periods}\nnr_throttled {load.throttled}\n"
            f"throttled_time {load.throttled_ns}\nnr_bursts 0\nburst_time 0\n",
        },
        "cpuacct": {
            "cpuacct.usage": f"{load.user_ns + load.system_ns}\n",
            "cpuacct.stat": f"user {load.user_ns // TICK}\nsystem {load.system_ns // TICK}\n",
            "cpuacct.usage_user": f"{load.user_ns}\n",
            "cpuacct.usage_sys": f"{load.system_ns}\n",
        },
        "memory": {
            "memory.usage_in_bytes": f"{load.usage}\n",
            "memory.max_usage_in_bytes": f"{load.usage + PAGE}\n",
            "memory.limit_in_bytes": f"{limit}\n",
            "memory.soft_limit_in_bytes": f"{HUGE}\n",
            "memory.memsw.usage_in_bytes": f"{load.usage + load.swap}\n",
            "memory.memsw.limit_in_bytes": f"{memsw}\n",
            "memory.failcnt": f"{load.limit_hits}\n",
            "memory.oom_control": f"oom_kill_disable 0\nunder_oom 0\noom_kill {load.kills}\n",
            "memory.stat": _v1_memory_stat(load, limit, memsw),
        },
        "pids": {
            "pids.current": f"{load.pids}\n",
            "pids.max": f"{_or_max(load.pids_limit)}\n",
            "pids.events": "max 0\n",
        },
        "blkio": {
            "blkio.throttle.io_service_bytes_recursive": _blkio(load.read, load.written),
            "blkio.throttle.io_serviced_recursive": _blkio(load.reads, load.writes),
            "blkio.throttle.io_service_bytes": "Total 0\n",
            "blkio.throttle.io_serviced": "Total 0\n",
        },
        "name=systemd": {},
    }


def pressure_files(load: Load) -> Dict[str, str]:
    return {
        f"{name}.pressure": "".join(
            f"{kind} avg10=0.12 avg60=0.05 avg300=0.00 total={total}\n"
            for kind, total in (("some", waited), ("full", waited // 2))
        )
        for name, waited in (
            ("cpu", load.cpu_waiting_us), ("memory", load.memory_waiting_us), ("io", load.io_waiting_us),
        )
    }  # fmt: skip


def _v2_memory_stat(load: Load) -> str:
    values = {
        "anon": load.anon, "file": load.file, "kernel": load.kernel, "kernel_stack": 0, "pagetables": load.kernel,
        "sec_pagetables": 0, "percpu": 0, "sock": 0, "vmalloc": 0, "shmem": 0, "zswap": 0, "zswapped": 0,
        "file_mapped": load.file // 2, "file_dirty": 0, "file_writeback": 0, "swapcached": 0, "anon_thp": 0,
        "file_thp": 0, "shmem_thp": 0, "inactive_anon": load.anon, "active_anon": 0,
        "inactive_file": load.inactive_file, "active_file": load.file - load.inactive_file, "unevictable": 0,
        "slab_reclaimable": 0, "slab_unreclaimable": 0, "slab": 0, "workingset_refault_anon": 0,
        "workingset_refault_file": 0, "workingset_activate_anon": 0, "workingset_activate_file": 0,
        "workingset_restore_anon": 0, "workingset_restore_file": 0, "workingset_nodereclaim": 0, "pgscan": 0,
        "pgsteal": 0, "pgscan_kswapd": 0, "pgscan_direct": 0, "pgscan_khugepaged": 0, "pgsteal_kswapd": 0,
        "pgsteal_direct": 0, "pgsteal_khugepaged": 0, "pgfault": load.faults, "pgmajfault": load.major_faults,
        "pgrefill": 0, "pgactivate": 0, "pgdeactivate": 0, "pglazyfree": 0, "pglazyfreed": 0, "zswpin": 0,
        "zswpout": 0, "zswpwb": 0, "thp_fault_alloc": 0, "thp_collapse_alloc": 0, "thp_swpout": 0,
        "thp_swpout_fallback": 0,
    }  # fmt: skip
    return "".join(f"{name} {value}\n" for name, value in values.items())


def _v2_events(load: Load) -> str:
    return f"low 0\nhigh 0\nmax {load.limit_hits}\noom {load.kills}\noom_kill {load.kills}\noom_group_kill 0\n"


def _v1_memory_stat(load: Load, limit: int, memsw: int) -> str:
    values = {
        "cache": load.file, "rss": load.anon, "rss_huge": 0, "shmem": 0, "mapped_file": load.file // 2, "dirty": 0,
        "writeback": 0, "workingset_refault_anon": 0, "workingset_refault_file": 0, "swap": load.swap,
        "swapcached": 0, "pgpgin": load.faults, "pgpgout": load.faults, "pgfault": load.faults,
        "pgmajfault": load.major_faults, "inactive_anon": load.anon, "active_anon": 0,
        "inactive_file": load.inactive_file, "active_file": load.file - load.inactive_file, "unevictable": 0,
    }  # fmt: skip
    # Of itself alone a cgroup with others below it has next to nothing: who reads that is wrong.
    lines = [f"{name} {value // 7}\n" for name, value in values.items()]
    lines += [f"hierarchical_memory_limit {limit}\nhierarchical_memsw_limit {memsw}\n"]
    return "".join(lines + [f"total_{name} {value}\n" for name, value in values.items()])


def _blkio(read: int, write: int) -> str:
    disks = [("259:0", read - read // 4, 0), ("8:0", read // 4, write)]
    lines = [
        f"{disk} {kind} {value}\n"
        for disk, r, w in disks
        for kind, value in (
            ("Read", r), ("Write", w), ("Sync", 0), ("Async", r + w), ("Discard", 0), ("Total", r + w),
        )
    ]  # fmt: skip
    return "".join(lines) + f"Total {read + write}\n"


def _or_max(value: Optional[int]) -> object:
    return "max" if value is None else value


def _or_unlimited(value: Optional[int]) -> object:
    return "unlimited" if value is None else value
