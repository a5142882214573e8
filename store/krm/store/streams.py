"""The two streams between the stages and the aggregator: K events and K lists.

A stage appends and never trims more than the aggregator has consumed: MINID is the cursor that head
names, and the entry at the cursor stays. Nothing is repeated in here: whoever appends decides, since
it alone knows what a second copy would mean (a batch carries a sequence number, a page its number).
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, List, NamedTuple, Optional, Tuple

from krm.model.head import BadHead, Head, decode
from krm.model.messages import Message, pack
from krm.store.connect import MAX_BLOCK, Database, Link, Word
from krm.store.errors import Corrupt
from krm.store.keys import Keys

EVENTS, LISTS = "events", "lists"
FIELD = b"m"
START = "0-0"  # before every entry
# Entries of its own left unread at which a stage reports no more: without an aggregator for a week, reports
# alone would fill Redis (12 MB a day and kind). Far above what a slow aggregator leaves for some seconds.
REPORTS_UNREAD = 5_000
# Of what an earlier process left unread: entries and bytes up to which it is counted, entries of one read. No
# bound of a stage lies higher (64 MiB of the streamer's, REPORTS_UNREAD of all).
_COUNTED, _COUNTED_BYTES, _COUNT_STEP = REPORTS_UNREAD + 1_000, 80 * 1024 * 1024, 20


class Appended(NamedTuple):
    """Where a message stands in its stream, and how many bytes it is."""

    id: str
    size: int


class Unread(NamedTuple):
    """What a stage appended and the aggregator has not consumed."""

    entries: int
    size: int  # bytes


class Appender:
    """The stages' side. One socket; not for several threads (the verifier's reports use another)."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._link = database.link(keys.events)
        self._keys = keys
        self._own: Dict[str, Deque[Appended]] = {EVENTS: deque(), LISTS: deque()}
        self._size = {EVENTS: 0, LISTS: 0}  # bytes of these: summed anew, each event would cost the whole backlog
        self._begun = {EVENTS: False, LISTS: False}  # whether what an earlier process left was counted

    def append_event(self, message: Message, minid: str) -> Appended:
        """Batch, StreamerReport or End; `minid` = head.events_id ('' = nothing consumed yet).

        Raises Unanswered (may stand in the stream: send the same bytes again), Unavailable,
        OutOfMemory (surely does not).
        """
        return self._append(EVENTS, self._keys.events, message, minid)

    def append_list(self, message: Message, minid: str) -> Appended:
        """Page, ListEnd or VerifierReport; `minid` = head.lists_id. Raises as `append_event`."""
        return self._append(LISTS, self._keys.lists, message, minid)

    def _append(self, stream: str, key: str, message: Message, minid: str) -> Appended:
        self._begin(stream, minid)
        raw = pack(message)
        # "~" lets Redis drop whole nodes only: it keeps more, never less.
        entry_id = self._link.call("XADD", key, "MINID", "~", minid or START, "*", FIELD, raw)
        appended = Appended(entry_id.decode(), len(raw))
        self._own[stream].append(appended)
        self._size[stream] += appended.size
        self.unread(stream, minid)  # forgets what is consumed: who only reports asks for nothing unread
        return appended

    def unread(self, stream: str, cursor: str) -> Unread:
        """Of what this appender wrote, or found as it began, what lies after `cursor` (head's events_id, lists_id).

        Costs no round trip but the first time. Raises Unavailable then.
        """
        self._begin(stream, cursor)
        own = self._own[stream]
        consumed = order_of(cursor)
        while own and order_of(own[0].id) <= consumed:
            self._size[stream] -= own.popleft().size
        return Unread(len(own), self._size[stream])

    def _begin(self, stream: str, cursor: str) -> None:
        """Counts what others left unread: a process that is begun anew every minute must not forget each time
        how full the stream is."""
        if self._begun[stream]:
            return
        key = self._keys.events if stream == EVENTS else self._keys.lists
        found: List[Appended] = []
        size, after = 0, cursor or START
        while len(found) < _COUNTED and size < _COUNTED_BYTES:
            rows = self._link.call("XRANGE", key, f"({after}", "+", "COUNT", _COUNT_STEP)
            found += [Appended(row[0].decode(), sum(map(len, row[1][1::2]))) for row in rows]
            if len(rows) < _COUNT_STEP:
                break
            size, after = sum(one.size for one in found), found[-1].id
        self._own[stream].extend(found)
        self._size[stream] += sum(one.size for one in found)
        self._begun[stream] = True

    def read_head(self) -> Optional[Head]:
        """None where there is no head. Raises Corrupt, Unavailable."""
        return read_head(self._link, self._keys)

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()


class Entry(NamedTuple):
    """One entry of either stream, not yet unpacked: a poisoned one must not stop the others."""

    stream: str  # EVENTS or LISTS
    id: str
    raw: bytes


class Consumer:
    """The aggregator's side: both streams on one socket."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._link = database.link(keys.events)
        self._streams = {keys.events.encode(): EVENTS, keys.lists.encode(): LISTS}
        self._keys = keys

    def read(self, events_id: str, lists_id: str, block: float = 1.0, count: int = 64) -> List[Entry]:
        """Entries after the two cursors, each stream's in order, at most `count` of each.

        Waits up to `block` seconds (0 = not at all; capped at 2) for the first. Raises Unavailable.
        """
        command: List[Word] = ["XREAD", "COUNT", count]
        if block > 0:
            command += ["BLOCK", max(1, int(min(block, MAX_BLOCK) * 1000))]
        command += ["STREAMS", self._keys.events, self._keys.lists, events_id or START, lists_id or START]
        found: List[Entry] = []
        for key, rows in self._link.call(*command) or ():
            found += [Entry(self._streams[key], row[0].decode(), message_of(row[1])) for row in rows]
        return found

    def proven(self, stream: str, cursor: str) -> bool:
        """True where nothing after `cursor` can have been trimmed: the entry at it still stands.

        False proves nothing: the stream may be new, or the cursor its very start. Trimming cuts from
        the oldest end alone; XDEL is not krm's. Sequence and page numbers find what is missing.
        """
        key = self._keys.events if stream == EVENTS else self._keys.lists
        return bool(cursor) and bool(self._link.call("XRANGE", key, cursor, cursor, "COUNT", 1))

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()


def message_of(fields: Optional[List[bytes]]) -> bytes:
    """The value of field m; b"" (which no message is) where a stranger wrote another one."""
    return fields[1] if fields and len(fields) == 2 and fields[0] == FIELD else b""


def order_of(entry_id: str) -> Tuple[int, int]:
    """A stream id as what it is ordered by; '' comes before all."""
    if not entry_id:
        return 0, 0
    first, _, second = entry_id.partition("-")
    return int(first), int(second or 0)


def read_head(link: Link, keys: Keys) -> Optional[Head]:
    """None where there is no head. Raises Corrupt, Unavailable."""
    return decoded_head(link.call("HGETALL", keys.head))


def decoded_head(flat: List[bytes]) -> Optional[Head]:
    """HGETALL's reply as a head. Raises Corrupt."""
    try:
        return decode(pairs(flat))
    except BadHead as error:
        raise Corrupt(f"the head of this kind cannot be read ({error}); its aggregator replaces it") from None


def pairs(flat: List[bytes]) -> Dict[bytes, bytes]:
    """HGETALL's flat reply as a dict."""
    return dict(zip(flat[::2], flat[1::2]))
