"""Buckets: a burst, then a steady rate, each key its own, in bounded memory."""

from __future__ import annotations

import random

import pytest
from krm.server import rates
from krm.server.rates import Buckets, network


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_one_each_while() -> None:
    clock = Clock()
    buckets = Buckets(3, 2.0, clock)
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 2.0, 2.0]
    assert buckets.take("b") == 0
    clock.now = 1.5
    assert buckets.take("a") == pytest.approx(0.5)
    clock.now = 2.0
    assert buckets.take("a") == 0
    assert buckets.take("a") == pytest.approx(2.0)
    clock.now = 1000.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2.0]


def test_what_is_given_back_may_be_taken_again_and_never_more_than_the_burst() -> None:
    buckets = Buckets(2, 1.0, Clock())
    for _ in range(10):
        assert buckets.take("a") == 0
        buckets.give("a")
    buckets.give("a")
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1.0]


def test_no_sequence_lets_more_through_than_burst_and_rate_allow() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    clock = Clock()
    buckets = Buckets(5, 0.5, clock)
    let = 0
    for _ in range(5000):
        clock.now += rng.choice((0.0, 0.01, 0.3))
        let += buckets.take("a") == 0
        assert let <= 5 + clock.now / 0.5


def test_many_keys_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_BUCKETS", 100)
    buckets = Buckets(2, 1.0, Clock())
    for number in range(1000):
        buckets.take(str(number))
    assert len(buckets._held) == 100


def test_a_machine_with_a_64_of_ipv6_is_one_peer() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:10.0.0.1") == "10.0.0.1" == network("10.0.0.1")
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("") == ""
