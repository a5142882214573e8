"""How long after a change the watch brought it: what of each event can be told. Pure.

Only what happened while a session was open counts, as it was brought then: `since` is when the aggregator first
heard that the session's watch is open. What a list told, what was held before, and what a new session replays of
the time before it give no point: they say when krm began to look, not how late the watch is.

When a deletion was asked for, and whether it was immediate, the last object alone cannot tell: as a grace period
ends, the API server writes the time of then as deletionTimestamp, and a grace of 0. So who is seen waiting for its
end is remembered, with the request.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import deque
from functools import lru_cache
from typing import Any, Deque, Dict, List, Optional, Sequence, Tuple, Union

from krm.aggregator.state import Applied
from krm.model import messages, times
from krm.model.delays import ADDED, BOUNDS, DELETED, DELETION, PUBLISHED, SERIES, DelayPoint, Histogram
from krm.model.messages import Item

# Delays kept for the percentiles, of each series.
KEPT = 1000
# Points that wait for the next second's entry: more come at no rate that a kind was measured at.
WAITING = 20_000
# Bytes of an object in which a pod's deletionTimestamp stands: behind two names of 253, namespace and uid, before
# labels. Of all built-in kinds pods alone have a grace period.
_REACH = 1280
# Bytes of an object up to which one that is not written as usual is read in whole.
_ODD_MOST = 64 * 1024
# Seconds that points may be ahead of their receipt, so that each has a millisecond of its own.
_AHEAD = 60.0

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# Metadata as API servers write it: a struct's fields in their order, or a custom resource's by the alphabet. What
# people write into annotations is stepped over, so that nothing there is taken for a time.
_USUAL = re.compile(
    rb'\{"apiVersion":"[^"\\]*","kind":"[^"\\]*","metadata":\{'
    rb'(?:"annotations":\{(?:%s:%s,?)*\},)?'
    rb'(?:"(?:name|generateName|namespace|selfLink|uid|resourceVersion)":"[^"\\]*",|"generation":[0-9]+,)*'
    rb'"creationTimestamp":"([^"\\]*)"'
    rb'(?:,"deletionTimestamp":"([^"\\]*)"|,"deletionGracePeriodSeconds":([0-9]+))*' % (_STRING, _STRING)
).match
_UNKNOWN = ("", 0.0)
_GOING, _HELD = b'"deletionTimestamp":"', b'"finalizers":["'


class StreamDelays:
    """Those of one kind, since its aggregator took over."""

    def __init__(self) -> None:
        self._newest: Dict[str, Deque[float]] = {series: deque(maxlen=KEPT) for series in SERIES}
        self._counts: Dict[str, List[int]] = {series: [0] * (len(BOUNDS) + 1) for series in SERIES}
        self._totals: Dict[str, float] = dict.fromkeys(SERIES, 0.0)
        self._negative: Dict[str, int] = dict.fromkeys(SERIES, 0)
        self._ending: Dict[str, Tuple[str, float]] = {}  # key -> (uid, request), of who waits for its end
        self._unpublished: List[float] = []  # creations that no reader sees yet
        self._points: Deque[DelayPoint] = deque(maxlen=WAITING)
        self._placed: Dict[str, int] = dict.fromkeys(SERIES, 0)  # the newest point's millisecond
        self._summary: Optional[Dict[str, Dict[str, Any]]] = None
        self._changed = False

    def take(self, changes: Sequence[Applied], since: Optional[float]) -> None:
        """Changes as they were merged. `since`: seconds, as State.live_since; None = nothing can be told."""
        for item, before, told in changes:
            if item.type == messages.DELETED:
                uid, request = self._ending.pop(item.key, _UNKNOWN)
                if told and since is not None and before is not None and before.uid == item.uid:
                    self._deleted(item, request if uid == item.uid else None, since)
            elif told == messages.ADDED:
                if since is not None and (before is None or before.uid != item.uid):
                    self._added(item, since)
            else:
                self.see(item.key, item.uid, item.body)

    def see(self, key: str, uid: str, body: bytes) -> None:
        """An object as it is now, whoever told it: one that waits for its end is remembered."""
        if body.find(_GOING, 0, _REACH) >= 0 and self._ending.get(key, _UNKNOWN)[0] != uid:
            deletion, grace = ending_of(body)
            if deletion is not None and grace > 0:
                self._ending[key] = (uid, deletion - grace)

    def published(self, now: float) -> None:
        """All that was taken can be read since `now`, Redis clock."""
        for created in self._unpublished:
            self._count(PUBLISHED, now - created)
        self._unpublished.clear()

    def forget(self) -> None:
        """All is built anew: what was taken is read at a time that says nothing, and a list tells who waits."""
        self._unpublished.clear()
        self._ending.clear()

    def drain(self) -> List[DelayPoint]:
        """Points since the last call."""
        points = list(self._points)
        self._points.clear()
        return points

    def summary(self) -> Optional[Dict[str, Dict[str, Any]]]:
        """head.stream_delay; None = there was no point yet. It costs a sort where something came."""
        if self._changed:
            self._changed = False
            self._summary = {
                series: _summary(newest, sum(self._counts[series]), self._negative[series])
                for series, newest in self._newest.items()
                if newest
            }
        return self._summary

    def figures(self) -> Dict[str, Dict[str, Union[float, Histogram]]]:
        """For /metrics, by event. From any thread: each number is as of some moment of the call."""
        events = (ADDED, DELETED)
        return {
            "krm_stream_delay_seconds": {event: self._histogram(event) for event in events},
            "krm_stream_delay_negative_total": {event: self._negative[event] for event in events},
            "krm_deletion_seconds": {DELETED: self._histogram(DELETION)},
            "krm_commit_to_reader_seconds": {ADDED: self._histogram(PUBLISHED)},
        }

    # Parts --------------------------------------------------------------------------------------

    def _histogram(self, series: str) -> Histogram:
        return Histogram(BOUNDS, tuple(self._counts[series]), self._totals[series])

    def _added(self, item: Item, since: float) -> None:
        created = created_of(item.body)
        if created is not None and created >= since and item.received_at:
            self._tell(ADDED, item, item.received_at - created)
            self._unpublished.append(created)

    def _deleted(self, item: Item, request: Optional[float], since: float) -> None:
        """`request`: of one that was seen waiting for its end."""
        if _GOING not in item.body or not item.received_at:
            return  # an object that is deleted at once is gone without a word of when
        deletion, grace = ending_of(item.body)
        if deletion is None or deletion - grace < since:
            return
        asked = deletion - grace if request is None else request
        self._tell(DELETION, item, item.received_at - asked)
        if request is None and not grace and _HELD not in item.body:
            self._tell(DELETED, item, item.received_at - deletion)

    def _tell(self, series: str, item: Item, seconds: float) -> None:
        at = round(item.received_at * 1000)
        last = self._placed[series]
        if at <= last <= at + _AHEAD * 1000:
            at = last + 1  # a store holds one point a time: what came in one batch is spread
        self._placed[series] = at
        self._points.append(DelayPoint(series, at / 1000, seconds, item.rv))
        self._count(series, seconds)

    def _count(self, series: str, seconds: float) -> None:
        self._newest[series].append(seconds)
        self._counts[series][bisect_left(BOUNDS, seconds)] += 1
        if seconds > 0:
            self._totals[series] += seconds
        elif seconds < 0:
            self._negative[series] += 1
        self._changed = True


def created_of(body: bytes) -> Optional[float]:
    """An object's creationTimestamp in Unix seconds; where it is written as usual the object is not read for it."""
    usual = _USUAL(body)
    return _time(usual.group(1)) if usual else times.known(_metadata(body).get("creationTimestamp"))


def ending_of(body: bytes) -> Tuple[Optional[float], float]:
    """(deletionTimestamp in Unix seconds, None = not known; the grace in it, in seconds)."""
    usual = _USUAL(body)
    if usual and usual.group(2):
        return _time(usual.group(2)), float(usual.group(3) or 0)
    metadata = _metadata(body)
    grace = metadata.get("deletionGracePeriodSeconds")
    return times.known(metadata.get("deletionTimestamp")), float(grace) if isinstance(grace, int) else 0.0


def _metadata(body: bytes) -> Dict[str, Any]:
    try:
        metadata = json.loads(body)["metadata"] if len(body) <= _ODD_MOST else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


@lru_cache(maxsize=1024)  # many objects are made within one second
def _time(text: bytes) -> Optional[float]:
    return times.known(text.decode("ascii", "replace"))


def _summary(newest: Sequence[float], points: int, negative: int) -> Dict[str, Any]:
    ordered = sorted(newest)
    return {"p50": _share(ordered, 50), "p99": _share(ordered, 99), "points": points, "negative": negative}


def _share(ordered: Sequence[float], percent: int) -> float:
    return round(ordered[min(len(ordered) - 1, percent * len(ordered) // 100)], 3)
