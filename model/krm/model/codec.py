"""Raw JSON split without building objects: an object into its raw values, an array into its raw elements.

Two codecs give the same bytes and refuse the same input: MSGSPEC (where installed) and STDLIB, which walks
keys by regular expression and lets json's C scanner find where a value ends. Both are strict JSON: no NaN,
no control characters in strings, no halves of surrogate pairs (Go writes none, and no reader could encode such
a string again), no trailing commas. `check_bytes` holds what neither of them checks; a caller runs it once on
an object's bytes before it splits them.

Duplicate keys: the last value wins, at the place of the first.
"""

from __future__ import annotations

import json
import re
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, NoReturn, Optional, Tuple

try:
    import msgspec
except ImportError:  # the `fast` extra is optional
    msgspec = None  # type: ignore[assignment]

Pieces = Dict[str, bytes]
_NOTHING: FrozenSet[str] = frozenset()

# Levels. Kubernetes' own schemas stay below 20; Go's decoder ends at 10,000, Python's readers near 1,000.
MAX_DEPTH = 100
SHALLOW = 2 * MAX_DEPTH - 4  # bytes: a value that is no longer cannot nest too deep inside an object's metadata
# Characters of one number literal. A double needs 17 digits; Python refuses ints above 4,300 digits, and
# before 3.11 takes quadratic time for them.
MAX_NUMBER = 300


class NotJson(ValueError):
    """Bytes that are no JSON of the shape asked for, or that pass a cap. `error` is a class name for people.

    The message never quotes the content: it may hold secrets.
    """

    def __init__(self, error: str, sentence: str) -> None:
        super().__init__(sentence)
        self.error = error


class Codec(NamedTuple):
    """One way to split raw JSON. All three raise NotJson."""

    name: str
    fields: Callable[[bytes], Pieces]  # an object's raw values by decoded key
    opened: Callable[[bytes, FrozenSet[str]], Tuple[Pieces, Dict[str, Pieces]]]
    # the same, and the fields of those values among the named keys that are objects themselves
    elements: Callable[[bytes], List[bytes]]  # an array's raw elements


# --- msgspec


def _msgspec_codec() -> Codec:
    decode_fields = msgspec.json.Decoder(Dict[str, msgspec.Raw]).decode
    decode_elements = msgspec.json.Decoder(List[msgspec.Raw]).decode
    refused = (msgspec.MsgspecError, UnicodeDecodeError)

    def split(decode: Callable[[Any], Any], raw: bytes) -> Any:
        try:
            return decode(raw)
        except refused:
            raise NotJson("NotJson", "not the JSON that belongs there") from None
        except RecursionError:
            raise too_deep() from None

    def fields(raw: bytes) -> Pieces:
        return {key: bytes(piece) for key, piece in split(decode_fields, raw).items()}

    def opened(raw: bytes, keys: FrozenSet[str]) -> Tuple[Pieces, Dict[str, Pieces]]:
        pieces = fields(raw)
        inner = {key: fields(pieces[key]) for key in keys if pieces.get(key, b"").startswith(b"{")}
        return pieces, inner

    def elements(raw: bytes) -> List[bytes]:
        return [bytes(piece) for piece in split(decode_elements, raw)]

    return Codec("msgspec", fields, opened, elements)


# --- the standard library


def refuse_constant(_: str) -> NoReturn:
    """NaN and Infinity are no JSON."""
    raise ValueError


# Only where a value ends is asked for; what the scanner builds is freed at once. len() stands for numbers: one of
# 5,000 digits costs nothing. (A pairs hook instead of dicts was slower.)
_decoder: Any = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=refuse_constant)
_scan: Callable[[str, int], Tuple[Any, int]] = _decoder.scan_once

_WS = r"[ \t\n\r]*"
# Unrolled, so that a failing match is linear.
_STRING = r'"([^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*)"'
_OPEN = re.compile(_WS + r"\{").match
_FIRST_KEY = re.compile(rf"{_WS}(?:\}}|{_STRING}{_WS}:{_WS})").match
_NEXT_KEY = re.compile(rf"{_WS}(?:\}}|,{_WS}{_STRING}{_WS}:{_WS})").match
_FIRST_ELEMENT = re.compile(rf"{_WS}\[{_WS}(\])?").match
_NEXT_ELEMENT = re.compile(rf"{_WS}(?:(\])|,{_WS})").match
_END = re.compile(_WS + r"\Z").match


_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]").search


def half_pair(raw: bytes) -> bool:
    """Whether a string holds half of a surrogate pair: msgspec refuses it, json would not."""
    if not _SURROGATE(raw):
        return False
    high_ends = -1  # where a high half ended, -1 = none is open
    for match in _ESCAPE.finditer(raw):
        unit = int(match.group(1), 16) if match.group(1) else 0
        low = 0xDC00 <= unit <= 0xDFFF
        if (low or high_ends >= 0) and not (low and high_ends == match.start()):
            return True
        high_ends = match.end() if 0xD800 <= unit <= 0xDBFF else -1
    return high_ends >= 0


def _object(text: str, raw: bytes, at: int, keys: FrozenSet[str], inner: Dict[str, Pieces]) -> Tuple[Pieces, int]:
    """The object whose first key is sought at `at`; (its pieces, where it ends)."""
    pieces: Pieces = {}
    match = _FIRST_KEY(text, at)
    while match is not None:
        key: Optional[str] = match.group(1)
        at = match.end()
        if key is None:
            return pieces, at
        if "\\" in key or not key.isascii():
            key = _decoded(key)
        if key in keys and text.startswith("{", at):
            inner[key], end = _object(text, raw, at + 1, _NOTHING, inner)
        else:
            inner.pop(key, None) if key in keys else None
            end = _scan(text, at)[1]
        pieces[key] = raw[at:end]
        match = _NEXT_KEY(text, end)
    raise ValueError


def _decoded(key: str) -> str:
    # Invalid UTF-8 and lone surrogates are refused as msgspec refuses them in keys.
    text: str = json.loads('"%s"' % key.encode("latin-1").decode())
    text.encode()
    return text


def _split(walk: Callable[[str, bytes], Any], raw: bytes) -> Any:
    try:
        if b"\\u" in raw and half_pair(raw):
            raise ValueError
        # Each byte is one character: indexes into the text are indexes into the bytes.
        return walk(raw.decode("latin-1"), raw)
    except (ValueError, StopIteration):
        raise NotJson("NotJson", "not the JSON that belongs there") from None
    except RecursionError:
        raise too_deep() from None


def _stdlib_opened(raw: bytes, keys: FrozenSet[str]) -> Tuple[Pieces, Dict[str, Pieces]]:
    def walk(text: str, held: bytes) -> Tuple[Pieces, Dict[str, Pieces]]:
        start = _OPEN(text)
        if start is None:
            raise ValueError
        inner: Dict[str, Pieces] = {}
        pieces, end = _object(text, held, start.end(), keys, inner)
        if _END(text, end) is None:
            raise ValueError
        return pieces, inner

    found: Tuple[Pieces, Dict[str, Pieces]] = _split(walk, raw)
    return found


def _stdlib_fields(raw: bytes) -> Pieces:
    return _stdlib_opened(raw, _NOTHING)[0]


def _array(text: str, raw: bytes) -> List[bytes]:
    pieces: List[bytes] = []
    match = _FIRST_ELEMENT(text)
    while match is not None:
        at = match.end()
        if match.group(1):
            if _END(text, at) is None:
                raise ValueError
            return pieces
        end = _scan(text, at)[1]
        pieces.append(raw[at:end])
        match = _NEXT_ELEMENT(text, end)
    raise ValueError


def _stdlib_elements(raw: bytes) -> List[bytes]:
    found: List[bytes] = _split(_array, raw)
    return found


STDLIB = Codec("stdlib", _stdlib_fields, _stdlib_opened, _stdlib_elements)
MSGSPEC: Optional[Codec] = _msgspec_codec() if msgspec is not None else None
BEST: Codec = MSGSPEC or STDLIB


# --- what both owe beyond their own grammar

# Each byte that may stand in a number literal as b"0", all others as b" ".
_NUMERIC = bytes(48 if byte in b"-+.0123456789eE" else 32 for byte in range(256))
# A quote without its partner takes all that follows: tried again at each later quote, a line would cost its square.
_LITERAL = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|([-0-9][-+.0-9eE]*)', re.DOTALL)
_SAMPLE = MAX_NUMBER // 6  # a literal above MAX_NUMBER shows in six samples in a row at least


def too_deep() -> NotJson:
    return NotJson("TooDeep", "nested deeper than %d levels" % MAX_DEPTH)


def check_bytes(raw: bytes) -> None:
    """Raises NotJson where the bytes are no UTF-8, or a number literal is longer than MAX_NUMBER."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise NotJson("NotUtf8", "not UTF-8") from None
    if b"000000" not in raw[::_SAMPLE].translate(_NUMERIC):
        return
    for match in _LITERAL.finditer(raw):
        if match.group(1) and len(match.group(1)) > MAX_NUMBER:
            raise NotJson("LongNumber", "a number of more than %d characters" % MAX_NUMBER)


def quoted(key: str) -> bytes:
    """A key or a string as JSON writes it, UTF-8."""
    if key.isidentifier():  # letters, digits and underscores need no escape; json.dumps costs ten times this
        return b'"%s"' % key.encode()
    return json.dumps(key, ensure_ascii=False).encode()
