"""Sixty replayed cases of memory pressure: whom the kubelet evicted, krm had named before, and when."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
import evictions
from eviction_replays import replays


def test_most_first_victims_and_orders_are_foretold() -> None:
    for one in evictions.scores([900.0, 60.0]):
        print(one)
        assert one.victims >= 0.9 * one.cases
        assert one.ordered >= 0.95 * one.pairs
        assert one.dates >= 0.6 * one.calm  # the others swing more than they grow: there is no trend to tell
        assert one.held >= 0.85 * one.dates


def test_the_moment_is_the_kubelets() -> None:
    """At the look before it there was enough."""
    for case in replays():
        left = case.capacity - case.working_set(case.at)
        before = case.capacity - case.working_set(case.at - 10)
        assert left < 100 * 2**20 <= before
