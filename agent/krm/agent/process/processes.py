"""Each process of the node, once a turn: what it uses, which container it is in, and its place in that pod.

A turn costs one read of stat a process. What does not change (PIDs inside, user, cgroup, command) is read when
the process is seen first and kept by (PID, start): a PID that is used again is another process. It is read again
while the process is young, for a runtime moves it into its cgroup a moment after the fork, and each few minutes
after that. The start is compared before and after, so that a row never mixes two processes.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Tuple

from krm.agent.cgroupfs.hierarchy import Hierarchy
from krm.agent.process import procfs as files
from krm.agent.process.belonging import Belonging, Belongs, own_cgroup
from krm.agent.process.masking import MOST_COMMAND, command_line
from krm.agent.process.procfs import Stat, Status
from krm.agent.process.sharing import marks
from krm.agent.seen import Missing, Named, Place, Process

MOST_PROCESSES = 65_536
YOUNG = 30.0  # seconds since its start in which a process may still be moved by who started it
# Seconds between two looks at what hardly changes, and how far the processes' looks lie apart.
AGAIN, SPREAD = 300.0, 300.0
BOOT_AGAIN = 60.0  # seconds: a clock that is set moves the time of the boot
_TRIES = 3  # looks at a PID that becomes another process meanwhile
_OWN_TRIES = 5  # turns in which the own cgroup is searched
# Threads are hidden where fewer than that share of them is to be seen, and so many at least are not.
_HIDDEN_SHARE, _HIDDEN_LEAST = 0.5, 20
_SHOWN = 5  # PIDs in a sentence
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENOTDIR)
_TRACED_WHY = (
    "the kernel shows them only to who may trace a process (capability SYS_PTRACE), which the agent does not ask"
    " for; bytes read and written are told a container, by its cgroup"
)


class _Kept:
    """A process as it was seen last."""

    __slots__ = ("belongs", "command", "inside", "look_at", "pause", "raw", "row", "settled", "shares", "stat")

    def __init__(self, stat: Stat, raw: bytes) -> None:
        self.stat, self.raw = stat, raw
        self.inside = Status((), None)
        self.belongs: Optional[Belongs] = None  # not told
        self.command = ""
        self.look_at = float("-inf")  # Unix seconds
        self.settled = False  # it was looked at when nobody moved it any more
        self.pause, self.shares = False, ""
        self.row: Optional[Process] = None  # None while nobody can tell whose it is

    @property
    def in_container(self) -> bool:
        return self.belongs is not None and bool(self.belongs.container_id)


class _Turn:
    """What a turn needs at each process, and what it cannot tell of them."""

    def __init__(self, belonging: Belonging, now: float) -> None:
        self.belonging, self.now = belonging, now
        self.unreadable: List[int] = []
        self.broken: List[int] = []
        self.ended: List[int] = []
        self.nobodys: List[int] = []
        self.cut = False
        # New ones, and those of which something is new that sharing.py looks at.
        self.changed: List[_Kept] = []
        self.moved = False  # one left a container


class Processes:
    """The processes of one /proc. Holds no descriptor."""

    def __init__(self, procfs: Path, commands: bool, hierarchy: Optional[Hierarchy] = None) -> None:
        """`procfs`: the node's /proc, mounted. `commands`: command lines too, secrets masked. `hierarchy`: the
        cgroups that are walked; without it the own one is not found in a cgroup namespace."""
        self._procfs, self._commands, self._hierarchy = str(procfs), commands, hierarchy
        self._walked = b"memory" if hierarchy is None else hierarchy.walked().encode()
        self._kept: Dict[int, _Kept] = {}
        self._sandboxes: Set[str] = set()
        self._boot, self._boot_at = 0.0, float("-inf")
        self._own, self._own_tries = "", 0
        self._denied: Optional[List[str]] = None

    def turn(
        self, places: Mapping[str, Place], named: Mapping[str, Named], now: float
    ) -> Tuple[Tuple[Process, ...], Tuple[Missing, ...]]:
        """All processes of this moment, and what of them cannot be told. `places`: the newest walk's. `now`: Unix
        seconds. OSError: there is no /proc."""
        self._learn_boot(now)
        turn = _Turn(self._belonging(places), now)
        pids, turn.cut = files.pids(self._procfs, MOST_PROCESSES)
        before, self._kept = self._kept, {}
        for pid in pids:
            kept = self._one(pid, before.get(pid), turn)
            if kept is not None:
                self._kept[pid] = kept
        sandboxes = {name for name, one in named.items() if one.sandbox}
        gone = (before[pid] for pid in before.keys() - self._kept.keys())
        changed = any(one.in_container for one in turn.changed) or any(one.in_container for one in gone)
        if changed or turn.moved or sandboxes != self._sandboxes:
            self._sandboxes = sandboxes
            self._mark()
        rows = tuple(kept.row for kept in self._kept.values() if kept.row is not None)
        return rows, self._missing(turn)

    def _one(self, pid: int, kept: Optional[_Kept], turn: _Turn) -> Optional[_Kept]:
        """The process that has this PID now. None: it has gone, or cannot be read."""
        try:
            raw = files.read_once(f"{self._procfs}/{pid}/stat", files.MOST_STAT)
            if kept is not None and raw == kept.raw and turn.now < kept.look_at:
                return kept  # it did nothing
            stat = files.parse_stat(raw)
            if kept is None or kept.stat.started != stat.started:
                turn.moved = turn.moved or (kept is not None and kept.in_container)
                kept = _Kept(stat, raw)
                turn.changed.append(kept)
            # Another program, maybe as another user, and often what follows a move. Kernel threads do it all day.
            renamed = kept.stat.name != stat.name and not stat.flags & files.KERNEL_THREAD
            if renamed:
                turn.changed.append(kept)
            kept.stat, kept.raw = stat, raw
            if renamed or turn.now >= kept.look_at:
                kept = self._looked(pid, kept, turn)
        except OSError as error:
            if error.errno not in _GONE:
                turn.unreadable.append(pid)
            return None
        except ValueError:
            turn.broken.append(pid)
            return None
        if kept is not None:
            self._show(pid, kept)
        return kept

    def _looked(self, pid: int, kept: _Kept, turn: _Turn) -> Optional[_Kept]:
        """With what hardly changes read anew, all of one process. None: it changed each time that it was read."""
        for _ in range(_TRIES):
            line = files.parse_cgroup(self._read(pid, "cgroup", files.MOST_CGROUP), self._walked)
            inside = files.parse_status(self._read(pid, "status", files.MOST_STATUS))
            command = command_line(self._read(pid, "cmdline", MOST_COMMAND)) if self._commands else ""
            raw = files.read_once(f"{self._procfs}/{pid}/stat", files.MOST_STAT)
            stat = files.parse_stat(raw)
            if (stat.started, stat.name) == (kept.stat.started, kept.stat.name):
                break
            # Another process; or it began its program, before which it may have been moved.
            if stat.started != kept.stat.started:
                turn.moved = turn.moved or kept.in_container
                kept = _Kept(stat, raw)
            kept.stat = stat
            turn.changed.append(kept)
        else:
            return None
        belongs = kept.belongs
        if line is None:
            turn.nobodys.append(pid)
        elif not line.unified and stat.flags & files.EXITING:
            # Version 1 says / of it, wherever it was. What was seen before holds, but of one that may have moved.
            if belongs is not None and not (kept.settled or belongs.container_id):
                belongs = None
            if belongs is None:
                turn.ended.append(pid)
        else:
            belongs = turn.belonging.of(line.path)
            if belongs is None:
                turn.nobodys.append(pid)
        if (belongs, inside) != (kept.belongs, kept.inside):
            turn.moved = turn.moved or kept.in_container
            turn.changed.append(kept)
        kept.stat, kept.raw, kept.belongs, kept.inside, kept.command = stat, raw, belongs, inside, command
        age = turn.now - self._boot - stat.started / files.TICKS
        kept.settled = age >= YOUNG and belongs is not None
        kept.look_at = turn.now + AGAIN + pid % SPREAD if kept.settled else turn.now
        return kept

    def _read(self, pid: int, name: str, most: int) -> bytes:
        """b"" where that one file is not for us."""
        try:
            return files.read_whole(f"{self._procfs}/{pid}/{name}", most)
        except PermissionError:
            return b""

    def _show(self, pid: int, kept: _Kept) -> None:
        stat, inside, belongs = kept.stat, kept.inside, kept.belongs
        if belongs is None:
            kept.row = None
            return
        within = inside.pids[-1] if inside.pids else None
        kept.row = Process(
            pid,
            stat.started,
            stat.ppid,
            stat.name,
            stat.state,
            stat.threads,
            stat.rss * files.PAGE,
            stat.ticks * files.TICK_NS,
            self._boot + stat.started / files.TICKS,
            within,
            len(inside.pids) or 1,
            inside.uid,
            belongs.cgroup,
            belongs.container_id,
            belongs.pod_uid,
            kept.pause,
            within == 1,
            kept.shares,
            kept.command,
        )

    def _mark(self) -> None:
        """Pause and shared PID namespaces, which only a pod's processes together show."""
        found = marks((kept.row for kept in self._kept.values() if kept.row is not None), self._sandboxes)
        for pid, kept in self._kept.items():
            pause, shares = pid in found.pauses, found.shared.get(pid, "")
            if (pause, shares) != (kept.pause, kept.shares):
                kept.pause, kept.shares = pause, shares
                self._show(pid, kept)

    def _belonging(self, places: Mapping[str, Place]) -> Belonging:
        """PID 1 is outside of the reader's cgroup namespace, where it has one of its own: then it shows `/..`."""
        try:
            line = files.parse_cgroup(files.read_whole(f"{self._procfs}/1/cgroup", files.MOST_CGROUP), self._walked)
        except OSError:
            line = None
        inside = line is not None and (line.path + "/").startswith("/../")
        if inside and not self._own and self._hierarchy is not None and self._own_tries < _OWN_TRIES:
            self._own_tries += 1
            self._own = own_cgroup(self._hierarchy, places, os.getpid())
        return Belonging(places, inside, self._own)

    def _learn_boot(self, now: float) -> None:
        if self._boot_at <= now < self._boot_at + BOOT_AGAIN:
            return
        boot, self._boot_at = files.boot_time(self._procfs), now
        if boot != self._boot:
            self._boot = boot
            for kept in self._kept.values():
                kept.raw = b""  # its row is made anew

    def _missing(self, turn: _Turn) -> Tuple[Missing, ...]:
        """In sentences what this turn could not tell."""
        found: List[Missing] = []
        if turn.cut:
            found.append(
                Missing("processes", f"there are more than {MOST_PROCESSES}: those with the lowest PIDs are told")
            )
        else:
            found += self._hidden()
        for pids, why in (
            (turn.unreadable, "cannot be read: mount /proc without hidepid"),
            (turn.broken, "have a stat that is none: is that a /proc of Linux?"),
            (turn.ended, "had ended before it was seen where: version 1 of cgroups no longer tells"),
            (turn.nobodys, "show no cgroup that says whose they are"),
        ):
            if pids:
                which = ", ".join(str(pid) for pid in pids[:_SHOWN]) + (", ..." if len(pids) > _SHOWN else "")
                found.append(Missing("processes", f"{len(pids)} {why}: {which}"))
        if self._denied is None and self._kept:
            self._denied = files.denied(self._procfs, next(iter(self._kept)))
        if self._denied:
            found.append(Missing(f"{', '.join(self._denied)} of processes", _TRACED_WHY))
        return tuple(found)

    def _hidden(self) -> List[Missing]:
        """Whether this /proc hides processes of others, or is not the node's."""
        total = files.threads_in_all(self._procfs)
        seen = sum(kept.stat.threads for kept in self._kept.values())
        if total is None or total - seen < _HIDDEN_LEAST or seen >= total * _HIDDEN_SHARE:
            return []
        why = (
            f"{seen} of the machine's {total} threads are to be seen: mount the node's own /proc without hidepid;"
            " in a node that is itself a container there are no more"
        )
        return [Missing("processes", why)]
