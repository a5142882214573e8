"""What is refused, told without its content: class, sentence, length, digest, and the key where it was read."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import NoReturn

from krm.model.codec import NotJson, Pieces
from krm.model.messages import Bad

MAX_RV = 64  # characters; 2^128 has 39 digits. Whether one can be compared is the merge's question


class Refused(NotJson):
    """A rule about objects was broken; `key` and `rv` where the object told them."""

    def __init__(self, error: str, sentence: str, key: str = "", rv: str = "") -> None:
        super().__init__(error, sentence)
        self.key, self.rv = key, rv


class Unparsable(ValueError):
    """Something of the API server's that cannot be read; `bad` says what, without its content."""

    def __init__(self, bad: Bad) -> None:
        super().__init__(bad.error)
        self.bad = bad


class UnparsableLine(Unparsable):
    """A complete watch line: an event is lost, so the session is over."""


class UnparsablePage(Unparsable):
    """A LIST body: nothing of the list counts."""


def refuse(error: str, sentence: str) -> NoReturn:
    """Raises Refused."""
    raise Refused(error, sentence)


def bad_of(error: NotJson, raw: bytes, at: float) -> Bad:
    """The bad object or line as messages and heads carry it."""
    key, rv = (error.key, error.rv) if isinstance(error, Refused) else ("", "")
    digest = blake2b(raw, digest_size=16).hexdigest()
    return Bad(f"{error.error}: {error}"[:200], len(raw), digest, key, rv, at)


def string(pieces: Pieces, name: str) -> str:
    """The string under `name`, '' where it is absent. Raises Refused where it is something else."""
    raw = pieces.get(name, b'""')
    if not raw.startswith(b'"'):
        refuse("NotText", "a field that must be a string is none")
    text: str = raw[1:-1].decode() if b"\\" not in raw else json.loads(raw)
    return text


def checked_version(rv: str, key: str = "") -> str:
    """`rv`, if it could be a resourceVersion."""
    if rv == "0" or not 0 < len(rv) <= MAX_RV or not rv.isprintable():
        raise Refused("MalformedVersion", "metadata.resourceVersion is absent or none", key)
    return rv
