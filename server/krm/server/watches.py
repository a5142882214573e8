"""One watch: from a replica's log to lines on a connection.

A watcher holds a position in the log and nothing else: what it has not read stays in the log, which has a
budget, so a reader that never reads costs no memory. One that falls out of the log is told 410.
"""

from __future__ import annotations

from typing import Callable, Dict, Hashable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from krm.model.gojson import written
from krm.model.messages import ADDED, BOOKMARK, DELETED, MODIFIED
from krm.model.records import Envelope
from krm.server.lists import Forms, matches
from krm.server.negotiation import TABLE, Form
from krm.server.options import Options
from krm.server.replica import Event, Replica, order
from krm.server.statuses import ApiError, too_old
from krm.server.writing import Page, at_version, event

# Seconds between bookmarks, and before the end of a watch: as the API server sends them.
BOOKMARK_EVERY, BOOKMARK_BEFORE_END = 60.0, 2.0
# Events of one write, and bytes of their lines: enough to share a system call, few enough that others get
# their turn. One burst is all that a reader who never reads holds in memory: thousands of them may be open.
BURST, BURST_BYTES = 200, 64 * 1024
# Events of the log that are looked at for one write: most may be of other namespaces.
LOOK = 1000
# Seconds that a watch lives where the client set no timeout: as the API server, 30 to 60 minutes.
LIFE_LEAST = 1800.0


class Plan(NamedTuple):
    """What one watcher wants to see."""

    namespace: str
    options: Options
    form: Form


class Chunk(NamedTuple):
    """The next events of a log, as lines."""

    after: int  # the position behind them
    lines: bytes
    told: int  # how many


Held = Tuple[str, Envelope]  # under namespace/name


class Lines:
    """Events of one replica as bytes, for watchers with the same plan: most of them share what they are sent."""

    # Bytes of lines kept, and of chunks of them: watchers run together, the newest are asked for again and again.
    KEPT = 16 * 1024 * 1024

    def __init__(self, replica: Replica, forms: Forms) -> None:
        self._replica, self._forms = replica, forms
        self._kept: Dict[Tuple[int, str, Form], bytes] = {}  # position in the log, type; the oldest first
        self._size = 0
        self._held: Tuple[Hashable, Sequence[Held]] = (None, ())  # as the newest who asked for all had it
        # (position, namespace, form) -> what follows there, while the log ends where it ended then.
        self._chunks: Dict[Tuple[int, str, Form], Chunk] = {}
        self._chunks_of, self._chunks_size = (0, 0), 0

    def chunk(self, plan: Plan, position: int, now: float, first: bool) -> Optional[Chunk]:
        """The next events; None where the place is lost. `first`: nothing was told before, so the first line of a
        Table names its columns."""
        if plan.form.name == TABLE or plan.options.selects:
            return self._chunk(plan, position, now, first)
        state = (self._replica.epoch, self._replica.end)
        if self._chunks_of != state:
            self._chunks_of, self._chunks_size = state, 0
            self._chunks.clear()
        key = (position, plan.namespace, plan.form)
        found = self._chunks.get(key)
        if found is None:
            found = self._chunk(plan, position, now, first)
            if found is not None and self._chunks_size + len(found.lines) <= self.KEPT:
                self._chunks[key] = found
                self._chunks_size += len(found.lines)
        return found

    def _chunk(self, plan: Plan, position: int, now: float, first: bool) -> Optional[Chunk]:
        events = self._replica.events(position, LOOK)
        if events is None:
            return None
        prefix = plan.namespace + "/" if plan.namespace else ""
        lines: List[bytes] = []
        size = 0
        for one in events:
            position += 1
            seen = transition(one, plan.options) if one.key.startswith(prefix) else None
            if seen is None:
                continue
            lines.append(self._told(plan, position, one, seen, now, first and not lines))
            size += len(lines[-1])
            if len(lines) >= BURST or size >= BURST_BYTES:
                break
        return Chunk(position, b"".join(lines), len(lines))

    def initial(self, plan: Plan, now: float) -> Iterator[bytes]:
        """All objects of this moment as synthetic ADDED events, each written when it is asked for."""
        return self._added(plan, self._all(plan.namespace), now)

    def _added(self, plan: Plan, held: Sequence[Held], now: float) -> Iterator[bytes]:
        first = True
        for key, envelope in held:
            if not plan.options.selects or matches(key, envelope, plan.options):
                yield self._line(plan, ADDED, envelope, now, first)
                first = False

    def _all(self, namespace: str) -> Sequence[Held]:
        """What is held at this moment: one tuple for all who ask at one version."""
        replica = self._replica
        question = (replica.token, replica.epoch, namespace)
        if self._held[0] != question:
            found = tuple((key, replica.objects[key]) for key in replica.keys(namespace))
            self._held = (question, found)
        return self._held[1]

    def bookmark(self, plan: Plan, rv: str, now: float, first: bool, ends_initial: bool = False) -> bytes:
        """How far the watch has come."""
        return self._line(plan, BOOKMARK, self._forms.writer.mark(rv, ends_initial), now, first)

    def _told(
        self, plan: Plan, position: int, one: Event, seen: Tuple[str, Envelope], now: float, first: bool
    ) -> bytes:
        """An event's line. Watchers of one form share it, unless it holds an age or an object as it was before."""
        type_, envelope = seen
        if plan.form.name == TABLE or envelope is not one.envelope:
            return self._line(plan, type_, envelope, now, first)
        key = (position, type_, plan.form)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._line(plan, type_, envelope, now, first)
            self._size += len(found)
            while self._size > self.KEPT:
                self._size -= len(self._kept.pop(next(iter(self._kept))))
        return found

    def _line(self, plan: Plan, type_: str, envelope: Envelope, now: float, first: bool) -> bytes:
        if plan.form.name != TABLE:
            return event(type_, self._forms.writer.object(plan.form, envelope))
        page, include = Page(envelope.rv), plan.options.include
        return event(type_, self._forms.table(plan.form, page, [envelope], include, now, definitions=first))


def transition(one: Event, options: Options) -> Optional[Tuple[str, Envelope]]:
    """What a watcher with these selectors sees of an event; None = nothing.

    What leaves a selection is DELETED, and shown as it was before at the new resourceVersion.
    """
    if not options.selects:
        return one.type, one.envelope
    was = one.before is not None and matches(one.key, one.before, options)
    is_ = one.type != DELETED and matches(one.key, one.envelope, options)
    if was and is_:
        return MODIFIED, one.envelope
    if is_:
        return ADDED, one.envelope
    if was and one.before is not None:
        # Of what a list repaired the bytes of before may be gone.
        as_it_is = one.type == DELETED or not one.before.body
        return DELETED, one.envelope if as_it_is else at_version(one.before, one.envelope.rv)
    return None


class Watch:
    """The life of one watch: `run` sends until it is over."""

    def __init__(
        self,
        replica: Replica,
        lines: Lines,
        plan: Plan,
        deadline: float,
        clock: Callable[[], float],
        live: Callable[[], bool],
    ) -> None:
        """`deadline` and `clock`: monotonic seconds. While not `live`, no bookmark claims that time has passed."""
        self._replica, self._lines, self._plan = replica, lines, plan
        self._deadline, self._clock, self._live = deadline, clock, live
        self._epoch = replica.epoch
        self.told = 0  # lines so far
        self._position = 0
        self._ahead = 0  # the client has seen more than this replica: nothing is told until it has come as far
        self._pending: Optional[Iterator[bytes]] = None
        self._bookmark_at = clock() + BOOKMARK_EVERY
        self._last_bookmark_sent = False

    def start(self, now: float) -> None:
        """Finds the place; `now`: epoch seconds, for the ages of a Table."""
        options, replica = self._plan.options, self._replica
        synthetic = options.initial_events or (
            options.initial_events is None and options.resource_version in ("", "0")
        )
        if not synthetic and options.version:
            self._ahead = options.version
            self._find()
            return
        self._position = replica.end
        if not synthetic:
            return
        self._pending = self._beginning(self._lines.initial(self._plan, now), replica.rv, now)

    def _beginning(self, added: Iterator[bytes], rv: str, now: float) -> Iterator[bytes]:
        """All that there was at `rv`, and a mark where it ends for who takes bookmarks."""
        first = True
        for line in added:
            yield line
            first = False
        if self._plan.options.bookmarks:
            yield self._lines.bookmark(self._plan, rv, now, first, ends_initial=True)

    def _find(self) -> None:
        """The place after what the client has seen, once the replica has come as far."""
        if self._ahead > order(self._replica.rv):
            self._position = self._replica.end
            return
        place = self._replica.position(self._ahead)
        if place is None:
            self._pending = iter([error_line(too_old(self._ahead, self._replica.watch_from))])
            self._epoch = -1
        else:
            self._position = place
            first = self._replica.events(place, 1)
            if first and first[0].rv == self._ahead:
                # A repair: its objects are of older versions, from which the client could not watch again.
                self._bookmark_at = self._clock()
        self._ahead = 0

    def next(self, now: float) -> Optional[bytes]:
        """The next bytes to send, b"" = none yet, None = the watch is over."""
        burst = self._burst()
        if burst:
            return burst
        if self._epoch < 0 or self._clock() >= self._deadline:
            return None
        if self._epoch != self._replica.epoch:
            return self._lost()
        if self._ahead:
            self._find()
            return b""
        found = self._lines.chunk(self._plan, self._position, now, not self.told)
        if found is None:
            return self._lost()
        moved = found.after != self._position
        self._position = found.after
        self.told += found.told
        return found.lines if found.lines or moved else self._due_bookmark(now)

    def _lost(self) -> bytes:
        """Its last line."""
        self._epoch = -1
        self.told += 1
        return error_line(too_old(self._plan.options.version, self._replica.watch_from))

    def _burst(self) -> bytes:
        """Of what was prepared; b"" where that is all sent."""
        lines: List[bytes] = []
        size = 0
        for line in self._pending or ():
            lines.append(line)
            size += len(line)
            if len(lines) >= BURST or size >= BURST_BYTES:
                break
        else:
            self._pending = None
        self.told += len(lines)
        return b"".join(lines)

    @property
    def behind(self) -> bool:
        """Whether there are events that were not sent."""
        return self._pending is not None or self._position < self._replica.end or self._epoch != self._replica.epoch

    def wait(self) -> float:
        """Seconds until something is due though nothing happens."""
        due = self._deadline
        if self._plan.options.bookmarks:
            due = min(due, self._bookmark_at)
            if not self._last_bookmark_sent:
                due = min(due, self._deadline - BOOKMARK_BEFORE_END)
        return max(0.0, due - self._clock())

    def _due_bookmark(self, now: float) -> bytes:
        if not self._plan.options.bookmarks:
            return b""
        at = self._clock()
        last = not self._last_bookmark_sent and at >= self._deadline - BOOKMARK_BEFORE_END
        if not last and at < self._bookmark_at:
            return b""
        self._last_bookmark_sent = self._last_bookmark_sent or last
        self._bookmark_at = at + BOOKMARK_EVERY
        if not self._live():
            return b""
        self.told += 1
        return self._lines.bookmark(self._plan, self._replica.rv, now, first=self.told == 1)


def error_line(error: ApiError) -> bytes:
    """An ERROR event."""
    return event("ERROR", written(error.status()))
