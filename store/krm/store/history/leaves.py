"""Rows out of a SQLite file whose trees are broken: its leaves, read page by page, without the trees. Pure.

Each page of rows says where its rows lie, and a long row names the page on which it goes on (the format is
SQLite's, https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1). Pages that were given free may
hold rows that were deleted or replaced since: of two with one key the one of the higher number is newer.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Tuple

_LEAF = 0x0D  # the kind of a page that holds rows of a table
_FIRST_HEAD = 100  # bytes of the file's own head on its first page
_PAGE = 4096  # bytes: SQLite's default, which krm's files have; for a file whose head is gone
_LARGEST = 1 << 30  # bytes of a row: SQLite has no longer ones
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # bytes of a column by its serial type
_TEXT = 12  # types from here on have a length: even ones are blobs, odd ones are texts


def last_blobs(raw: bytes) -> Iterator[Tuple[int, bytes]]:
    """(number of the row, its last column) of the rows that end with a blob. `raw`: the whole file, mapped."""
    size = int.from_bytes(raw[16:18], "big")
    size = size if size in (512, 1024, 2048, 4096, 8192, 16384, 32768) else _PAGE
    for page in range(len(raw) // size):
        head = page * size + (0 if page else _FIRST_HEAD)
        if raw[head] != _LEAF:
            continue
        count = int.from_bytes(raw[head + 3 : head + 5], "big")
        for place in range(min(count, size // 4)):
            pointer = head + 8 + 2 * place
            cell = page * size + int.from_bytes(raw[pointer : pointer + 2], "big")
            found = _row(raw, size, cell, (page + 1) * size)
            if found is not None:
                yield found


def _row(raw: bytes, size: int, cell: int, end: int) -> Optional[Tuple[int, bytes]]:
    length, at = _varint(raw, cell)
    number, at = _varint(raw, at)
    if not 0 < length <= min(_LARGEST, len(raw)) or at >= end:
        return None
    here = _local(length, size)
    payload: List[bytes] = [raw[at : at + here]]
    missing, following = length - here, int.from_bytes(raw[at + here : at + here + 4], "big")
    while missing > 0:
        start = (following - 1) * size
        if following < 1 or start + size > len(raw):
            return None
        part = raw[start + 4 : start + min(size, 4 + missing)]
        payload.append(part)
        missing -= len(part)
        following = int.from_bytes(raw[start : start + 4], "big")
    blob = _last(b"".join(payload))
    return None if blob is None else (number, blob)


def _local(length: int, size: int) -> int:
    """Bytes of a row that stand on its own page."""
    if length <= size - 35:
        return length
    least = (size - 12) * 32 // 255 - 23
    most = least + (length - least) % (size - 4)
    return most if most <= size - 35 else least


def _last(payload: bytes) -> Optional[bytes]:
    head, at = _varint(payload, 0)
    kinds: List[int] = []
    while at < head <= len(payload):
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if not kinds or kinds[-1] < _TEXT or kinds[-1] % 2:
        return None
    start = head + sum(map(_size, kinds[:-1]))
    blob = payload[start : start + _size(kinds[-1])]
    return blob if len(blob) == _size(kinds[-1]) else None


def _size(kind: int) -> int:
    return (kind - _TEXT) // 2 if kind >= _TEXT else _SIZES[kind] if kind < len(_SIZES) else 0


def _varint(raw: bytes, at: int) -> Tuple[int, int]:
    """A number of one to nine bytes, and where it ends; 0 beyond the end."""
    value = 0
    for place, byte in enumerate(raw[at : at + 9]):
        if place == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, at + place + 1
    return 0, at + 9
