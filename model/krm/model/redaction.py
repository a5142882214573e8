"""What may hold secrets out of an object's raw JSON, everything else byte for byte.

Removed is the last-applied annotation wherever it stands, for it repeats environment values; where it was the only
annotation, `annotations` goes with it. Redacted is `value` in every array under a key `env` whose items have `name`
and `value`, at any depth of any kind; `valueFrom` names a place and stays. The placeholder is the same for every
value: neither its length nor its change can be read from it.
"""

from __future__ import annotations

import json
import re
from typing import Dict, List, Optional, Tuple

from krm.model.codec import Codec, quoted
from krm.model.nesting import end_of
from krm.model.records import object_digest

PLACEHOLDER = "[redacted by krm]"
_PLACEHOLDER = json.dumps(PLACEHOLDER).encode()

# Quotes inside a JSON string are escaped, so `"env":[` stands only where an array under that key begins.
_ENV = re.compile(rb'"env"[ \t\n\r]*:[ \t\n\r]*(?=\[)').match
# Arrays of neither objects, arrays nor strings hold nothing to replace.
_BARE = re.compile(rb'\[[^\[\]{}"]*\]').match
# Escapes that Go's encoder does not write, and that could spell a key another way: `\/`, and \u00XX of
# printable ASCII but for & < >.
odd_escape = re.compile(rb"\\(?:/|u00(?!26|3[cCeE])[2-7])").search

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MARK = b"last-applied-configuration"
_WS = rb"[ \t\n\r]*"
_LAST_KEY = rb'"kubectl\.kubernetes\.io/last-applied-configuration"' + _WS + b":"
_LAST_LEFT = re.compile(_LAST_KEY).search
# The form that the API server writes: name and value, or name and a valueFrom of two levels; escapes in values.
_PLAIN = rb'"[^"\\]*"'
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_VALUE = rb'\{"name":%s,"value":%s\}' % (_PLAIN, _STRING)
_SOURCE = rb'\{"name":%s(?:,"valueFrom":\{%s:\{[^{}"]*(?:%s[^{}"]*)*\}\})?\}' % (_PLAIN, _PLAIN, _PLAIN)
_USUAL = re.compile(rb"\[(?:%s|%s)(?:,(?:%s|%s))*\]" % (_VALUE, _SOURCE, _VALUE, _SOURCE)).match
# Within that form a `}` before `,` or `]` ends an item; inside valueFrom another `}` follows.
_USUAL_VALUE = re.compile(rb'"value":%s(?=\}[,\]])' % _STRING).sub


# Begins with a literal, which is found at the speed of a byte scan; what stands around it is looked at there alone.
_LAST = re.compile(_LAST_KEY + _WS + _STRING, re.DOTALL).finditer
_BEFORE = re.compile(rb'(,[ \t\n\r]*)?"annotations"[ \t\n\r]*:[ \t\n\r]*\{[ \t\n\r]*\Z').search
_BEFORE_MOST = 64  # bytes: `,"annotations":{` has 16


class Arrays:
    """Usual arrays that were met before: an object's updates, and its siblings, repeat them byte for byte.

    Known by length and digest; of the values themselves nothing is kept.
    """

    # Bytes from an array's start that pick the candidate; arrays of one template begin alike for longer than less.
    PREFIX = 160
    # Arrays; at some 600 bytes each about 10 MB. 5,000 pods of two containers fit.
    MOST = 16_384

    def __init__(self) -> None:
        self._known: Dict[int, Tuple[int, bytes, bytes]] = {}

    def redacted(self, raw: bytes, start: int) -> Optional[Tuple[bytes, int]]:
        """The array that begins at `start`, redacted, and where it ends; None where it is new or unusual."""
        picked = hash(raw[start : start + self.PREFIX])
        known = self._known.get(picked)
        if known is not None:
            length, digest, redacted = known
            if object_digest(raw[start : start + length]) == digest:
                return redacted, start + length
        usual = _USUAL(raw, start)
        if usual is None:
            return None
        array = usual.group()
        redacted = _USUAL_VALUE(b'"value":' + _PLACEHOLDER, array)
        if len(self._known) >= self.MOST:
            self._known.clear()
        self._known[picked] = len(array), object_digest(array), redacted
        return redacted, usual.end()


def clean(codec: Codec, raw: bytes, keep_env: bool) -> bytes:
    """`raw` (valid JSON of one value) without last-applied, and with env values replaced unless they are kept.

    Raises NotJson where it is no JSON.
    """
    if b"\\" in raw and odd_escape(raw):
        return _walk(codec, raw, "", keep_env)
    return clean_plain(codec, raw, keep_env, Arrays())


def clean_plain(codec: Codec, raw: bytes, keep_env: bool, arrays: Arrays) -> bytes:
    """`clean` of bytes in which no escape spells a character that needs none."""
    if _MARK in raw:
        raw = _without_last(raw)
        if _LAST_LEFT(raw):  # its value is no string
            return _walk(codec, raw, "", keep_env)
    return raw if keep_env else _redacted(codec, raw, arrays)


def _without_last(raw: bytes) -> bytes:
    parts: List[bytes] = []
    done = 0
    for match in _LAST(raw):
        start, end = _around(raw, match.start(), match.end(), done)
        parts.append(raw[done:start])
        done = end
    return b"".join((*parts, raw[done:]))


def _around(raw: bytes, start: int, end: int, done: int) -> Tuple[int, int]:
    """A member with the comma that goes with it, and with `annotations` around it where it stood there alone."""
    before = start - 1
    while before >= done and raw[before] in b" \t\n\r":
        before -= 1
    if before >= done and raw[before] == 44:  # a comma
        return before, end
    after = _next(raw, end)
    if raw[after : after + 1] == b",":
        return start, after + 1
    alone = _BEFORE(raw, max(done, start - _BEFORE_MOST), start) if raw[after : after + 1] == b"}" else None
    if alone is None:
        return start, end
    if alone.group(1) is None and raw[(following := _next(raw, after + 1)) : following + 1] == b",":
        return alone.start(), following + 1
    return alone.start(), after + 1


def _next(raw: bytes, at: int) -> int:
    """The first byte from `at` that is no white space."""
    while raw[at : at + 1] in (b" ", b"\t", b"\n", b"\r"):
        at += 1
    return at


def _redacted(codec: Codec, raw: bytes, arrays: Arrays) -> bytes:
    parts: List[bytes] = []
    done = 0
    at = raw.find(b'"env"')
    while at >= 0:
        key = _ENV(raw, at)
        end = at + 5
        if key is not None:
            start = key.end()
            array, end = arrays.redacted(raw, start) or _walked_array(codec, raw, start)
            parts += (raw[done:start], array)
            done = end
        at = raw.find(b'"env"', end)
    return b"".join((*parts, raw[done:])) if parts else raw


def _walked_array(codec: Codec, raw: bytes, start: int) -> Tuple[bytes, int]:
    bare = _BARE(raw, start)
    if bare is not None:
        return bare.group(), bare.end()
    end = end_of(raw, start)
    return _walk(codec, raw[start:end], "env", False), end


def _walk(codec: Codec, raw: bytes, key: str, keep_env: bool) -> bytes:
    """Every level by the codec: slow, and blind to no spelling. `key` is what the value stands under."""
    head = raw[:1]
    if head == b"[":
        inner = "item of env" if key == "env" else ""
        return b"[" + b",".join([_walk(codec, item, inner, keep_env) for item in codec.elements(raw)]) + b"]"
    if head != b"{":
        return raw
    pieces = codec.fields(raw)
    secret = not keep_env and key == "item of env" and "name" in pieces and "value" in pieces
    written: List[bytes] = []
    for name, piece in pieces.items():
        if name == LAST_APPLIED or (name == "annotations" and _holds_last_alone(codec, piece)):
            continue
        value = _PLACEHOLDER if secret and name == "value" else _walk(codec, piece, name, keep_env)
        written.append(b"%s:%s" % (quoted(name), value))
    return b"{" + b",".join(written) + b"}"


def _holds_last_alone(codec: Codec, piece: bytes) -> bool:
    return piece[:1] == b"{" and list(codec.fields(piece)) == [LAST_APPLIED]
