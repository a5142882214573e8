"""Texts of cgroup files to figures: the few shapes that they have. Pure.

What is no number of the kernel (empty, garbage, negative, more than 64 bits) leaves its figure out: it is never 0.
"""

from __future__ import annotations

from typing import Callable, Dict, Optional, Tuple

from krm.agent.figures import UNLIMITED, Value

Parsed = Dict[str, Value]
Parse = Callable[[bytes, Parsed], None]
Keys = Dict[str, Tuple[str, int]]  # key of the file -> figure, and how many of its unit are one of the file's

_MOST = 2**64 - 1
_DIGITS = len(str(_MOST))
# Version 1 writes "no limit" as the most pages that it can count, in bytes: 2^63 less a page, whose size differs.
# The kubelet draws the line here, too.
_NO_LIMIT = 2**62
_MAX = b"max"
IDLE = "idle"


def count(raw: bytes) -> Optional[int]:
    """The number that it is, with or without a line's end; None where it is none of the kernel's."""
    digits = raw.strip()
    if digits.isdigit() and len(digits) <= _DIGITS:
        found = int(digits)
        return found if found <= _MOST else None
    return None


def single(figure: str) -> Parse:
    """A file of one number."""

    def parse(raw: bytes, into: Parsed) -> None:
        found = count(raw)
        if found is not None:
            into[figure] = found

    return parse


def limit(figure: str, none: bytes = _MAX) -> Parse:
    """A file of one limit. `none`: how this file writes that there is none."""

    def parse(raw: bytes, into: Parsed) -> None:
        text = raw.strip()
        found = count(text)
        if text == none or (found is not None and found >= _NO_LIMIT):
            into[figure] = UNLIMITED
        elif found is not None:
            into[figure] = found

    return parse


def keyed(keys: Keys) -> Parse:
    """Lines of `key number`."""
    wanted = [(b"\n%s " % key.encode(), figure, scale) for key, (figure, scale) in keys.items()]

    def parse(raw: bytes, into: Parsed) -> None:
        lines = b"\n%s\n" % raw
        for key, figure, scale in wanted:
            at = lines.find(key)
            if at >= 0:
                at += len(key)
                found = count(lines[at : lines.find(b"\n", at)])
                if found is not None:
                    into[figure] = found * scale

    return parse


def working_set(into: Parsed) -> None:
    """After all files: usage less inactive file pages (IDLE), which are no figure of their own."""
    usage, idle = into.get("memory_usage"), into.pop(IDLE, None)
    if isinstance(usage, int) and isinstance(idle, int):
        into["memory_working_set"] = max(0, usage - idle)


def pressure(what: str, full: bool = True) -> Parse:
    """PSI: `some avg10=... total=N` and `full ...`. Without `full` that line means nothing and is passed over."""
    figures = {b"some": f"{what}_waiting_us", **({b"full": f"{what}_stalled_us"} if full else {})}

    def parse(raw: bytes, into: Parsed) -> None:
        for line in raw.split(b"\n", 2)[:2]:
            figure = figures.get(line[:4])
            total = count(line.rpartition(b" total=")[2]) if figure else None
            if figure and total is not None:
                into[figure] = total

    return parse


def devices_v1(read: str, written: str) -> Parse:
    """blkio: lines of `8:0 Read 123`, and a last one `Total 456`; a cgroup without any I/O has that one alone."""

    def parse(raw: bytes, into: Parsed) -> None:
        sums: Dict[bytes, Optional[int]] = {b"Read": 0, b"Write": 0}
        lines = raw.split(b"\n")
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[1] in sums:
                sums[words[1]] = _sum(sums[words[1]], count(words[2]))
        if not any(line.startswith(b"Total ") for line in lines):  # it was cut, or is no such file
            return
        for word, figure in ((b"Read", read), (b"Write", written)):
            total = sums[word]
            if total is not None:
                into[figure] = total

    return parse


def devices_v2(keys: Dict[str, str]) -> Parse:
    """io.stat: `8:0 rbytes=1 wbytes=2 ...`, a line a device. `keys`: rbytes and so on -> figure."""
    wanted = {key.encode(): figure for key, figure in keys.items()}

    def parse(raw: bytes, into: Parsed) -> None:
        sums: Dict[bytes, Optional[int]] = {}
        for word in raw.split():
            key, equals, number = word.partition(b"=")
            if equals and key in wanted:
                sums[key] = _sum(sums.get(key, 0), count(number))
        for key, total in sums.items():
            if total is not None:
                into[wanted[key]] = total

    return parse


def quota(raw: bytes, into: Parsed) -> None:
    """cpu.max: `max 100000` or `50000 100000`."""
    words = raw.split()
    if len(words) == 2:
        limit("cpu_quota_us")(words[0], into)
        single("cpu_period_us")(words[1], into)


def _sum(so_far: Optional[int], more: Optional[int]) -> Optional[int]:
    """Of a sum with an unknown part nothing is known."""
    return None if so_far is None or more is None else so_far + more
