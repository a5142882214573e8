"""Stream delay: how long after a change the watch brought it. What the aggregator tells of it, and to whom.

    ADDED      receipt less creationTimestamp
    DELETED    receipt less deletionTimestamp, where neither grace period nor finalizer was pending
    deletion   receipt of a DELETED less the request to delete, grace and finalizers included
    published  publication to readers less creationTimestamp: from the commit to the reader

Kubernetes writes whole seconds, cut off: a delay is up to RESOLUTION too long, never too short. Where the clocks
of the API server and of Redis disagree it may be negative: that is kept as it is, and clamped only for show.

    head.stream_delay   series -> {"p50", "p99", "points", "negative"}, as JSON
    K delays            stream; field d: msgpack [FORMAT, [[series, at, seconds, rv], ...]]
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import msgpack
from krm.model.records import FORMAT, BadRecord, unpack_parts

RESOLUTION = 1.0  # seconds: of Kubernetes' timestamps
ADDED, DELETED, DELETION, PUBLISHED = "ADDED", "DELETED", "deletion", "published"
SERIES = (ADDED, DELETED, DELETION, PUBLISHED)
# Seconds: upper bounds of a histogram's buckets; a whole second or less is no delay that can be told.
BOUNDS: Tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)


class DelayPoint(NamedTuple):
    """One event's delay."""

    series: str
    at: float  # when it was received: seconds, Redis clock; no two of a series in one millisecond
    seconds: float
    rv: str


class Histogram(NamedTuple):
    """How often a value lay in each bucket, since its process began."""

    bounds: Tuple[float, ...]  # upper ones, ascending
    counts: Tuple[int, ...]  # of each bucket alone, and of what lies above them; negatives lie in the first
    total: float  # a negative value counted as 0, so that it never falls


def pack_points(points: Sequence[DelayPoint]) -> bytes:
    """The value of field d."""
    packed: bytes = msgpack.packb((FORMAT, list(points)), use_bin_type=True)
    return packed


def unpack_points(raw: bytes) -> List[DelayPoint]:
    """Raises BadRecord."""
    (rows,) = unpack_parts(raw, "delay entry", 1)
    if not isinstance(rows, tuple) or not all(isinstance(row, tuple) and len(row) == 4 for row in rows):
        raise BadRecord("a delay entry that is no list of points")
    for series, at, seconds, rv in rows:
        if not (isinstance(series, str) and isinstance(at, float) and isinstance(seconds, float)):
            raise BadRecord("a delay point with fields of other types")
        if not isinstance(rv, str):
            raise BadRecord("a delay point with fields of other types")
    return [DelayPoint(*row) for row in rows]


def shown(summary: Optional[Dict[str, Any]], series: str, share: str) -> Optional[float]:
    """`p50` or `p99` of a series of head.stream_delay, as tables show it: never below 0; None = unknown."""
    row = (summary or {}).get(series)
    value = row.get(share) if isinstance(row, dict) else None
    return max(0.0, float(value)) if isinstance(value, (int, float)) else None
