"""Thresholds that fire and resolve with hysteresis: a pure function of the past and the threshold."""

from __future__ import annotations

from typing import Iterable, Optional, Tuple

# Share of hard. A threshold that was passed holds until the use is this much below it: at 80 %, below 78 %.
MARGIN = 0.02
_EXACT = 1e-9  # .8 of 10 is 8, whatever floats say


def above_since(points: Iterable[Tuple[float, float]], threshold: float, margin: float = MARGIN) -> Optional[float]:
    """Unix seconds since when the threshold counts as passed; None: it does not.

    points: (Unix seconds, share), oldest first. A gap is no point: nothing resolves for want of measurements.
    """
    since: Optional[float] = None
    for at, share in points:
        if since is None:
            if share >= threshold - _EXACT:
                since = at
        elif share < threshold - margin - _EXACT:
            since = None
    return since
