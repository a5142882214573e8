"""Text of objects where people read it: no escape that somebody smuggled in reaches a terminal. Pure."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, bidirectional overrides and isolates, line separators, lone surrogates.
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_HOSTILE_BUT_LAYOUT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


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
