"""Following a kind: every version after a token, in order, once each, or Expired.

Redis trims streams silently, so each id must be the one before plus one; and a stream that was
emptied and begun anew can carry the same ids, so head rides behind each read: an answer counts only
under the incarnation that the token names.
"""

from __future__ import annotations

from typing import Any, Iterator, List, NamedTuple, Optional

from krm.model.head import Head
from krm.model.records import ChangeEntry
from krm.store.connect import Command, Database, seconds
from krm.store.errors import Expired, raise_errors
from krm.store.keys import Keys
from krm.store.read import Token, change_rows
from krm.store.streams import decoded_head

# Seconds. Head is compared at least this often, for a stream that was replaced may stay silent.
_COMPARE = 1.0
# Entries a read: 100 versions of 100 changes of 5 KB are 50 MB at worst, typically a few hundred KB.
_COUNT = 100


class Step(NamedTuple):
    """One version."""

    version: int
    entry: ChangeEntry


class Follower:
    """One reader's place in `changes`, on a socket of its own, since its reads block."""

    def __init__(self, database: Database, keys: Keys, token: Token) -> None:
        self._link = database.link(keys.head)
        self._keys = keys
        self._incarnation = token.incarnation
        self._last = token.version
        self._newest: Optional[int] = None  # head's version before the read that goes on
        self.head: Optional[Head] = None  # as of the last turn
        self.time = 0.0  # Redis TIME of the last turn

    @property
    def token(self) -> Token:
        """Where to follow on from, after a turn's steps are taken in."""
        return Token(self._incarnation, self._last)

    def turn(self, block: float = 1.0) -> List[Step]:
        """The next versions; [] when none came within `block` seconds (capped at 1: head is compared).

        Raises Expired (read the snapshot anew), Corrupt, Unavailable (the next turn goes on).
        """
        wait: Command = ("BLOCK", max(1, int(min(block, _COMPARE) * 1000))) if block > 0 else ()
        replies = self._link.batch(
            [
                ("XREAD", "COUNT", _COUNT, *wait, "STREAMS", self._keys.changes, f"{self._last}-0"),
                ("HGETALL", self._keys.head),
                ("TIME",),
            ]
        )
        raise_errors(replies, self._link.place)
        self.head, self.time = decoded_head(replies[1]), seconds(replies[2])
        rows = replies[0][0][1] if replies[0] else []
        self._check_head(bool(rows))
        return self._steps(rows)

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()

    def _check_head(self, any_rows: bool) -> None:
        head = self.head
        if head is None or not head.incarnation:
            raise Expired(f"{self._keys}: there is no snapshot any more; it is being built anew")
        self._incarnation = self._incarnation or head.incarnation
        if head.incarnation != self._incarnation:
            raise Expired(f"{self._keys}: the snapshot was rebuilt; read it anew", head.version)
        if head.version < self._last:
            raise Expired(f"{self._keys}: version {self._last} is unknown: Redis went back", head.version)
        if not any_rows and self._newest is not None and self._newest > self._last:
            raise Expired(f"{self._keys}: changes after {self._last} are no longer kept", head.version)
        self._newest = head.version

    def _steps(self, rows: List[Any]) -> List[Step]:
        steps = [Step(version, entry) for version, entry in change_rows(rows)]
        for step in steps:
            if step.version != self._last + 1:
                raise Expired(f"{self._keys}: changes after {self._last} are no longer kept", step.version - 1)
            self._last = step.version
        return steps


def follow(database: Database, keys: Keys, token: Token) -> Iterator[Step]:
    """Every version after `token`, for ever. Raises as `Follower.turn`."""
    follower = Follower(database, keys, token)
    try:
        while True:
            yield from follower.turn()
    finally:
        follower.close()
