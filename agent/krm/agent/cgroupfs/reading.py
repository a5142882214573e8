"""One cgroup, read whole: the figures of all its controllers, or None where it vanished while it was read."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from krm.agent.cgroupfs import v1, v2
from krm.agent.cgroupfs.hierarchy import HYBRID, V1, V2, Hierarchy, Unreadable
from krm.agent.cgroupfs.parsing import Parsed, working_set
from krm.agent.cgroupfs.v1 import Row
from krm.agent.figures import FIGURES, LIMIT, Figures, Value
from krm.agent.seen import CONTAINER, Cgroup, Place

_MOST_KEPT = 8192  # bytes of a file that are remembered; memory.stat has 2 KB, io.stat 150 B a device
# What each living cgroup but the root has.
_ALWAYS = {V1: "notify_on_release", HYBRID: "notify_on_release", V2: "cgroup.events"}


class Last:
    """What was read of one cgroup before, to be handed to the next reading of it: most files of most cgroups say
    the same again, and are not parsed then. Not for several threads."""

    __slots__ = ("apart", "rows")

    def __init__(self) -> None:
        self.rows: Dict[str, Tuple[bytes, Parsed]] = {}  # name of a file -> what it said, and its figures
        self.apart = False  # it has no cgroup in the tree of version 2 beside version 1's


def read_cgroup(
    hierarchy: Hierarchy, place: Place, now: float, limits_too: bool, last: Optional[Last] = None
) -> Optional[Cgroup]:
    """Its figures at `now` (Unix seconds); limits and peak with `limits_too` alone, as they change rarely:
    `limits_of` and `with_limits` carry those of before on. None: it is gone, or half made or half gone.

    Its `started` is not known here: a cgroup's folder does not keep it (a child that is made, and memory that is
    short, move its times), and the start of the first process in it is the nearest.
    """
    last = last or Last()
    second = hierarchy.version == V2
    rows = v2 if second else v1
    figures: Dict[str, Value] = {}
    whole = _read(hierarchy, place, rows.USAGE, figures, last)
    if not whole and not (_is_there(hierarchy, place) and (second or _lives(hierarchy, place))):
        return None
    working_set(figures)
    if limits_too and not _read(hierarchy, place, rows.SLOW, figures) and not _is_there(hierarchy, place):
        return None
    if hierarchy.version == HYBRID and (limits_too or not last.apart):
        last.apart = not _read(hierarchy, place, v2.PRESSURE, figures, last, first_alone=True)
    return Cgroup(place, now, None, figures)


def _read(
    hierarchy: Hierarchy,
    place: Place,
    rows: Tuple[Row, ...],
    into: Dict[str, Value],
    last: Optional[Last] = None,
    first_alone: bool = False,
) -> bool:
    """Whether each file was there. `last`: without it each is parsed, with what those before it said in hand.
    `first_alone`: where the first is not, the others are none."""
    whole, read, path, leaf = True, hierarchy.read, place.path, place.level == CONTAINER
    for row in rows:
        try:
            raw = read(row.controller, path, row.name)
        except FileNotFoundError:
            if first_alone:
                return False
            older = _older(hierarchy, row, path) if leaf and row.of_leaf else None
            if older is None:
                whole = False
                continue
            raw = older
        except Unreadable:
            continue
        if last is None or len(raw) > _MOST_KEPT:
            row.parse(raw, into)
            continue
        before = last.rows.get(row.name)
        if before is None or before[0] != raw:
            own: Parsed = {}
            row.parse(raw, own)
            last.rows[row.name] = before = (raw, own)
        into.update(before[1])
    return whole


def limits_of(figures: Figures) -> Figures:
    """Its limits and its peak, to be kept until they are read again."""
    return {name: value for name, value in figures.items() if name in _SLOW}


def with_limits(cgroup: Cgroup, limits: Figures) -> Cgroup:
    """With those that it had when they were read last."""
    return Cgroup(cgroup.place, cgroup.at, cgroup.started, {**limits, **cgroup.figures})


_SLOW = frozenset(name for name, figure in FIGURES.items() if figure.kind == LIMIT) | {"memory_peak"}


def _older(hierarchy: Hierarchy, row: Row, path: str) -> Optional[bytes]:
    try:
        return hierarchy.read(row.controller, path, row.of_leaf)
    except (FileNotFoundError, Unreadable):
        return None


def _is_there(hierarchy: Hierarchy, place: Place) -> bool:
    """Whether what some files lack is but not kept here: the cgroup itself is still in the tree that is walked."""
    if place.path == "/":
        return True
    try:
        hierarchy.read(hierarchy.walked(), place.path, _ALWAYS[hierarchy.version])
    except FileNotFoundError:
        return False
    except Unreadable:
        pass
    return True


def _lives(hierarchy: Hierarchy, place: Place) -> bool:
    """Trees of version 1 lose a container's cgroup one after the other, and only when nothing runs in it any more:
    one that lacks something and holds nobody is going, or being made. With processes it never was in the other
    tree, or this kernel keeps less. cgroup.procs has none of another PID namespace, so it is not asked alone."""
    if place.level != CONTAINER or "pids" not in hierarchy.controllers:
        return True
    for controller, name in (("pids", "pids.current"), (hierarchy.walked(), "cgroup.procs")):
        try:
            if hierarchy.read(controller, place.path, name).strip() not in (b"", b"0"):
                return True
        except FileNotFoundError:
            pass
        except Unreadable:  # a million PIDs
            return True
    return False
