"""RFC 3339 times, as objects carry them, to epoch seconds and back; and kubectl's way to write an age."""

from __future__ import annotations

import re
from calendar import timegm
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Optional

_GRAMMAR = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
).fullmatch
_EPOCH = datetime(1970, 1, 1)  # UTC, as all that is written here


class BadTime(ValueError):
    """A text that is no RFC 3339 time."""


def parse(text: str) -> float:
    """Seconds since the epoch; fractions kept to the microsecond that a float holds. Raises BadTime."""
    match = _GRAMMAR(text) if isinstance(text, str) else None
    if match is None:
        raise BadTime("%.40r is no RFC 3339 time" % (text,))
    parts = [int(part) for part in match.groups()[:6]]
    fraction, sign, hours, minutes = match.groups()[6:]
    try:
        moment = datetime(parts[0], parts[1], parts[2], parts[3], parts[4], min(parts[5], 59))
    except ValueError:
        raise BadTime("%.40r is no RFC 3339 time" % (text,)) from None
    if parts[5] > 60 or int(hours or 0) > 23 or int(minutes or 0) > 59:
        raise BadTime("%.40r is no RFC 3339 time" % (text,))
    leap = parts[5] - moment.second  # a leap second is the first second of the next minute
    offset = (int(hours or 0) * 3600 + int(minutes or 0) * 60) * (-1 if sign == "-" else 1)
    return timegm(moment.timetuple()) + leap - offset + float("0." + (fraction or "0"))


def known(text: object) -> Optional[float]:
    """`parse`, None where the field is absent or no time: unknown is unknown."""
    try:
        return parse(text)  # type: ignore[arg-type]
    except BadTime:
        return None


@lru_cache(maxsize=256)  # when a kind was verified stands on each answer
def write(seconds: float) -> str:
    """`2026-11-22T10:00:00Z`; with microseconds where there are any. Raises BadTime outside years 1 to 9999."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        raise BadTime("a time outside the years 1 to 9999") from None
    return moment.isoformat() + "Z"


def age(seconds: Optional[float]) -> str:
    """A duration as kubectl writes it (HumanDuration): `45s`, `3m20s`, `25h`, `4d2h`, `2y30d`.

    None is `<unknown>`; less than zero by two seconds or more is `<invalid>`, by less `0s`.
    """
    if seconds is None:
        return "<unknown>"
    whole = int(seconds)  # toward zero, as Go's int()
    if whole < -1:
        return "<invalid>"
    whole = max(whole, 0)
    minutes, hours = whole // 60, whole // 3600
    days = hours // 24
    if whole < 120:
        return "%ds" % whole
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return "%dm" % minutes
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return "%dh" % hours
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return "%dd" % days
    if hours < 24 * 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return "%dy" % (days // 365)


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return "%d%s%d%s" % (large, large_unit, small, small_unit) if small else "%d%s" % (large, large_unit)
