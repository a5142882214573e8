"""Spans of time as the tables show them."""

from __future__ import annotations

from typing import Optional


def ago(seconds: Optional[float]) -> str:
    """`3s`, `12m`, `5h`, `3d`; `-` where unknown."""
    if seconds is None:
        return "-"
    seconds = max(0.0, seconds)
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("m", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def span(seconds: Optional[float]) -> str:
    """A delay: `850us`, `12ms`, `1.4s`; `-` where unknown."""
    if seconds is None:
        return "-"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f}us"
    return f"{seconds * 1000:.0f}ms" if seconds < 1 else f"{seconds:.1f}s"
