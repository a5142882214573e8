"""What a kind's snapshot is worth at this moment, as every reader judges it from the head alone.

States, first match wins:

    absent     the API server does not serve the kind
    forbidden  listing or watching it was refused; what is held is the last that was allowed
    truncated  more objects than krm keeps: a count, no items
    warming    nothing to read yet: no head, or no list was merged
    stale      what is held may be older than it looks; `reasons` says why
    live       none of these

`reset` is the reader's own: the first answer whose incarnation differs from the one that it held.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Optional, Tuple

from krm.model.head import Head

WARMING, RESET, ABSENT, FORBIDDEN, TRUNCATED, STALE, LIVE = (
    "warming",
    "reset",
    "absent",
    "forbidden",
    "truncated",
    "stale",
    "live",
)
STATES = (WARMING, RESET, ABSENT, FORBIDDEN, TRUNCATED, STALE, LIVE)

# Seconds. A time of the head that lies further in the future than clocks are measured wrong proves nothing.
CLOCK_TOLERANCE = 1.0
# Seconds. The aggregator beats each second: five missed beats are a dead or stopped aggregator.
BEAT_LIMIT = 5.0
# Seconds. Probes come each 10 s and reports each 2 s: two missed probes and a bit.
REPORT_LIMIT = 25.0
# Seconds. A quiet kind's F moves with bookmarks, each 60 s, plus half of that.
AGE_LIMIT = 90.0
# Seconds. Kinds without a watch cache get no bookmarks: a list re-anchors them each 240 s.
UNCACHED_AGE_LIMIT = 300.0


@dataclass(frozen=True)
class Trust:
    """How fresh and how verified an answer is. Times are seconds of the Redis clock; None is unknown."""

    state: str
    reasons: Tuple[str, ...]  # why not live, one clause each
    version: int
    incarnation: str
    resource_version: str  # every change up to it is in the answer; '' = unknown
    observed_at: Optional[float]  # when the newest message from the API server was taken in
    current_as_of: Optional[float]  # proven: the answer holds all of then, but for what the watch lost
    age: Optional[float]  # seconds since current_as_of; nothing older is missing, unless lost since verified_at
    verified_at: Optional[float]  # when the last list that confirmed or repaired it was sent for
    verified_resource_version: str
    verified_by: str  # cache, etcd, '' = never
    gap_open: bool  # an event may be missing; the list that closes it is due
    gaps: int
    drift: Optional[Dict[str, int]]  # repairs by cause; carried over a rebuild, as gaps are
    upstream_drift: Optional[Dict[str, Any]]  # what the last audit of the API server's own cache found
    delay_p50: Optional[float]  # seconds from receipt to publication
    delay_p99: Optional[float]
    clock_suspect: bool = False  # a time lay in the future and was clamped
    stream_delay: Optional[Dict[str, Any]] = None  # from a change to its receipt, by series: krm.model.delays

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def judge(head: Optional[Head], now: float) -> Trust:
    """`now` is the Redis clock in seconds, read together with the head."""
    head = head or Head()
    reasons: List[str] = []
    state = _state(head, now, reasons)
    known = head.current_as_of is not None and math.isfinite(head.current_as_of)
    age = now - head.current_as_of if known and head.current_as_of is not None else None
    moments = (head.current_as_of, head.beat, head.verified_at)
    suspect = any(at is not None and at > now + CLOCK_TOLERANCE for at in moments)
    return Trust(
        state=state,
        reasons=tuple(reasons),
        version=head.version,
        incarnation=head.incarnation,
        resource_version=head.rv,
        observed_at=head.observed_at,
        current_as_of=head.current_as_of,
        age=None if age is None else max(0.0, age),
        verified_at=head.verified_at,
        verified_resource_version=head.verified_rv,
        verified_by=head.verified_by,
        gap_open=head.gap_open,
        gaps=head.gaps,
        drift=head.drift,
        upstream_drift=head.upstream_drift,
        delay_p50=head.delay_p50,
        delay_p99=head.delay_p99,
        clock_suspect=suspect,
        stream_delay=head.stream_delay,
    )


def is_unserved(head: Optional[Head]) -> bool:
    """Whether the API server does not serve the kind: one call must cost next to nothing."""
    return head is not None and head.unserved and head.list_error == "NotFound"


def _state(head: Head, now: float, reasons: List[str]) -> str:
    if is_unserved(head):
        reasons.append("the API server does not serve this kind")
        return ABSENT
    for verb, error in (("list", head.list_error), ("watch", head.watch_error)):
        if error == "Forbidden":
            reasons.append(f"krm may not {verb} this kind: grant it list and watch")
        if error == "OutOfScope":
            reasons.append("this kind is of no namespace, and krm runs with --namespaces")
    if reasons:
        return FORBIDDEN
    if head.truncated is not None:
        count = f"{head.truncated} " if head.truncated else ""  # 0: how many is not for this reader
        reasons.append(f"{count}objects are more than krm keeps of this kind: counted, not held")
        return TRUNCATED
    if not head.incarnation or not head.rv:
        reasons.append("no list of this kind was merged yet")
        return WARMING
    _why_stale(head, now, reasons)
    return STALE if reasons else LIVE


def _why_stale(head: Head, now: float, reasons: List[str]) -> None:
    if head.next:
        reasons.append("the snapshot is being rebuilt aside; this is the one before")
    _late(head.beat, now, BEAT_LIMIT, "the aggregator has not beaten", "", reasons)
    _late(head.probed_at, now, REPORT_LIMIT, "no proof of freshness", head.list_error, reasons)
    _late(head.streamer_at, now, REPORT_LIMIT, "no open watch", head.watch_error, reasons)
    limit = UNCACHED_AGE_LIMIT if head.uncached else AGE_LIMIT
    _late(head.current_as_of, now, limit, "not proven current", "", reasons)


def _late(at: Optional[float], now: float, limit: float, what: str, error: str, reasons: List[str]) -> None:
    if at is None or not math.isfinite(at):
        reasons.append(f"{what} yet" + (f" ({error})" if error else ""))
    elif at > now + CLOCK_TOLERANCE:
        # With the clock set back, a dead stage's last word would look fresh until the clock has come that far.
        reasons.append(f"{what} since a clock went back: the newest time known lies {at - now:.0f} s ahead")
    elif now - at > limit:
        reasons.append(f"{what} for {now - at:.0f} s" + (f" ({error})" if error else ""))
