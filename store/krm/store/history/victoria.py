"""VictoriaMetrics as a history: lines to /write, sums by MetricsQL, points by /api/v1/export.

VictoriaMetrics keeps a point twice that was sent twice, which happens when the answer to a batch got
lost. With its flag -dedup.minScrapeInterval=1ms it counts it once: krm says where that is missing.
"""

from __future__ import annotations

import logging
import re
from typing import Dict, Iterator, Tuple

from krm.model.measures import Subject
from krm.model.metrics import COUNTER, TABLE
from krm.store.history import promql
from krm.store.history.asked import NoHistory, Query, Total
from krm.store.history.external import Found
from krm.store.history.lines import subject_of
from krm.store.history.place import Place
from krm.store.history.sending import PASSING, Never, NotNow
from krm.store.history.shares import Newest
from krm.store.history.stepped import Raw
from krm.store.history.web import TIMEOUT, NoAnswer, Web

_TICK = 0.001  # seconds: what a store's times are told apart by
# aggregate, rollup, field: what a Total is made of.
_ROLLUPS: Tuple[Tuple[str, str, str], ...] = (
    ("sum", "sum_over_time", "sum"),
    ("sum", "sum_over_time", "seconds"),
    ("max", "max_over_time", "value"),
    ("sum", "count_over_time", "value"),
    ("min", "tfirst_over_time", "sum"),
    ("max", "tlast_over_time", "sum"),
)

_DEDUP = re.compile(rb'flag\{name="dedup\.minScrapeInterval", value="([^"]*)"')
Tags = Tuple[Tuple[str, str], ...]

log = logging.getLogger("krm.history")


class Victoria:
    """A Store."""

    def __init__(self, place: Place, timeout: float = TIMEOUT) -> None:
        """timeout: seconds a request. Raises BadUrl."""
        self.name = place.shown
        self.address = f"{place.how} {place.host} {place.port}"
        self._web = Web(place, timeout)
        self._looked = False

    def send(self, batch: bytes) -> None:
        """As Store has it."""
        try:
            answer = self._web.zipped("/write", {"precision": "ms"}, batch)
        except NoAnswer as error:
            raise NotNow(str(error)) from None
        if answer.status not in (200, 204):
            said = f"it answered {answer.status}: {answer.said}"
            if answer.status >= 500 or answer.status in PASSING:
                raise NotNow(said)
            raise Never(said)
        self._look()

    def points(self, query: Query) -> Iterator[Found]:
        """As Store has it."""
        fields = {
            "match[]": promql.selector(query, "value", "seconds"),
            "start": f"{query.begin + _TICK:.3f}",
            "end": f"{query.end:.3f}",
        }
        values: Dict[Tags, promql.Found] = {}
        seconds: Dict[Tags, Dict[float, float]] = {}
        for found in promql.read_export(self._asked("/api/v1/export", fields), query.metric):
            key = tuple(sorted(found.tags.items()))
            if found.field == "value":
                values[key] = found
            else:
                seconds[key] = dict(zip(found.times, found.values))
        for key, found in values.items():
            held = seconds.get(key, {})
            points = {at: Raw(at, value, held.get(at, 0.0)) for at, value in zip(found.times, found.values)}
            yield Found(subject_of(found.tags), [points[at] for at in sorted(points)])

    def totals(self, query: Query) -> Iterator[Total]:
        """As Store has it."""
        span = query.end - query.begin
        total, seconds, most, samples, first, last = (
            self._vector(promql.over_time(aggregate, rollup, promql.selector(query, field), span), query.end)
            for aggregate, rollup, field in _ROLLUPS
        )
        counted = TABLE[query.metric].form == COUNTER
        for subject, amount in total.items():
            held = seconds.get(subject, 0.0)
            highest = most.get(subject)
            if highest is None:  # only the share of a sample that lies after the end
                highest = 0.0 if counted or not held else amount / held
            count = int(samples.get(subject, 0))
            yield Total(subject, amount, held, highest, count, first[subject], last[subject])

    def newest(self, since: float, now: float) -> Iterator[Newest]:
        """As Store has it."""
        for metric in sorted(TABLE):
            selected = promql.every(metric, "value")
            times = dict(self._rows(promql.rolled("tlast_over_time", selected, now - since), now))
            values = dict(self._rows(promql.rolled("last_over_time", selected, now - since), now))
            for tags, at in times.items():
                if tags in values:
                    yield Newest(subject_of(dict(tags)), metric, at, values[tags])

    # Parts --------------------------------------------------------------------------------------

    def _vector(self, expression: str, at: float) -> Dict[Subject, float]:
        return {subject_of(dict(tags)): value for tags, value in self._rows(expression, at)}

    def _rows(self, expression: str, at: float) -> Iterator[Tuple[Tags, float]]:
        # nocache: else it rounds the moment to its cache's step.
        fields = {"query": expression, "time": f"{at:.3f}", "nocache": "1"}
        for tags, value in promql.read_vector(self._asked("/api/v1/query", fields)):
            yield tuple(sorted(tags.items())), value

    def _asked(self, path: str, fields: Dict[str, str]) -> bytes:
        try:
            answer = self._web.form(path, fields)
        except NoAnswer as error:
            raise NoHistory(f"{self.name}: {error}") from None
        if answer.status != 200:
            raise NoHistory(f"{self.name} answered {answer.status}: {answer.said}")
        return answer.body

    def _look(self) -> None:
        """Says once where batches that are sent twice would count twice."""
        if self._looked:
            return
        self._looked = True
        try:
            answer = self._web.get("/metrics", {})
        except NoAnswer:
            return  # it just took a batch: that is what counts
        found = _DEDUP.search(answer.body)
        if found and found.group(1) == b"0s":
            log.warning(
                "%s: start it with -dedup.minScrapeInterval=1ms, else what is sent twice counts twice", self.name
            )
