"""From merged changes to one published version: envelopes, the change entry, what stood before, trims.

Pure: what stands in Redis now is handed in.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.aggregator.state import Applied
from krm.model import messages, records
from krm.model.messages import Item
from krm.model.records import Change, ChangeEntry, Envelope

# Bytes of K changes: three tenths of the canonical bytes, within these; K past may use half of that.
CHANGES_SHARE = 0.3
CHANGES_LEAST, CHANGES_MOST = 8 * 1024 * 1024, 256 * 1024 * 1024
PAST_SHARE = 0.5
# Delays kept for the percentiles: the newest thousand changes.
DELAYS_KEPT = 1000


class Edition(NamedTuple):
    """One version's content. `size`: by how many bytes the canonical bytes of the kind grow."""

    puts: Dict[str, bytes]
    deletes: List[str]
    entry: bytes
    past: bytes
    size: int
    delays: List[float]  # seconds from receipt to publication, one a change of the watch where it is known


def compose(
    changes: Sequence[Applied],
    standing: Mapping[str, bytes],
    rv: str,
    now: float,
    repair: bool,
    keep_past: bool,
) -> Edition:
    """`standing`: the packed envelopes of the changed keys as Redis holds them, b"" = none."""
    current = dict(standing)
    rows: List[Change] = []
    for applied in changes:
        item = applied.item
        previous = records.unpack_envelope(current[item.key]) if current.get(item.key) else None
        packed = records.pack_envelope(_envelope(item, previous))
        rows.append(_change(item, packed, previous))
        current[item.key] = b"" if item.type == messages.DELETED else packed
    delays = [] if repair else _delays(changes, now)
    entry = ChangeEntry(now, rv, repair, max(delays, default=None), tuple(rows))
    return Edition(
        puts={key: packed for key, packed in current.items() if packed},
        deletes=[key for key, packed in current.items() if not packed and standing.get(key)],
        entry=records.pack_change_entry(entry),
        past=records.pack_past(dict(standing)) if keep_past else b"",
        size=sum(map(len, current.values())) - sum(map(len, standing.values())),
        delays=delays,
    )


def _delays(changes: Sequence[Applied], now: float) -> List[float]:
    """Seconds. Of an item received after `now` by another clock the delay is unknown, not 0."""
    return [now - one.item.received_at for one in changes if 0 < one.item.received_at <= now]


def _envelope(item: Item, previous: Optional[Envelope]) -> Envelope:
    if item.type == messages.DELETED and not item.body and previous is not None:
        # A ghost: the list says only that it is gone. Its last bytes are what a DELETED event shows.
        return previous._replace(rv=item.rv)
    return Envelope(item.rv, item.uid, item.digest, item.received_at, item.labels, item.fields, item.body)


def _change(item: Item, packed: bytes, previous: Optional[Envelope]) -> Change:
    if previous is None:
        return Change(item.type, item.key, packed, "", "", b"", ())
    return Change(item.type, item.key, packed, previous.rv, previous.uid, previous.labels, previous.fields)


class Kept(NamedTuple):
    """One version in a stream, or all that a former aggregator left there."""

    version: int
    rv: str  # F at it
    at: Optional[float]  # when it was published, None = unknown
    size: int  # bytes


class Budget:
    """Which versions K changes and K past may keep, from the sizes that the writer sums."""

    def __init__(self, share: float, least: int, most: int) -> None:
        self._share, self._least, self._most = share, least, most
        self._kept: Deque[Kept] = deque()
        self._bytes = 0

    def add(self, version: int, rv: str, at: Optional[float], size: int, canonical: int) -> Optional[Kept]:
        """One entry more; returns the newest version that must go, where any must."""
        self._kept.append(Kept(version, rv, at, size))
        self._bytes += size
        limit = min(self._most, max(self._least, int(self._share * canonical)))
        gone = None
        while self._bytes > limit and len(self._kept) > 1:
            gone = self._drop()
        return gone

    def halve(self) -> Optional[Kept]:
        """Redis is full: give up the older half; returns the newest version that must go."""
        gone = None
        for _ in range((len(self._kept) + 1) // 2):
            gone = self._drop()
        return gone

    def _drop(self) -> Kept:
        gone = self._kept.popleft()
        self._bytes -= gone.size
        return gone


def changes_budget() -> Budget:
    """Of K changes."""
    return Budget(CHANGES_SHARE, CHANGES_LEAST, CHANGES_MOST)


def past_budget() -> Budget:
    """Of K past."""
    return Budget(CHANGES_SHARE * PAST_SHARE, int(CHANGES_LEAST * PAST_SHARE), int(CHANGES_MOST * PAST_SHARE))


class Delays:
    """Percentiles of the newest delays, in seconds; None before the first."""

    def __init__(self) -> None:
        self._newest: Deque[float] = deque(maxlen=DELAYS_KEPT)

    def add(self, delays: Sequence[float]) -> None:
        """Delays of one version's changes."""
        self._newest.extend(delays)

    def percentiles(self) -> Tuple[Optional[float], Optional[float]]:
        """(p50, p99)."""
        if not self._newest:
            return None, None
        ordered = sorted(self._newest)
        return _share(ordered, 0.5), _share(ordered, 0.99)


def _share(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 6)
