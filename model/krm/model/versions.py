"""The one comparator of resourceVersions.

A resourceVersion is a decimal number without leading zeros, 1 to 2^128 - 1 (KEP-5504), and larger is later
within one resource. "0" is no version: in a request it means "any". Versions of two resources are never
compared. They travel as strings; only what `parse` gives is compared.
"""

from __future__ import annotations

import re

_GRAMMAR = re.compile(r"[1-9][0-9]{0,38}").fullmatch  # 2^128 - 1 has 39 digits
_MAX = (1 << 128) - 1


class MalformedVersion(ValueError):
    """A string that is no resourceVersion (some aggregated APIs invent their own)."""


def parse(rv: str) -> int:
    """The number that `rv` is. Raises MalformedVersion; the text is not quoted beyond 40 characters."""
    number = int(rv) if isinstance(rv, str) and _GRAMMAR(rv) else 0
    if not 0 < number <= _MAX:
        raise MalformedVersion("%.40r is no resourceVersion" % (rv,))
    return number


def is_one(rv: str) -> bool:
    """Whether `rv` can be compared with others."""
    try:
        parse(rv)
    except MalformedVersion:
        return False
    return True
