"""One blob: what a namespace's series were in a stretch of time. Pure encoding and decoding.

    magic, format, digest (blake2b, 16 bytes) of all that follows
    length of the head, head: JSON, compressed: first column, columns, sections
    subjects: JSON, compressed, field by field: pods, uids, containers, nodes, resource_ids
    a section for each (level, metric): who, numbers, marks

A section holds a row a subject, each row of the same length: for points a number a step, for sums a
number a field. Numbers are whole: a value in its metric's step. A row's cell that is not known is marked,
and is never 0. Sections stand apart, so that one metric is read without the others. The namespace and the
hour are the blob's key in the file, and inside it too: a blob that stands at a wrong key is damaged.
"""

from __future__ import annotations

import json
import zlib
from hashlib import blake2b
from itertools import repeat
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from krm.model.measures import Subject
from krm.store.history import planes

POINTS, SUMS = "points", "sums"
_MAGIC = b"krmh\x01"  # the last byte is the format
_DIGEST = 16  # bytes
_HEAD = 4  # bytes of a length
_MOST_CELLS = 1 << 26  # of one section: 240 steps x 280,000 subjects; a blob that says more is a lie
_MOST_TEXT = 1 << 28  # bytes of a head or of subjects, decompressed


class Damaged(ValueError):
    """Bytes that are not what `encode` made; the text says in what."""


class Rows(NamedTuple):
    """One section, decoded: row i is numbers[i * width : (i + 1) * width], of subjects[i]."""

    metric: str
    level: str
    step: float  # a number x step is the value
    width: int
    subjects: List[Subject]
    numbers: List[int]
    marks: bytes  # 1 = not known, a byte a number; b"" = all are known


class Packed(NamedTuple):
    """One blob, opened but for its sections."""

    kind: str  # POINTS or SUMS
    namespace: str
    first: int  # of POINTS: the number of its first step; of SUMS: of its hour
    width: int  # numbers a row
    names: List[List[str]]  # the subjects, field by field
    sections: Dict[Tuple[str, str], Tuple[int, int, int, int, float]]  # (level, metric) -> where, sizes, step
    body: bytes

    def prove(self) -> None:
        """Opens all its sections. Raises Damaged."""
        for level, metric in self.sections:
            self.rows(level, metric)

    def rows(self, level: str, metric: str) -> Optional[Rows]:
        """One section; None where the blob has none. Raises Damaged."""
        place = self.sections.get((level, metric))
        if place is None:
            return None
        start, count, size, marked, step = place
        cells = count * self.width
        if not 0 < count <= len(self.names[0]) or cells > _MOST_CELLS:
            raise Damaged(f"{count} rows of {level} {metric}")
        who, numbers, marks = self._parts(start, size, marked)
        try:
            indices = planes.unpack(who, count)
            fields = (map(field.__getitem__, indices) for field in self.names)
            found = list(map(Subject._make, zip(repeat(self.namespace), *fields)))
            return Rows(
                metric,
                level,
                step,
                self.width,
                found,
                planes.unpack(numbers, cells),
                planes.unpack_bits(marks, cells) if marks else b"",
            )
        except (planes.BadPlanes, IndexError) as error:
            raise Damaged(f"{level} {metric}: {error}") from None

    def _parts(self, start: int, size: int, marked: int) -> Tuple[bytes, bytes, bytes]:
        who = int.from_bytes(self.body[start : start + _HEAD], "little")
        begin = start + _HEAD + who
        return (
            self.body[start + _HEAD : begin],
            self.body[begin : begin + size],
            self.body[begin + size : begin + size + marked],
        )


class Section(NamedTuple):
    """What is to be encoded: as Rows, with subjects by their index."""

    level: str
    metric: str
    step: float
    who: Sequence[int]
    numbers: Sequence[int]
    marks: bytes


def encode(
    kind: str, namespace: str, first: int, width: int, subjects: Sequence[Subject], sections: Iterable[Section]
) -> bytes:
    """The blob. Raises OverflowError for a number beyond planes.LIMIT."""
    places: List[List[Any]] = []
    body: List[bytes] = []
    at = 0
    for section in sections:
        who, numbers = planes.pack(section.who), planes.pack(section.numbers)
        marks = planes.pack_bits(section.marks) if section.marks else b""
        places.append([section.level, section.metric, at, len(section.who), len(numbers), len(marks), section.step])
        body += (len(who).to_bytes(_HEAD, "little"), who, numbers, marks)
        at += _HEAD + len(who) + len(numbers) + len(marks)
    head = _text({"kind": kind, "namespace": namespace, "first": first, "width": width, "sections": places})
    names = _text([[getattr(subject, field) for subject in subjects] for field in _FIELDS])
    rest = b"".join((_sized(head), _sized(names), *body))
    return _MAGIC + blake2b(rest, digest_size=_DIGEST).digest() + rest


_FIELDS = ("pod", "uid", "container", "node", "resource_id")


def decode(blob: bytes) -> Packed:
    """The blob, with its digest proved. Raises Damaged."""
    start = len(_MAGIC) + _DIGEST
    if blob[: len(_MAGIC)] != _MAGIC:
        known = blob[: len(_MAGIC) - 1] == _MAGIC[:-1]
        raise Damaged("a later format than this krm reads" if known else "no blob of krm's history")
    rest = blob[start:]
    if blake2b(rest, digest_size=_DIGEST).digest() != blob[len(_MAGIC) : start]:
        raise Damaged("its digest differs")
    try:
        head, at = _next(rest, 0)
        names, at = _next(rest, at)
        sections = {
            (level, metric): (where, count, size, marked, float(step))
            for level, metric, where, count, size, marked, step in head["sections"]
        }
        if len(names) != len(_FIELDS) or len(set(map(len, names))) != 1:
            raise ValueError("its subjects are incomplete")
        first, width = int(head["first"]), int(head["width"])
        return Packed(head["kind"], head["namespace"], first, width, names, sections, rest[at:])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise Damaged(f"its head cannot be read: {error}") from None


def _text(value: Any) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"), 6)


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(_HEAD, "little") + part


def _next(rest: bytes, at: int) -> Tuple[Any, int]:
    end = at + _HEAD + int.from_bytes(rest[at : at + _HEAD], "little")
    text = zlib.decompressobj().decompress(rest[at + _HEAD : end], _MOST_TEXT)
    return json.loads(text), end
