"""The head of a kind: the one Redis hash that says what the kind's snapshot is worth.

Its only writer is the aggregator that holds the fence. Fields are stored as text; what is not known
is absent or empty, never 0. Times are seconds of the Redis clock.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple


@dataclass(frozen=True)
class Head:
    """One kind's head, decoded. Absent numbers are None: unknown is unknown."""

    incarnation: str = ""  # UUID of the readable snapshot, '' = none yet
    next: str = ""  # UUID of the one being built, '' = none
    version: int = 0  # bumped by item changes alone
    rv: str = ""  # F: every change up to it is applied; '' = none yet
    watch_from: str = ""  # where Kubernetes watches may start
    verified_rv: str = ""
    verified_at: Optional[float] = None
    verified_by: str = ""  # cache, etcd
    current_as_of: Optional[float] = None
    probed_at: Optional[float] = None
    streamer_at: Optional[float] = None
    observed_at: Optional[float] = None  # when the newest message was taken in
    list_error: str = ""  # class of the error, '' = none; cleared by a list's success alone
    watch_error: str = ""
    unserved: bool = False  # discovery lacks the kind
    truncated: Optional[int] = None  # objects counted where they are too many to keep
    drift: Optional[Dict[str, int]] = None  # cause -> count; carried over a rebuild
    upstream_drift: Optional[Dict[str, Any]] = None  # last audit: rv, at, count, keys
    gaps: int = 0  # sessions broken; carried over a rebuild
    gap_open: bool = False  # a break that no list has closed yet
    bad: Tuple[Tuple[str, int, str, str, str, float], ...] = ()  # the 20 newest, as messages.Bad
    nameless: str = ""  # V of the newest full list, where `bad` does not name all that it refused; '' = it does
    count: Optional[int] = None  # objects
    digest: str = ""  # of the set, hex
    canon: str = ""
    cluster_uid: str = ""
    run_id: str = ""  # of the Redis server
    fence: str = ""
    beat: Optional[float] = None
    events_id: str = ""  # everything up to this entry of K events is consumed
    lists_id: str = ""
    session: str = ""
    seq: int = -1
    want: str = ""  # "MODE NONCE": a list that the verifier owes
    delay_p50: Optional[float] = None  # seconds from receipt at the streamer to publication
    delay_p99: Optional[float] = None
    stream_delay: Optional[Dict[str, Any]] = None  # as krm.model.delays; None = no point yet
    oldest: int = 0  # the oldest version that `changes` still leads forward from
    oldest_rv: str = ""  # F at that version; '' = unknown
    oldest_at: Optional[float] = None  # when that version was published
    rebuilt: str = ""  # why the newest rebuild was made
    uncached: bool = False  # the API server keeps no watch cache for this kind
    facts: str = ""  # how the kind is called and served: krm.model.served; '' = not told yet


_BAD_TYPES = [str, int, str, str, str]  # of messages.Bad, before its time
_TYPES = {f.name: str(f.type) for f in fields(Head)}
FIELDS: Tuple[str, ...] = tuple(_TYPES)


def encode(values: Mapping[str, Any]) -> Dict[str, str]:
    """Field values as the hash holds them; None becomes '' (unknown)."""
    return {name: _encode(value) for name, value in values.items()}


def _encode(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else ""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, separators=(",", ":"))
    return repr(value) if isinstance(value, float) else str(value)


class BadHead(ValueError):
    """A head that no aggregator of this format wrote."""


def decode(raw: Mapping[bytes, bytes]) -> Optional[Head]:
    """The hash as redis-py gives it; None where there is no head. Raises BadHead."""
    if not raw:
        return None
    values: Dict[str, Any] = {}
    for name, kind in _TYPES.items():
        stored = raw.get(name.encode())
        if stored is None or (stored == b"" and kind != "str"):
            continue
        try:
            values[name] = _decode(kind, stored.decode())
        except (ValueError, TypeError, RecursionError):
            raise BadHead("head.%s holds no %s" % (name, kind)) from None
    return Head(**values)


def _finite(number: float) -> float:
    """NaN is smaller and larger than nothing: as a time it would be fresh for ever."""
    if not math.isfinite(number):
        raise ValueError
    return number


def _decode(kind: str, text: str) -> Any:
    if kind == "str":
        return text
    if kind == "bool":
        return text == "1"
    if kind == "int" or kind == "Optional[int]":
        return int(text)
    if kind == "Optional[float]":
        return _finite(float(text))
    parsed = json.loads(text)
    if kind.startswith("Tuple"):
        rows: List[Any] = [tuple(row) for row in parsed]
        if not all(list(map(type, row[:-1])) == _BAD_TYPES and _finite(float(row[-1])) >= 0 for row in rows):
            raise TypeError
        return tuple(rows)
    if not isinstance(parsed, dict):
        raise TypeError
    if kind == "Optional[Dict[str, int]]" and not all(type(count) is int for count in parsed.values()):
        raise TypeError
    return parsed
