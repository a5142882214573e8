"""Percentiles of points, as the field's tools have them; NaN is a gap and is left out. Pure."""

from __future__ import annotations

import math
from typing import Iterable, List, Sequence


def known(values: Iterable[float]) -> List[float]:
    """Those that are no gaps, smallest first."""
    return sorted(value for value in values if value == value)


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0..1) of them does not exceed. `ordered`: not empty."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def linear(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest ranks, as Prometheus' quantile_over_time and numpy have it. `ordered`: not empty."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
