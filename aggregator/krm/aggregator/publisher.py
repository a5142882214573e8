"""One tenure's hand on Redis: versions within their budgets, the snapshot built aside, the head.

It lives from one take-over to the next surprise, and is thrown away with all that it counts: a write
that failed for good leaves nothing behind that a later one could build on.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from krm.aggregator import edition, heads
from krm.aggregator.delays import StreamDelays
from krm.aggregator.state import Applied, State
from krm.model import records
from krm.model.head import Head
from krm.model.messages import MAX_MESSAGE, Item
from krm.store.connect import Clock
from krm.store.errors import Corrupt, OutOfMemory, Surprise, Unavailable
from krm.store.keys import Keys
from krm.store.publish import Writer
from krm.store.streams import EVENTS, LISTS
from krm.store.transactions import Publication

# Seconds. A beat says that the aggregator lives; cursors are saved at the latest each quarter.
BEAT_EVERY, CURSORS_EVERY = 1.0, 0.25
# Objects of one chunk of a snapshot that is built aside.
CHUNK = 500
# Bytes of one entry of `changes` or `past`: readers refuse what is larger.
ENTRY_MOST = MAX_MESSAGE
# Seconds between attempts while Redis is away or full.
RETRY = 0.5

log = logging.getLogger("krm.aggregator")


class Publisher:
    """What one aggregator writes while it holds the fence. `cursors`: stream -> newest entry consumed."""

    def __init__(
        self, writer: Writer, keys: Keys, clock: Clock, keep_past: bool, head: Head, stop: threading.Event
    ) -> None:
        self._writer, self._keys, self._clock, self._stop = writer, keys, clock, stop
        self._keep_past = keep_past
        self.cursors: Dict[str, str] = {EVENTS: head.events_id, LISTS: head.lists_id}
        self.readable = head.incarnation
        self.delay_p50, self.delay_p99 = head.delay_p50, head.delay_p99
        self._delays = edition.Delays()
        self.stream, self._stream_delay = StreamDelays(), head.stream_delay
        self._changes_kept, self._past_kept = edition.changes_budget(), edition.past_budget()
        self._oldest: Dict[str, object] = _oldest(head.oldest, head.oldest_rv, head.oldest_at)
        self._canonical = 0  # bytes of all envelopes
        self._aside = 0  # ... of those built aside
        self._saved = self._beaten = float("-inf")

    # loading -------------------------------------------------------------------------------------

    def measured(self, incarnation: str) -> List[Tuple[str, records.Envelope]]:
        """All rows without their bodies, whose bytes are counted. Raises Corrupt, Unavailable."""
        rows: List[Tuple[str, records.Envelope]] = []
        for key, envelope in self._writer.load_rows(incarnation):
            self._canonical += len(envelope.body)
            self.stream.see(key, envelope.uid, envelope.body)
            rows.append((key, envelope._replace(body=b"")))
        return rows

    def resumed(self, head: Head) -> None:
        """What a former aggregator left in the streams counts as one entry of its newest version."""
        for kept, key in ((self._changes_kept, self._keys.changes), (self._past_kept, self._keys.past)):
            kept.add(head.version, head.rv, None, self._writer.memory(key), self._canonical)

    # versions ------------------------------------------------------------------------------------

    def publish(self, state: State, changes: Sequence[Applied], repair: bool) -> bool:
        """One version. False: nothing was written, it is more than one entry may hold.

        Raises Surprise, Corrupt (what stands is no envelope, or not there at all), Unavailable.
        """
        known = self._writer.known
        if known is None:
            raise Surprise("a version without the fence")
        now, rv = self._clock.now(), state.rv
        standing = self._writer.previous(self.readable, list(dict.fromkeys(a.item.key for a in changes)))
        _check_standing(changes, standing)
        try:
            made = edition.compose(changes, standing, rv, now, repair, self._keep_past)
        except records.BadRecord as error:
            raise Corrupt(f"an object that changed cannot be read: {error}") from None
        if max(len(made.entry), len(made.past)) > ENTRY_MOST:
            return False
        self._canonical += made.size
        self._delays.add(made.delays)
        self.stream.published(now)
        version = known.version + 1
        changes_gone = self._changes_kept.add(version, rv, now, len(made.entry), self._canonical)
        past_gone = self._past_kept.add(version, rv, now, len(made.past), self._canonical)
        self._note_oldest(changes_gone)
        self._commit(
            Publication(
                incarnation=self.readable,
                version=version,
                puts=made.puts,
                deletes=made.deletes,
                index=_touched(state),
                entry=made.entry,
                past=made.past,
                head=self._head(state),
                trim_changes_to=_behind(changes_gone),
                trim_past_to=_behind(past_gone),
            )
        )
        return True

    def _commit(self, publication: Publication) -> None:
        """Until it stands: a full Redis is given room by trimming, an absent one is waited for."""
        while True:
            try:
                self._writer.publish(publication)
                return
            except OutOfMemory as error:
                log.warning("%s: %s", self._keys.kind, error)
                self._make_room()
                publication = replace(publication, head={**publication.head, **self._oldest})
            except Unavailable as error:
                log.warning("%s: version %d waits: %s", self._keys.kind, publication.version, error)
            self._wait()

    def _with_room(self, write: Callable[[], None]) -> None:
        """Like a version, any other write finds a full Redis only until enough was trimmed."""
        while True:
            try:
                write()
                return
            except OutOfMemory as error:
                log.warning("%s: %s", self._keys.kind, error)
                self._make_room()
            self._wait()

    def _make_room(self) -> None:
        changes_gone = self._changes_kept.halve()
        self._writer.trim(_behind(changes_gone), _behind(self._past_kept.halve()))
        self._note_oldest(changes_gone)

    def _note_oldest(self, gone: Optional[edition.Kept]) -> None:
        """What the head says of where `changes` begins: the state at the newest version that went."""
        if gone is not None:
            self._oldest = _oldest(gone.version, gone.rv, gone.at)

    def _wait(self) -> None:
        if self._stop.wait(RETRY):
            raise Surprise("stopped while a write was waiting for Redis")

    # building aside ------------------------------------------------------------------------------

    def begin(self, state: State, reason: str, former: Sequence[str]) -> None:
        """`state.incarnation` is built under `next` from here on; `former` ones are garbage."""
        self._aside = 0
        values = {"next": state.incarnation, "rebuilt": reason}
        self._with_room(lambda: self._writer.write_head({**self._head(state), **values}, garbage_add=former))

    def build(self, state: State, chunk: Sequence[Item]) -> None:
        """Objects of the snapshot that is built aside."""
        touched = _touched(state)
        for item in chunk:
            self.stream.see(item.key, item.uid, item.body)
        for start in range(0, len(chunk), CHUNK):
            puts = {item.key: _packed(item) for item in chunk[start : start + CHUNK]}
            self._aside += sum(map(len, puts.values()))
            self._build(state.incarnation, puts, touched)
            touched = {}

    def _build(
        self, incarnation: str, puts: Mapping[str, bytes], touched: Mapping[str, Optional[records.IndexEntry]]
    ) -> None:
        self._with_room(lambda: self._writer.build(incarnation, puts, touched, {}))

    def switch(self, state: State, facts: Mapping[str, object]) -> str:
        """What was built aside is readable; returns the incarnation that it replaced, '' = none."""
        known = self._writer.known
        if known is None:
            raise Surprise("a switch without the fence")
        old, self.readable, self._canonical = self.readable, state.incarnation, self._aside
        # Emptied with the switch itself: until then a full Redis is given room from the old history.
        oldest = _oldest(known.version + 1, state.rv, self._clock.now())
        self._with_room(lambda: self._writer.switch({**self._head(state), **facts, **oldest}, old))
        self._changes_kept, self._past_kept, self._oldest = edition.changes_budget(), edition.past_budget(), oldest
        return old

    # the head ------------------------------------------------------------------------------------

    def keep_alive(self, state: State, at_once: bool = False) -> None:
        """Beat, cursors, want and trust, where they were not written within a quarter of a second."""
        if at_once or time.monotonic() - self._saved >= CURSORS_EVERY:
            self._with_room(lambda: self._writer.write_head(self._head(state)))

    def _head(self, state: State) -> Dict[str, object]:
        """The head's fields as of now. Percentiles change with the beat alone: they cost a sort."""
        self._saved = time.monotonic()
        if self._saved - self._beaten >= BEAT_EVERY:
            self._beaten = self._saved
            self.delay_p50, self.delay_p99 = self._delays.percentiles()
            self._stream_delay = self.stream.summary() or self._stream_delay
        return {
            **heads.head_of(state),
            **self._oldest,
            "delay_p50": self.delay_p50,
            "delay_p99": self.delay_p99,
            "stream_delay": self._stream_delay,
            "events_id": self.cursors[EVENTS],
            "lists_id": self.cursors[LISTS],
            "beat": self._clock.now(),
        }


def _check_standing(changes: Sequence[Applied], standing: Mapping[str, bytes]) -> None:
    """What is held in memory must stand in Redis, and nothing else. Raises Corrupt."""
    first: Dict[str, Applied] = {}
    for applied in changes:
        first.setdefault(applied.item.key, applied)
    for key, applied in first.items():
        if bool(standing[key]) != (applied.before is not None):
            raise Corrupt(f"{key} is {'there' if standing[key] else 'gone'} in Redis and should not be: rebuild")


def _oldest(version: int, rv: str, at: Optional[float]) -> Dict[str, object]:
    """The head's fields that say where `changes` begins."""
    return {"oldest": version, "oldest_rv": rv, "oldest_at": at}


def _touched(state: State) -> Dict[str, Optional[records.IndexEntry]]:
    touched = {namespace: state.index.get(namespace) for namespace in state.touched}
    state.touched.clear()
    return touched


def _packed(item: Item) -> bytes:
    return records.pack_envelope(
        records.Envelope(item.rv, item.uid, item.digest, item.received_at, item.labels, item.fields, item.body)
    )


def _behind(gone: Optional[edition.Kept]) -> Optional[int]:
    """The oldest version that stays."""
    return gone.version + 1 if gone else None
