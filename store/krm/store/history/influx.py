"""InfluxDB as a history: 1.x by /write and /query, 2.x by /api/v2/write and its InfluxQL of 1.x.

1.x: the database is made where it is not there. 2.x: organisation and bucket must exist; reads use the
/query of 1.x, which 2.x answers for a bucket by its name.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any, Dict, Iterator, List

from krm.model.measures import Subject
from krm.model.metrics import COUNTER, TABLE
from krm.store.history import influxql
from krm.store.history.asked import NoHistory, Query, Total
from krm.store.history.external import Found
from krm.store.history.lines import subject_of
from krm.store.history.place import INFLUX2, Place
from krm.store.history.sending import PASSING, Never, NotNow
from krm.store.history.shares import Newest
from krm.store.history.stepped import Raw
from krm.store.history.web import TIMEOUT, Answer, NoAnswer, Web

_METRICS_AT_ONCE = 10  # statements of one request


class Influx:
    """A Store."""

    def __init__(self, place: Place, timeout: float = TIMEOUT) -> None:
        """timeout: seconds a request. Raises BadUrl."""
        self.name = place.shown
        self.address = f"{place.how} {place.host} {place.port} {place.org} {place.bucket or place.database}"
        self._place = place
        self._web = Web(place, timeout)
        self._made = place.how == INFLUX2

    def send(self, batch: bytes) -> None:
        """As Store has it."""
        place = self._place
        if not self._made:
            self._make()
        if place.how == INFLUX2:
            query = {"org": place.org, "bucket": place.bucket, "precision": "ms"}
            answer = self._reached("/api/v2/write", query, batch)
        else:
            answer = self._reached("/write", {"db": place.database, "precision": "ms"}, batch)
        if answer.status in (200, 204):
            return
        if answer.status == 404 and place.how != INFLUX2:
            self._made = False  # someone dropped it
        said = f"it answered {answer.status}: {answer.said}"
        if answer.status >= 500 or answer.status in PASSING:
            raise NotNow(said)
        raise Never(said)

    def points(self, query: Query) -> Iterator[Found]:
        """As Store has it."""
        for rows in self._query(influxql.points(query), 1)[0]:
            points = [
                Raw(at / 1000, float(value), float(seconds or 0.0))
                for at, value, seconds in rows.values
                if value is not None
            ]
            if points:
                yield Found(subject_of(rows.tags), points)

    def totals(self, query: Query) -> Iterator[Total]:
        """As Store has it."""
        sums, firsts, lasts = self._query(influxql.totals(query), 3)
        first = {_key(rows): rows.values[0][0] / 1000 for rows in firsts}
        last = {_key(rows): rows.values[0][0] / 1000 for rows in lasts}
        counted = TABLE[query.metric].form == COUNTER
        for rows in sums:
            key = _key(rows)
            _, total, seconds, most, samples = rows.values[0]
            if total is None or key not in first or key not in last:
                continue  # points that krm did not write
            seconds = float(seconds or 0.0)
            if most is None:  # only the share of a sample that lies after the end
                most = 0.0 if counted or not seconds else total / seconds
            yield Total(key, float(total), seconds, float(most), int(samples or 0), first[key], last[key])

    def newest(self, since: float, now: float) -> Iterator[Newest]:
        """As Store has it."""
        names = iter(sorted(TABLE))
        for some in iter(lambda: list(islice(names, _METRICS_AT_ONCE)), []):
            for metric, found in zip(some, self._query(influxql.newest(some, since, now), len(some))):
                for rows in found:
                    at, value = rows.values[0]
                    yield Newest(subject_of(rows.tags), metric, at / 1000, float(value))

    # Parts --------------------------------------------------------------------------------------

    def _make(self) -> None:
        statement = influxql.create(self._place.database)
        try:
            answer = self._web.form("/query", {"q": statement})
        except NoAnswer as error:
            raise NotNow(str(error)) from None
        # Who may write may not always create: then the write itself says what is wrong.
        if answer.status not in (200, 401, 403):
            raise NotNow(f"it answered {answer.status} to {statement}: {answer.said}")
        self._made = True

    def _reached(self, path: str, query: Dict[str, str], batch: bytes) -> Answer:
        try:
            return self._web.zipped(path, query, batch)
        except NoAnswer as error:
            raise NotNow(str(error)) from None

    def _query(self, statements: str, count: int) -> List[List[influxql.Rows]]:
        place = self._place
        fields = {"q": statements, "db": place.bucket or place.database, "epoch": "ms"}
        try:
            answer = self._web.form("/query", fields)
        except NoAnswer as error:
            raise NoHistory(f"{self.name}: {error}") from None
        if answer.status != 200:
            raise NoHistory(f"{self.name} answered {answer.status}: {answer.said}")
        return influxql.read(_json(answer.body), count)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NoHistory("an answer that is no JSON: is it an InfluxDB?") from None


def _key(rows: influxql.Rows) -> Subject:
    return subject_of(rows.tags)
