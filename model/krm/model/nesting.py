"""How deep a value nests, where it ends, and what an array holds: by brackets and strings alone, or by a codec."""

from __future__ import annotations

import re
from typing import List

from krm.model.codec import Codec, NotJson, too_deep


def brackets(raw: bytes) -> int:
    """No value nests deeper than this. Those inside strings only make the bound larger."""
    return raw.count(b"{") + raw.count(b"[")


# Bytes from which levels are counted in one pass, at a fifth of a microsecond a bracket: splitting level by level
# is faster for objects as they are, and costs the product of size and depth for others.
_SPLIT_MOST = 64 * 1024
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_RUNS = re.compile(rb"[\[{]+|[\]}]+")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check_depth(codec: Codec, raw: bytes, levels: int) -> None:
    """Raises NotJson where the value nests deeper than `levels`. Cheap: most values hold few brackets."""
    if len(raw) <= 2 * levels:
        return
    if brackets(raw) <= levels:
        return
    head = raw[:1]
    if head != b"{" and head != b"[":
        return  # a string full of brackets
    if levels == 0:
        raise too_deep()
    if len(raw) > _SPLIT_MOST:
        _check_runs(raw, levels)
        return
    for child in codec.fields(raw).values() if head == b"{" else codec.elements(raw):
        check_depth(codec, child, levels - 1)


def _check_runs(raw: bytes, levels: int) -> None:
    depth = 0
    for run in _RUNS.findall(_STRINGS.sub(b"", raw).translate(None, _NO_BRACKETS)):
        depth += len(run) if run[0] in b"[{" else -len(run)
        if depth > levels:
            raise too_deep()


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},]', re.DOTALL)


def end_of(raw: bytes, start: int) -> int:
    """Where the object or array that begins at `start` ends. Raises NotJson where it does not."""
    depth = 0
    for match in _TOKEN.finditer(raw, start):
        token = match.group()
        if token == b"[" or token == b"{":
            depth += 1
        elif token == b"]" or token == b"}":
            depth -= 1
            if depth == 0:
                return match.end()
        elif token == b'"':
            break
    raise NotJson("NotJson", "brackets that do not fit")


def loose_elements(raw: bytes) -> List[bytes]:
    """An array's raw elements by brackets and strings alone: one element may be no JSON, or nest too deep for
    both codecs, and the others are still found. Raises NotJson where the brackets do not fit."""
    pieces: List[bytes] = []
    depth = 0
    start = end = -1  # of the array's inside
    for match in _TOKEN.finditer(raw):
        token = match.group()
        if end >= 0 or token == b'"':
            raise NotJson("NotJson", "an array that goes on after its end, or a string without one")
        if token == b"[" or token == b"{":
            depth += 1
            start = match.end() if depth == 1 else start
        elif token == b"]" or token == b"}":
            depth -= 1
            end = match.start() if depth == 0 else -1
        elif token == b"," and depth == 1:
            pieces.append(raw[start : match.start()])
            start = match.end()
    if end < 0 or not raw.startswith(b"["):
        raise NotJson("NotJson", "an array whose brackets do not fit")
    pieces.append(raw[start:end])
    return [] if len(pieces) == 1 and not pieces[0].strip() else pieces
