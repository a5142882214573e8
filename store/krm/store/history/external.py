"""A history in a store elsewhere: krm writes points into it, and reads sums and points back.

What differs between stores is a `Store`; the rest is here: samples become points (krm.store.history.shares,
.lines), a thread sends them and keeps them on disk while the store is away (.sending, .spool), and answers
take the form that the local file gives (.asked).

Beside the file it differs in this: how long it keeps what is its own setting; an answer is not cut at a
day; and where the asked time begins or ends within an hour, a sample counts whole if it lies in it.
"""

from __future__ import annotations

import hashlib
import logging
from math import ceil
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Protocol, Sequence

from krm.model.delays import RESOLUTION
from krm.model.measures import Sample, Subject
from krm.model.metrics import TABLE
from krm.store.history import lines, spool
from krm.store.history.adding import Adder
from krm.store.history.asked import STEP, Extent, NoHistory, Query, Ranged, Series, TooMuch, Total, Totalled
from krm.store.history.asking import namespaces
from krm.store.history.live import AHEAD
from krm.store.history.points import MOST_POINTS, key_of, matches
from krm.store.history.sending import DRAIN, PAUSE, Sender
from krm.store.history.shares import FORGET, Newest, Shares
from krm.store.history.stepped import Raw, stepped

BATCH_LINES = 10_000  # about 2 MB, 150 KB once compressed
DELAYS = "streamed_data"  # the measurement of stream delay points, as the original resource monitor called it
DELETIONS = "deletion_seconds"  # ... of how long deletions took
_BEYOND = 4 * STEP  # seconds after a range in which a rate's window may reach back into it

log = logging.getLogger("krm.history")


class Found(NamedTuple):
    """Points of one series of a store, in order of time."""

    subject: Subject
    points: List[Raw]


class Store(Protocol):
    """What differs between stores. Reads are for any thread; each raises NoHistory."""

    name: str  # its URL without secrets
    address: str  # what makes it another store than a second one: what waits for one is never sent to another

    def send(self, batch: bytes) -> None:
        """Lines, as krm.store.history.spool packs them. Raises NotNow, Never."""
        ...

    def points(self, query: Query) -> Iterable[Found]:
        """What was written of the time; several for a subject of which several sources told."""
        ...

    def totals(self, query: Query) -> Iterable[Total]:
        """The same, added up."""
        ...

    def newest(self, since: float, now: float) -> Iterable[Newest]:
        """The last value of every series, of each source, that brought one between the two."""
        ...


class ExternalReader:
    """History over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def range(self, query: Query) -> Ranged:
        """As History has it, for as long as the store keeps points."""
        first, last = ceil(query.begin / STEP), ceil(query.end / STEP) - 1
        if namespaces(query) == [] or last < first:
            return Ranged([], Extent(query.begin, query.end, None, None))
        wide = self._narrowed(query)._replace(begin=(first - 1) * STEP, end=last * STEP + _BEYOND)
        by_subject: dict[Subject, List[Found]] = {}
        count = 0
        for found in self._store.points(wide):
            count += len(found.points)
            if count > MOST_POINTS:
                raise TooMuch(f"more than {MOST_POINTS:,} points: ask for less time, or one namespace")
            if self._is_asked(found.subject, query):
                by_subject.setdefault(key_of(found.subject), []).append(found)
        form = TABLE[query.metric].form
        series: List[Series] = []
        for key in sorted(by_subject):
            parts = by_subject[key]
            subject = next((part.subject for part in parts if part.subject.node), parts[0].subject)
            whole = stepped(subject, form, sorted(point for part in parts for point in part.points))
            kept = _between(whole, first, last)
            if kept is not None:
                series.append(kept)
        newest = max((one.times[-1] for one in series), default=None)
        oldest = min((one.times[0] for one in series), default=None)
        return Ranged(series, Extent(query.begin, query.end, oldest, newest))

    def totals(self, query: Query) -> Totalled:
        """As History has it."""
        if namespaces(query) == []:
            return Totalled([], Extent(query.begin, query.end, None, None))
        adder = Adder()
        for total in self._store.totals(self._narrowed(query)):
            if self._is_asked(total.subject, query):
                adder.add(total)
        totals = adder.totals()
        oldest = min((total.first for total in totals), default=None)
        newest = max((total.last for total in totals), default=None)
        return Totalled(totals, Extent(query.begin, query.end, oldest, newest))

    @staticmethod
    def _narrowed(query: Query) -> Query:
        """`allowed` are the namespaces to look into, and None only where all are."""
        names = namespaces(query)
        return query._replace(allowed=None if names in (None, [""]) else tuple(names or ()))

    @staticmethod
    def _is_asked(subject: Subject, query: Query) -> bool:
        """The store was asked for nothing else; what another wrote into it may be anything."""
        known = query.allowed is None or subject.namespace in query.allowed
        return known and subject.level == query.level and matches(subject, query)


class ExternalHistory(ExternalReader):
    """History and Recorder over one store."""

    def __init__(self, store: Store, folder: Path, most: int = spool.MOST, pause: float = PAUSE) -> None:
        """folder: where what waits lies, in one of its own; most: bytes; pause: seconds, see Sender."""
        self.name = store.name
        super().__init__(store)
        self._shares = Shares()
        self._unwritable = 0
        self._resumed = False
        own = hashlib.blake2b(store.address.encode(), digest_size=8).hexdigest()
        self._sender = Sender(
            _Lines(store, self._complaints), lambda: spool.Spool(folder / f"spool-{own}", most), pause
        )

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """As Recorder has it."""
        self._sender.offer(lambda: self._packed(self._of_turn(samples, now)))

    def write_points(self, points: Sequence[lines.Point]) -> None:
        """Points that are no samples, by the same way."""
        self._sender.offer(lambda: self._packed(points))

    def health(self) -> List[str]:
        """As Recorder has it."""
        return self._sender.health()

    def close(self, drain: float = DRAIN) -> None:
        """What was recorded is with the store, or on the disk; it takes at most `drain` seconds."""
        self._sender.close(drain)

    def _of_turn(self, samples: Sequence[Sample], now: float) -> Iterator[lines.Point]:
        self._resume(now)
        for sample, shares in self._shares.take(samples, now):
            tags = lines.tags_of(sample.subject, sample.source)
            for share in shares:
                fields = {} if share.value is None else {"value": share.value}
                fields.update(sum=share.sum, seconds=share.seconds)
                yield lines.Point(share.metric, tags, fields, share.at)

    def _packed(self, points: Iterable[lines.Point]) -> Iterator[bytes]:
        some: List[lines.Point] = []
        for point in points:
            some.append(point)
            if len(some) >= BATCH_LINES:
                yield from self._pack(some)
                some = []
        yield from self._pack(some)

    def _pack(self, points: List[lines.Point]) -> Iterator[bytes]:
        text, lost = lines.text(points)
        self._unwritable += lost
        if text:
            yield spool.pack(text)

    def _resume(self, now: float) -> None:
        """Before the first turn: where an earlier process left each series, so that nothing counts twice.

        What still waits on the disk is not in the store: a counter's increase over the restart is then
        counted from nothing, and a gauge for up to HOLD seconds twice.
        """
        if self._resumed:
            return
        self._resumed = True
        try:
            for newest in self._store.newest(now - FORGET, now + AHEAD):
                self._shares.goes_on(newest)
        except NoHistory as error:
            log.warning(
                "%s: series begin anew, since the store does not say where they stood: %s", self.name, error
            )

    def _complaints(self) -> List[str]:
        said = [f"{count} values {why} were not kept" for why, count in self._shares.refused.items()]
        if self._unwritable:
            said.append(f"{self._unwritable} points have names of more than {lines.MOST_TAG} characters")
        return said


class _Lines:
    """The store as what a Sender sends to."""

    def __init__(self, store: Store, complaints: Callable[[], List[str]]) -> None:
        self.name, self.send, self.complaints = store.name, store.send, complaints


def delay_point(resource: str, event: str, at: float, delay: float, resource_version: str) -> lines.Point:
    """How long after a change the stream brought it. delay: seconds; at: Unix seconds of the receipt."""
    tags = (("event", lines.tagged(event)), ("resource", lines.tagged(resource)))
    return lines.Point(DELAYS, tags, _told("delay", delay, resource_version), at)


def deletion_point(resource: str, at: float, seconds: float, resource_version: str) -> lines.Point:
    """How long after the request to delete an object was gone, grace and finalizers included."""
    tags = (("resource", lines.tagged(resource)),)
    return lines.Point(DELETIONS, tags, _told("value", seconds, resource_version), at)


def _told(name: str, seconds: float, resource_version: str) -> Dict[str, lines.Field]:
    return {name: seconds, "resource_version": resource_version, "resolution": RESOLUTION}


def _between(series: Optional[Series], first: int, last: int) -> Optional[Series]:
    if series is None:
        return None
    start = round(series.times[0] / STEP)
    begin, end = max(0, first - start), last - start + 1
    values = series.values[begin:end] if end > 0 else []
    known = [place for place, value in enumerate(values) if value == value]
    if not known:
        return None
    begin, end = begin + known[0], begin + known[-1] + 1
    return Series(series.subject, series.times[begin:end], series.values[begin:end])
