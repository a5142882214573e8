"""The kernel's log: which processes it killed for want of memory, in which cgroup, and whose limit was hit.

/dev/kmsg gives one record a read: `level and facility,number,microseconds,flag;text`, with what is no printable
ASCII written \\xNN. It is read without waiting, each turn to its end; a reader that is too slow is told that
records are gone. Whoever may write to it (root) cannot pass for the kernel: such records have another facility.

The log's clock counts from boot and is never set. It is taken for CLOCK_MONOTONIC, which differs by little; and
what was read in a turn was written since the turn before, so a time is never further off than that. What was there
at the first turn has the clock's word alone.
"""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional, Tuple

from krm.agent.cgroupfs.places import place_of, printable
from krm.agent.oom.oom_lines import GLOBAL, MEMCG, Killed, OomLines
from krm.agent.seen import NODE, POD, Missing
from krm.model.kills import ANCESTOR_LIMIT, CONTAINER_LIMIT, KERNEL_LOG, NODE_WIDE, POD_LIMIT, UNKNOWN, Evidence

RECENT = 300.0  # seconds: how old a kill may be that the first turn still tells
MOST_RECORDS = 20_000  # of one turn, some 50 ms; the rest is read in the next
_RECORD = 8192 + 256  # bytes; the kernel gives no larger ones
_KERNEL = 0  # facility
NOT_ASKED = Missing(
    "kernel log",
    "it is not read: --kernel-log turns it on, with the path of /dev/kmsg. Kills are counted without it, but which "
    "process was killed and whose limit was hit is not known",
)


class Record(NamedTuple):
    """One record of the log."""

    number: int
    us: int
    goes_on: bool  # it continues a line that others' came between
    text: str  # bytes as they were, what is no UTF-8 as surrogates


def record_of(data: bytes) -> Optional[Record]:
    """None: it is not the kernel's own, or no record."""
    head, _, body = data.partition(b";")
    fields = head.split(b",")
    try:
        priority, number, us = int(fields[0]), int(fields[1]), int(fields[2])
    except (ValueError, IndexError):
        return None
    if priority >> 3 != _KERNEL:
        return None
    line = body.partition(b"\n")[0]
    flag = fields[3] if len(fields) > 3 else b"-"
    return Record(number, us, flag in (b"c", b"+"), _unescaped(line).decode("utf-8", "surrogateescape"))


_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


def _unescaped(line: bytes) -> bytes:
    if b"\\" not in line:
        return line
    return _ESCAPED.sub(lambda found: bytes([int(found.group(1), 16)]), line)


class KernelLog:
    """The log at `path`, opened when it can be. Not for several threads."""

    def __init__(self, path: str, node: str, boot: str) -> None:
        """`boot`: what names this boot of the node (/proc/sys/kernel/random/boot_id)."""
        self._path, self._node, self._boot = path, node, boot.strip()[:8] or "boot"
        self._fd: Optional[int] = None
        self._lines = OomLines()
        self._before: Optional[float] = None  # the former turn's `now`

    def turn(self, now: float, clock: float) -> Tuple[List[Evidence], List[Missing]]:
        """The kills that were logged since the turn before. `clock`: CLOCK_MONOTONIC at `now`, both seconds."""
        missing: List[Missing] = []
        if self._fd is None:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError as error:
                return [], [Missing("kernel log", _refused(self._path, error))]
        found: List[Evidence] = []
        try:
            whole = self._read(self._fd, found, now, clock, missing)
        except OSError as error:
            self.close()
            return found, [*missing, Missing("kernel log", _refused(self._path, error))]
        if whole:
            self._before = now
        return found, missing

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = self._before = None  # opened again, it is read from its oldest record on

    def _read(self, fd: int, found: List[Evidence], now: float, clock: float, missing: List[Missing]) -> bool:
        """Whether the end was reached."""
        for _ in range(MOST_RECORDS):
            try:
                data = os.read(fd, _RECORD)
            except BlockingIOError:
                return True
            except BrokenPipeError:
                missing.append(Missing("kernel log", "records were overwritten before this turn could read them"))
                continue
            if not data:  # a plain file, in place of the device
                return True
            record = record_of(data)
            if record is None:
                continue
            killed = self._lines.line(record.us, record.text, record.goes_on)
            if killed is not None and (self._before is not None or record.us / 1e6 >= clock - RECENT):
                found.append(self._evidence(record.number, killed, now, now - clock + record.us / 1e6))
        return False

    def _evidence(self, number: int, killed: Killed, now: float, at: float) -> Evidence:
        at = min(at, now)
        if self._before is not None and self._before <= now:
            at = max(at, self._before)
        place = place_of(killed.cgroup) if killed.cgroup else None
        return Evidence(
            witness=KERNEL_LOG,
            node=self._node,
            at=at,
            after=at,
            container_id=place.container_id if place else "",
            pod_uid=place.pod_uid if place else "",
            cgroup=printable(killed.cgroup),
            pid=killed.pid,
            process=printable(killed.name),
            rss=killed.rss,
            scope=scope_of(killed),
            limited=printable(killed.limited),
            limit=killed.limit,
            key=f"{self._boot}.{number}",
        )


def scope_of(killed: Killed) -> str:
    """Whose limit a process was killed for."""
    if killed.reason == GLOBAL:
        return NODE_WIDE
    if killed.reason != MEMCG or not killed.limited:
        return UNKNOWN
    own, limited = place_of(killed.cgroup), place_of(killed.limited)
    if limited.level == NODE:
        return NODE_WIDE
    if limited.container_id and limited.container_id == own.container_id:
        return CONTAINER_LIMIT
    if limited.level == POD and limited.pod_uid == own.pod_uid:
        return POD_LIMIT
    return ANCESTOR_LIMIT


def _refused(path: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is not there: mount the host's /dev/kmsg, and name it with --kernel-log"
    if isinstance(error, PermissionError):
        return (
            f"{path} may not be read ({error.strerror}): where kernel.dmesg_restrict is 1 that takes the "
            "capability CAP_SYSLOG, and in a container the right to the device (a privileged one has it)"
        )
    return f"{path} cannot be read: {error.strerror}"
