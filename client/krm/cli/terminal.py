"""What reaches a terminal: colours only where they belong, and nothing of an object that is not safe there."""

from __future__ import annotations

import io
import os
import sys
from typing import IO, Any, Dict, Optional

from krm.model.safetext import safe_lines

_PIECE = 32 * 1024  # characters; a pipe holds 64 KiB

_COLOURS: Dict[str, str] = {"green": "32", "yellow": "33", "red": "31", "dim": "2"}
STATE_COLOUR: Dict[str, str] = {
    "live": "green",
    "warming": "yellow",
    "reset": "yellow",
    "stale": "yellow",
    "truncated": "red",
    "absent": "red",
    "forbidden": "red",
    "unknown": "red",
    "starting": "yellow",
}


def is_terminal(stream: Optional[IO[Any]]) -> bool:
    """Whether a person sees it and its cursor may be moved."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    except ValueError:  # closed
        return False


def wants_colour(stream: Optional[IO[Any]]) -> bool:
    """Only on a terminal, and never with NO_COLOR set to anything (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, colour: str, coloured: bool) -> str:
    """`text` in one of our four colours, as it is where colours are off."""
    code = _COLOURS.get(colour, "")
    return f"\x1b[{code}m{text}\x1b[0m" if coloured and code else text


def survive_any_locale() -> None:
    """A character that the locale cannot write is escaped: output never ends in the middle of a list."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None or another where somebody caught it
            stream.reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """On stdout, in pieces: of one large write Python loses the error when the reader leaves half way."""
    for start in range(0, len(text), _PIECE):
        sys.stdout.write(text[start : start + _PIECE])


def say(text: str) -> None:
    """A sentence on stderr; nothing where stderr is closed."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(safe_lines(text) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # nobody listens: the exit code still tells
