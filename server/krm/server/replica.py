"""One kind of one cluster in memory, at one version, with the events that led there. Pure: no I/O, no clock.

Laws (tests/server/test_replica.py):
- objects, version and resourceVersion always belong together: a version is taken in whole, or not at all
- events stand in the order of their resourceVersions; whoever read at X gets each later event once
- what a list had to repair cannot be told as an event by resourceVersion: watches by it end and read anew
- who read at a repair's own resourceVersion may have read before or after it: a watch from there is told all of it;
  so it is where a snapshot is built anew at the resourceVersion that the former one was at
- trust is of a head that told just this version, never of one that has run ahead of it
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Deque, Dict, Iterator, List, NamedTuple, Optional, Tuple

from krm.model import versions
from krm.model.head import Head
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import ChangeEntry, Envelope, checked_envelope
from krm.model.trust import Trust, judge
from krm.server.recent import Recent
from krm.store.backlog import Backlog
from krm.store.read import SnapshotData, Token

# Bytes of events kept for watches: three tenths of the objects' bytes, within these, as Redis' `changes` has it.
LOG_SHARE = 0.3
LOG_LEAST, LOG_MOST = 8 * 1024 * 1024, 256 * 1024 * 1024


class Event(NamedTuple):
    """One change. Of a DELETED, `envelope` is the last object at the deletion's resourceVersion."""

    rv: int  # of what was repaired: the repair's
    type: str  # ADDED, MODIFIED or DELETED, as this replica saw it
    key: str  # namespace/name
    envelope: Envelope
    before: Optional[Envelope]  # what stood there; None = nothing


class Replica:
    """One pipeline's objects. It belongs to one thread: the server's event loop."""

    def __init__(self, kind: str, namespace: str = "") -> None:
        self.kind, self.namespace = kind, namespace  # the pipeline's namespace, '' = the whole cluster
        self.token = Token("", 0)  # incarnation '' = nothing was read yet
        self.rv = ""
        self.objects: Dict[str, Envelope] = {}
        self.corrupt: Tuple[str, ...] = ()  # keys whose bytes rotted in Redis: left out, and told
        self.head: Optional[Head] = None
        self._keys: List[str] = []
        self._size = 0  # bytes of the objects
        self._log: Deque[Event] = deque()
        self._log_size = 0
        self._first = 0  # position of the oldest event kept
        self.recent = Recent(0)
        self.watch_from = 0  # watches may begin at this resourceVersion and later
        self._repaired = 0  # resourceVersion of the repairs that the log begins with, 0 = it begins with none
        self._repair = 0  # position of the newest one's first event
        self.epoch = 0  # raised when open watches by resourceVersion have lost their place

    # What Redis told ----------------------------------------------------------------------------

    def load(self, data: SnapshotData, backlog: Optional[Backlog] = None) -> None:
        """All objects anew, and the events that led to them where these are known.

        Raises BadRecord and ValueError where the backlog does not lead to `data`; then load without it.
        """
        start = backlog.start if backlog else data
        self.token, self.objects, self.corrupt = start.token, dict(start.objects), start.corrupt
        self._keys = sorted(self.objects)
        self._size = sum(len(one.body) for one in self.objects.values())
        self.recent = Recent(start.token.version)
        self._begin(start.head.rv)
        for version, entry in backlog.entries if backlog else ():
            self.apply(version, entry)
        if backlog and (self.token != data.token or self.objects != data.objects):
            raise ValueError(f"what Redis keeps of the past does not lead to {data.token}")
        self.rv = data.head.rv
        self.head = data.head

    def adopt(self, made: Replica) -> None:
        """Becomes what was made aside, by a thread that holds up no reader. Open watches lose their place."""
        made._begin_with(self._differing(made))
        first, epoch = self.end, self.epoch + 1
        made._repair += first - made._first
        self.__dict__.update(made.__dict__)
        self._first, self.epoch = first, epoch  # no position is ever used again: lines are kept by them

    def lost(self, head: Optional[Head]) -> None:
        """There is nothing to read now: what is held is judged by this head, as warming or worse."""
        self.head = head

    def apply(self, version: int, entry: ChangeEntry) -> None:
        """The next version. Raises BadRecord, and then nothing was taken in."""
        opened = [(change, checked_envelope(change.envelope)) for change in entry.changes]
        if version != self.token.version + 1:
            raise ValueError(f"version {version} does not follow {self.token}")
        if entry.repair:
            self._begin_repair(entry.rv)
        for change, envelope in opened:
            self._change(change.key, change.type, envelope, order(entry.rv if entry.repair else envelope.rv))
        self.token = self.token._replace(version=version)
        self.rv = entry.rv
        self.recent.add(version, entry, [envelope for _, envelope in opened], log_budget(self._size))
        self._trim()

    def told(self, head: Head) -> None:
        """A head; one that has run ahead says nothing of this version."""
        if (head.incarnation, head.version) == self.token:
            self.rv, self.head = head.rv, head

    def _change(self, key: str, type_: str, envelope: Envelope, rv: int) -> None:
        before = self.objects.get(key)
        if type_ == DELETED:
            if before is None:
                return  # it was corrupt here, and so never shown
            del self.objects[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            type_ = ADDED if before is None else MODIFIED
            self.objects[key] = envelope
            if before is None:
                insort(self._keys, key)
        self.corrupt = tuple(one for one in self.corrupt if one != key)
        self._size += (0 if type_ == DELETED else len(envelope.body)) - (len(before.body) if before else 0)
        self._log.append(Event(rv, type_, key, envelope, before))
        self._log_size += len(envelope.body)

    def _begin(self, rv: str) -> None:
        """Watches begin here: no event before it can be told."""
        self.rv, self.watch_from = rv, order(rv)
        self._first += len(self._log)
        self._log.clear()
        self._log_size = self._repaired = 0
        self.epoch += 1

    def _differing(self, made: Replica) -> List[Event]:
        """What differs between this state and the one that `made` begins with, where both are of one
        resourceVersion: as of a repair, nobody can tell which of the two a client read."""
        at = order(self.rv)
        undone = made.undone(at) if at and at == made.watch_from else None
        if undone is None:
            return []
        begun = {**{key: one for key, one in made.objects.items() if key not in undone}, **undone}
        events = []
        for key in sorted({*self.objects, *begun}):
            was, is_ = self.objects.get(key), begun.get(key)
            if is_ is None:
                if was is not None:
                    events.append(Event(at, DELETED, key, was._replace(rv=str(at)), was))
            elif was is None or (was.uid, was.rv, was.digest) != (is_.uid, is_.rv, is_.digest):
                events.append(Event(at, MODIFIED if was else ADDED, key, is_, was))
        return events

    def _begin_with(self, events: List[Event]) -> None:
        """These are told before all others."""
        if events:
            self._log.extendleft(reversed(events))
            self._log_size += sum(len(one.envelope.body) for one in events)
            self._first -= len(events)
            self._repaired, self._repair = events[0].rv, self._first

    def _begin_repair(self, rv: str) -> None:
        """As `_begin`; but repairs at one version, while nothing else happens, are kept together."""
        at = order(rv)
        if at and at == self._repaired:
            self.epoch += 1
        else:
            self._begin(rv)
        self._repaired, self._repair = at, self.end

    def _trim(self) -> None:
        limit = log_budget(self._size)
        while self._log_size > limit and len(self._log) > 1 and not self._is_last_repair(self._first):
            gone = self._log.popleft()
            self._first += 1
            self._log_size -= len(gone.envelope.body)
            self.watch_from = gone.rv + 1 if gone.rv == self._repaired else gone.rv

    def _is_last_repair(self, position: int) -> bool:
        """Its events stay until a later version is known: lists would give no other to who is refused this one."""
        return bool(self._repaired) and position >= self._repair and order(self.rv) <= self._repaired

    # What readers ask ---------------------------------------------------------------------------

    def trust(self, now: float) -> Trust:
        """What is held is worth this, `now` being the Redis clock."""
        return judge(self.head, now)

    def keys(self, namespace: str = "") -> List[str]:
        """namespace/name of all objects, or of one namespace's, in the order in which the API server lists."""
        if not namespace:
            return self._keys
        return self._keys[bisect_left(self._keys, namespace + "/") : bisect_left(self._keys, namespace + "0")]

    def position(self, rv: int) -> Optional[int]:
        """Where a watch of what is later than `rv` begins in the log; None = that is no longer kept.

        At a repair's resourceVersion it begins before the repair: to be told of it twice does no harm.
        """
        if rv < self.watch_from:
            return None
        return self._behind(rv - 1 if rv == self._repaired else rv)

    def _behind(self, rv: int) -> int:
        low, high = 0, len(self._log)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._log[middle].rv <= rv else (low, middle)
        return self._first + low

    @property
    def end(self) -> int:
        """The position after the newest event."""
        return self._first + len(self._log)

    def events(self, position: int, most: int = 1000) -> Optional[List[Event]]:
        """Events from `position` on, at most so many; None where the oldest of them is no longer kept."""
        start = position - self._first
        if start < 0:
            return None
        return [self._log[n] for n in range(start, min(len(self._log), start + most))]

    def undone(self, rv: int) -> Optional[Dict[str, Optional[Envelope]]]:
        """For each key that changed after `rv`: its object at `rv`, None = there was none. None: not kept."""
        if rv < self.watch_from:
            return None
        before: Dict[str, Optional[Envelope]] = {}
        for event in self._newest(self._behind(rv)):
            before[event.key] = event.before
        return before

    def _newest(self, position: int) -> Iterator[Event]:
        """Backwards, so that the oldest word on a key is the last."""
        for number in range(len(self._log) - 1, position - self._first - 1, -1):
            yield self._log[number]


def log_budget(size: int) -> int:
    """Bytes of events kept beside `size` bytes of objects."""
    return min(LOG_MOST, max(LOG_LEAST, int(size * LOG_SHARE)))


def order(rv: str) -> int:
    """A resourceVersion as what it is ordered by; 0 where it has no order or there is none."""
    try:
        return versions.parse(rv) if rv else 0
    except versions.MalformedVersion:
        return 0
