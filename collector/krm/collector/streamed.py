"""Points of the stream delay, from the aggregators' streams in Redis to a store of measurements, each 30 s.

A collector that begins anew writes the last hour once more: such a store holds a point once however often it
comes, and what happened in between is not lost.
"""

from __future__ import annotations

import logging
from typing import Callable, Dict, Iterator, List, Sequence

from krm.model.delays import DELETION, unpack_points
from krm.model.records import BadRecord
from krm.store.connect import Database
from krm.store.delays import read_delays
from krm.store.errors import StoreError
from krm.store.history.external import delay_point, deletion_point
from krm.store.history.lines import Point
from krm.store.keys import Keys, meta_key
from krm.store.meta import announced
from krm.store.streams import pairs

EVERY = 30.0  # seconds between two looks
BACK = 3600.0  # seconds that the first look reaches back: a store may refuse what is older than it keeps

log = logging.getLogger("krm")


class Streamed:
    """Of all kinds of one cluster. For one thread."""

    def __init__(self, database: Database, cluster: str, write: Callable[[Sequence[Point]], None]) -> None:
        self._database, self._cluster, self._write = database, cluster, write
        self._cursors: Dict[Keys, str] = {}
        self._looked = float("-inf")
        self._problem = ""

    def turn(self, now: float) -> None:
        """Looks where it is time; `now`: Unix seconds. What Redis does not give is tried again the next time."""
        if 0 <= now - self._looked < EVERY:
            return
        self._looked = now
        problem = ""
        try:
            for keys in self._kinds(now):
                self._pass_on(keys, now)
        except StoreError as error:
            problem = f"stream delays were not read: {error}"
        if problem and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem

    def _kinds(self, now: float) -> List[Keys]:
        key = meta_key(self._cluster)
        link = self._database.link(key)
        try:
            fields = pairs(link.call("HGETALL", key))
        finally:
            link.close()
        return [Keys(self._cluster, kind, namespace) for kind, namespace in announced(fields, now)]

    def _pass_on(self, keys: Keys, now: float) -> None:
        after = self._cursors.get(keys) or f"{max(0, int((now - BACK) * 1000))}-0"
        newest, entries = read_delays(self._database, keys, after)
        points = [point for raw in entries for point in _points(keys, raw)]
        if points:
            self._write(points)
        self._cursors[keys] = newest


def _points(keys: Keys, raw: bytes) -> Iterator[Point]:
    try:
        found = unpack_points(raw)
    except BadRecord as error:
        log.warning("%s: stream delays that cannot be read are passed over: %s", keys, error)
        return
    for series, at, seconds, rv in found:
        if series == DELETION:
            yield deletion_point(keys.kind, at, seconds, rv)
        else:
            yield delay_point(keys.kind, series, at, seconds, rv)
