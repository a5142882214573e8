"""The lines of a report's charts: points of the namespace in as many means as a picture shows. Pure."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Tuple

from krm.analysis.inputs import History
from krm.analysis.report.rows import Chart, Line, Points
from krm.model.amounts import CPU, MEMORY
from krm.model.measures import NAMESPACE, Subject

BINS = 96  # a day in quarters of an hour
_LEAST = 15.0  # seconds: a point of the history
_OF = (
    ("CPU", CPU, (("used", "cpu/usage_rate"), ("requested", "cpu/request"), ("limits", "cpu/limit"))),
    (
        "Memory",
        MEMORY,
        (("used", "memory/working_set"), ("requested", "memory/request"), ("limits", "memory/limit")),
    ),
    ("Pods", "pods", (("pods", "pods/count"),)),
)


def charts(history: History, namespace: str, now: float, window: float) -> Tuple[Chart, ...]:
    """Those of which there is a line."""
    found = []
    for title, resource, metrics in _OF:
        lines = []
        for name, metric in metrics:
            points = points_of(history, metric, namespace, now, window)
            if points:
                lines.append(Line(name, binned(points, now, window)))
        if lines:
            found.append(Chart(title, resource, tuple(lines)))
    return tuple(found)


def points_of(
    history: History, metric: str, namespace: str, now: float, window: float
) -> Sequence[Tuple[float, float]]:
    """Of the namespace as a whole, within the window, without gaps, oldest first."""
    track = history.track(metric, NAMESPACE, Subject(namespace))
    if track is None:
        return []
    begin = now - window
    return sorted(
        (at, value) for at, value in zip(track.times, track.values) if begin < at <= now and value == value
    )


def binned(points: Sequence[Tuple[float, float]], now: float, window: float) -> Points:
    """Means of equal parts of the window, each at its end; None = a gap."""
    width = max(window / BINS, _LEAST)
    count = max(1, math.ceil(window / width - 1e-9))
    parts: List[List[float]] = [[] for _ in range(count)]
    begin = now - count * width
    for at, value in points:
        place = math.ceil((at - begin) / width - 1e-9) - 1
        if 0 <= place < count:
            parts[place].append(value)
    means: List[Optional[float]] = [math.fsum(part) / len(part) if part else None for part in parts]
    return tuple((begin + (place + 1) * width, mean) for place, mean in enumerate(means))
