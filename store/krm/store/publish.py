"""The fenced writer: the one way by which a kind's snapshot changes.

Each write is `WATCH head; HMGET head incarnation fence version next`, compared with what this writer
left there, then one `MULTI ... EXEC`. Redis answers nil when anyone touched head in between, so a
writer that was paused, or whose packets were late, changes nothing after a successor took over.
WATCH and HMGET ride behind the EXEC before: a publish costs one round trip.

Laws (each has a test in tests/store/):
- Only the holder of the fence writes, and only onto the state that it left.
- After a lost reply head decides: done, send again, or Surprise. Never twice, never half.
- An error inside an executed MULTI is a Surprise: Redis rolls nothing back.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from krm.model.head import BadHead, Head, decode
from krm.model.messages import BadMessage
from krm.model.records import (
    Envelope,
    IndexEntry,
    add_digest,
    member_digest,
    unpack_envelope,
    unpack_index,
)
from krm.store import transactions
from krm.store.connect import Command, Database, Facts
from krm.store.errors import (
    Corrupt,
    Fenced,
    Surprise,
    Unanswered,
    Unavailable,
    of_abort,
    raise_errors,
)
from krm.store.keys import Keys
from krm.store.streams import pairs, read_head
from krm.store.transactions import Known, Publication
from redis import exceptions

# A write is sent this often within one call; each further time follows an answer that says "not applied".
_ATTEMPTS = 3
_UNARMED = -1
# Keys of one UNLINK: a step stays under a millisecond of Redis' time.
_UNLINK_STEP = 50


class Writer:
    """One aggregator's hand on one kind. `fence` is a UUID made for this writer alone.

    Not for several threads. After Surprise it refuses to write until `take_over` succeeds again.
    """

    def __init__(self, database: Database, keys: Keys, fence: str) -> None:
        self._link = database.link(keys.head)
        self._keys = keys
        self._fence = fence
        self._known: Optional[Known] = None
        self._run_id: Optional[str] = None
        # The link's generation under which head is WATCHed and was seen as known.
        self._armed = _UNARMED
        self._doubt: Tuple[Any, ...] = ()  # the write that may have been applied when Redis went away

    @property
    def known(self) -> Optional[Known]:
        """What head holds as far as this writer knows; None while it does not hold the fence."""
        return self._known

    def facts(self) -> Facts:
        """What the server that owns this kind says of itself. Raises Unavailable."""
        return self._link.facts()

    def read_head(self) -> Optional[Head]:
        """None where there is no head. Raises Corrupt, Unavailable."""
        return read_head(self._link, self._keys)

    # Writing ------------------------------------------------------------------------------------

    def take_over(self, head_seen: Optional[Head], values: Mapping[str, Any]) -> bool:
        """fence = ME and `values`, if fence and beat of head are those of `head_seen` (None = no head).

        A head that cannot be decoded counts as none and is replaced whole. False: someone else moved.
        Whether the holder is dead is the caller's judgement. Raises Unavailable, OutOfMemory.
        """
        self._forget()
        seen = (head_seen.fence, head_seen.beat) if head_seen else None
        for attempt in range(_ATTEMPTS):
            stored = self._watch_whole_head()
            head = _readable(stored)
            if attempt and head is not None and head.fence == self._fence:
                return self._took_over(head)  # the attempt before was applied
            if ((head.fence, head.beat) if head else None) != seen:
                return False
            commands: List[Command] = [("DEL", self._keys.head)] if head is None and stored else []
            commands.append(transactions.set_head(self._keys, {**values, "fence": self._fence}))
            try:
                self._execute(commands, None)
            except Unanswered:
                pass  # the next look at head tells
        raise Unanswered(f"{self._link.place}: no answer to {_ATTEMPTS} attempts to take over")

    def write_head(self, values: Mapping[str, Any], garbage_add: Sequence[str] = ()) -> None:
        """Fields of head alone: beat, cursors, want; a new `next` with the former one as garbage.

        Raises Surprise, OutOfMemory, and Unavailable (repeat the call, the values may be newer).
        """
        known = self._holding()
        after = known._replace(next=str(values.get("next", known.next)))
        commands: List[Command] = [("SADD", self._keys.garbage, *garbage_add)] if garbage_add else []
        commands.append(transactions.set_head(self._keys, values))
        self._commit(commands, after, ("head", after))

    def release(self) -> None:
        """A clean end: the fence is free at once. Raises Surprise, Unavailable."""
        self._commit([transactions.set_head(self._keys, {"fence": ""})], self._holding(), ("release",))
        self._forget()

    def publish(self, publication: Publication) -> None:
        """One version, all or nothing.

        Raises Surprise (forget everything), OutOfMemory (nothing applied: trim, wait, repeat) and
        Unavailable: repeat with the same publication; it is then found done, or done now.
        """
        known = self._holding()
        if publication.incarnation != known.incarnation or publication.version != known.version + 1:
            raise ValueError(f"version {publication.version} of {publication.incarnation} does not follow {known}")
        after = known._replace(version=publication.version)
        commands = transactions.publishing(self._keys, publication)
        self._commit(commands, after, ("publish", after, publication.entry))

    def trim(self, changes_to: Optional[int], past_to: Optional[int]) -> None:
        """Versions below leave the streams, also when Redis is full. Raises Surprise, Unavailable."""
        commands = transactions.trimming(self._keys, changes_to, past_to)
        if commands:
            self._commit(commands, self._holding(), ("trim",))

    def build(
        self,
        incarnation: str,
        puts: Mapping[str, bytes],
        index: Mapping[str, Optional[IndexEntry]],
        head: Mapping[str, Any],
    ) -> None:
        """A chunk of the snapshot that is built aside under `next`; the version stays. Raises as `publish`."""
        known = self._holding()
        if not incarnation or incarnation != known.next:
            raise ValueError(f"{incarnation!r} is not being built: {known}")
        commands = transactions.building(self._keys, incarnation, puts, index, head)
        self._commit(commands, known, ("build",))

    def switch(self, head: Mapping[str, Any], old: str) -> None:
        """`next` becomes the snapshot that readers see, at version + 1, without history.

        `old` ('' = there was none) becomes garbage. Raises as `publish`.
        """
        known = self._holding()
        if not known.next:
            raise ValueError("nothing was built aside")
        after = Known(known.next, "", known.version + 1)
        self._commit(transactions.switching(self._keys, after, head, old), after, ("switch", after))

    # Reading what stands ------------------------------------------------------------------------

    def previous(self, incarnation: str, keys: Sequence[str]) -> Dict[str, bytes]:
        """The packed envelopes that stand now, b"" where there is none. Raises Unavailable."""
        spaces = transactions.by_namespace(keys)
        if not spaces:
            return {}
        objects = self._keys.objects
        replies = self._link.batch([("HMGET", objects(incarnation, space), *spaces[space]) for space in spaces])
        raise_errors(replies, self._link.place)
        found: Dict[str, bytes] = {}
        for (space, names), values in zip(spaces.items(), replies):
            found.update((f"{space}/{name}", value or b"") for name, value in zip(names, values))
        return found

    def load_rows(self, incarnation: str) -> Iterator[Tuple[str, Envelope]]:
        """All (namespace/name, envelope), bodies unchecked, for a writer that holds the fence.

        Count and digest of each namespace are compared with the index as it ends. The caller adds up
        the whole and compares that with head. Raises Corrupt, Unavailable.
        """
        for space, share in self.load_index(incarnation).items():
            count, digest = 0, 0
            for name, raw in self._link.scan_hash(self._keys.objects(incarnation, space)):
                try:
                    key, envelope = f"{space}/{name.decode()}", unpack_envelope(raw)
                except (BadMessage, UnicodeDecodeError):
                    raise Corrupt(
                        f"an envelope in namespace {space!r} cannot be read: rebuild", (f"{space}/",)
                    ) from None
                count, digest = count + 1, add_digest(digest, member_digest(key, envelope.rv, envelope.digest))
                yield key, envelope
            if (count, digest) != share:
                raise Corrupt(f"namespace {space!r} does not fit its index entry: rebuild", (f"{space}/",))

    def load_index(self, incarnation: str) -> Dict[str, IndexEntry]:
        """namespace -> count and digest. Raises Corrupt, Unavailable."""
        try:
            stored = pairs(self._link.call("HGETALL", self._keys.index(incarnation)))
            return {space.decode(): unpack_index(raw) for space, raw in stored.items()}
        except (BadMessage, UnicodeDecodeError):
            raise Corrupt("the index of this kind cannot be read: rebuild") from None

    def lengths(self, incarnation: str, spaces: Sequence[str]) -> Tuple[int, List[int]]:
        """How many namespaces the index holds, and how many objects each of `spaces`. Raises Unavailable."""
        wanted = [self._keys.index(incarnation), *[self._keys.objects(incarnation, space) for space in spaces]]
        replies = self._link.batch([("HLEN", key) for key in wanted])
        raise_errors(replies, self._link.place)
        return replies[0], replies[1:]

    def memory(self, key: str) -> int:
        """About the bytes that `key` takes in Redis, 0 where it is absent. Raises Unavailable."""
        return int(self._link.call("MEMORY", "USAGE", key) or 0)

    def newest_change(self) -> Optional[int]:
        """The version of the newest entry of `changes`, None where it is empty.

        At a resume it is head's version or None; anything else is a write that went wrong halfway.
        """
        rows = self._link.call("XREVRANGE", self._keys.changes, "+", "-", "COUNT", 1)
        return int(rows[0][0].partition(b"-")[0]) if rows else None

    def garbage(self) -> List[str]:
        """Incarnations to remove. Raises Unavailable."""
        return sorted(member.decode() for member in self._link.call("SMEMBERS", self._keys.garbage))

    def collect_garbage(self, incarnation: str) -> None:
        """Removes an incarnation's keys, then its name. What is readable or being built is refused."""
        known = self._holding()
        if incarnation in (known.incarnation, known.next) or not incarnation:
            raise ValueError(f"{incarnation!r} is in use: {known}")
        spaces = self._link.call("HKEYS", self._keys.index(incarnation))
        names = [self._keys.objects(incarnation, space.decode()) for space in spaces]
        for start in range(0, len(names), _UNLINK_STEP):
            self._link.call("UNLINK", *names[start : start + _UNLINK_STEP])
        self._link.call("UNLINK", self._keys.index(incarnation))
        self._link.call("SREM", self._keys.garbage, incarnation)

    def close(self) -> None:
        """Ends its socket; the fence stays (`release` frees it)."""
        self._link.close()

    # One way out --------------------------------------------------------------------------------

    def _commit(self, commands: List[Command], after: Known, mark: Tuple[Any, ...]) -> None:
        """Applies `commands` once, onto the head that is known, which they turn into `after`.

        `mark` tells this write from any other that would leave the same head behind.
        """
        before = self._holding()
        doubted, self._doubt = self._doubt == mark, ()
        for _ in range(_ATTEMPTS):
            try:
                stands = self._arm(before, after) if doubted else self._arm(before)
                if after != before and stands == after:
                    self._known = after
                    return
                if self._execute(commands, after):
                    self._known = after
                    return
                doubted = True  # nil: someone touched head, or late packets of our own did
            except Unanswered:
                doubted = True
            except Unavailable:
                self._doubt = mark if doubted else ()
                raise
            except Surprise:
                self._forget()
                raise
        self._doubt = mark
        raise Unanswered(f"{self._link.place}: no answer to {_ATTEMPTS} attempts to write")

    def _arm(self, *expected: Known) -> Known:
        """WATCHes head and returns which of `expected` it holds. Raises Surprise, Fenced, Unavailable."""
        if len(expected) == 1 and self._link.holds(self._armed):
            return expected[0]
        self._armed = _UNARMED
        replies = self._link.batch(self._looking())
        raise_errors(replies, self._link.place)
        if self._run_id and self._link.run_id and self._run_id != self._link.run_id:
            raise Surprise(f"{self._link.place}: another Redis server answers (restart or failover)")
        stands = self._compared(replies[1], expected)
        self._armed = self._link.generation
        return stands

    def _execute(self, commands: List[Command], after: Optional[Known]) -> bool:
        """One MULTI on the armed socket; False = nil. Raises Surprise, OutOfMemory, Unavailable."""
        on, self._armed = self._armed, _UNARMED
        replies = self._link.batch([("MULTI",), *commands, ("EXEC",), *self._looking()], on=on)
        executed = replies[len(commands) + 1]
        if isinstance(executed, exceptions.RedisError):
            raise of_abort(replies[: len(commands) + 2], self._link.place)
        if executed is None:
            return False
        broken = [reply for reply in executed if isinstance(reply, exceptions.RedisError)]
        if broken:
            raise Surprise(f"{self._link.place}: a command failed inside an executed MULTI: {broken[0]}")
        if after is not None and not isinstance(replies[-1], exceptions.RedisError):
            try:
                self._compared(replies[-1], (after,))
                self._armed = on
            except Surprise:
                pass  # it happened after this write, which is done: the next write finds it
        return True

    def _looking(self) -> List[Command]:
        return [("WATCH", self._keys.head), ("HMGET", self._keys.head, "incarnation", "fence", "version", "next")]

    def _compared(self, reply: Sequence[Optional[bytes]], expected: Sequence[Known]) -> Known:
        if not any(value is not None for value in reply):
            raise Surprise(f"{self._link.place}: head of {self._keys} is absent: Redis was emptied")
        incarnation, fence, version, upcoming = [value or b"" for value in reply]
        if fence != self._fence.encode():
            raise Fenced(f"{self._link.place}: another aggregator took {self._keys} over")
        for known in expected:
            left = (known.incarnation.encode(), b"%d" % known.version, known.next.encode())
            if left == (incarnation, version or b"0", upcoming):
                return known
        raise Surprise(f"{self._link.place}: head of {self._keys} is not as it was left: Redis went back")

    def _watch_whole_head(self) -> Dict[bytes, bytes]:
        replies = self._link.batch([("WATCH", self._keys.head), ("HGETALL", self._keys.head)])
        raise_errors(replies, self._link.place)
        self._armed = self._link.generation
        return pairs(replies[1])

    def _took_over(self, head: Head) -> bool:
        self._known = Known(head.incarnation, head.next, head.version)
        self._run_id = self._link.run_id
        return True

    def _holding(self) -> Known:
        if self._known is None:
            raise Fenced(f"this writer does not hold the fence of {self._keys}: take over first")
        return self._known

    def _forget(self) -> None:
        self._known, self._armed, self._doubt = None, _UNARMED, ()


def _readable(stored: Mapping[bytes, bytes]) -> Optional[Head]:
    try:
        return decode(stored)
    except BadHead:
        return None
