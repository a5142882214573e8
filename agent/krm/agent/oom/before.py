"""The minute before a kill: memory and pressure of each container and of the node, from turn to turn."""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, Iterable, NamedTuple, Optional, Tuple

from krm.agent.figures import Figures
from krm.agent.seen import CONTAINER, Cgroup
from krm.model.kills import MOST_BEFORE, Moment

MINUTE = 60.0  # seconds before a kill
KEPT = 150.0  # seconds: a kill may be told a few turns after it was
_MOST = 2 * MOST_BEFORE  # moments of one container
_NODE = ""


class _Waited(NamedTuple):
    at: float
    us: int  # PSI's total


class Before:
    """The last moments of each container, and of the node."""

    def __init__(self) -> None:
        self._moments: Dict[str, Deque[Moment]] = {}
        self._waited: Dict[str, _Waited] = {}

    def turn(self, cgroups: Iterable[Cgroup], node: Figures, now: float) -> None:
        available, waiting = _number(node, "memory_available"), self._share(_NODE, node, now)
        self._add(_NODE, Moment(now, None, None, None, available, waiting))
        for cgroup in cgroups:
            if cgroup.place.level == CONTAINER:
                figures, container = cgroup.figures, cgroup.place.container_id
                working_set, usage = _number(figures, "memory_working_set"), _number(figures, "memory_usage")
                share = self._share(container, figures, cgroup.at)
                self._add(container, Moment(cgroup.at, working_set, usage, share, available, waiting))
        gone = [name for name, moments in self._moments.items() if moments[-1].at < now - KEPT]
        for name in gone:
            del self._moments[name]
            self._waited.pop(name, None)

    def of(self, container: str, at: float) -> Tuple[Moment, ...]:
        """The minute before `at` (Unix seconds), the oldest first; of the node alone, where the container is not
        known ("")."""
        moments = self._moments.get(container) or self._moments.get(_NODE) or ()
        return tuple(one for one in moments if at - MINUTE <= one.at <= at)[-MOST_BEFORE:]

    def _add(self, name: str, moment: Moment) -> None:
        moments = self._moments.setdefault(name, deque(maxlen=_MOST))
        moments.append(moment)
        while moments[0].at < moment.at - KEPT:
            moments.popleft()

    def _share(self, name: str, figures: Figures, at: float) -> Optional[float]:
        """Of the time since the turn before, in which some task waited for memory."""
        us = _number(figures, "memory_waiting_us")
        if us is None:
            return None
        before, self._waited[name] = self._waited.get(name), _Waited(at, us)
        if before is None or at <= before.at or us < before.us:
            return None
        return min(1.0, (us - before.us) / 1e6 / (at - before.at))


def _number(figures: Figures, name: str) -> Optional[int]:
    value = figures.get(name)
    return value if isinstance(value, int) else None
