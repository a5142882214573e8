"""Numbers of nodes as people read them. Pure."""

from __future__ import annotations

from typing import Optional

from krm.model.times import age

UNKNOWN = "-"
_KIB = 1024.0


def size(value: Optional[float]) -> str:
    """`1.5Gi`, `100Mi`; bytes."""
    if value is None:
        return UNKNOWN
    left = float(value)
    for suffix in ("", "Ki", "Mi", "Gi", "Ti"):
        if abs(left) < _KIB or suffix == "Ti":
            break
        left /= _KIB
    return f"{left:.0f}{suffix}" if abs(left) >= 100 or left == int(left) else f"{left:.1f}{suffix}"


def amount(value: Optional[float], unit: str) -> str:
    """In the unit of krm.model.metrics: bytes as sizes, millicores as they are written, counts plain."""
    if value is None:
        return UNKNOWN
    if unit == "bytes":
        return size(value)
    return f"{value:.0f}m" if unit == "millicores" else f"{value:.0f}"


def percent(share: Optional[float]) -> str:
    """`63%`."""
    return UNKNOWN if share is None else f"{100 * share:.0f}%"


def span(seconds: Optional[float]) -> str:
    """As kubectl writes ages."""
    return UNKNOWN if seconds is None else age(max(0.0, seconds))
