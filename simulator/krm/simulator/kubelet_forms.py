"""Texts with gaps: what a page always says is joined once, and filling in its numbers is one call."""

from __future__ import annotations

import re
from functools import lru_cache
from operator import itemgetter
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple, Union

_GAP = re.compile("\0([0-9]+)\0")


def gap(index: int) -> str:
    """Where the value of that index goes."""
    return "\0%d\0" % index


class Form:
    """A text with at least two gaps."""

    def __init__(self, text: str) -> None:
        pieces = _GAP.split(text)
        self._pieces = [piece.encode() for piece in pieces]  # every other one is a gap
        self._pick = itemgetter(*(int(index) for index in pieces[1::2]))

    def fill(self, values: Sequence[str]) -> bytes:
        """The text with the values in their gaps; a value may stand in several of them, or in none."""
        pieces = self._pieces[:]
        pieces[1::2] = self._pick([value.encode() for value in values])
        return b"".join(pieces)


class Family(NamedTuple):
    """A metric with its head lines."""

    name: str
    kind: str  # counter, gauge
    help: str


Labels = Tuple[Tuple[str, str], ...]  # sorted by name


class Row(NamedTuple):
    """One line: where its value and its timestamp (milliseconds; -1 = none) stand among the values.

    value: a text where it is always the same.
    """

    family: Family
    labels: Labels
    value: Union[int, str]
    stamp: int = -1


def exposition(rows: Iterable[Row]) -> str:
    """Prometheus' text, with gaps: families by name, lines by the values of their labels."""
    families: Dict[str, List[Row]] = {}
    for row in rows:
        families.setdefault(row.family.name, []).append(row)
    lines: List[str] = []
    for name in sorted(families):
        members = families[name]
        family = members[0].family
        lines.append("# HELP %s %s\n# TYPE %s %s\n" % (name, family.help, name, family.kind))
        for row in sorted(members, key=lambda each: [value for _, value in each.labels]):
            stamp = " " + gap(row.stamp) if row.stamp >= 0 else ""
            value = gap(row.value) if isinstance(row.value, int) else row.value
            lines.append("%s%s %s%s\n" % (name, _braces(row.labels), value, stamp))
    return "".join(lines)


def labels(**named: str) -> Labels:
    """Sorted by name."""
    return tuple(sorted(named.items()))


def number(value: float) -> str:
    """A number as Go's shortest 'g' writes it: an exponent from a million on."""
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    if value < 1e6 or "e" in text or "inf" in text or "nan" in text:
        return text
    whole, _, part = text.partition(".")
    digits = (whole + part).rstrip("0")
    mantissa = digits[0] + "." + digits[1:] if len(digits) > 1 else digits
    return "%se+%02d" % (mantissa, len(whole) - 1)


@lru_cache(maxsize=65536)
def amount(value: float) -> str:
    """The same for what is rarely new: amounts, start times."""
    return number(value)


def _braces(found: Labels) -> str:
    return "{%s}" % ",".join(map(_label, found)) if found else ""


@lru_cache(maxsize=65536)
def _label(pair: Tuple[str, str]) -> str:
    name, value = pair
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '%s="%s"' % (name, value)
