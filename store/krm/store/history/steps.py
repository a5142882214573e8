"""How time is cut: steps of 15 s, parts of 20 steps, hours of 240. Pure.

Step number n is the half-open (n-1, n] x STEP; its point stands at n x STEP. An hour's and a part's
numbers count the same way from the epoch, so whole hours are UTC's.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Tuple

from krm.store.history.asked import HOUR, STEP

HOUR_STEPS = int(HOUR // STEP)
PART_STEPS = 20  # 5 minutes: what is written again while it grows stays small
HOUR_PARTS = HOUR_STEPS // PART_STEPS
WHOLE = 0  # the part of an hour that was put together; parts as they grow are 1 .. HOUR_PARTS


def step_of(at: float) -> int:
    """The step that a moment falls into."""
    return ceil(at / STEP)


def hour_of(step: int) -> int:
    """The number of its hour."""
    return (step - 1) // HOUR_STEPS


def part_of(step: int) -> int:
    """The number of its part, since the epoch."""
    return (step - 1) // PART_STEPS


def hour_at(at: float) -> int:
    """The hour that begins at or before a moment."""
    return floor(at / HOUR)


def first_step(hour: int) -> int:
    """Of an hour."""
    return hour * HOUR_STEPS + 1


def part_key(part: int) -> Tuple[int, int]:
    """(hour, part in it, from 1), as the file names it."""
    return part // HOUR_PARTS, part % HOUR_PARTS + 1


def part_number(hour: int, key: int) -> int:
    """The opposite of part_key."""
    return hour * HOUR_PARTS + key - 1
