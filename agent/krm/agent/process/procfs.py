"""/proc as the kernel writes it: PIDs, and what stat, status and cgroup of a process say. Reads are bounded.

A name (comm) may hold any byte but NUL: blanks, `)`, newlines. In stat the last `)` ends it, for nothing after
it but digits and one letter follows.
"""

from __future__ import annotations

import os
import time
from typing import List, NamedTuple, Optional, Tuple

TICKS: int = os.sysconf("SC_CLK_TCK")  # a second, in which the kernel counts times of processes
TICK_NS = 1_000_000_000 // TICKS
PAGE: int = os.sysconf("SC_PAGE_SIZE")  # bytes

EXITING = 0x4  # flags: it ends, or has ended and nobody asked how (a zombie)
KERNEL_THREAD = 0x200000

MOST_STAT = 4096  # bytes; one is about 300
MOST_STATUS = 16 * 1024  # about 1,500
MOST_CGROUP = 64 * 1024  # twelve hierarchies with paths of at most 4 KiB
MOST_NODE = 1024 * 1024  # /proc/stat has a line for each CPU and one of all interrupts
_CHUNK = 16 * 1024
_LONGEST_PID = 10  # digits
_DELETED = b" (deleted)"
_TRACED = ("io", "smaps_rollup", "fd", "environ", "exe")


class Stat(NamedTuple):
    """/proc/PID/stat, as far as it is used."""

    name: str  # comm; what is not UTF-8 is written \\x..
    state: str
    ppid: int
    flags: int  # EXITING, KERNEL_THREAD, ...
    ticks: int  # user and system time of itself
    threads: int
    started: int  # ticks from boot to its start
    rss: int  # pages


class Status(NamedTuple):
    """/proc/PID/status, as far as it is used."""

    # Its PID in each PID namespace that sees it: the first in that of this /proc, the last in its own. Kernels
    # before 4.1 do not say: empty.
    pids: Tuple[int, ...]
    uid: Optional[int]  # real


class CgroupLine(NamedTuple):
    """The line of /proc/PID/cgroup of the hierarchy that is walked."""

    path: str  # as seen from the reader's cgroup namespace: may begin with /..
    unified: bool  # of version 2. Version 1 says `/` of what is ending


def read_once(path: str, most: int) -> bytes:
    """One read: enough for what the kernel writes in one piece. OSError where it cannot be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def read_whole(path: str, most: int) -> bytes:
    """All of it, cut at `most` bytes. OSError where it cannot be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = b""
        while len(found) < most:
            chunk = os.read(fd, min(_CHUNK, most - len(found)))
            if not chunk:
                break
            found += chunk
        return found
    finally:
        os.close(fd)


def pids(procfs: str, most: int) -> Tuple[List[int], bool]:
    """PIDs of all processes, the lowest first, at most `most`; whether there are more. OSError."""
    found: List[int] = []
    with os.scandir(procfs) as entries:
        for entry in entries:
            name = entry.name
            if name.isdigit() and name.isascii() and len(name) <= _LONGEST_PID:
                if len(found) == most:
                    return found, True
                found.append(int(name))
    return found, False


def parse_stat(data: bytes) -> Stat:
    """ValueError where that is no stat."""
    opening, closing = data.find(b"("), data.rfind(b")")
    if not 0 < opening < closing:
        raise ValueError("stat has no name in brackets")
    # Field 3 of proc(5) is rest[0], and so on.
    rest = data[closing + 2 :].split(b" ", 22)
    if len(rest) < 23:
        raise ValueError(f"stat has {len(rest)} fields after the name instead of 23 or more")
    return Stat(
        data[opening + 1 : closing].decode("utf-8", "backslashreplace"),
        rest[0].decode("ascii"),
        int(rest[1]),
        int(rest[6]),
        int(rest[11]) + int(rest[12]),
        int(rest[17]),
        int(rest[19]),
        int(rest[21]),
    )


def parse_status(data: bytes) -> Status:
    """A name holds no newline here: the kernel writes it as \\n. ValueError where a number is none."""
    inside = _line(data, b"NSpid:")
    uids = _line(data, b"Uid:")
    return Status(tuple(int(word) for word in inside), int(uids[0]) if uids else None)


def _line(data: bytes, name: bytes) -> List[bytes]:
    """Words of a line; none where it is not there."""
    at = data.find(b"\n" + name)
    if at < 0:
        return []
    return data[at + 1 + len(name) : data.find(b"\n", at + 1)].split()


def parse_cgroup(data: bytes, walked: bytes = b"memory") -> Optional[CgroupLine]:
    """The line of the controller `walked` where it has one (version 1), else that of version 2. None: neither."""
    unified = None
    for line in data.split(b"\n"):
        parts = line.split(b":", 2)
        if len(parts) < 3 or not parts[2].startswith(b"/"):
            continue
        if parts[1] == b"":
            unified = parts[2]
        elif walked in parts[1].split(b","):
            return CgroupLine(os.fsdecode(parts[2]), False)
    if unified is None:
        return None
    if unified.endswith(_DELETED):  # its cgroup was removed, it is a zombie
        unified = unified[: -len(_DELETED)]
    return CgroupLine(os.fsdecode(unified), True)


def boot_time(procfs: str) -> float:
    """Unix seconds at which the node booted, whole as the kernel tells them, else by this process' clocks."""
    try:
        words = _line(read_whole(f"{procfs}/stat", MOST_NODE), b"btime")
        return float(int(words[0]))
    except (OSError, ValueError, IndexError):
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def threads_in_all(procfs: str) -> Optional[int]:
    """Threads of the whole machine, those that this /proc hides too; None = not known."""
    try:
        words = read_once(f"{procfs}/loadavg", MOST_STAT).split()
        return int(words[3].partition(b"/")[2])
    except (OSError, ValueError, IndexError):
        return None


def denied(procfs: str, pid: int) -> List[str]:
    """Which files of a process this one may not read, of those that the kernel keeps for who may trace it."""
    found: List[str] = []
    for name in _TRACED:
        path = f"{procfs}/{pid}/{name}"
        try:
            if name == "fd":
                os.listdir(path)
            elif name == "exe":
                os.readlink(path)
            else:
                read_once(path, 1)
        except PermissionError:
            found.append(name)
        except OSError:
            continue  # it has gone, or has none: another reason than rights
    return found
