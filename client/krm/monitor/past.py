"""Reads the history that a question needs: points, sums by the hour and over the window.

What one answer may not hold is asked for in pieces of time. What cannot be read is told in `History.lacks`, a
sentence each, and is not there: it is never an empty list that reads as if nothing had been used.
"""

from __future__ import annotations

from array import array
from math import nan
from typing import Dict, List, Optional, Sequence, Tuple

from krm.analysis.inputs import History, HourTrack, Needs, Sum, Track, Which, key_of
from krm.client.client import Client
from krm.client.errors import KrmError, TooMuch
from krm.model.measures import CLUSTER, NODE, Key, Subject
from krm.store.history.asked import HOUR, STEP, Query, Series

# Seconds below which a piece of time is not cut any more.
_LEAST = 15 * 60.0
_MAX_NOTES = 20  # sentences that the history itself says
_MAX_NODES = 20  # whose points are read where nodes are named


class _Notes:
    """What is said of the history, each sentence once."""

    def __init__(self) -> None:
        self.told: List[str] = []
        self.since: Optional[float] = None

    def add(self, sentences: Sequence[str]) -> None:
        self.told += [one for one in sentences if one not in self.told][: max(0, _MAX_NOTES - len(self.told))]

    def began(self, oldest: Optional[float]) -> None:
        if oldest is not None:
            self.since = oldest if self.since is None else min(self.since, oldest)


def history_of(client: Client, needs: Needs, now: float, nodes: Optional[Sequence[str]] = None) -> History:
    """Of (now - window, now], and of the whole hours before `now`. nodes: points of these alone; None = of all."""
    notes = _Notes()
    tracks: Dict[Which, Sequence[Track]] = {}
    hours: Dict[Which, Sequence[HourTrack]] = {}
    piece = needs.window  # what fitted into one answer fits again
    for metric, level in needs.points:
        query = Query(metric, level, now - needs.window, now, namespace=_narrowed(needs, level))
        try:
            if nodes is not None:
                tracks[metric, level] = _of_nodes(client, query, nodes, notes)
                continue
            tracks[metric, level], piece = _points(client, query, piece, notes)
        except KrmError as error:
            notes.told.append(f"{metric} of each {level}: {error}")
    for metric, level in needs.hours:
        query = Query(metric, level, 0.0, now, namespace=_narrowed(needs, level))
        try:
            hours[metric, level] = _hours(client, query, needs.hours_back, needs.hours_skip, notes)
        except KrmError as error:
            notes.told.append(f"{metric} of each {level} by the hour: {error}")
    sums: Dict[Which, Sequence[Sum]] = {}
    for metric, level in needs.sums:
        query = Query(metric, level, now - needs.window, now, namespace=_narrowed(needs, level))
        try:
            sums[metric, level] = _sums(client, query, notes)
        except KrmError as error:
            notes.told.append(f"{metric} of each {level} over the window: {error}")
    return History(now - needs.window, now, tracks, hours, notes.since, notes.told, sums)


def _narrowed(needs: Needs, level: str) -> str:
    return "" if level in (NODE, CLUSTER) else needs.namespace or needs.measured or ""


def _points(client: Client, query: Query, piece: float, notes: _Notes) -> Tuple[List[Track], float]:
    """All of the query's time, and the seconds of it that one answer could hold. Raises KrmError."""
    pieces: List[Sequence[Series]] = []
    begin = query.begin
    while begin < query.end:
        # Cut at the end of a step, so that none is of two pieces.
        end = (begin + piece) // STEP * STEP if begin + piece < query.end else query.end
        try:
            found = client.measurements.points(query._replace(begin=begin, end=end))
        except TooMuch:
            if piece <= _LEAST:
                raise
            piece = max(_LEAST, piece / 2)
            continue
        pieces.append(found.series)
        notes.add(found.extent.notes)
        if notes.since is None and found.extent.oldest is not None:
            notes.began(_first_sample(client, query, found.extent.oldest))
        begin = end
    if len(pieces) == 1:
        return [Track(one.subject, one.times, one.values) for one in pieces[0]], piece
    return _joined(pieces), piece


def _of_nodes(client: Client, query: Query, nodes: Sequence[str], notes: _Notes) -> List[Track]:
    """Of all namespaces of these nodes, where that is allowed, else of the query's own. Raises KrmError."""
    found: List[Track] = []
    piece = query.end - query.begin
    if len(nodes) > _MAX_NODES:
        notes.add([f"{query.metric}: of {_MAX_NODES} of {len(nodes)} nodes, those with the newest kills"])
    for node in nodes[:_MAX_NODES]:
        try:
            tracks, piece = _points(client, query._replace(node=node, namespace=""), piece, notes)
        except KrmError:
            if not query.namespace:
                raise
            notes.add([f"{query.metric}: of namespace {query.namespace} alone"])
            tracks, piece = _points(client, query._replace(node=node), piece, notes)
        found += tracks
    return found


def _first_sample(client: Client, query: Query, oldest: float) -> float:
    """When what is asked for was measured first; where it was not yet, when measuring had surely begun.

    `oldest`: the begin of the hour in which there is anything.
    """
    found = client.measurements.totals(query._replace(begin=oldest, end=oldest + HOUR))
    return min((one.first for one in found.totals), default=min(oldest + HOUR, query.end))


def _joined(pieces: Sequence[Sequence[Series]]) -> List[Track]:
    """Each subject's series one behind the other; between them are gaps."""
    rows: Dict[Key, Tuple[Subject, float, array[float]]] = {}
    for series in pieces:
        for one in series:
            if not len(one.times):
                continue
            key = key_of(one.subject)
            if key not in rows:
                rows[key] = (one.subject, one.times[0], array("d", one.values))
                continue
            _, first, values = rows[key]
            place = round((one.times[0] - first) / STEP)
            values.extend([nan] * max(0, place - len(values)))
            known = len(values) - place  # points that both have: those of the step where they were cut
            for number in range(min(known, len(one.values))):
                if one.values[number] == one.values[number]:
                    values[place + number] = one.values[number]
            values.extend(array("d", one.values[max(0, known) :]))
    shared: Dict[Tuple[float, int], array[float]] = {}
    tracks = []
    for subject, first, values in rows.values():
        grid = (first, len(values))
        if grid not in shared:
            shared[grid] = array("d", [first + number * STEP for number in range(len(values))])
        tracks.append(Track(subject, shared[grid], values))
    return tracks


def _sums(client: Client, query: Query, notes: _Notes) -> List[Sum]:
    """One answer. Raises KrmError."""
    found = client.measurements.totals(query)
    notes.add(found.extent.notes)
    notes.began(min((one.first for one in found.totals), default=None))
    return [
        Sum(one.subject, one.sum / one.covered, one.maximum, one.covered) for one in found.totals if one.covered > 0
    ]


def _hours(client: Client, query: Query, back: float, skip: float, notes: _Notes) -> List[HourTrack]:
    """An answer an hour: sums of whole hours are what is kept beyond a day. Raises KrmError."""
    last = query.end // HOUR * HOUR
    rows: Dict[Subject, Tuple[array[float], array[float], array[float], array[float]]] = {}
    oldest: Optional[float] = None
    number = int(back // HOUR)
    while number > skip // HOUR:
        end = last - (number - 1) * HOUR
        number -= 1
        if oldest is not None and end <= oldest:
            number = min(number, int((last - oldest) // HOUR) + 1)  # nothing lies before
            continue
        found = client.measurements.totals(query._replace(begin=end - HOUR, end=end))
        oldest = found.extent.oldest
        if oldest is None:
            break  # there is no history at all
        notes.began(min((one.first for one in found.totals), default=None))
        for one in found.totals:
            if one.covered > 0:
                row = rows.setdefault(one.subject, (array("d"), array("d"), array("d"), array("d")))
                for place, value in zip(row, (end, one.sum / one.covered, one.maximum, one.covered)):
                    place.append(value)
    return [HourTrack(subject, *row) for subject, row in rows.items()]
