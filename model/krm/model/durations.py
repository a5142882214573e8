"""Spans of time as people write them: `90`, `250ms`, `5m`, `1h30m`."""

from __future__ import annotations

import re

# Seconds. Nothing that krm waits for or looks back to is longer than a year.
MAX_SECONDS = 366 * 86400.0
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
