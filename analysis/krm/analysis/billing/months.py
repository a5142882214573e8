"""Calendar months of a time zone, as Unix seconds. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from typing import NamedTuple

HOUR = 3600
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")


class Month(NamedTuple):
    """Half-open. The history's sums are of whole hours, UTC: a month of a zone whose offset is none begins and ends
    at the next whole hour, and `notes` says so."""

    name: str  # 2026-10
    zone: str
    begin: int  # Unix seconds
    end: int
    notes: str = ""

    @property
    def hours(self) -> int:
        """743 or 745 where the clocks change in it."""
        return (self.end - self.begin) // HOUR


def month_of(name: str, zone: str = "UTC") -> Month:
    """name: YYYY-MM. zone: an IANA name (Europe/Berlin; Python 3.9 and newer), +HH:MM or UTC. Raises ValueError."""
    match = _MONTH.fullmatch(name)
    if match is None:
        raise ValueError(f"month={name!r}: YYYY-MM is meant, e.g. 2026-10")
    year, month = int(match.group(1)), int(match.group(2))
    if not 1971 <= year <= 9998:
        raise ValueError(f"month={name!r}: a year from 1971 to 9998 is meant")
    where = _zone(zone)
    begin = datetime(year, month, 1, tzinfo=where).timestamp()
    following = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=where).timestamp()
    bounds = [int(-(-moment // HOUR) * HOUR) for moment in (begin, following)]
    cut = bounds != [begin, following]
    notes = f"sums are of whole hours (UTC): the month of {zone} begins and ends at the next one" if cut else ""
    return Month(name, zone, bounds[0], bounds[1], notes)


def _zone(name: str) -> tzinfo:
    if name in ("UTC", "Z"):
        return timezone.utc
    match = _OFFSET.fullmatch(name)
    if match is not None:
        sign, hours, minutes = match.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        return timezone(-offset if sign == "-" else offset)
    try:
        import zoneinfo
    except ImportError:
        raise ValueError(f"timezone={name!r}: names of zones need Python 3.9; write +HH:MM") from None
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError(f"timezone={name!r} is no time zone: Europe/Berlin, +02:00 or UTC is meant") from None
