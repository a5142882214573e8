"""Moments as requests to the POST API name them. Pure; all of them are UTC unless they say another offset.

2017-12-01                              its midnight
2017-12-01T08:00:00+01:00               RFC 3339, with any offset; fractions of a second too
2017-12-01 08:00:00, 2017-12-01T08:00   as InfluxDB took them: UTC
now, now-60m, now - 1h30m, now()-7d     from the moment of the request on
"""

from __future__ import annotations

import re

from krm.model import times
from krm.model.durations import parse_duration

# Characters. The longest that means anything has 35.
LONGEST = 64
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_NAIVE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ Tt]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,9})?)?").fullmatch
_RELATIVE = re.compile(r"now(?:\(\))?(?: *([-+]) *([0-9.a-z]+))?", re.IGNORECASE).fullmatch


class BadMoment(ValueError):
    """A text that names no moment; the sentence says which forms do."""


def parse(text: str, now: float) -> float:
    """Unix seconds. Raises BadMoment."""
    asked = text.strip() if len(text) <= LONGEST else ""
    try:
        relative = _RELATIVE(asked)
        if relative is not None:
            sign, span = relative.groups()
            seconds = parse_duration(span.lower()) if span else 0.0
            return now + seconds if sign == "+" else now - seconds
        if _DATE(asked):
            return times.parse(asked + "T00:00:00Z")
        naive = _NAIVE(asked)
        if naive is not None:
            date, minute, rest = naive.groups()
            return times.parse(f"{date}T{minute}{rest or ':00'}Z")
        return times.parse(asked)
    except ValueError:
        raise BadMoment("is no date (2017-12-01), no RFC 3339 time and no now-60m") from None
