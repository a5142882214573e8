"""Encoding and decoding, for whatever numbers and names: what comes out is what went in, or Damaged."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from krm.model.measures import Subject
from krm.store.history import blobs, planes
from krm.store.history.giving import flattened, marked, whole_blob
from krm.store.history.live import GAP
from krm.store.history.steps import HOUR_STEPS, first_step

NUMBERS = st.integers(-planes.LIMIT + 1, planes.LIMIT - 1)
# Mostly near one another, as measurements are; now and then anything.
ROWS = st.lists(st.one_of(st.integers(-300, 300), NUMBERS), max_size=300)
NAMES = st.text(max_size=20).map(lambda text: text.encode(errors="replace").decode())


@given(ROWS)
def test_numbers_come_back(numbers) -> None:
    assert list(planes.unpack(planes.pack(numbers), len(numbers))) == numbers


@given(ROWS, st.integers(0, 400))
def test_another_count_is_told(numbers, count) -> None:
    packed = planes.pack(numbers)
    # Nothing but zeros has no planes, whose number then is known from the count alone.
    if count != len(numbers) and packed[0]:
        with pytest.raises(planes.BadPlanes):
            planes.unpack(packed, count)


@given(st.binary(max_size=60), st.integers(0, 400))
def test_any_bytes_are_numbers_or_bad(raw, count) -> None:
    try:
        assert len(planes.unpack(raw, count)) == count
    except planes.BadPlanes:
        pass


def test_a_bomb_costs_what_was_asked_for() -> None:
    packed = planes.pack([0, 1] * (1 << 20))
    with pytest.raises(planes.BadPlanes):
        planes.unpack(packed, 10)


@given(st.lists(st.lists(st.one_of(st.just(GAP), NUMBERS), min_size=7, max_size=7), max_size=12))
def test_gaps_come_back(rows) -> None:
    numbers, marks = flattened([array("q", row) for row in rows])
    again = planes.unpack(planes.pack(numbers), len(numbers))
    assert list(marked(again, marks)) == [number for row in rows for number in row]


SUBJECTS = st.lists(st.builds(Subject, st.just("shop"), NAMES, NAMES, NAMES, NAMES, NAMES), min_size=1, max_size=5)


def made(subjects, numbers, step=0.1, first=240 * 5 + 1) -> bytes:
    section = blobs.Section("pod", "cpu/usage_rate", step, range(len(subjects)), numbers, b"")
    return blobs.encode(blobs.POINTS, "shop", first, len(numbers) // len(subjects), subjects, [section])


@given(SUBJECTS, st.lists(NUMBERS, min_size=3, max_size=3))
def test_a_blob_comes_back(subjects, row) -> None:
    numbers = row * len(subjects)
    blob = blobs.decode(made(subjects, numbers))
    rows = blob.rows("pod", "cpu/usage_rate")
    assert (blob.kind, blob.namespace, blob.width) == (blobs.POINTS, "shop", 3)
    assert (rows.subjects, list(rows.numbers), rows.step) == (subjects, numbers, 0.1)
    assert blob.rows("node", "cpu/usage_rate") is None


@given(st.data())
def test_any_changed_byte_is_told(data) -> None:
    whole = made([Subject("shop", "web-0", "u")], list(range(100)))
    place = data.draw(st.integers(0, len(whole) - 1))
    broken = bytearray(whole)
    broken[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(blobs.Damaged):
        blobs.decode(bytes(broken))
    with pytest.raises(blobs.Damaged):
        blobs.decode(whole[:place])


def test_a_later_format_is_named() -> None:
    whole = bytearray(made([Subject("shop", "web-0", "u")], [1]))
    whole[4] += 1
    with pytest.raises(blobs.Damaged, match="later format"):
        blobs.decode(bytes(whole))


@given(st.lists(st.tuples(st.integers(0, 220), st.lists(st.one_of(st.just(GAP), st.integers(0, 99)), min_size=20,
                                                        max_size=20)), max_size=6))  # fmt: skip
def test_parts_put_together_hold_what_the_parts_held(parts) -> None:
    """Whatever overlaps: the later part goes before, where it knows."""
    subject, first = Subject("shop", "web-0", "u"), first_step(5)
    wanted = {}
    packed = []
    for offset, row in parts:
        wanted.update({offset + i: number for i, number in enumerate(row) if number != GAP})
        numbers, marks = flattened([array("q", row)])
        section = blobs.Section("pod", "cpu/usage_rate", 1.0, [0], numbers, marks)
        packed.append(blobs.decode(blobs.encode(blobs.POINTS, "shop", first + offset, 20, [subject], [section])))
    whole = blobs.decode(whole_blob("shop", 5, packed))
    rows = whole.rows("pod", "cpu/usage_rate")
    found = marked(rows.numbers, rows.marks) if rows else array("q")
    assert {i: number for i, number in enumerate(found) if number != GAP} == wanted
    assert whole.width == HOUR_STEPS
