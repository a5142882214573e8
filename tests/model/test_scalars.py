"""resourceVersions, quantities, times and ages: exact where they parse, typed where they do not."""

from __future__ import annotations

from fractions import Fraction
from typing import Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import quantities, times, versions


@given(st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 128) - 1))
def test_versions_compare_as_numbers(one: int, other: int) -> None:
    assert (versions.parse(str(one)) < versions.parse(str(other))) == (one < other)


@pytest.mark.parametrize(
    "text", ["0", "", "None", "-1", "+1", "007", "1.0", "1e3", "0x10", " 1", "1 ", "1\n", "1_0",
         "9" * 60, str(1 << 128),
             "\uff11", "\u0661", None, 5, "9" * 1_000_000],
)  # fmt: skip
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(versions.MalformedVersion) as caught:
        versions.parse(text)
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("100m", Fraction(1, 10)), ("1", 1), ("1.5", Fraction(3, 2)), ("1.5Gi", 3 * 2**29), ("2e3",
    2000), ("2E3", 2000),
     ("2E", 2 * 10**18), ("1Ei", 2**60), ("1e-3", Fraction(1, 1000)), ("5n", Fraction(5, 10**9)), ("7u",
     Fraction(7, 10**6)),
     ("3k", 3000), ("3M", 3 * 10**6), ("3G", 3 * 10**9), ("3T", 3 * 10**12), ("3P", 3 * 10**15), ("3Ki", 3072),
     ("3Mi", 3 * 2**20),
     ("3Ti", 3 * 2**40), ("3Pi", 3 * 2**50), ("-5Mi", -5 * 2**20), ("+5", 5), (".5", Fraction(1, 2)), ("1.",
     1), ("1.G", 10**9),
     ("0.1n", Fraction(1, 10**10)), ("0001", 1), ("12e6", 12 * 10**6), ("1e+3", 1000)],
)  # fmt: skip
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    assert quantities.parse(text) == value


@pytest.mark.parametrize(
    "text", ["", "-", ".", "Mi", "1e400", "1e-400", "1mi", "1K", "1ki", "1 Mi", " 1", "1\n", "\uff11",
         "\u0661", "1e", "1e+", "1_0", "0x1",
             "NaN", "inf", "1.2.3", "--1", "1Mi1", "1E3Mi", "1" * 1_000_000, None, 5],
)  # fmt: skip
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(quantities.BadQuantity) as caught:
        quantities.parse(text)
    assert len(str(caught.value)) < 120


@given(st.integers(0, 4_000_000_000), st.integers(0, 999_999))
@settings(max_examples=300, deadline=None, print_blob=True)
def test_times_survive_writing_and_parsing(seconds: int, microseconds: int) -> None:
    moment = seconds + microseconds / 1e6
    assert abs(times.parse(times.write(moment)) - moment) < 1e-6
    assert times.parse(times.write(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T00:00:00Z", 0), ("2026-11-22T10:00:00Z", 1795341600), ("2026-11-22T12:00:00+02:00", 1795341600),
     ("2026-11-22T10:00:00.250000Z", 1795341600.25), ("2026-11-22T10:00:00.123456789Z", 1795341600.123456789),
     ("0001-01-01T00:00:00Z", -62135596800), ("2016-12-31T23:59:60Z", 1483228800)],
)  # fmt: skip
def test_times_of_kubernetes(text: str, seconds: float) -> None:
    assert times.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "now", "2026-11-22", "2026-11-22T10:00:00", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
         "2026-01-01T24:00:00Z",
             "2026-01-01T00:00:61Z", "2026-01-01T00:00:00+25:00", "20260101T000000Z",
             "\uff12026-01-01T00:00:00Z", None, 5],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(times.BadTime):
        times.parse(text)
    assert times.known(text) is None


def test_times_beyond_the_calendar_are_refused() -> None:
    for seconds in (1e18, -1e18, float("inf")):
        with pytest.raises(times.BadTime):
            times.write(seconds)


DAY = 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "<unknown>"), (-2, "<invalid>"), (-1.9, "0s"), (-0.5, "0s"), (0, "0s"), (1, "1s"), (119.9, "119s"),
    (120, "2m"),
     (121, "2m1s"), (599, "9m59s"), (600, "10m"), (3 * 3600 - 1, "179m"), (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"),
     (8 * 3600 - 1, "7h59m"), (8 * 3600, "8h"), (2 * DAY - 1, "47h"), (2 * DAY, "2d"),
     (2 * DAY + 3600, "2d1h"), (8 * DAY - 1, "7d23h"),
     (8 * DAY, "8d"), (365 * DAY, "365d"), (2 * 365 * DAY - 1, "729d"), (2 * 365 * DAY, "2y"), (731 * DAY, "2y1d"),
     (8 * 365 * DAY - 1, "7y364d"), (8 * 365 * DAY, "8y"), (50 * 365 * DAY, "50y")],
)  # fmt: skip
def test_ages_read_as_kubectl_writes_them(seconds: Optional[float], text: str) -> None:
    assert times.age(seconds) == text
