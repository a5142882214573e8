"""Calendar months of a zone, also where the clocks change in them."""

from __future__ import annotations

import sys
from datetime import datetime, timezone

import pytest
from krm.analysis.billing.months import month_of

NAMED = pytest.mark.skipif(sys.version_info < (3, 9), reason="names of zones need Python 3.9")


def utc(*when: int) -> int:
    return int(datetime(*when, tzinfo=timezone.utc).timestamp())  # type: ignore[misc]


def test_utc() -> None:
    found = month_of("2026-12")
    assert (found.begin, found.end, found.hours, found.notes) == (utc(2026, 12, 1), utc(2027, 1, 1), 744, "")


@NAMED
@pytest.mark.parametrize(("name", "hours"), [("2026-03", 743), ("2026-10", 745), ("2026-02", 672)])
def test_the_clocks_change_in_berlin(name: str, hours: int) -> None:
    assert month_of(name, "Europe/Berlin").hours == hours


@NAMED
def test_berlin_begins_before_utc() -> None:
    assert month_of("2026-10", "Europe/Berlin").begin == utc(2026, 9, 30, 22)


def test_half_hours_are_cut_and_told() -> None:
    found = month_of("2026-10", "+05:30")
    assert (found.begin, found.hours) == (utc(2026, 9, 30, 19), 744)
    assert "whole hours" in found.notes


@pytest.mark.parametrize("name", ["2026", "2026-13", "2026-1", "10-2026", "", "0001-01", "2026-10-01"])
def test_no_month(name: str) -> None:
    with pytest.raises(ValueError, match=r"2026-10|1971"):
        month_of(name)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "+25:00", "../etc/passwd", ""])
def test_no_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="timezone="):
        month_of("2026-10", zone)
