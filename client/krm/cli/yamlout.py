"""YAML as kubectl writes it, by our own emitter: the thin client has no yaml package.

kubectl prints through sigs.k8s.io/yaml (go-yaml v2 rules): keys sorted, arrays not indented below
their key, strings plain where YAML would read them back as the same string, else in double or single
quotes, text with line ends as a `|` block. PyYAML is not used even where it is installed: the same
command must print the same bytes on every machine, and the tests compare with it as an oracle.
"""

from __future__ import annotations

import math
import re
from typing import Any, Iterator, List

# What YAML 1.1 reads as something else than a string, in any of the casings that parsers accept.
_WORDS = frozenset(
    ("y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", ".nan", ".inf", "-.inf", "+.inf", "<<", "=")
)
# Numbers of every base, floats, sexagesimals and dates.
_NUMBER = re.compile(
    r"""[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*(:[0-5]?[0-9])*(\.[0-9_]*)?([eE][-+]?[0-9]+)?
    |\.[0-9_]+([eE][-+]?[0-9]+)?)$|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?$""",
    re.X,
)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# A plain scalar may not begin with an indicator; - ? : only where a space (or nothing) follows.
_BAD_START = re.compile(r"[,\[\]{}#&*!|>'\"%@`]|[-?:]( |$)|---|\.\.\.")
_BAD_INSIDE = re.compile(r": |:$| #")
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\x85\xa0-\u200d\u2010-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_LINE_ENDS = re.compile("[\r\x85\u2028\u2029]")  # as bytes in a block these would fold


def to_yaml(value: Any) -> str:
    """The document, ending in a line end, without `---`."""
    return "\n".join(_lines(value, 0)) + "\n"


def _lines(value: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _entry(f"{pad}{_scalar(str(key))}:", value[key], indent)
    elif isinstance(value, list) and value:
        for item in value:
            yield from _item(item, indent)
    else:
        yield pad + _inline(value)


def _entry(start: str, value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, (dict, list)) and value:
        yield start
        yield from _lines(value, indent + 2 if isinstance(value, dict) else indent)
    elif isinstance(value, str) and _is_block(value):
        yield from _block(start, value, indent + 2)
    else:
        yield f"{start} {_inline(value)}"


def _item(item: Any, indent: int) -> Iterator[str]:
    pad = " " * indent
    if isinstance(item, (dict, list)) and item:
        lines = list(_lines(item, indent + 2))
        yield f"{pad}- {lines[0][indent + 2 :]}"
        yield from lines[1:]
    elif isinstance(item, str) and _is_block(item):
        yield from _block(f"{pad}-", item, indent + 2)
    else:
        yield f"{pad}- {_inline(item)}"


def _is_block(text: str) -> bool:
    return "\n" in text and not _UNPRINTABLE.search(text) and not _LINE_ENDS.search(text)


def _block(start: str, text: str, indent: int) -> Iterator[str]:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    if not body:  # line ends alone: quoted is clearer than a block of nothing
        yield f"{start} {_quoted(text)}"
        return
    # The indentation is read from the first line: where that begins with a blank, it must be stated.
    hint = "2" if text[0] in " \n\t" else ""
    chomp = "-" if ends == 0 else ("" if ends == 1 else "+")
    yield f"{start} |{hint}{chomp}"
    lines: List[str] = body.split("\n") + [""] * (ends - 1)
    for line in lines:
        yield " " * indent + line if line else ""


def _inline(value: Any) -> str:
    if isinstance(value, str):
        return _scalar(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
    if isinstance(value, (dict, list)):
        return "{}" if isinstance(value, dict) else "[]"
    return repr(value) if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    """In double quotes; a lone surrogate, which no encoding can write, becomes U+FFFD."""
    return '"' + "".join(map(_quote_character, text)) + '"'


def _quote_character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "\\uFFFD"
    if _UNPRINTABLE.match(character) or _LINE_ENDS.match(character):
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return character


def _scalar(text: str) -> str:
    """One line: plain where that reads back as this string, else quoted."""
    if _UNPRINTABLE.search(text) or _LINE_ENDS.search(text) or "\n" in text:
        return _quoted(text)
    if text == "" or text.lower() in _WORDS or _NUMBER.match(text):
        return _quoted(text)
    strange = _BAD_START.match(text) or _BAD_INSIDE.search(text) or text != text.strip() or "\t" in text
    if strange:
        return "'" + text.replace("'", "''") + "'"
    return text
