"""Reading a kind's snapshot at one version, without stopping its writer and without ever tearing.

One namespace is one MULTI. All namespaces are read one by one, while the writer goes on, and the
changes that were published meanwhile are replayed over them: then all stand at the newest version.
What was read must fit count and digest of each namespace; otherwise it is read again, three times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from krm.model.head import Head
from krm.model.messages import DELETED, BadMessage
from krm.model.records import (
    ChangeEntry,
    Envelope,
    checked_envelope,
    unpack_change_entry,
    unpack_index,
    unpack_past,
)
from krm.store.connect import Command, Database, seconds
from krm.store.errors import Busy, Corrupt, Unanswered, raise_errors
from krm.store.fitting import adds_up, fitted
from krm.store.keys import Keys
from krm.store.streams import decoded_head, pairs
from krm.store.transactions import CHANGE_FIELD, PAST_FIELD

_ATTEMPTS = 3
# HGETALLs on the way at once: enough to hide the round trip, too few to hold up other clients.
_PIPELINE = 8


class Token(NamedTuple):
    """A version of one incarnation: `N:version`, or a bare number for the one readable now."""

    incarnation: str  # '' = whichever is readable
    version: int

    def __str__(self) -> str:
        return f"{self.incarnation}:{self.version}" if self.incarnation else str(self.version)

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises ValueError."""
        incarnation, _, number = text.rpartition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 20):
            raise ValueError(f"{text!r} is no token: krm writes INCARNATION:VERSION")
        return cls(incarnation, int(number))


@dataclass(frozen=True)
class SnapshotData:
    """A kind, or one namespace of it, at one version. Corrupt objects are named, never served."""

    token: Token
    head: Head
    time: float  # Redis TIME of the read
    objects: Dict[str, Envelope]  # namespace/name -> envelope whose body fits its digest
    corrupt: Tuple[str, ...] = ()  # namespace/name
    published_at: Optional[float] = None  # of a past version, Redis clock; None = unknown


class HeadRead(NamedTuple):
    """A head (None = there is none) and the Redis TIME of reading it."""

    head: Optional[Head]
    time: float


class Torn(NamedTuple):
    """An attempt that gave no point in time. `namespaces` fitted everything but their digests."""

    namespaces: Tuple[str, ...] = ()
    short: bool = False  # the index does not give the head's count and digest


class Reader:
    """Reads of one kind on one socket; not for several threads."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._link = database.link(keys.head)
        self._keys = keys
        self._incarnation = ""  # the last one seen: the keys of the next read are named after it

    def transaction(self, commands: List[Command]) -> List[Any]:
        """Reads of one point in time, repeated once where the server had closed the idle socket."""
        try:
            return self._link.transaction(commands)
        except Unanswered:
            return self._link.transaction(commands)

    def head(self) -> HeadRead:
        """Head and the time of reading it. Raises Corrupt, Unavailable."""
        flat, stamp = self.transaction([("HGETALL", self._keys.head), ("TIME",)])
        return HeadRead(decoded_head(flat), seconds(stamp))

    def get(self, namespace: str, name: str) -> Tuple[HeadRead, Optional[Envelope]]:
        """One object and the head at that moment; None = the snapshot has no such object.

        Raises Corrupt (the object's bytes rotted), Busy, Unavailable.
        """
        self._look()
        for _ in range(_ATTEMPTS):
            flat, raw, stamp = self.transaction(
                [
                    ("HGETALL", self._keys.head),
                    ("HGET", self._keys.objects(self._incarnation, namespace), name),
                    ("TIME",),
                ]
            )
            head = decoded_head(flat)
            if not self._moved(head):
                if raw is not None:
                    return HeadRead(head, seconds(stamp)), _checked(f"{namespace}/{name}", raw)
                absent = self._absent(namespace, name)
                if absent is not None:
                    return absent, None
        raise Busy(f"{self._keys}: the snapshot was replaced {_ATTEMPTS} times while it was read")

    def snapshot(self, namespace: Optional[str] = None) -> Optional[SnapshotData]:
        """All objects at one version, or those of one namespace; None where nothing was built yet.

        Raises Busy, Corrupt (a set that does not fit its digest), Unavailable.
        """
        self._look()
        torn = Torn()
        for _ in range(_ATTEMPTS):
            read = self._everything() if namespace is None else self._one(namespace)
            if read is None:
                return None
            if isinstance(read, SnapshotData):
                return read
            torn = read
        if torn.short:
            raise self._incomplete()
        if torn.namespaces:
            raise self._misfit(torn.namespaces)
        raise Busy(f"{self._keys}: the writer was faster than {_ATTEMPTS} attempts to read; try again")

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()

    # One attempt each ---------------------------------------------------------------------------

    def _one(self, namespace: str) -> Union[SnapshotData, Torn, None]:
        index, objects = self._keys.index(self._incarnation), self._keys.objects(self._incarnation, namespace)
        flat, share, stored, stamp = self.transaction(
            [("HGETALL", self._keys.head), ("HGET", index, namespace), ("HGETALL", objects), ("TIME",)]
        )
        head = decoded_head(flat)
        if head is None or not head.incarnation:
            return None
        if self._moved(head):
            return Torn()
        if share is None and not stored:
            absent = self._absent(namespace)
            if absent is None or absent.head is None:
                return Torn()
            return SnapshotData(Token(absent.head.incarnation, absent.head.version), absent.head, absent.time, {})
        shares = {} if share is None else {namespace.encode(): share}
        return _judged(head, seconds(stamp), _named(namespace, pairs(stored)), shares)

    def _absent(self, namespace: str, name: str = "") -> Optional[HeadRead]:
        """A moment at which the object (or all of the namespace) was surely not there; None = it came meanwhile.

        A lost key looks like an empty one, so the index must give the head's count without it, and the
        namespace its own. Of one MULTI this is no torn read. Raises Corrupt.
        """
        objects = self._keys.objects(self._incarnation, namespace)
        flat, stored, held, there, stamp = self.transaction(
            [
                ("HGETALL", self._keys.head),
                ("HGETALL", self._keys.index(self._incarnation)),
                ("HLEN", objects),
                ("HEXISTS", objects, name),
                ("TIME",),
            ]
        )
        head, shares = decoded_head(flat), pairs(stored)
        if head is not None and self._moved(head):
            return None
        if head is not None and head.incarnation:
            if not adds_up(head, shares):
                raise self._incomplete()
            share = shares.get(namespace.encode())
            if held != (0 if share is None else unpack_index(share).objects):
                raise self._misfit((namespace,))
        return None if there or (held and not name) else HeadRead(head, seconds(stamp))

    def _incomplete(self) -> Corrupt:
        return Corrupt(
            f"{self._keys}: its index does not give the count and digest of its head: keys of it were lost"
            " (deleted, or evicted by a maxmemory-policy other than noeviction); the aggregator rebuilds it"
        )

    def _misfit(self, spaces: Tuple[str, ...]) -> Corrupt:
        return Corrupt(
            f"{self._keys}: objects do not fit count or digest of their namespace: {', '.join(spaces) or '_'};"
            " the aggregator rebuilds what it finds so",
            tuple(f"{space}/" for space in spaces),
        )

    def _everything(self) -> Union[SnapshotData, Torn, None]:
        """MULTI for v0; a HGETALL a namespace; MULTI for v1 with all changes between; replay."""
        index = self._keys.index(self._incarnation)
        flat, spaces = self.transaction([("HGETALL", self._keys.head), ("HKEYS", index)])
        head = decoded_head(flat)
        if head is None or not head.incarnation:
            return None
        if self._moved(head):
            return Torn()
        packed = self._hashes(head.incarnation, [space.decode() for space in spaces])
        flat, rows, shares, stamp = self.transaction(
            [
                ("HGETALL", self._keys.head),
                ("XRANGE", self._keys.changes, f"({head.version}-0", "+"),
                ("HGETALL", index),
                ("TIME",),  # of the head that is judged by it: a long read would else find it ahead of its time
            ]
        )
        now = decoded_head(flat)
        if self._moved(now) or now is None:
            return Torn()
        entries = change_rows(rows)
        if [version for version, _ in entries] != list(range(head.version + 1, now.version + 1)):
            return Torn()
        for _, entry in entries:
            _replay(packed, entry)
        index_now = pairs(shares)
        if not adds_up(now, index_now):
            return Torn(short=True)
        return _judged(now, seconds(stamp), packed, index_now)

    def _hashes(self, incarnation: str, spaces: List[str]) -> Dict[str, bytes]:
        packed: Dict[str, bytes] = {}
        for start in range(0, len(spaces), _PIPELINE):
            step = spaces[start : start + _PIPELINE]
            replies = self._link.batch([("HGETALL", self._keys.objects(incarnation, space)) for space in step])
            raise_errors(replies, self._link.place)
            for space, reply in zip(step, replies):
                packed.update(_named(space, pairs(reply)))
        return packed

    def _moved(self, head: Optional[Head]) -> bool:
        """True where what was read is not the readable incarnation's; the next attempt names that."""
        now = head.incarnation if head else ""
        moved, self._incarnation = now != self._incarnation, now
        return moved

    def _look(self) -> None:
        """The first read of all has to learn which incarnation is readable."""
        if not self._incarnation:
            self._moved(self.head().head)


def change_rows(rows: List[Any]) -> List[Tuple[int, ChangeEntry]]:
    """Entries of `changes` as (version, entry). Raises Corrupt."""
    found: List[Tuple[int, ChangeEntry]] = []
    for entry_id, fields in rows:
        version = int(entry_id.partition(b"-")[0])
        try:
            found.append((version, unpack_change_entry(_value(fields, CHANGE_FIELD))))
        except BadMessage as error:
            raise Corrupt(f"the change to version {version} cannot be read: {error}") from None
    return found


def past_rows(rows: List[Any]) -> List[Tuple[int, Dict[str, bytes]]]:
    """Entries of `past` as (version, envelopes before it). Raises Corrupt."""
    found: List[Tuple[int, Dict[str, bytes]]] = []
    for entry_id, fields in rows:
        version = int(entry_id.partition(b"-")[0])
        try:
            found.append((version, unpack_past(_value(fields, PAST_FIELD))))
        except BadMessage as error:
            raise Corrupt(f"what was before version {version} cannot be read: {error}") from None
    return found


def _value(fields: List[bytes], name: bytes) -> bytes:
    return fields[1] if len(fields) == 2 and fields[0] == name else b""


def _named(namespace: str, stored: Mapping[bytes, bytes]) -> Dict[str, bytes]:
    return {f"{namespace}/{name.decode('utf-8', 'backslashreplace')}": raw for name, raw in stored.items()}


def _replay(packed: Dict[str, bytes], entry: ChangeEntry) -> None:
    for change in entry.changes:
        if change.type == DELETED:
            packed.pop(change.key, None)
        else:
            packed[change.key] = change.envelope


def _checked(key: str, raw: bytes) -> Envelope:
    try:
        return checked_envelope(raw)
    except BadMessage as error:
        raise Corrupt(f"{key}: {error}", (key,)) from None


def _judged(
    head: Head, time: float, packed: Mapping[str, bytes], shares: Mapping[bytes, bytes]
) -> Union[SnapshotData, Torn]:
    """The snapshot, where each namespace fits its count and digest; corrupt objects are set apart."""
    found = fitted(packed, shares)
    if found.wrong:
        return Torn(found.wrong)
    token = Token(head.incarnation, head.version)
    return SnapshotData(token, head, time, found.objects, tuple(sorted(found.corrupt)))
