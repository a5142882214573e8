"""Backoff: the waits of client-go, from the clock and the random number that it is given."""

from __future__ import annotations

from krm.cluster.backoff import Backoff


def waits(backoff: Backoff, count: int, draw: float = 0.0) -> list:
    now, found = 1000.0, []
    for _ in range(count):
        found.append(backoff.wait(now, draw))
        now += found[-1]
    return found


def test_waits_double_up_to_the_cap() -> None:
    expected = [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30, 30]
    assert [round(one, 6) for one in waits(Backoff(), 9)] == expected


def test_jitter_adds_up_to_as_much_again() -> None:
    for plain, most in zip(waits(Backoff(), 9), waits(Backoff(), 9, 0.999999)):
        assert plain < most <= 2 * plain


def test_two_quiet_minutes_start_it_over_and_less_does_not() -> None:
    for quiet, first in ((119.0, False), (121.0, True)):
        backoff, now = Backoff(), 0.0
        for _ in range(5):
            now += backoff.wait(now, 0.0)
        again = backoff.wait(now + quiet, 0.0)
        assert (again == 0.8) is first


def test_the_wait_itself_is_no_quiet_time() -> None:
    """Else a failure each 60 s, all of them waited for, would look like peace."""
    backoff, now, wait = Backoff(), 0.0, 0.0
    for _ in range(20):
        wait = backoff.wait(now, 0.99)
        now += wait + 100
    assert wait > 30
