"""Amounts, shares and spans as people read them in tables and sentences. Pure."""

from __future__ import annotations

from typing import Optional

from krm.model import times
from krm.model.amounts import CPU

UNKNOWN = "-"  # in tables
KIB = 1024.0


def amount(resource: str, value: Optional[float]) -> str:
    """`250m` of CPU, `194.5Mi` of bytes, a plain count of the rest."""
    if value is None:
        return UNKNOWN
    if resource == CPU:
        return f"{value:.0f}m" if abs(value) >= 10 else f"{_short(value)}m"
    if resource == "pids":
        return f"{value:.0f}"
    units = ["", "Ki", "Mi", "Gi"]
    while abs(value) >= KIB and len(units) > 1:
        value, units = value / KIB, units[1:]
    return f"{_short(value)}{units[0]}"


def share(value: Optional[float]) -> str:
    """`97%`; one digit more below 10 %."""
    return UNKNOWN if value is None else f"{_short(value * 100) if value < 0.1 else format(value * 100, '.0f')}%"


def span(seconds: Optional[float]) -> str:
    """`1m45s`."""
    return UNKNOWN if seconds is None else times.age(seconds)


def moment(at: float) -> str:
    """To the second."""
    return times.write(at // 1)


def _short(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}".rstrip("0").rstrip(".")  # + 0.0: there is no -0
