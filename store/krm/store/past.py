"""The kind as it was: at a version, at a time, between two, or as far as it is verified.

State is kept once, as it is now; `past` holds for each version what it replaced. So an older state is
the newest one with the versions after it undone. What `past` no longer holds is Expired, never guessed.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from krm.model import times, versions
from krm.model.head import Head
from krm.model.messages import DELETED, BadMessage
from krm.model.records import ChangeEntry, Envelope, checked_envelope, unpack_envelope
from krm.store.connect import Database, seconds
from krm.store.errors import Corrupt, Expired
from krm.store.keys import Keys
from krm.store.read import Reader, SnapshotData, Token, change_rows, past_rows
from krm.store.streams import decoded_head
from krm.store.transactions import stream_id

Before = List[Tuple[int, Dict[str, bytes]]]
Entries = List[Tuple[int, ChangeEntry]]


class Difference(NamedTuple):
    """One object on both sides; None = it did not exist."""

    before: Optional[Envelope]
    after: Optional[Envelope]


class History:
    """Reads of one kind's past on one socket; not for several threads."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._reader = Reader(database, keys)
        self._keys = keys

    def at(self, token: Token) -> SnapshotData:
        """All objects at that version. `head` and `time` are of now. Raises Expired, Busy, Unavailable."""
        newest = self._newest()
        wanted = self._resolved(token, newest.head)
        before = self._before(newest.token, wanted.version)
        objects, corrupt = dict(newest.objects), set(newest.corrupt)
        for _, replaced in reversed(before):
            for key, raw in replaced.items():
                put_back(objects, corrupt, key, raw)
        published_at = self._published(wanted.version, newest.head)
        return SnapshotData(wanted, newest.head, newest.time, objects, tuple(sorted(corrupt)), published_at)

    def at_time(self, when: float) -> SnapshotData:
        """All objects as published at `when` (seconds, Redis clock). Raises as `at`; ValueError: the future."""
        return self.at(self.version_at(when))

    def version_at(self, when: float) -> Token:
        """The newest version published at or before `when`. Raises Expired, Corrupt, ValueError."""
        flat, first, last, stamp = self._reader.transaction(
            [
                ("HGETALL", self._keys.head),
                ("XRANGE", self._keys.changes, "-", "+", "COUNT", 1),
                ("XREVRANGE", self._keys.changes, "+", "-", "COUNT", 1),
                ("TIME",),
            ]
        )
        head = decoded_head(flat)
        if head is None or not head.incarnation:
            raise Expired(f"{self._keys}: there is no snapshot yet")
        if when > int(stamp[0]) + 1:
            raise ValueError(
                f"{times.write(when)} lies in the future: by Redis' clock it is {times.write(int(stamp[0]))}"
            )
        if not first or change_rows(first)[0][1].at > when:
            return self._at_the_beginning(head, change_rows(first)[0][0] if first else head.version + 1, when)
        low, high = change_rows(first)[0][0], change_rows(last)[0][0]
        while low < high:  # low was published at or before `when`
            middle = (low + high + 1) // 2
            if self._entry(middle).at <= when:
                low = middle
            else:
                high = middle - 1
        return Token(head.incarnation, low)

    def oldest(self) -> Token:
        """The oldest version that `at` and `diff` lead back to; changes and past are trimmed each for itself."""
        head = self._reader.head().head
        if head is None or not head.incarnation:
            raise Expired(f"{self._keys}: there is no snapshot yet")
        return Token(head.incarnation, max(head.oldest, self._oldest(head)))

    def diff(self, a: Token, b: Token) -> Dict[str, Difference]:
        """What differs between two versions, by namespace/name; a may be the newer. Raises as `at`."""
        head = self._reader.head().head
        first, last = (self._resolved(token, head) for token in (a, b))
        if first.version > last.version:
            return {key: Difference(new, old) for key, (old, new) in self.diff(last, first).items()}
        before, entries = self._range(first, last.version)
        found: Dict[str, Difference] = {}
        try:
            for _, replaced in reversed(before):
                found.update((key, Difference(_opened(raw), None)) for key, raw in replaced.items())
            for _, entry in entries:
                for change in entry.changes:
                    after = None if change.type == DELETED else checked_envelope(change.envelope)
                    found[change.key] = found.get(change.key, Difference(None, None))._replace(after=after)
        except BadMessage as error:
            raise Corrupt(f"{self._keys}: between {first} and {last}: {error}") from None
        return {key: pair for key, pair in found.items() if _version(pair.before) != _version(pair.after)}

    def verified_only(self) -> SnapshotData:
        """For each key the newest bytes with rv <= verified_rv. Raises as `at`; Expired where past begins later."""
        newest = self._newest()
        limit = _order(newest.head.verified_rv)
        if _order(newest.head.rv) <= limit:
            return newest
        entries = self._entries_beyond(newest, limit)
        objects, corrupt = dict(newest.objects), set(newest.corrupt)
        if entries:
            before = self._before(newest.token, entries[0][0] - 1)
            for key, raw in _newest_verified(before, entries, limit).items():
                put_back(objects, corrupt, key, raw)
        return SnapshotData(newest.token, newest.head, newest.time, objects, tuple(sorted(corrupt)))

    def close(self) -> None:
        """Ends its socket."""
        self._reader.close()

    # Parts --------------------------------------------------------------------------------------

    def _newest(self) -> SnapshotData:
        newest = self._reader.snapshot()
        if newest is None:
            raise Expired(f"{self._keys}: there is no snapshot yet")
        return newest

    def _resolved(self, token: Token, head: Optional[Head]) -> Token:
        """The token with its incarnation, when that is the readable one and the version exists."""
        if head is None or not head.incarnation:
            raise Expired(f"{self._keys}: there is no snapshot yet")
        if token.incarnation and token.incarnation != head.incarnation:
            raise Expired(f"{self._keys}: {token} is of a snapshot that was rebuilt since", self._oldest(head))
        if token.version > head.version:
            raise Expired(f"{self._keys}: version {token.version} is not known (yet)", self._oldest(head))
        return Token(head.incarnation, token.version)

    def _before(self, newest: Token, version: int) -> Before:
        return self._range(Token(newest.incarnation, version), newest.version, entries=False)[0]

    def _range(self, after: Token, last: int, entries: bool = True) -> Tuple[Before, Entries]:
        """Past and changes of the versions after.version+1 .. last, all of them or Expired."""
        start, end = f"({stream_id(after.version)}", stream_id(last)
        commands: List[Any] = [("HGETALL", self._keys.head), ("XRANGE", self._keys.past, start, end)]
        if entries:
            commands.append(("XRANGE", self._keys.changes, start, end))
        replies = self._reader.transaction(commands)
        head = decoded_head(replies[0])
        if head is None or head.incarnation != after.incarnation:
            raise Expired(f"{self._keys}: the snapshot was rebuilt meanwhile")
        before, changes = past_rows(replies[1]), change_rows(replies[2]) if entries else []
        wanted = list(range(after.version + 1, last + 1))
        for rows in (before, changes) if entries else (before,):
            if [row[0] for row in rows] != wanted:
                raise self._gone(head, f"version {after.version}")
        return before, changes

    def _at_the_beginning(self, head: Head, first: int, when: float) -> Token:
        """The version before the `first` entry of `changes`: no entry says when that was published, head does."""
        if head.oldest == first - 1 and head.oldest_at is not None and head.oldest_at <= when:
            return Token(head.incarnation, head.oldest)
        raise self._gone(head, "the version of that time")

    def _gone(self, head: Head, what: str) -> Expired:
        if head.uncached:
            return Expired(f"{self._keys} have no past (docs/known-issues.md)", head.version)
        oldest = self._oldest(head)
        at, stamp = self._published(oldest, head), self._reader.transaction([("TIME",)])[0]
        since = "" if at is None else f", published {times.write(int(at))}, {seconds(stamp) - at:.0f} s ago"
        return Expired(f"{self._keys}: {what} is no longer kept, the oldest is {oldest}{since}", oldest)

    def _published(self, version: int, head: Head) -> Optional[float]:
        """When, Redis clock; None where that is no longer known."""
        one = stream_id(version)
        rows = self._reader.transaction([("XRANGE", self._keys.changes, one, one)])[0]
        if rows:
            return change_rows(rows)[0][1].at
        return head.oldest_at if version == head.oldest else None

    def _oldest(self, head: Head) -> int:
        """The oldest version that `past` leads back to."""
        rows = self._reader.transaction([("XRANGE", self._keys.past, "-", "+", "COUNT", 1)])[0]
        return past_rows(rows)[0][0] - 1 if rows else head.version

    def _entry(self, version: int) -> ChangeEntry:
        one = stream_id(version)
        rows = self._reader.transaction([("XRANGE", self._keys.changes, one, one)])[0]
        if not rows:
            raise Expired(f"{self._keys}: changes were trimmed while they were searched; try again")
        return change_rows(rows)[0][1]

    def _entries_beyond(self, newest: SnapshotData, limit: int) -> Entries:
        """The versions whose frontier lies above `limit`, oldest first; all before them lie below."""
        found: Entries = []
        version = newest.token.version
        while True:
            rows = self._reader.transaction(
                [("XREVRANGE", self._keys.changes, stream_id(version), "-", "COUNT", 100)]
            )[0]
            for number, entry in change_rows(rows):
                if number != version:
                    break
                if _order(entry.rv) <= limit:
                    return found[::-1]
                found.append((number, entry))
                version -= 1
            if not rows or change_rows(rows)[-1][0] != version + 1:
                break
        head = newest.head
        if version == head.oldest and head.oldest_rv and _order(head.oldest_rv) <= limit:
            return found[::-1]
        raise Expired(
            f"{self._keys}: the state at the last verification is no longer kept; the next one follows soon",
            self._oldest(head),
        )


def _newest_verified(before: Before, entries: Entries, limit: int) -> Dict[str, bytes]:
    """For each key touched in `entries`: its newest packed envelope at or below `limit`, b"" = none."""
    verified: Dict[str, bytes] = {}
    for _, replaced in reversed(before):
        verified.update(replaced)
    for _, entry in entries:
        for change in entry.changes:
            try:
                rv = unpack_envelope(change.envelope).rv
            except BadMessage as error:
                raise Corrupt(f"a change to {change.key} cannot be read: {error}", (change.key,)) from None
            if _order(rv) <= limit:
                verified[change.key] = b"" if change.type == DELETED else change.envelope
    return verified


def put_back(objects: Dict[str, Envelope], corrupt: Set[str], key: str, raw: bytes) -> None:
    """The object as it was before; b"" = there was none."""
    objects.pop(key, None)
    corrupt.discard(key)
    try:
        envelope = _opened(raw)
    except BadMessage:
        corrupt.add(key)
        return
    if envelope is not None:
        objects[key] = envelope


def _opened(raw: bytes) -> Optional[Envelope]:
    return checked_envelope(raw) if raw else None


def _version(envelope: Optional[Envelope]) -> Optional[Tuple[str, str, bytes]]:
    return (envelope.uid, envelope.rv, envelope.digest) if envelope else None


def _order(rv: str) -> int:
    """A resourceVersion as what it is ordered by; '' = none yet. Raises Expired where it has no order."""
    if not rv:
        return 0
    try:
        return versions.parse(rv)
    except versions.MalformedVersion as error:
        raise Expired(f"{error}: what is verified cannot be told") from None
