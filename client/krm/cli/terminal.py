"""What may reach a terminal: colours only where they belong, and no escape that an object's text smuggles in."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import IO, Any, Dict, Optional

# C0 and C1 controls, DEL, bidirectional overrides and isolates, line separators, lone surrogates.
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HOSTILE_BUT_LAYOUT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

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


def safe(text: str) -> str:
    """One line for a terminal: every control character is written out, never sent."""
    return _HOSTILE.sub(_written_out, text)


def safe_lines(text: str) -> str:
    """The same, but tabs and line ends stay: templates make them on purpose."""
    return _HOSTILE_BUT_LAYOUT.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code == 0x1B:
        return "^["  # as kubectl writes it
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


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
