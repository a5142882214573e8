"""One kind's aggregator: the only writer of its snapshot, fenced, with one way out.

state      on                                              to
waiting    head absent, fence empty or mine, or fence and   loading
           beat unchanged for 5 s
loading    same Redis run, nothing half built, hashes       running
           agree with the head: resume
           otherwise: rebuild under `next`                  running (building)
running    messages: merge, publish                         running
           a law that only another epoch answers            running (building)
           the list of what is built aside is whole: switch running
any        Surprise: head absent, another fence, version    waiting; all is forgotten
           or incarnation than this writer left; or keys
           that it wrote are gone
any        stop: the fence is emptied                       ended
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
import uuid
from hashlib import blake2b
from typing import Callable, List, Optional, Tuple

from krm.aggregator import events, heads, lists
from krm.aggregator.inspection import Inspection
from krm.aggregator.merge import merge, settle
from krm.aggregator.publisher import CURSORS_EVERY, RETRY, Publisher
from krm.aggregator.state import Applied, State, Step
from krm.model import records
from krm.model.head import Head
from krm.model.kinds import UNCACHED_KINDS, parse_kind
from krm.model.messages import Bad, BadMessage, ListEnd, unpack
from krm.stage.metrics import Figures
from krm.store.connect import Clock, Database
from krm.store.delays import DelayWriter
from krm.store.errors import Corrupt, Rejected, StoreError, Surprise
from krm.store.keys import Keys
from krm.store.meta import Announcer
from krm.store.publish import Writer
from krm.store.streams import EVENTS, LISTS, Consumer, Entry

# Seconds (monotonic) without a beat after which a fence is taken over: five missed beats.
TAKE_OVER_AFTER = 5.0
# Entries of each stream a turn; a batch holds up to 100 events.
ENTRIES = 8
# Changes of one version, and bytes of their objects: enough to share the round trip, few enough to keep a
# version small. What one batch brings is not cut.
VERSION_CHANGES, VERSION_BYTES = 200, 16 * 1024 * 1024
# Seconds until a replaced incarnation is removed: readers that began on it may finish.
GARBAGE_AFTER = 60.0
# Seconds between two entries of delays.
DELAYS_EVERY = 1.0
# Seconds between two announcements of the kind, so that readers find it; after one that failed.
ANNOUNCE_EVERY, ANNOUNCE_AGAIN = 60.0, 5.0

log = logging.getLogger("krm.aggregator")


class Aggregator:
    """One pipeline's loop. `run` returns when `stop` is set."""

    def __init__(self, database: Database, keys: Keys, past: bool, clock: Clock, stop: threading.Event) -> None:
        self._database, self._keys, self._clock, self._stop = database, keys, clock, stop
        kind = parse_kind(keys.kind)
        self._uncached = kind in UNCACHED_KINDS
        self._past = past and not self._uncached
        self._fence = self._held = ""  # the one that is, or is to be, written; the one last known to stand
        self._writer = Writer(database, keys, self._fence)
        self._consumer = Consumer(database, keys)
        self._announcer = Announcer(database, keys)
        self._delay_writer = DelayWriter(database, keys)
        self._state = State("", building=True)
        self._publisher = Publisher(self._writer, keys, clock, self._past, Head(), stop)

    def run(self) -> None:
        """Take over, load, and turn until stopped; forget everything on a surprise."""
        while not self._stop.is_set():
            try:
                head = self._take_over()
                if head is None:
                    return
                self._load(head)
                while not self._stop.is_set():
                    self.turn()
                self._writer.release()
                return
            except Surprise as surprise:
                log.warning("%s: all is forgotten and loaded anew: %s", self._keys.kind, surprise)
            except StoreError as error:
                log.warning("%s: %s", self._keys.kind, error)
                self._stop.wait(RETRY)

    def figures(self) -> Figures:
        """For /metrics: what the head says, as this loop last knew it."""
        state = self._state
        known = self._writer.known
        age = None if state.current_as_of is None else max(0.0, self._clock.now() - state.current_as_of)
        return {
            "krm_snapshot_age_seconds": age,
            "krm_snapshot_version": known.version if known else None,
            "krm_snapshot_objects": None if state.building else len(state.rows),
            "krm_drift_total": sum(state.drift.values()),
            "krm_gaps_total": state.gaps,
            "krm_publish_delay_seconds": self._publisher.delay_p99,
            **self._publisher.stream.figures(),
        }

    # waiting -------------------------------------------------------------------------------------

    def _take_over(self) -> Optional[Head]:
        """The head as it was taken, an empty one where there was none; None when stopped."""
        seen: Tuple[str, Optional[float]] = ("", None)
        since = time.monotonic()
        if self._fence == self._held:  # else it was tried in vain, while Redis was away perhaps: it is mine still
            self._fence = str(uuid.uuid4())
        mine = (self._held, self._fence)
        self._writer.close()
        self._writer = Writer(self._database, self._keys, self._fence)
        while not self._stop.is_set():
            head = self._read_head()
            holder = (head.fence, head.beat) if head else ("", None)
            if holder != seen:
                seen, since = holder, time.monotonic()
            free = not holder[0] or holder[0] in mine or time.monotonic() - since >= TAKE_OVER_AFTER
            if free and self._writer.take_over(head, {"beat": self._clock.now()}):
                self._held = self._fence
                log.info("%s: took over", self._keys.kind)
                return head or Head()
            self._stop.wait(RETRY)
        return None

    def _read_head(self) -> Optional[Head]:
        try:
            return self._writer.read_head()
        except Corrupt:
            return None  # take_over replaces it whole

    # loading -------------------------------------------------------------------------------------

    def _load(self, head: Head) -> None:
        self._run_id = self._writer.facts().run_id or ""
        self._publisher = Publisher(self._writer, self._keys, self._clock, self._past, head, self._stop)
        self._pending: List[Applied] = []
        self._pending_size = 0  # bytes of their objects
        self._repair = False
        self._announce_at = self._delays_at = float("-inf")
        self._inspection = Inspection(self._writer, self._keys.kind)
        self._garbage = {one: time.monotonic() + GARBAGE_AFTER for one in self._writer.garbage()}
        state = self._resume(head)
        if state is None:
            self._state = heads.state_from(Head(gaps=head.gaps, drift=head.drift, bad=head.bad), ())
            self._rebuild("nothing that rests in Redis can be continued" if head.incarnation else "first start")
        else:
            self._state = state
            log.info("%s: resumed version %d with %d objects", self._keys.kind, head.version, len(state.rows))
            self._publisher.keep_alive(state, at_once=True)

    def _resume(self, head: Head) -> Optional[State]:
        if not heads.resumable(head, self._run_id):
            return None
        try:
            state = heads.state_from(head, self._publisher.measured(head.incarnation))
            newest = self._writer.newest_change()
            if not heads.agrees(state, head) or newest not in (None, head.version):
                return None  # what a write left that failed half way inside its MULTI, or rot
            self._publisher.resumed(head)
        except (Corrupt, Rejected, records.BadRecord) as error:
            log.warning("%s: %s", self._keys.kind, error)  # Rejected: a key is of another type
            return None
        return state

    # running -------------------------------------------------------------------------------------

    def turn(self) -> None:
        """Take in what both streams hold, publish what follows from it, keep the head alive."""
        cursors = self._publisher.cursors
        entries = self._consumer.read(cursors[EVENTS], cursors[LISTS], CURSORS_EVERY, ENTRIES)
        for entry in entries:
            self._take(entry)
        self._publish()  # before the state moves on: see _take
        self._merge(lambda: settle(self._state, time.monotonic()), LISTS, b"")
        self._publish()
        self._state.forget_future(self._clock.now())
        self._publisher.keep_alive(self._state)
        self._inspection.turn(self._state)
        self._tell_delays()
        self._announce()
        self._collect()

    def _take(self, entry: Entry) -> None:
        try:
            message = unpack(entry.raw)
        except BadMessage as error:
            log.warning("%s: entry %s of %s is skipped: %s", self._keys.kind, entry.id, entry.stream, error)
            self._tell(f"an entry of {entry.stream} cannot be read: {error}", entry.raw)
            (events if entry.stream == EVENTS else lists).lose_entry(self._state)
        else:
            # Rv, count, digest and index of a version are those of the state: events that wait, and a
            # repair that waits, are published before a message of the other sort changes it.
            if self._repair or isinstance(message, ListEnd):
                self._publish()
            self._merge(lambda: merge(self._state, message, time.monotonic()), entry.stream, entry.raw)
        self._publisher.cursors[entry.stream] = entry.id
        if len(self._pending) >= VERSION_CHANGES or self._pending_size >= VERSION_BYTES:
            self._publish()

    def _merge(self, step: Callable[[], Step], stream: str, raw: bytes) -> None:
        """One step of the merge. What makes it fail, whatever that is, is passed over and told: the same entry
        would stop this kind at each start again. The state is half changed then, so all is built anew."""
        try:
            made = step()
        except Exception as error:  # noqa: BLE001 - the merge is pure: this says something of the entry alone
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error(
                "%s: an entry of %s is passed over: %s\n%s", self._keys.kind, stream, type(error).__name__, where
            )
            what = f"an entry of {stream} cannot be merged: {type(error).__name__}"  # its text may quote the object
            self._tell(what, raw)
            if not self._state.building:
                self._rebuild(what)
            self._state.listing = None  # the want stands: the verifier serves it again, at its own pace
        else:
            self._perform(made)

    def _tell(self, error: str, raw: bytes) -> None:
        digest = blake2b(raw, digest_size=16).hexdigest()
        self._state.note_bad([Bad(error[:200], len(raw), digest, at=self._clock.now())])

    def _perform(self, step: Step) -> None:
        if step.rebuild:
            self._rebuild(step.rebuild)
            return
        if step.chunk:
            self._publisher.build(self._state, step.chunk)
        if step.switch:
            self._switch()
        if step.changes:
            self._publisher.stream.take(step.changes, self._state.live_since)
            self._repair = step.repair
            self._pending.extend(step.changes)
            self._pending_size += sum(len(applied.item.body) for applied in step.changes)

    def _publish(self) -> None:
        """All pending changes as one version."""
        if not self._pending:
            return
        changes, self._pending, self._pending_size = self._pending, [], 0
        if not self._publisher.publish(self._state, changes, self._repair):
            self._rebuild(f"{len(changes)} changes are more than one version can hold")

    def _rebuild(self, reason: str) -> None:
        log.info("%s: the snapshot is built anew: %s", self._keys.kind, reason)
        known = self._writer.known
        former = [known.next] if known and known.next else []
        self._pending, self._pending_size = [], 0
        self._publisher.stream.forget()
        self._state = heads.next_state(self._state, str(uuid.uuid4()))
        self._publisher.begin(self._state, reason, former)
        self._garbage.update((one, time.monotonic() + GARBAGE_AFTER) for one in former)

    def _switch(self) -> None:
        self._state.building = False
        old = self._publisher.switch(self._state, {"run_id": self._run_id, "uncached": self._uncached})
        if old:
            self._garbage[old] = time.monotonic() + GARBAGE_AFTER
        log.info("%s: %d objects at %s are readable", self._keys.kind, len(self._state.rows), self._state.rv)

    def _tell_delays(self) -> None:
        """For whoever keeps them. What cannot be told now is lost: /metrics and head count it all the same."""
        if time.monotonic() < self._delays_at:
            return
        self._delays_at = time.monotonic() + DELAYS_EVERY
        points = self._publisher.stream.drain()
        try:
            if points:
                self._delay_writer.append(points)
        except StoreError as error:
            self._delays_at = time.monotonic() + ANNOUNCE_EVERY  # where Redis refuses it, not each second
            log.warning("%s: %d points of the stream delay are lost: %s", self._keys.kind, len(points), error)

    def _announce(self) -> None:
        """In Redis Cluster another node may own the directory: while that is away, the kind goes on."""
        if time.monotonic() < self._announce_at:
            return
        self._announce_at = time.monotonic() + ANNOUNCE_EVERY
        try:
            self._announcer.announce(self._clock.now())
        except StoreError as error:
            self._announce_at = time.monotonic() + ANNOUNCE_AGAIN
            log.warning("%s: not announced: %s", self._keys.kind, error)

    def _collect(self) -> None:
        due = [one for one, at in self._garbage.items() if at <= time.monotonic()]
        for incarnation in due:
            self._writer.collect_garbage(incarnation)
            del self._garbage[incarnation]
