"""Kubernetes quantities, exact: `100m`, `1.5Gi`, `2e3`, `-5Mi`.

The API server's grammar: a signed decimal number and at most one suffix: n u m (none) k M G T P E, Ki Mi Gi
Ti Pi Ei, or e/E and a signed exponent. Values are Fractions, so that sums and comparisons are exact.

`parse` gives the number alone. `read`, `add`, `subtract` and `write` are the server's own arithmetic: a
Quantity remembers in which of three forms it was written, is never finer than 1n, and is printed in the
canonical form: the largest suffix with which no digit is lost. tests/oracles/quantities.json holds what
Kubernetes itself makes of thousands of them; where krm differs, `write` says so.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Dict, Iterable, NamedTuple

MAX_TEXT = 64  # characters; the server writes at most about 25
MAX_EXPONENT = 30  # decimal; 2^63 - 1 is below 1e19, and 1n is 1e-9
# The three forms, as Kubernetes calls them: 250m, 64Mi, 12e6.
DECIMAL, BINARY, EXPONENT = "DecimalSI", "BinarySI", "DecimalExponent"
# The finest that there is is 1n: what is asked for below it is rounded up, away from 0.
_NANO = -9
# What is written in powers of 1024 is capped here when it is read.
_MAX_BINARY = (1 << 63) - 1

_GRAMMAR = re.compile(
    r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE]([+-]?[0-9]+))?"
).fullmatch
_SUFFIXES: Dict[str, Fraction] = {
    "": Fraction(1),
    **{suffix: Fraction(10) ** power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18))},
    **{suffix + "i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
_DECIMAL_SUFFIXES = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


class BadQuantity(ValueError):
    """A text that is no quantity."""


def parse(text: str) -> Fraction:
    """The exact value. Raises BadQuantity.

    Negative ones are quantities too: whether a field takes one is that field's rule.
    """
    match = _GRAMMAR(text) if isinstance(text, str) and len(text) <= MAX_TEXT else None
    if match is None:
        raise BadQuantity("%.40r is no quantity" % (text,))
    sign, whole, part, bare, suffix, exponent = match.groups()
    digits = (whole or "") + (part or bare or "")
    number = Fraction(int(digits), 10 ** len(part or bare or ""))
    if exponent is not None:
        power = int(exponent)
        if abs(power) > MAX_EXPONENT:
            raise BadQuantity("%.40r: an exponent beyond %d" % (text, MAX_EXPONENT))
        scale = Fraction(10) ** power
    else:
        scale = _SUFFIXES[suffix or ""]
    return -number * scale if sign == "-" else number * scale


class Quantity(NamedTuple):
    """A value and the form that it is written in. Compare `value`: 1Gi and 1073741824 are equal."""

    value: Fraction
    form: str = DECIMAL


ZERO = Quantity(Fraction(0))


def read(text: str) -> Quantity:
    """As the API server holds it: not finer than 1n, what is binary not above 2^63 - 1. Raises BadQuantity."""
    value, form = parse(text), _form(text)
    magnitude = _rounded(abs(value))
    if form == BINARY:
        magnitude = min(magnitude, Fraction(_MAX_BINARY))
        if 0 < magnitude < 1:
            form = DECIMAL
    return Quantity(-magnitude if value < 0 else magnitude, form)


def _form(text: str) -> str:
    match = _GRAMMAR(text)
    suffix, exponent = match.groups()[4:] if match else ("", None)
    return EXPONENT if exponent is not None else BINARY if (suffix or "").endswith("i") else DECIMAL


def scaled(number: int, scale: int = 0, form: str = DECIMAL) -> Quantity:
    """`number` x 10^`scale`: scaled(250_000_000, -9) is 250m."""
    return Quantity(number * Fraction(10) ** scale, form)


def add(one: Quantity, other: Quantity) -> Quantity:
    """The sum, in the form of the first that is not 0."""
    return Quantity(one.value + other.value, one.form if one.value else other.form)


def subtract(one: Quantity, other: Quantity) -> Quantity:
    """The difference, in the same form as a sum."""
    return Quantity(one.value - other.value, one.form if one.value else other.form)


def total(quantities: Iterable[Quantity]) -> Quantity:
    """The sum of all; 0 of none."""
    found = ZERO
    for one in quantities:
        found = add(found, one)
    return found


def write(quantity: Quantity) -> str:
    """The canonical form.

    Kubernetes loses the suffix of what is beyond its last one: 1000E becomes `1`. Here it stays `1000E`.
    """
    value = _rounded(abs(quantity.value))
    if not value:
        return "0"
    sign = "-" if quantity.value < 0 else ""
    # Below 1024, and where digits would be lost, binary ones are written as decimal ones.
    if quantity.form == BINARY and value >= 1024 and value.denominator == 1:
        return sign + _binary(value.numerator)
    return sign + _decimal(value.numerator * (10**-_NANO // value.denominator), quantity.form == EXPONENT)


def written_nanos(number: int) -> str:
    """`write` of so many billionths, for who writes thousands: 250000000 is `250m`."""
    if not number:
        return "0"
    return f"-{_decimal(-number, False)}" if number < 0 else _decimal(number, False)


def written_bytes(number: int) -> str:
    """The same of whole bytes in binary form: 67108864 is `64Mi`."""
    sign, number = ("-", -number) if number < 0 else ("", number)
    return f"{sign}{_binary(number) if number >= 1024 else _decimal(number * 10**9, False) if number else 0}"


def _binary(number: int) -> str:
    power = 0
    while number % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
        number, power = number // 1024, power + 1
    return f"{number}{_BINARY_SUFFIXES[power]}"


def _decimal(number: int, as_exponent: bool) -> str:
    """Of billionths."""
    power = _NANO
    while number % 1000 == 0 and (as_exponent or power < 18):
        number, power = number // 1000, power + 3
    if as_exponent:
        return f"{number}e{power}" if power else str(number)
    return f"{number}{_DECIMAL_SUFFIXES[power // 3 + 3]}"


def _rounded(value: Fraction) -> Fraction:
    """Up to whole billionths."""
    scale: int = 10**-_NANO
    return (
        value
        if scale % value.denominator == 0
        else Fraction(-(-value.numerator * scale // value.denominator), scale)
    )
