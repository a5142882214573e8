"""One cgroup, read whole: the figures of all its controllers, or None where it vanished while it was read."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

from krm.agent import v1, v2
from krm.agent.figures import FIGURES, LIMIT, Figures, Value
from krm.agent.hierarchy import HYBRID, V1, V2, Hierarchy, Unreadable
from krm.agent.seen import CONTAINER, Cgroup, Place
from krm.agent.v1 import Row

# What each living cgroup but the root has.
_ALWAYS = {V1: "notify_on_release", V2: "cgroup.events"}
_HELD = "cgroup.procs"


def read_cgroup(hierarchy: Hierarchy, place: Place, now: float, limits_too: bool) -> Optional[Cgroup]:
    """Its figures at `now` (Unix seconds); limits and peak with `limits_too` alone, as they change rarely:
    `with_limits` carries those of before on. None: it is gone, or half made or half gone. Its `started` is not
    known here: a cgroup's folder does not keep it (a child that is made, and memory that is short, move its times),
    and the start of the first process in it is the nearest.
    """
    second = hierarchy.version == V2
    figures: Dict[str, Value] = {}
    whole = _read(hierarchy, place.path, _ROWS[second, limits_too], figures)
    if not whole and not _lives(hierarchy, place, figures):
        return None
    if hierarchy.version == HYBRID:
        _read(hierarchy, place.path, v2.PRESSURE, figures, first_alone=True)
    return Cgroup(place, now, None, figures)


def _read(
    hierarchy: Hierarchy, path: str, rows: Tuple[Row, ...], into: Dict[str, Value], first_alone: bool = False
) -> bool:
    """Whether each file was there. `first_alone`: where the first is not, the others are none."""
    whole, read = True, hierarchy.read
    for controller, names, parse in rows:
        for name in names:
            try:
                raw = read(controller, path, name)
            except FileNotFoundError:
                if first_alone:
                    return False
                continue
            except Unreadable:
                break
            parse(raw, into)
            break
        else:
            whole = False
    return whole


def with_limits(cgroup: Cgroup, before: Figures) -> Cgroup:
    """With the limits and the peak that it had when they were read last."""
    kept = {name: value for name, value in before.items() if name in _SLOW}
    return cgroup._replace(figures={**kept, **cgroup.figures})


_SLOW = frozenset(name for name, figure in FIGURES.items() if figure.kind == LIMIT) | {"memory_peak"}
_ROWS: Dict[Tuple[bool, bool], Tuple[Row, ...]] = {
    (False, False): v1.USAGE,
    (False, True): v1.USAGE + v1.SLOW,
    (True, False): v2.USAGE,
    (True, True): v2.USAGE + v2.SLOW,
}


def _lives(hierarchy: Hierarchy, place: Place, figures: Figures) -> bool:
    """Whether what some files lack is but not kept here. Trees of version 1 lose a container's cgroup one after the
    other, and only when no process is left in it: one without CPU or memory figures that holds none is going, or
    being made. With processes it was never in the other tree."""
    walked = hierarchy.walked()
    if place.path == "/":
        return True
    try:
        hierarchy.read(walked, place.path, _ALWAYS[V2 if hierarchy.version == V2 else V1])
        whole = "memory_usage" in figures and "cpu_usage_ns" in figures
        return whole or place.level != CONTAINER or bool(hierarchy.read(walked, place.path, _HELD).strip())
    except FileNotFoundError:
        return False
    except Unreadable:  # a million PIDs: it lives
        return True
