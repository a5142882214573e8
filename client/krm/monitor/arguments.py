"""Arguments of the facade: what is wrong is a BadRequest, which is a ValueError, that names what is allowed."""

from __future__ import annotations

import re
from typing import Any, Mapping, Sequence, Tuple

from krm.client.errors import BadRequest
from krm.model.durations import MAX_SECONDS, parse_duration

MOST_THRESHOLDS = 5
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WINDOW = re.compile(r"[0-9]+[smhd]")


def window(text: str, name: str = "time_window") -> float:
    """`30s`, `5m`, `24h`, `7d` -> seconds, above 0. Raises BadRequest."""
    if not isinstance(text, str) or not _WINDOW.fullmatch(text):
        raise BadRequest(f"{name}={text!r}: write Ns, Nm, Nh or Nd, e.g. 30s, 5m, 24h, 7d")
    if int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[text[-1]] > MAX_SECONDS:
        raise BadRequest(f"{name}={text!r} is longer than a year")
    seconds = parse_duration(text)
    if not seconds > 0:
        raise BadRequest(f"{name}={text!r} is no time at all")
    return seconds


def truth(value: bool, name: str) -> bool:
    """True or False. Raises BadRequest."""
    if not isinstance(value, bool):
        raise BadRequest(f"{name}={value!r}: True or False is meant")
    return value


def one_of(value: str, allowed: Sequence[str], name: str) -> str:
    """The value. Raises BadRequest."""
    if value not in allowed:
        raise BadRequest(f"{name}={value!r}: one of {', '.join(allowed)} is meant")
    return value


def percent(value: float, name: str) -> float:
    """Above 0 and at most 1,000 (what is used may be many times what was requested). Raises BadRequest."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1000:
        raise BadRequest(f"{name}={value!r}: a number above 0 and at most 1000 is meant, e.g. 90")
    return float(value)


def thresholds(values: Sequence[float], name: str = "thresholds") -> Tuple[float, ...]:
    """Percents, one to five of them, -> shares, lowest first. Raises BadRequest."""
    if isinstance(values, str) or not isinstance(values, (list, tuple)) or not 1 <= len(values) <= MOST_THRESHOLDS:
        raise BadRequest(f"{name}={values!r}: one to {MOST_THRESHOLDS} percents are meant, e.g. (80, 95)")
    return tuple(sorted({percent(value, name) / 100 for value in values}))


def none_of(given: Mapping[str, Any], why: str) -> None:
    """None of them was given a value. Raises BadRequest: `context` and why."""
    for name, value in given.items():
        if value:
            raise BadRequest(f"{name} {why}")


def named(value: str, name: str) -> str:
    """A name that is one. Raises BadRequest: an empty one is mostly a variable that was never set."""
    if not isinstance(value, str) or not value:
        raise BadRequest(f"{name}={value!r}: the name of one is meant")
    return value


def shapes(values: Sequence[str], name: str = "shapes") -> Tuple[str, ...]:
    """Sizes of pods, `cpu=2,memory=4Gi`. Raises BadRequest."""
    from krm.analysis.scheduling.shapes import given

    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise BadRequest(f"{name}={values!r}: a list is meant, e.g. ['cpu=2,memory=4Gi']")
    try:
        given(values)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None
    return tuple(values)


def day(text: str, name: str = "time_window") -> float:
    """A window of a day at most, in seconds: that is how long points are kept. Raises BadRequest."""
    seconds = window(text, name)
    if seconds > 86400:
        raise BadRequest(f"{name}={text!r}: 24h at most, which is how long points are kept")
    return seconds


def namespace(name: str) -> str:
    """A namespace's name. Raises BadRequest."""
    if not isinstance(name, str) or not _NAMESPACE.fullmatch(name):
        raise BadRequest(f"namespace={name!r}: the name of a namespace is meant, e.g. default")
    return name
