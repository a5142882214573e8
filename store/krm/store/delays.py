"""K delays: points of the stream delay, from the aggregator to whoever keeps them (krm.model.delays).

An entry a second at most, outside of every version's write: that it is full, refused or away stops no kind.
"""

from __future__ import annotations

from typing import List, Sequence, Tuple

from krm.model.delays import DelayPoint, pack_points
from krm.store.connect import Database
from krm.store.keys import Keys

FIELD = b"d"
# Entries kept, about: half an hour of a kind in which something happens each second.
KEPT = 2_000


class DelayWriter:
    """The aggregator's side, on a socket of its own."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._link, self._key = database.link(keys.delays), keys.delays

    def append(self, points: Sequence[DelayPoint]) -> None:
        """One entry. Raises StoreError."""
        self._link.call("XADD", self._key, "MAXLEN", "~", KEPT, "*", FIELD, pack_points(points))

    def close(self) -> None:
        """Ends its socket."""
        self._link.close()


def read_delays(database: Database, keys: Keys, after: str) -> Tuple[str, List[bytes]]:
    """(id of the newest entry, entries after that of id `after`, packed). Raises StoreError."""
    link = database.link(keys.delays)
    try:
        rows = link.call("XRANGE", keys.delays, f"({after}", "+")
    finally:
        link.close()
    entries = [row[1][1] for row in rows if row[1] and len(row[1]) == 2 and row[1][0] == FIELD]
    return (rows[-1][0].decode() if rows else after), entries
