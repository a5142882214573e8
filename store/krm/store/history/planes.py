"""Whole numbers to few bytes and back: differences, cut into planes of bytes, compressed. Pure.

Neighbours differ little, so of each difference only the low byte holds news. The low bytes of all stand
together, then the second ones, and so on; a byte that only repeats the sign of the one below it becomes
0, and planes of nothing but 0 are left out. What is left is noise and runs: zlib at level 1, looking for
runs alone (Z_RLE), makes it smaller and is quicker than a search for repetitions.
"""

from __future__ import annotations

import zlib
from array import array
from itertools import accumulate, chain
from operator import sub
from typing import List, Sequence

LIMIT = 2**61  # numbers at or beyond it, either side of 0, are refused: differences must fit 64 bits
_LANE = 8  # bytes of a number in memory, and of one that is short: most differences are
_SHORT, _SHORT_LANE = "i", 4
_SIGN = bytes(255 if byte & 128 else 0 for byte in range(256))


class BadPlanes(ValueError):
    """Bytes that `pack` did not make."""


def pack(numbers: Sequence[int]) -> bytes:
    """Whole numbers between -LIMIT and LIMIT, in order. Raises OverflowError beyond."""
    lanes = array("q", map(sub, numbers, chain((0,), numbers)))
    try:
        lanes = array(_SHORT, lanes)
    except OverflowError:
        pass  # some differences need the long lanes
    raw, size = _little(lanes).tobytes(), lanes.itemsize
    planes: List[bytes] = []
    below = bytes(len(lanes))
    for place in range(size):
        plane = raw[place::size]
        planes.append(_xor(plane, below) if place else plane)
        below = plane.translate(_SIGN)
    while planes and not any(planes[-1]):
        planes.pop()
    return bytes([len(planes)]) + _squeeze(b"".join(planes))


def unpack(packed: bytes, count: int) -> List[int]:
    """The `count` numbers; a list, for that is what Python goes through fastest. Raises BadPlanes."""
    width = packed[0] if packed else _LANE + 1
    if width > _LANE:
        raise BadPlanes("no count of planes")
    joined = _swell(packed[1:], width * count)
    lanes = array(_SHORT if width <= _SHORT_LANE else "q")
    raw, size = bytearray(lanes.itemsize * count), lanes.itemsize
    below = bytes(count)
    for place in range(size):
        plane = below
        if place < width:
            stored = joined[place * count : (place + 1) * count]
            plane = _xor(stored, below) if place else stored
        raw[place::size] = plane
        below = plane.translate(_SIGN)
    lanes.frombytes(bytes(raw))
    return list(accumulate(_little(lanes)))


def pack_bits(marks: bytes) -> bytes:
    """Bytes of 0 and 1, mostly runs."""
    return _squeeze(marks)


def unpack_bits(packed: bytes, count: int) -> bytes:
    """The `count` bytes of `pack_bits`. Raises BadPlanes."""
    return _swell(packed, count)


def _squeeze(raw: bytes) -> bytes:
    squeezer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_RLE)
    return squeezer.compress(raw) + squeezer.flush()


def _swell(packed: bytes, size: int) -> bytes:
    """No more than it must be: a lie about the size costs nothing."""
    sweller = zlib.decompressobj(-15)
    try:
        raw = sweller.decompress(packed, size + 1)
    except zlib.error as error:
        raise BadPlanes(str(error)) from None
    if len(raw) != size or (size and not sweller.eof and sweller.decompress(sweller.unconsumed_tail, 1)):
        raise BadPlanes(f"{len(raw)} bytes instead of {size}")
    return raw


def _xor(one: bytes, other: bytes) -> bytes:
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def _little(lanes: array[int]) -> array[int]:
    """The same lanes, lowest byte first, on whatever machine."""
    if _BIG:
        lanes.byteswap()
    return lanes


_BIG = array("q", [1]).tobytes()[0] != 1
