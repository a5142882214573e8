"""What was ever true: stored versions, changes, and one kind's log that can be rewound."""

from __future__ import annotations

import re
import threading
from typing import Dict, Iterator, List, Mapping, Optional, Tuple, Union

from .kinds import Kind

_REVISION = re.compile(rb'"resourceVersion":"[^"]*"')
# Where an injected body wants its revision; hostile bytes need not be JSON, so no pattern could find it.
RAW_REVISION = b"@RV@"


class Stored:
    """One version of one object. `body()` is the JSON that GET and WATCH show."""

    __slots__ = ("fields", "head", "key", "labels", "raw", "revision", "tail", "template", "uid")

    def __init__(
        self,
        key: str,
        revision: int,
        uid: str,
        raw: bytes,
        head: int = 0,
        tail: int = 0,
        labels: Optional[Mapping[str, str]] = None,
        fields: Optional[Mapping[str, str]] = None,
        template: Optional[bytes] = None,
    ) -> None:
        self.key, self.revision, self.uid, self.raw = key, revision, uid, raw
        self.head, self.tail = head, tail
        self.labels: Mapping[str, str] = labels or {}
        self.fields: Mapping[str, str] = fields or {}
        self.template = template  # of an injected body, before its revision was put in

    def body(self) -> bytes:
        return self.raw

    def body_at(self, revision: int) -> bytes:
        """The same content under another revision: what DELETED carries."""
        if self.template is not None:
            return self.template.replace(RAW_REVISION, b"%d" % revision)
        return _REVISION.sub(b'"resourceVersion":"%d"' % revision, self.body(), count=1)

    def metadata(self, revision: Optional[int] = None) -> bytes:
        """The metadata alone. Injected bodies have none that could be cut out, so one is made up."""
        body = self.body() if revision is None else self.body_at(revision)
        if self.template is None:
            return body[self.head : len(body) - self.tail]
        namespace, _, name = self.key.rpartition("/")
        where = '"namespace":"%s",' % namespace if namespace else ""
        text = '{"name":"%s",%s"uid":"%s","resourceVersion":"%d"}'
        return (text % (name, where, self.uid, revision or self.revision)).encode()


class Change:
    """One event of the true history. `now` is None for DELETED, `before` for ADDED."""

    __slots__ = ("at", "before", "key", "now", "revision")

    def __init__(self, revision: int, key: str, now: Optional[Stored], before: Optional[Stored], at: float) -> None:
        self.revision, self.key, self.now, self.before = revision, key, now, before
        self.at = at  # seconds since the epoch, when it was written

    @property
    def first(self) -> int:
        return self.revision

    @property
    def last(self) -> int:
        return self.revision

    @property
    def type(self) -> str:
        if self.now is None:
            return "DELETED"
        return "ADDED" if self.before is None else "MODIFIED"

    @property
    def stored(self) -> Stored:
        """The version that the event shows: of a deletion, the last one."""
        stored = self.now or self.before
        if stored is None:
            raise ValueError("a change from nothing to nothing")
        return stored

    @property
    def uid(self) -> str:
        return self.stored.uid

    @property
    def body(self) -> bytes:
        """The object as a watch shows it."""
        return self.stored.body() if self.now is not None else self.stored.body_at(self.revision)

    @property
    def metadata(self) -> bytes:
        return self.stored.metadata(self.revision)


class BurstPlan:
    """Objects of one kind, cut where a revision stands (twice: resourceVersion and a tick annotation).

    `middle[i]` runs from after object i's tick through the line break up to object i+1's revision, so that
    a batch of lines is one join of four pieces an event.
    """

    def __init__(self, keys: List[str], stored: List[Stored], pieces: List[Tuple[bytes, bytes, bytes]]) -> None:
        self.keys, self.stored, self.pieces = keys, stored, pieces
        self.opening = b'{"type":"MODIFIED","object":'
        count = len(pieces)
        self.middle = [pieces[i][2] + b"}\n" + self.opening + pieces[(i + 1) % count][0] for i in range(count)]
        self.between = [piece[1] for piece in pieces]

    def render(self, position: int, revision: int) -> bytes:
        start, between, end = self.pieces[position]
        digits = b"%d" % revision
        return start + digits + between + digits + end

    def lines(self, position: int, revision: int, count: int) -> bytes:
        """`count` watch lines from ring position `position`, revisions `revision` and up."""
        size, middle, between = len(self.keys), self.middle, self.between
        out = [self.opening + self.pieces[position][0]]
        for index in range(revision, revision + count):
            digits = b"%d" % index
            out += (digits, between[position], digits, middle[position])
            position += 1
            if position == size:
                position = 0
        # The last middle already opens the next line: keep its own end only.
        last = (position - 1) % size
        out[-1] = self.pieces[last][2] + b"}\n"
        return b"".join(out)


class BurstStored(Stored):
    """A version that a burst wrote, rendered only when someone looks."""

    __slots__ = ("plan", "position")

    def __init__(self, origin: Stored, plan: BurstPlan, position: int, revision: int) -> None:
        base = plan.stored[position]
        super().__init__(origin.key, revision, origin.uid, b"", base.head, base.tail, base.labels, base.fields)
        self.plan, self.position = plan, position

    def body(self) -> bytes:
        return self.plan.render(self.position, self.revision)


class Burst:
    """`count` MODIFIED events in a row, round robin over a plan's ring, as one entry of the log."""

    __slots__ = ("at", "before", "count", "first", "plan", "position")

    def __init__(
        self, plan: BurstPlan, position: int, first: int, count: int, before: Dict[str, Stored], at: float
    ) -> None:
        self.plan, self.position, self.first, self.count = plan, position, first, count
        self.before, self.at = before, at

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def version(self, offset: int) -> BurstStored:
        ring = (self.position + offset) % len(self.plan.keys)
        return BurstStored(self.plan.stored[ring], self.plan, ring, self.first + offset)

    def previous(self, offset: int) -> Stored:
        """What stood before the event at `offset`."""
        earlier = offset - len(self.plan.keys)
        if earlier >= 0:
            return self.version(earlier)
        return self.before[self.plan.keys[(self.position + offset) % len(self.plan.keys)]]

    def changes(self, after: int = -1, limit: Optional[int] = None) -> Iterator[Change]:
        """Its events with a revision above `after`, at most `limit`."""
        start = max(0, after + 1 - self.first)
        end = self.count if limit is None else min(self.count, start + limit)
        for offset in range(start, end):
            now = self.version(offset)
            yield Change(now.revision, now.key, now, self.previous(offset), self.at)


Entry = Union[Change, Burst]


class Log:
    """One kind's current objects and how they came to be. Guarded by the world's lock."""

    def __init__(self, kind: Kind, lock: threading.RLock) -> None:
        self.kind = kind
        self.current: Dict[str, Stored] = {}
        self.entries: List[Entry] = []
        self.events = 0
        self.edits = 0  # writes that were no burst
        self.trimmed = 0  # the newest revision whose entry was forgotten
        self.removed = False
        self.changed = threading.Condition(lock)

    def append(self, change: Change) -> None:
        if change.now is None:
            del self.current[change.key]
        else:
            self.current[change.key] = change.now
        self.entries.append(change)
        self.events += 1
        self.edits += 1
        self.changed.notify_all()

    def append_burst(self, burst: Burst) -> None:
        size = len(burst.plan.keys)
        for offset in range(max(0, burst.count - size), burst.count):
            version = burst.version(offset)
            self.current[version.key] = version
        self.entries.append(burst)
        self.events += burst.count
        self.changed.notify_all()

    def after(self, revision: int) -> int:
        """The index of the first entry that holds an event above `revision`."""
        low, high = 0, len(self.entries)
        while low < high:
            middle = (low + high) // 2
            if self.entries[middle].last > revision:
                high = middle
            else:
                low = middle + 1
        return low

    def state_at(self, revision: int) -> Dict[str, Stored]:
        """The objects as they were right after `revision`, by undoing what came later."""
        state = dict(self.current)
        for entry in reversed(self.entries[self.after(revision) :]):
            if isinstance(entry, Burst):
                state.update(entry.before)
                kept = max(0, revision + 1 - entry.first)
                for offset in range(max(0, kept - len(entry.plan.keys)), kept):
                    version = entry.version(offset)
                    state[version.key] = version
            elif entry.before is None:
                state.pop(entry.key, None)
            else:
                state[entry.key] = entry.before
        return state

    def rewind(self, revision: int) -> List[Entry]:
        """Make `revision` the present; the entries that never happened are handed back."""
        state, index = self.state_at(revision), self.after(revision)
        undone = self.entries[index:]
        self.entries = self.entries[:index]
        if undone and undone[0].first <= revision and isinstance(undone[0], Burst):
            kept = undone[0]
            count = revision + 1 - kept.first
            self.entries.append(Burst(kept.plan, kept.position, kept.first, count, kept.before, kept.at))
        self.current = state
        return undone

    def trim(self, keep: int) -> int:
        """Forget the oldest entries beyond `keep`, a tenth more at a time; answers the newest one forgotten."""
        if len(self.entries) > keep + keep // 10:
            cut = len(self.entries) - keep
            self.trimmed = self.entries[cut - 1].last
            del self.entries[:cut]
        return self.trimmed

    def history(self, after: int = -1) -> Iterator[Change]:
        """Every event above `after`, in order of revision."""
        for entry in self.entries[self.after(after) :]:
            if isinstance(entry, Burst):
                yield from entry.changes(after)
            else:
                yield entry
