"""Points as they were measured, cut into the steps of a series. Pure.

As in the file: the point of a step is the newest value in it, of a rate its mean; a rate whose window
reaches back over steps that nothing fell into is told there too, for it covers them.
"""

from __future__ import annotations

from math import nan
from typing import Dict, Iterable, NamedTuple, Optional, Tuple

from krm.model.measures import Subject
from krm.model.metrics import RATE
from krm.store.history.asked import STEP, Series
from krm.store.history.steps import step_of


class Raw(NamedTuple):
    """One point, as krm.store.history.shares wrote it."""

    at: float
    value: float
    seconds: float  # what the value stands for; 0 = nobody told


def stepped(subject: Subject, form: str, points: Iterable[Raw]) -> Optional[Series]:
    """Points in order of time; None = there are none."""
    known: Dict[int, Tuple[float, float]] = {}  # step -> (value, weight)
    for at, value, seconds in points:
        step = step_of(at)
        if form != RATE:
            known[step] = (value, 0.0)
            continue
        before = known.get(step)
        weight = seconds + (before[1] if before else 0.0)
        mean = (before[0] * before[1] + value * seconds) / weight if before and weight else value
        known[step] = (mean, weight)
        begin, earlier = at - seconds, step - 1
        while earlier not in known and earlier * STEP - begin >= STEP / 2:
            known[earlier] = (value, 0.0)
            earlier -= 1
    if not known:
        return None
    steps = range(min(known), max(known) + 1)
    values = [known[step][0] if step in known else nan for step in steps]
    return Series(subject, [step * STEP for step in steps], values)
