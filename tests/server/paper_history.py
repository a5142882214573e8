"""A history that a test fills itself, one sample a step of 15 s: the contract of `History`, no file, no clock."""

from __future__ import annotations

import math
from typing import Dict, List, Optional, Tuple

from krm.model.measures import Covers, Subject
from krm.model.metrics import COUNTER, TABLE
from krm.store.history.asked import STEP, Extent, NoHistory, Query, Ranged, Series, Total, Totalled


class PaperHistory:
    """`asked` holds every query. `kept_from`: what is older is not kept in detail."""

    def __init__(self) -> None:
        self.asked: List[Query] = []
        self.away: Optional[NoHistory] = None
        self.kept_from = 0.0
        self.notes: Tuple[str, ...] = ()
        self._points: Dict[Tuple[str, Subject], Dict[float, float]] = {}

    def put(self, metric: str, subject: Subject, begin: float, *values: float) -> None:
        """Values a step from `begin` on; NaN is a gap."""
        points = self._points.setdefault((metric, subject), {})
        for number, value in enumerate(values):
            points[begin + number * STEP] = value

    def range(self, query: Query) -> Ranged:
        begin = max(query.begin, self.kept_from)
        found = []
        for subject, points in self._chosen(query):
            times = sorted(at for at in points if begin <= at < query.end)
            if times:
                grid = [times[0] + n * STEP for n in range(int((times[-1] - times[0]) / STEP) + 1)]
                found.append(Series(subject, grid, [points.get(at, math.nan) for at in grid]))
        extent = self._extent(begin, query.end)
        if begin > query.begin:
            extent = extent._replace(notes=(*extent.notes, "points are kept for a day"))
        return Ranged(found, extent)

    def totals(self, query: Query) -> Totalled:
        found = []
        for subject, points in self._chosen(query):
            held = {at: v for at, v in sorted(points.items()) if query.begin <= at < query.end and math.isfinite(v)}
            if held:
                values, times = list(held.values()), list(held)
                whole = sum(value * STEP for value in values)
                if TABLE[query.metric].form == COUNTER:
                    whole = sum(max(0.0, new - old) for old, new in zip(values, values[1:]))
                covered = len(values) * STEP
                found.append(Total(subject, whole, covered, max(values), len(values), times[0], times[-1]))
        return Totalled(found, self._extent(query.begin, query.end))

    def _chosen(self, query: Query) -> List[Tuple[Subject, Dict[float, float]]]:
        self.asked.append(query)
        if self.away is not None:
            raise self.away
        assert query.level in TABLE[query.metric].levels
        return [
            (subject, points)
            for (metric, subject), points in self._points.items()
            if metric == query.metric
            and subject.level == query.level
            and query.namespace in ("", subject.namespace)
            and query.pod in ("", subject.pod)
            and query.container in ("", subject.container)
            and query.node in ("", subject.node)
            and (query.allowed is None or subject.namespace in query.allowed)
        ]

    def _extent(self, begin: float, end: float) -> Extent:
        times = [at for points in self._points.values() for at in points if at < end]
        return Extent(
            begin, end, min(times, default=None), max(times, default=None), self.notes, Covers(1, 2, "hours")
        )
