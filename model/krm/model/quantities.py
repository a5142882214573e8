"""Kubernetes quantities, exact: `100m`, `1.5Gi`, `2e3`, `-5Mi`.

The API server's grammar: a signed decimal number and at most one suffix: n u m (none) k M G T P E, Ki Mi Gi
Ti Pi Ei, or e/E and a signed exponent. Values are Fractions, so that sums and comparisons are exact; the
server itself rounds up below 1n and caps at 2^63 - 1, which `parse` does not.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Dict

MAX_TEXT = 64  # characters; the server writes at most about 25
MAX_EXPONENT = 30  # decimal; 2^63 - 1, the server's cap, is below 1e19, and 1n is 1e-9

_GRAMMAR = re.compile(
    r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE]([+-]?[0-9]+))?"
).fullmatch
_SUFFIXES: Dict[str, Fraction] = {
    "": Fraction(1),
    **{suffix: Fraction(10) ** power for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18))},
    **{suffix + "i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


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
