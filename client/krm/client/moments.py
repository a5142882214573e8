"""Points in a kind's past, as callers name them: tokens, times and spans ago."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Optional, Tuple, Union

from krm.client.errors import BadRequest
from krm.model import times
from krm.model.durations import parse_duration
from krm.store.read import Token

Moment = Union[str, int, float, datetime]


def parse_moment(moment: Moment, now: float) -> Union[Token, float]:
    """A token, or seconds of the Redis clock; `now` is that clock. Raises BadRequest.

    str: INCARNATION:VERSION, VERSION, RFC 3339, or a span ago (`5m`). int: a version of the current
    incarnation. float: seconds since the epoch. datetime: as it says, UTC where it names no zone.
    """
    if isinstance(moment, datetime):
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    if isinstance(moment, float):
        return moment
    text = str(moment)
    when = times.known(text)
    if when is not None:
        return when
    if times.known(f"{text}Z") is not None:
        raise BadRequest(f"{text!r} names no time zone: write {text}Z for UTC")
    if text[-1:].isalpha() and text[:1].isdigit():
        try:
            return now - parse_duration(text)
        except ValueError:
            pass  # the sentence below names all that is taken
    try:
        token, inside = parse_place(text)
    except BadRequest:
        what = "no token (N:VERSION), no version (a number), no time (RFC 3339) and no span ago (5m)"
        raise BadRequest(f"{text!r} is {what}") from None
    # A place within the next version: the state that holds that change is the next version's.
    return token._replace(version=token.version + 1) if inside else token


def span(text: str) -> float:
    """`5m` -> 300 seconds, above 0. Raises BadRequest."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if not seconds > 0:
        raise BadRequest(f"{text!r} is no time at all")
    return seconds


def parse_place(text: str) -> Tuple[Token, int]:
    """A watch's token -> the last version taken in whole, and the changes taken of the next. Raises BadRequest."""
    whole, plus, inside = text.partition("+")
    try:
        if plus and not (inside.isascii() and inside.isdigit() and len(inside) < 9):
            raise ValueError
        return Token.parse(whole), int(inside or 0)
    except ValueError:
        raise BadRequest(f"{text!r} is no token: krm writes INCARNATION:VERSION") from None


def place(token: Token, inside: int) -> str:
    """The other way round."""
    return f"{token}+{inside}" if inside else str(token)


def published(at: Optional[float]) -> str:
    """Seconds as RFC 3339; '' where unknown."""
    return "" if at is None else times.write(at)
