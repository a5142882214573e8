"""WATCH: one open stream, from a revision to its deadline, with whatever is wrong at the moment."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterator, List, Optional

from .history import Burst, Change, Entry, Log, Stored
from .kinds import Kind
from .listing import parse_version, wait_for
from .selectors import Selector
from .wire import Object, Refusal, dumps, invalid_options, partial_object, watch_line
from .world import World

# Events joined into one write at most: large enough to be cheap, small enough to feel like a stream.
BATCH = 64
# Before the deadline, one bookmark more (seconds).
LAST_BOOKMARK = 2.0
GARBAGE = b'{"type":"MODIFIED","object":{"metadata":{"name":"half\n'


@dataclass(frozen=True)
class WatchQuery:
    """A watch request. seconds: until the server ends it."""

    kind: Kind
    selector: Selector
    version: str
    seconds: float
    bookmarks: bool = False
    initial: Optional[bool] = None  # sendInitialEvents
    match: str = ""
    partial: bool = False


class Cut(Exception):
    """The connection must close in the middle of what was said."""


def check_watch(query: WatchQuery) -> None:
    """The 422s of watch options."""
    match = "resourceVersionMatch"
    if query.initial is None and query.match:
        text = match + " is forbidden for watch unless sendInitialEvents is provided"
        raise invalid_options([(match, "FieldValueForbidden", text)])
    if query.initial is not None and query.match != "NotOlderThan":
        text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes = [(match, "FieldValueForbidden", text)]
        if query.match:
            unsupported = '"%s": supported values: "NotOlderThan"' % query.match
            causes.append((match, "FieldValueNotSupported", unsupported))
        raise invalid_options(causes)


class Watch:
    """`chunks()` yields bytes to send, empty ones when there is only time to check that someone listens."""

    def __init__(self, world: World, query: WatchQuery, bookmark_every: float, too_large_wait: float) -> None:
        check_watch(query)
        self.world, self.query, self.every = world, query, bookmark_every
        self.log: Log = world.log(query.kind.name)
        self.cuts = world.faults.cuts
        self.cursor = parse_version(query.version) if query.version else 0
        self.too_large_wait = too_large_wait
        self.began_at = 0  # what the kind's last event was when the watch began
        begun = time.monotonic()
        self.deadline = begun + query.seconds
        self.next_bookmark = min(begun + bookmark_every, self._last_bookmark(begun))
        self.refused = False
        # As in the API server the watch stands before the answer's head goes out: what is written once a
        # client has seen that head is an event. Only one that waits for a version ahead begins later.
        self.opening: Optional[List[bytes]] = None if query.initial and self.cursor else self._begin()

    def chunks(self) -> Iterator[bytes]:
        world, name = self.world, self.query.kind.name
        if self.opening is None:
            yield b""  # the headers go out before this hangs
            try:
                wait_for(world, self.query.kind, self.cursor, self.too_large_wait)
            except Refusal as refusal:  # not an HTTP status: the stream has begun
                yield refusal.line()
                return
            self.opening = self._begin()
        yield b"".join(self.opening)
        if self.refused:
            return
        while True:
            with world.lock:
                problem = self._over()
                if problem is not None:
                    yield problem
                    return
                entries: List[Entry] = []
                counted = world.faults.counting(name)
                if world.faults.lasting("stall", name) is None:
                    entries = self._next_entries()
                if not entries:
                    self.log.changed.wait(max(0.0, min(1.0, self._until_news())))
            if entries:
                yield from self._render(entries, counted)
            else:
                yield self._bookmark_if_due()
            if time.monotonic() >= self.deadline:
                return

    # -- beginning and end

    def _begin(self) -> List[bytes]:
        """What comes first: an ERROR, synthetic events, or nothing. Sets where the watch goes on from."""
        world = self.world
        with world.lock:
            # etcd still knows the event AT the compacted revision, so a watch from the one before it is fine.
            if 0 < self.cursor < world.compacted - 1 and not self.query.initial:
                self.refused = True
                return [too_old(self.cursor, world.compacted).line()]
            opening = self._synthetic_opening()
            self.began_at = max(self.cursor, self.log.entries[-1].last if self.log.entries else 0)
            return opening

    def _synthetic_opening(self) -> List[bytes]:
        world, query = self.world, self.query
        seen = world.faults.seen_revision(query.kind.name)
        present = world.revision if seen is None else seen
        if query.initial or (query.initial is None and self.cursor == 0):
            state = world.stored_at(query.kind.name, seen)
            self.cursor = present
            return self._synthetic([state[key] for key in sorted(state)], present)
        if self.cursor == 0:  # sendInitialEvents=false without a version: from now
            self.cursor = present
        return []

    def _synthetic(self, stored: List[Stored], present: int) -> List[bytes]:
        lines = []
        for version in stored:
            if self.query.selector.matches(version):
                body = partial_object(version.metadata()) if self.query.partial else version.body()
                lines.append(watch_line(b"ADDED", body))
        # Since 1.34 a watch from nothing ends them so too, though it did not ask with sendInitialEvents.
        if self.query.bookmarks:
            lines.append(self._bookmark(present, initial_end=True))
        return lines

    def _over(self) -> Optional[bytes]:
        """Last words where the watch must end now: an ERROR line, or b"" for a silent end."""
        world, name = self.world, self.query.kind.name
        if self.cuts != world.faults.cuts or (self.log.removed and not self._next_entries()):
            return b""
        # Compaction ends no watch that already runs; only an event that is forgotten does.
        if world.faults.lasting("watch_410", name) is not None or self.cursor < self.log.trimmed:
            return too_old(self.cursor, max(world.compacted, self.log.trimmed)).line()
        return None

    # -- events

    def _next_entries(self) -> List[Entry]:
        seen = self.world.faults.seen_revision(self.query.kind.name)
        start = self.log.after(self.cursor)
        found = self.log.entries[start : start + BATCH]
        if seen is not None:
            found = [entry for entry in found if entry.last <= seen]
        return found

    def _render(self, entries: List[Entry], counted: bool) -> Iterator[bytes]:
        dropped = self.world.faults.dropped(self.query.kind.name)
        plain = self.query.selector.passes_all and not self.query.partial and not counted and not dropped
        lines: List[bytes] = []
        for entry in entries:
            if isinstance(entry, Burst):
                if lines:
                    yield b"".join(lines)
                    lines = []
                yield from self._burst(entry, plain)
                continue
            if entry.revision not in dropped:
                lines.append(self._line(entry))
            self.cursor = entry.revision
            if counted and lines:
                yield from self._spoil(lines.pop())
        if lines:
            yield b"".join(lines)

    def _burst(self, burst: Burst, plain: bool) -> Iterator[bytes]:
        while self.cursor < burst.last:
            if self.cuts != self.world.faults.cuts or time.monotonic() >= self.deadline:
                return
            offset = max(0, self.cursor + 1 - burst.first)
            count = min(BATCH, burst.count - offset)
            if plain:
                ring = (burst.position + offset) % len(burst.plan.keys)
                yield burst.plan.lines(ring, burst.first + offset, count)
            else:
                dropped = self.world.faults.dropped(self.query.kind.name)
                for change in burst.changes(self.cursor, count):
                    if change.revision not in dropped:
                        yield from self._spoil(self._line(change))
            self.cursor = burst.first + offset + count - 1

    def _line(self, change: Change) -> bytes:
        """What this watcher sees of a change: b"" where its selector hides it."""
        event_type, now = change.type, change.now
        selector = self.query.selector
        if not selector.passes_all:
            was = change.before is not None and selector.matches(change.before)
            is_now = now is not None and selector.matches(now)
            if not was and not is_now:
                return b""
            event_type = "MODIFIED" if was and is_now else "ADDED" if is_now else "DELETED"
        shown = change.before if event_type == "DELETED" and change.before is not None else change.stored
        if self.query.partial:
            body = partial_object(shown.metadata(change.revision))
        else:
            body = shown.body_at(change.revision) if event_type == "DELETED" else shown.body()
        return watch_line(event_type.encode(), body)

    def _spoil(self, line: bytes) -> Iterator[bytes]:
        """Send one line with the counted faults that wait for it."""
        faults, name = self.world.faults, self.query.kind.name
        if not line:
            return
        with self.world.lock:
            garbage, twice, cut = (faults.take(fault, name) for fault in ("garbage", "duplicate", "cut"))
        if garbage:
            yield GARBAGE
        if cut:
            yield line[: len(line) // 2]
            raise Cut
        yield line + line if twice else line

    # -- bookmarks

    def _last_bookmark(self, now: float) -> float:
        last = self.deadline - LAST_BOOKMARK
        return last if last > now else self.deadline

    def _until_news(self) -> float:
        return min(self.next_bookmark, self.deadline) - time.monotonic()

    def _bookmark_if_due(self) -> bytes:
        now = time.monotonic()
        if now < self.next_bookmark:
            return b""
        self.next_bookmark = min(now + self.every, self._last_bookmark(now))
        if not self.query.bookmarks:
            return b""
        world, name = self.world, self.query.kind.name
        with world.lock:
            faults = world.faults
            if faults.lasting("stall", name) is not None or faults.lasting("no_bookmarks", name) is not None:
                return b""
            seen = faults.seen_revision(name)
            present = world.revision if seen is None else seen
            if faults.lasting("no_progress", name) is not None:
                present = min(present, self.log.entries[-1].last if self.log.entries else 0)
                if present <= self.began_at:
                    return b""
            # With an event pending the bookmark would run ahead of it; one that runs behind is never sent.
            if self._next_entries() or present < self.cursor:
                return b""
            self.cursor = present
        return self._bookmark(present)

    def _bookmark(self, revision: int, initial_end: bool = False) -> bytes:
        kind = self.query.kind
        return watch_line(b"BOOKMARK", bookmark_object(kind, revision, initial_end, self.query.partial))


# What Go's encoder leaves of an empty object of each kind, beside its metadata.
_EMPTY: Object = {
    "Pod": {"spec": {"containers": None}, "status": {}},
}


def bookmark_object(kind: Kind, revision: int, initial_end: bool, partial: bool) -> bytes:
    """An object with nothing but its type and a resourceVersion."""
    metadata: Object = {"resourceVersion": str(revision)}
    if initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    if partial:
        return partial_object(dumps(metadata))
    if kind.custom:
        return dumps({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}, True)
    rest = _EMPTY.get(kind.kind, {"spec": {}, "status": {}} if kind.status else {})
    return dumps(dict({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}, **rest))


def too_old(asked: int, oldest: int) -> Refusal:
    """410 as a watch says it: HTTP 200 and an ERROR line."""
    return Refusal(410, "Expired", "too old resource version: %d (%d)" % (asked, oldest))
