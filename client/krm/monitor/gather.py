"""Reads what a question needs: snapshots, points and hours of the history, newest values, OOM kills."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Tuple

from krm.analysis.inputs import (
    NOTHING,
    Body,
    History,
    HourTrack,
    Inputs,
    Kills,
    Needs,
    Newest,
    Reading,
    State,
    Track,
    Which,
)  # fmt: skip
from krm.client.client import Client
from krm.client.errors import BadObject, BadRequest, KrmError
from krm.client.measurements import NoMeasurements
from krm.client.usage import WORDS, Used
from krm.model.measures import CONTAINER, NODE, POD, Subject
from krm.model.trust import Trust
from krm.store.history.asked import HOUR, Query

_WORDS = {level: word for word, level in WORDS.items()}


def gather(client: Client, needs: Needs) -> Inputs:
    """Everything, read one after another. Raises KrmError where one of `needs.kinds` cannot be read."""
    now = client.measurements.now()
    state = _state(client, needs)
    history = _history(client, needs, now)
    kubelets = client.measurements.kubelets() if needs.kubelets else {}
    return Inputs(now, client.cluster, state, history, _newest(client, needs), _kills(client, needs), kubelets)


def _state(client: Client, needs: Needs) -> State:
    kinds: Dict[str, Sequence[Body]] = {}
    trust: Dict[str, Trust] = {}
    lacks: Dict[str, str] = {}
    for kind in (*needs.kinds, *needs.more_kinds):
        try:
            snapshot = client.snapshot(kind, needs.namespace, stale_ok=True)
        except KrmError as error:
            if kind in needs.kinds:
                raise
            lacks[kind] = str(error)
            continue
        bodies: List[Body] = []
        for one in snapshot.items():
            try:
                bodies.append(one.body())
            except BadObject as error:  # it alone is left out, and that is told
                lacks[f"{kind} {one.key}"] = str(error)
        kinds[kind], trust[kind] = bodies, snapshot.trust
    return State(kinds, trust, lacks)


def _history(client: Client, needs: Needs, now: float) -> History:
    tracks: Dict[Which, Sequence[Track]] = {}
    hours: Dict[Which, Sequence[HourTrack]] = {}
    lacks: List[str] = []
    since: Optional[float] = None
    for metric, level in needs.points:
        try:
            found = client.measurements.points(
                Query(metric, level, now - needs.window, now, namespace=_narrowed(needs, level))
            )
        except (NoMeasurements, BadRequest) as error:
            lacks.append(f"{metric} of each {level}: {error}")
            continue
        tracks[metric, level] = [Track(one.subject, one.times, one.values) for one in found.series]
        lacks += [note for note in found.extent.notes if note not in lacks]
        since = found.extent.oldest if since is None else since
    for metric, level in needs.hours:
        try:
            hours[metric, level] = _hours(client, metric, level, needs, now)
        except (NoMeasurements, BadRequest) as error:
            lacks.append(f"{metric} of each {level} by the hour: {error}")
    return History(now - needs.window, now, tracks, hours, since, lacks)


def _narrowed(needs: Needs, level: str) -> str:
    return "" if needs.namespace is None or level in (NODE, "cluster") else needs.namespace


def _hours(client: Client, metric: str, level: str, needs: Needs, now: float) -> List[HourTrack]:
    """An answer an hour: sums of whole hours are what is kept beyond a day."""
    last = now // HOUR * HOUR
    rows: Dict[Subject, Tuple[List[float], List[float], List[float], List[float]]] = {}
    for number in range(int(needs.hours_back // HOUR), 0, -1):
        end = last - (number - 1) * HOUR
        query = Query(metric, level, end - HOUR, end, namespace=_narrowed(needs, level))
        for one in client.measurements.totals(query).totals:
            if one.covered > 0:
                row = rows.setdefault(one.subject, ([], [], [], []))
                for place, value in zip(row, (end, one.sum / one.covered, one.maximum, one.covered)):
                    place.append(value)
    return [HourTrack(subject, *row) for subject, row in rows.items()]


def _newest(client: Client, needs: Needs) -> Newest:
    if not needs.newest:
        return NOTHING
    readings: Dict[str, Sequence[Reading]] = {}
    state, reasons, nodes = "live", [], None
    for level in needs.newest:
        found = client.usage(_WORDS[level], None if level == NODE else needs.namespace)
        readings[level] = [_reading(row) for row in found.rows]
        state, nodes = found.state, found.nodes
        reasons += [reason for reason in found.reasons if reason not in reasons]
    return Newest(readings, state, tuple(reasons), nodes)


def _reading(row: Used) -> Reading:
    pod = row.name if row.level in (POD, CONTAINER) else ""
    subject = Subject(row.namespace, pod, "", row.container, row.node)
    return Reading(subject, row.values, row.at, row.window, row.source, row.covers)


def _kills(client: Client, needs: Needs) -> Kills:
    if not needs.kills:
        return Kills()
    found = client.kills(needs.namespace)
    return Kills(found.rows, found.state, found.reasons)
