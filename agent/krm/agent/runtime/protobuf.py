"""Protocol buffers' wire format: just what is needed to ask a runtime and read its answers. Pure.

    message = (key value)*          key = varint of (number << 3 | wire type)
    wire type 0: varint             2: varint length, then so many bytes (text, bytes, a message, an entry of a map)
    wire type 1, 5: 8, 4 bytes      3, 4 (groups): of proto2 alone, refused

Bytes that are no message raise BadMessage, whatever they are. Depth is the caller's own: nothing here recurses.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Optional, Tuple, Union

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 20_000  # of one message: more than a node has containers
MAX_TEXT = 4096  # characters of a text that is kept
_SIZES = {FIXED64: 8, FIXED32: 4}
_WORD = 2**64

Value = Union[int, bytes]


class BadMessage(ValueError):
    """Bytes that are no message, or one above the caps."""


def fields(message: bytes) -> Iterator[Tuple[int, Value]]:
    """Field number and value, in their order: an int of varints and fixed ones, the bytes of all else."""
    at, end = 0, len(message)
    for _ in range(MAX_FIELDS):
        if at == end:
            return
        key, at = (message[at], at + 1) if message[at] < 0x80 else _varint(message, at, end)
        number, wire = key >> 3, key & 7
        if not number or number >= 1 << 29:
            raise BadMessage(f"a field with number {number}")
        if wire == VARINT:
            value, at = _varint(message, at, end)
            yield number, value
            continue
        if wire == BYTES:
            short = at < end and message[at] < 0x80
            size, at = (message[at], at + 1) if short else _varint(message, at, end)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise BadMessage(f"a field of wire type {wire}")
        if size > end - at:
            raise BadMessage("a field that is longer than its message")
        content = message[at : at + size]
        at += size
        yield number, content if wire == BYTES else int.from_bytes(content, "little")
    if at != end:
        raise BadMessage(f"a message of more than {MAX_FIELDS} fields")


def _varint(message: bytes, at: int, end: int) -> Tuple[int, int]:
    """The number at `at`, of at most 64 bits, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at == end:
            raise BadMessage("a number that breaks off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= _WORD:
                break
            return value, at
    raise BadMessage("a number of more than 64 bits")


class Message:
    """A message, read. A field that is absent, or of another wire type than asked for, reads as None or none."""

    __slots__ = ("_values",)

    def __init__(self, raw: bytes) -> None:
        self._values: Dict[int, List[Value]] = {}
        for number, value in fields(raw):
            self._values.setdefault(number, []).append(value)

    def number(self, number: int) -> Optional[int]:
        """An unsigned number; the last one counts, as everywhere in this format."""
        found = [value for value in self._values.get(number, ()) if isinstance(value, int)]
        return found[-1] if found else None

    def signed(self, number: int) -> Optional[int]:
        """An int32 or int64: negative ones are written in 64 bits."""
        found = self.number(number)
        return found - _WORD if found is not None and found >= _WORD // 2 else found

    def text(self, number: int) -> str:
        """ "" where absent; what is not UTF-8 is escaped, and what is longer than MAX_TEXT cut."""
        found = self.messages(number)
        return as_text(found[-1]) if found else ""

    def message(self, number: int) -> Message:
        """An empty one where absent."""
        found = self.messages(number)
        return Message(found[-1] if found else b"")

    def messages(self, number: int) -> List[bytes]:
        """Of a repeated field, each still unread, so that a bad one does not take the others with it."""
        return [value for value in self._values.get(number, ()) if isinstance(value, bytes)]

    def texts(self, number: int) -> Dict[str, str]:
        """A map<string, string>."""
        entries = (Message(raw) for raw in self.messages(number))
        return {entry.text(1): entry.text(2) for entry in entries}


def first_text(message: bytes, number: int) -> str:
    """The first text of this number, without a look at what follows; "" where there is none."""
    for found, value in fields(message):
        if found == number and isinstance(value, bytes):
            return as_text(value)
    return ""


def as_text(raw: bytes) -> str:
    return raw[: 4 * MAX_TEXT].decode("utf-8", "backslashreplace")[:MAX_TEXT]


def written(values: Iterable[Tuple[int, Union[int, str, bytes]]]) -> bytes:
    """A message of these fields. Numbers from 0 to 2**64 - 1."""
    out = bytearray()
    for number, value in values:
        if isinstance(value, int):
            out += _written_varint(number << 3 | VARINT) + _written_varint(value)
        else:
            raw = value.encode("utf-8") if isinstance(value, str) else value
            out += _written_varint(number << 3 | BYTES) + _written_varint(len(raw)) + raw
    return bytes(out)


def _written_varint(value: int) -> bytes:
    if not 0 <= value < _WORD:
        raise ValueError(f"{value} is no unsigned number of 64 bits")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
