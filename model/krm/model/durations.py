"""Spans of time as people write them: `90`, `250ms`, `5m`, `1h30m`; and as Go writes one."""

from __future__ import annotations

import re

# Seconds. Nothing that krm waits for or looks back to is longer than a year.
MAX_SECONDS = 366 * 86400.0
_SECOND = 1_000_000_000  # nanoseconds
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)"
_PARTS, _EACH = re.compile(f"(?:{_PART})+"), re.compile(_PART)
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def parse_duration(text: str) -> float:
    """`20s`, `1h30m`, `500ms` or a bare number of seconds -> seconds, from 0 on. Raises ValueError."""
    if _PARTS.fullmatch(text):
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _EACH.findall(text))
    elif _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        raise ValueError(f"{text!r} is no duration: write 20s, 5m, 1h30m or 500ms")
    if seconds > MAX_SECONDS:
        raise ValueError(f"{text!r} is longer than a year")
    return seconds


def go_duration(nanoseconds: int) -> str:
    """As Go writes a time.Duration, and metrics.k8s.io a window: `10.062s`, `1m0.5s`, `2h3m4s`, `250ms`, `0s`."""
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    for size, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if 0 < left < 1000 * size:
            return f"{sign}{_decimals(left, size)}{unit}"
    minutes, seconds = divmod(left, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    shown = f"{_decimals(seconds, _SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{shown}"
    return f"{sign}{minutes}m{shown}" if minutes else sign + shown


def _decimals(number: int, unit: int) -> str:
    """`number` in `unit`s, without zeros at the end."""
    whole, rest = divmod(number, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)
