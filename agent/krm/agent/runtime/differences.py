"""How far the runtime's figures are from the cgroup's. Pure: two looks at both in, differences out.

The two are never read at one moment, and a counter goes on between them. So the cgroup's counter is carried to
the moment at which the runtime read it, at the speed that it had between the last two looks at the cgroup. What
a container uses a second (`cpu_usage_rate`) is told of each side's own two readings, by its own times: after
days a counter hides a rate that is wrong.
"""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Optional

from krm.agent.runtime.runtimes import RuntimeStats
from krm.agent.seen import Cgroup, Difference

CPU, RATE = "cpu_usage_ns", "cpu_usage_rate"  # the rate: ns a second
WORKING_SET = "memory_working_set"
# Told where both sides have them; the two above always.
ALSO = ("memory_usage", "memory_rss")


class Look(NamedTuple):
    """Both sides in one turn, by container id."""

    cgroups: Mapping[str, Cgroup]
    stats: Mapping[str, RuntimeStats]


class _Point(NamedTuple):
    at: float  # Unix seconds
    value: int


def differences(now: Look, before: Optional[Look]) -> List[Difference]:
    """Of each container that the runtime tells of. `before`: the look before; without it no rate is known, and
    the cgroup's counter is told as it was read, `apart` seconds from the runtime's."""
    found: List[Difference] = []
    for container, stats in now.stats.items():
        cgroup = now.cgroups.get(container)
        cgroup_before = None if before is None else before.cgroups.get(container)
        stats_before = None if before is None else before.stats.get(container)
        found += _of_cpu(container, _cgroup_cpu(cgroup), _cgroup_cpu(cgroup_before), stats, stats_before)
        apart = None if cgroup is None or stats.memory_at is None else stats.memory_at - cgroup.at
        for figure in (WORKING_SET, *ALSO):
            ours, theirs = _figure(cgroup, figure), stats.figures.get(figure)
            if figure == WORKING_SET or (ours is not None and theirs is not None):
                found.append(Difference(container, figure, ours, theirs, apart, _share(ours, theirs)))
    return found


def _of_cpu(
    container: str,
    ours: Optional[_Point],
    ours_before: Optional[_Point],
    stats: RuntimeStats,
    stats_before: Optional[RuntimeStats],
) -> List[Difference]:
    """The counter, and the rate where both sides have one."""
    counter = stats.figures.get(CPU)
    theirs = _runtime_cpu(stats)
    rate = _rate(ours_before, ours)
    carried = None if ours is None else ours.value
    apart = None
    if ours is not None and theirs is not None:
        apart = theirs.at - ours.at
        if rate is not None:
            carried = max(0, ours.value + round(rate * apart))
    found = [Difference(container, CPU, carried, counter, apart, _share(carried, counter))]
    their_rate = None if stats_before is None else _rate(_runtime_cpu(stats_before), theirs)
    if rate is not None and their_rate is not None:
        used, told = round(rate), round(their_rate)
        found.append(Difference(container, RATE, used, told, apart, _share(used, told)))
    return found


def _cgroup_cpu(cgroup: Optional[Cgroup]) -> Optional[_Point]:
    value = _figure(cgroup, CPU)
    return None if cgroup is None or value is None else _Point(cgroup.at, value)


def _runtime_cpu(stats: RuntimeStats) -> Optional[_Point]:
    value = stats.figures.get(CPU)
    return None if value is None or stats.cpu_at is None else _Point(stats.cpu_at, value)


def _figure(cgroup: Optional[Cgroup], name: str) -> Optional[int]:
    value = None if cgroup is None else cgroup.figures.get(name)
    return value if isinstance(value, int) else None


def _rate(first: Optional[_Point], last: Optional[_Point]) -> Optional[float]:
    """Growth a second; None where time stood still or the counter fell: it began anew."""
    if first is None or last is None or last.at <= first.at or last.value < first.value:
        return None
    return (last.value - first.value) / (last.at - first.at)


def _share(ours: Optional[int], theirs: Optional[int]) -> Optional[float]:
    return (theirs - ours) / ours if ours and theirs is not None else None
