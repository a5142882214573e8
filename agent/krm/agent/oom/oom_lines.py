"""The kernel's lines about OOM kills, of Linux 3.10 to 6.x. Pure: lines in, killed processes out.

    X invoked oom-killer: gfp_mask=...                                        a report begins
    memory: usage 16384kB, limit 16384kB, failcnt 27                          of the cgroup whose limit was hit
    Task in PATH killed as a result of limit of PATH                          before 4.20
    oom-kill:constraint=CONSTRAINT_MEMCG,...,oom_memcg=PATH,task_memcg=PATH,task=NAME,pid=N,uid=N    since
    Memory cgroup out of memory: Kill process N (NAME) score 9 or sacrifice child      before 5.3; means to kill
    Memory cgroup out of memory: Killed process N (NAME) total-vm:9kB, anon-rss:9kB, file-rss:9kB    it is done
    Tasks in PATH are going to be killed due to memory.oom.group set          the others of that cgroup follow

Each kill has its `Killed process` line; the report before it is left out where there are more than ten in 5 s.
Names and paths hold whatever their makers like: a name is what stands between `(` and the last `) total-vm:`, and
with the name the end of the report's line is known. A report is believed of the process alone that it names.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Tuple

MEMCG, GLOBAL = "memcg", "global"
_SAME = 5_000_000  # us in which a line about the same process is no second kill of it: a group's victim is in it
_GROUP = 1_000_000  # us after the line about a group in which its members are killed
_UNLIMITED = 1 << 52  # kB: above it is no limit
_KILLED = re.compile(
    r"(?:([^:]*): )?Killed process ([0-9]{1,10})(?:, UID [0-9]+,)? \((.*)\),? (?:UID:? ?[0-9]+,? )?"
    r"total-vm:[0-9]+kB, anon-rss:([0-9]{1,15})kB, file-rss:([0-9]{1,15})kB(?:, shmem-rss:([0-9]{1,15})kB)?",
    re.DOTALL,
).match
_USAGE = re.compile(r"memory: usage [0-9]+kB, limit ([0-9]{1,20})kB").match
_HEADS = ("oom-kill:constraint=", "Task in ", "Tasks in ")
_LIMIT_OF = " killed as a result of limit of "
_OF_GROUP = " are going to be killed due to memory.oom.group set"
_WHERE, _WHOSE = ",oom_memcg=", ",task_memcg="


class Killed(NamedTuple):
    """One process that the kernel killed, as far as its lines tell."""

    us: int  # of the log's clock
    pid: int
    name: str
    rss: int  # bytes, of all kinds
    reason: str = ""  # MEMCG, GLOBAL (the node, or a part of its memory), "" = not told
    cgroup: str = ""  # that it was in
    limited: str = ""  # whose limit was hit
    limit: Optional[int] = None  # bytes


class OomLines:
    """What must be remembered from line to line."""

    def __init__(self) -> None:
        self._text = ""  # a line that may go on
        self._begin()
        self._group, self._group_us = "", 0
        self._first: Optional[Killed] = None  # the newest that had a report: of a group, the one that was chosen
        self._last: Optional[Tuple[int, str, int]] = None  # pid, name, us

    def _begin(self) -> None:
        self._limit: Optional[int] = None
        self._reason = ""
        self._line = ""  # the report's, as it is
        self._old = ("", "")  # cgroup and limited, before 4.20

    def line(self, us: int, text: str, goes_on: bool = False) -> Optional[Killed]:
        """One record of the log. `goes_on`: it continues a line that others' came between."""
        if goes_on and self._text and not text.startswith(_HEADS):
            text = self._text + text
        if text.startswith(_HEADS):
            self._text = text
            self._head(us, text)
        elif "Kill" in text:
            return self._kill(us, text)
        elif " invoked oom-killer: " in text:
            self._begin()
            self._text = ""
        else:
            usage = _USAGE(text)
            if usage is not None:
                limit = int(usage.group(1))
                self._limit = limit * 1024 if limit < _UNLIMITED else None
        return None

    def _head(self, us: int, text: str) -> None:
        if text.startswith(_HEADS[0]):
            self._line = text
        elif text.startswith("Tasks in ") and text.endswith(_OF_GROUP):
            self._group, self._group_us = text[len("Tasks in ") : -len(_OF_GROUP)], us
        elif _LIMIT_OF in text:
            cgroup, _, limited = text[len("Task in ") :].partition(_LIMIT_OF)
            self._old = (cgroup, limited)

    def _kill(self, us: int, text: str) -> Optional[Killed]:
        found = _KILLED(text)
        if found is None:
            if ": Kill process " in text:
                self._reason = _reason_of(text)
            return None
        pid, name = int(found.group(2)), found.group(3)
        last, self._last = self._last, (pid, name, us)
        chosen = self._first and (self._first.pid, self._first.name, self._first.us)
        # The one that was chosen has a line of its own, and one among its group's, wherever it comes in it.
        if any(one and one[:2] == (pid, name) and us - one[2] < _SAME for one in (last, chosen)):
            return None
        rss = sum(int(part or 0) for part in found.groups()[3:]) * 1024
        killed = Killed(us, pid, name, rss, _reason_of(found.group(1) or "") or self._reason)
        return self._reported(killed)

    def _reported(self, killed: Killed) -> Killed:
        """With what the report said, if it is of this process."""
        reason, cgroup, limited = _where(self._line, killed) or (MEMCG, *self._old)
        if cgroup:
            killed = killed._replace(reason=reason, cgroup=cgroup, limited=limited, limit=self._limit)
            self._first = killed
            self._begin()
        elif self._group and 0 <= killed.us - self._group_us < _GROUP:
            killed = killed._replace(cgroup=self._group)
            first = self._first
            if first is not None and f"{first.cgroup}/".startswith(f"{self._group}/"):
                killed = killed._replace(reason=first.reason, limited=first.limited, limit=first.limit)
        return killed


def _where(line: str, killed: Killed) -> Optional[Tuple[str, str, str]]:
    """Reason, cgroup and whose limit, out of a report's line; None = it is of another process."""
    head, end, uid = line.rpartition(f",task={killed.name},pid={killed.pid},uid=")
    if not end or not uid.isdigit():
        return None
    constraint = head[len(_HEADS[0]) :].partition(",")[0]
    _, where, paths = head.partition(_WHERE)
    if constraint != "CONSTRAINT_MEMCG" or not where:
        return GLOBAL, head.partition(_WHOSE)[2], ""
    # A path may hold the words that part the two: the process lies in the cgroup whose limit was hit, or below.
    at = paths.find(_WHOSE)
    while at >= 0:
        limited, cgroup = paths[:at], paths[at + len(_WHOSE) :]
        if cgroup == limited or (limited != "/" and cgroup.startswith(f"{limited}/")):
            return MEMCG, cgroup, limited
        at = paths.find(_WHOSE, at + 1)
    return None


def _reason_of(text: str) -> str:
    if text.startswith("Memory cgroup out of memory"):
        return MEMCG
    return GLOBAL if text.startswith("Out of memory") else ""
