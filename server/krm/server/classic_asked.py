"""What a request to the POST API asks for: its body as values. Pure.

What is not given has its default, and so has null. What cannot be meant is refused with a sentence: an answer
to another question would be paid for as if it were the right one.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from krm.model.metrics import Metric
from krm.server.classic_dates import BadMoment, parse

# Bytes of a body: one that says all that can be said has 200.
MAX_BODY = 64 * 1024
DEFAULT_NAMESPACE, DEFAULT_LIMIT = "default", 100
DEFAULT_BEGIN, DEFAULT_END = "now-60m", "now"
# Points of one answer, some 20 MB of JSON. More are not given: ask for less time, or for a sum.
MOST_POINTS = 100_000
POINTS, POD_BY_NAMESPACE, ALL_NAMESPACE, ALL_POD = "", "pod-by-namespace", "all-namespace", "all-pod"
SUMS = (POD_BY_NAMESPACE, ALL_NAMESPACE, ALL_POD)
PARAMETERS = ("namespace", "limit", "agg", "timeBeginInterval", "timeEndInterval")
# A label of DNS, as the API server has it: what is none cannot be a namespace.
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?").fullmatch
_DIGITS = re.compile(r"\+?[0-9]{1,15}").fullmatch


class BadBody(ValueError):
    """The text says what is wrong with it."""


class Asked(NamedTuple):
    """One request."""

    metric: Metric
    agg: str  # POINTS or one of SUMS
    namespace: str  # '' = all, of ALL_NAMESPACE and ALL_POD alone
    limit: int  # of POINTS
    begin: float  # Unix seconds, inclusive
    end: float  # Unix seconds, exclusive
    now: float


def body(raw: bytes) -> Dict[str, Any]:
    """The object that a body holds, {} of an empty one. Raises BadBody."""
    if not raw.strip():
        return {}
    try:
        found = json.loads(
            raw.decode("utf-8"), object_pairs_hook=_object, parse_int=_whole, parse_constant=_no_number
        )
    except BadBody:
        raise
    except (ValueError, RecursionError):
        raise BadBody("the body is no JSON") from None
    if not isinstance(found, dict):
        raise BadBody("the body is no JSON object")
    return found


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        for name in PARAMETERS:
            if names.count(name) > 1:
                raise BadBody(f"{name} stands in the body more than once: which one is meant?")
    return found


def _whole(text: str) -> float:
    """A number of many digits is read as a float: to read it as it is would cost more than its length."""
    return int(text) if len(text) <= 18 else float(text)


def _no_number(text: str) -> float:
    raise BadBody(f"the body is no JSON: {text} is no number")


def asked(metric: Metric, given: Mapping[str, Any], now: float) -> Asked:
    """Of a body. Parameters that the aggregation ignores are not looked at. Raises BadBody."""
    agg = given.get("agg")
    agg = agg if isinstance(agg, str) and agg in SUMS else POINTS
    everywhere = agg in (ALL_NAMESPACE, ALL_POD)
    return Asked(
        metric,
        agg,
        "" if everywhere else _namespace(given.get("namespace")),
        _limit(given.get("limit")) if agg == POINTS else 0,
        _moment(given, "timeBeginInterval", DEFAULT_BEGIN, now),
        _moment(given, "timeEndInterval", DEFAULT_END, now),
        now,
    )


def _namespace(value: Any) -> str:
    if value is None:
        return DEFAULT_NAMESPACE
    if not isinstance(value, str) or not _NAMESPACE(value):
        raise BadBody("namespace is no name of a namespace")
    return value


def _limit(value: Any) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if isinstance(value, str) and _DIGITS(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():  # 100.0 and 1e2 are whole
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadBody("limit is no whole number from 1 on")
    return value


def _moment(given: Mapping[str, Any], name: str, default: str, now: float) -> float:
    value = given.get(name)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise BadBody(f"{name} is no text")
    try:
        return parse(value, now)
    except BadMoment as error:
        raise BadBody(f"{name} {error}") from None
