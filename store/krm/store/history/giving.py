"""The live window as blobs, and parts of an hour put together into one. Pure."""

from __future__ import annotations

from array import array
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from krm.model.measures import Subject
from krm.store.history.blobs import POINTS, Packed, Section, encode
from krm.store.history.live import GAP, Live, Track
from krm.store.history.steps import HOUR_STEPS, PART_STEPS, first_step
from krm.store.history.sums import encode_hour

Groups = Dict[Tuple[str, str, float], Tuple[List[int], List[Any]]]


def part_blob(live: Live, namespace: str, part: int) -> bytes:
    """One namespace's part, as far as it has come."""
    first = part * PART_STEPS + 1
    width = min(PART_STEPS, live.newest_step - first + 1)
    subjects, groups = _grouped(live.parts[part].get(namespace, {}))
    sections = []
    for (level, metric, step), (who, rows) in sorted(groups.items()):
        numbers, marks = flattened([row[:width] for row in rows] if width < PART_STEPS else rows)
        sections.append(Section(level, metric, step, who, numbers, marks))
    return encode(POINTS, namespace, first, width, subjects, sections)


def hour_blob(live: Live, namespace: str, hour: int) -> bytes:
    """One namespace's sums, of the hour so far."""
    subjects, groups = _grouped(live.hours[hour].get(namespace, {}))
    return encode_hour(namespace, hour, subjects, groups)


def whole_blob(namespace: str, hour: int, parts: Iterable[Packed]) -> bytes:
    """An hour's points in one blob: later parts go before earlier ones where both know a step."""
    first = first_step(hour)
    nothing = array("q", [GAP]) * HOUR_STEPS
    places: Dict[Subject, int] = {}
    rows: Dict[Tuple[str, str, float], Dict[int, array[int]]] = {}
    for part in parts:
        for level, metric in part.sections:
            found = part.rows(level, metric)
            assert found is not None  # noqa: S101 (it is in sections)
            numbers = marked(found.numbers, found.marks)
            group = rows.setdefault((level, metric, found.step), {})
            offset = part.first - first
            for index, subject in enumerate(found.subjects):
                place = places.setdefault(subject, len(places))
                row = group.get(place)
                if row is None:
                    row = group[place] = nothing[:]
                _lay(row, offset, numbers[index * part.width : (index + 1) * part.width])
    sections = []
    for (level, metric, step), group in sorted(rows.items()):
        flat, marks = flattened(list(group.values()))
        sections.append(Section(level, metric, step, list(group), flat, marks))
    return encode(POINTS, namespace, first, HOUR_STEPS, list(places), sections)


def _lay(row: array[int], offset: int, new: array[int]) -> None:
    old = row[offset : offset + len(new)]
    if GAP in new and old.count(GAP) < len(old):
        new = array("q", (then if number == GAP else number for number, then in zip(new, old)))
    row[offset : offset + len(new)] = new


def marked(numbers: List[int], marks: bytes) -> array[int]:
    """The numbers with GAP where a mark says so."""
    place = marks.find(1)
    while place >= 0:
        numbers[place] = GAP
        place = marks.find(1, place + 1)
    return array("q", numbers)


def flattened(rows: Sequence[array[int]]) -> Tuple[array[int], bytes]:
    """Rows end to end. A gap holds the number before it, which costs nothing, and has a mark."""
    numbers, marks = array("q"), b""
    gaps = []
    for row in rows:
        gaps.append(GAP in row)
        numbers.extend(row)
    if any(gaps):
        width = len(rows[0])
        found = bytearray(len(numbers))
        for index, has_gap in enumerate(gaps):
            if has_gap:
                _fill(numbers, found, index * width, width)
        marks = bytes(found)
    return numbers, marks


def _fill(numbers: array[int], marks: bytearray, start: int, width: int) -> None:
    before = numbers[start - 1] if start else 0
    for place in range(start, start + width):
        if numbers[place] == GAP:
            marks[place] = 1
            numbers[place] = before
        else:
            before = numbers[place]


def _grouped(rows: Dict[Track, Any]) -> Tuple[List[Subject], Groups]:
    """Subjects, and (level, metric, step) -> indices of subjects and their rows."""
    subjects: List[Subject] = []
    places: Dict[int, int] = {}
    groups: Groups = {}
    for track, row in rows.items():
        who = track.who
        place = places.get(id(who))
        if place is None:
            place = places[id(who)] = len(subjects)
            subjects.append(who.subject)
        indices, found = groups.setdefault((who.level, track.metric.name, track.metric.step), ([], []))
        indices.append(place)
        found.append(row)
    return subjects, groups
