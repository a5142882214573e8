"""A cgroup read a second time, by other hands: nothing of krm is imported here. Names as krm's figures."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Union

Value = Union[int, str]
UNLIMITED = "unlimited"
ROOT = "/sys/fs/cgroup"


def figures(path: str, root: str = ROOT) -> Dict[str, Value]:
    """What the files of that cgroup say, as far as krm has a figure of it."""
    path = os.path.join(root, path.lstrip("/"))
    cpu, memory = _table(path, "cpu.stat"), _table(path, "memory.stat")
    events, local = _table(path, "memory.events"), _table(path, "memory.events.local")
    found: Dict[str, Optional[Value]] = {
        "cpu_usage_ns": _times(cpu.get("usage_usec"), 1000),
        "cpu_user_ns": _times(cpu.get("user_usec"), 1000),
        "cpu_system_ns": _times(cpu.get("system_usec"), 1000),
        "cpu_periods": cpu.get("nr_periods"),
        "cpu_throttled_periods": cpu.get("nr_throttled"),
        "cpu_throttled_ns": _times(cpu.get("throttled_usec"), 1000),
        "memory_usage": _one(path, "memory.current"),
        "memory_peak": _one(path, "memory.peak"),
        "memory_rss": memory.get("anon"),
        "memory_cache": memory.get("file"),
        "memory_page_faults": memory.get("pgfault"),
        "memory_major_page_faults": memory.get("pgmajfault"),
        "swap_usage": _one(path, "memory.swap.current"),
        "oom_kills": events.get("oom_kill"),
        "oom_kills_local": local.get("oom_kill"),
        "oom_group_kills": events.get("oom_group_kill"),
        "memory_limit_hits": events.get("max"),
        "pids": _one(path, "pids.current"),
        "pids_limit": _one(path, "pids.max"),
        "cpu_weight": _one(path, "cpu.weight"),
    }
    for name in ("max", "high", "low", "min"):
        found["memory_limit" if name == "max" else f"memory_{name}"] = _one(path, f"memory.{name}")
    found["swap_limit"] = _one(path, "memory.swap.max")
    usage, idle = found["memory_usage"], memory.get("inactive_file")
    if isinstance(usage, int) and idle is not None:
        found["memory_working_set"] = usage - idle
    words = _text(path, "cpu.max").split()
    if words:
        found["cpu_quota_us"] = UNLIMITED if words[0] == "max" else int(words[0])
        found["cpu_period_us"] = int(words[1])
    for what in ("cpu", "memory", "io"):
        for line in _text(path, f"{what}.pressure").splitlines():
            name = {"some": "waiting", "full": "stalled"}[line.split()[0]]
            found[f"{what}_{name}_us"] = int(line.split("total=")[1])
    found.update(_devices(path))
    return {name: value for name, value in found.items() if value is not None}


def _devices(path: str) -> Dict[str, int]:
    names = {"rbytes": "io_read_bytes", "wbytes": "io_written_bytes", "rios": "io_reads", "wios": "io_writes"}
    pairs: List[List[str]] = [word.split("=") for word in _text(path, "io.stat").split() if "=" in word]
    return {
        figure: sum(int(value) for key, value in pairs if key == name) for name, figure in names.items() if pairs
    }


def _text(path: str, name: str) -> str:
    try:
        with open(os.path.join(path, name)) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _table(path: str, name: str) -> Dict[str, int]:
    return {line.split()[0]: int(line.split()[1]) for line in _text(path, name).splitlines()}


def _one(path: str, name: str) -> Optional[Value]:
    text = _text(path, name).strip()
    return UNLIMITED if text == "max" else int(text) if text else None


def _times(value: Optional[int], scale: int) -> Optional[int]:
    return None if value is None else value * scale
