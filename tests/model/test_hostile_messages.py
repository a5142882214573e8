"""A poisoned stream entry or snapshot value is refused by type, and costs no more memory than itself."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any, Callable, Tuple

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import messages, records
from krm.model.messages import Audit, BadMessage, Batch, Item, Page, VerifierReport

ITEM = Item("A", "shop/web-0", "1000", "uid", b"d" * 16, b"{}", ("a", "b"), b"{}", 1.5)
BATCH = messages.pack(Batch("n", "s", 0, "1", "canon", "uid", (ITEM,)))
ENVELOPE = records.pack_envelope(records.Envelope("1", "u", records.object_digest(b"{}"), 1.0, b"", (), b"{}"))


def _page(**values: Any) -> bytes:
    page = Page("n", "l", "", "meta", False, "cache", 0, "5", "1", 1.0, "canon", "uid", ())
    assert messages.unpack(messages.pack(page)) == page
    return messages.pack(page._replace(**values))


READERS: Tuple[Callable[[bytes], object], ...] = (
    messages.unpack,
    records.unpack_envelope,
    records.checked_envelope,
    records.unpack_change_entry,
    records.unpack_past,
)
# Who reads a snapshot catches its own refusal: a stream's would pass it by.
REFUSALS = {read: BadMessage if read is messages.unpack else records.BadRecord for read in READERS}
each_reader = pytest.mark.parametrize("read", READERS, ids=[one.__name__ for one in READERS])
HOSTILE = {
    "depth bomb of arrays": b"\x91" * 1_000_000 + b"\xc0",
    "depth bomb of maps": b"\x81\xa1a" * 300_000 + b"\xc0",
    "length lie, array 32": b"\xdd" + struct.pack(">I", 0xFFFFFFFF),
    "length lie, map 32": b"\xdf" + struct.pack(">I", 0xFFFFFFFF),
    "length lie, bin 32": b"\xc6" + struct.pack(">I", 0xFFFFFFFF),
    "length lie, str 32": b"\xdb" + struct.pack(">I", 0xFFFFFFFF),
    "length lie below the caps": b"\xdc" + struct.pack(">H", 20_000) + b"\x01",
    "ext type": msgpack.packb([1, "batch", msgpack.ExtType(4, b"x")]),
    "timestamp": msgpack.packb([1, "batch", msgpack.Timestamp(1, 0)]),
    "trailing bytes": BATCH + b"\x00",
    "trailing bytes of an envelope": ENVELOPE + b"\xc0",
    "cut": BATCH[:-1],
    "no UTF-8": msgpack.packb([1, "batch", b"\xff"]).replace(b"\xc4\x01\xff", b"\xa1\xff"),
    "another format": msgpack.packb([2, "batch"]),
    "unknown tag": msgpack.packb([1, "pickle", 1]),
    "tag that cannot be hashed": msgpack.packb([1, [1], 2]),
    "map with number keys": msgpack.packb({1: 2}),
    "nothing": b"",
    "never used byte": b"\xc1",
    "too few fields": msgpack.packb([1, "batch", "n"]),
    "items that are no arrays": msgpack.packb([1, "batch", "n", "s", 0, "1", "c", "u", [5]]),
    "a change of other types": msgpack.packb([1, 1.0, "1", False, 0.1, [[1] * 7]]),
    "a change entry with words for its delay": msgpack.packb([1, 1.0, "1", False, "soon", []]),
    "a time that is no number": _page(t0=float("nan")),
    "a time without end": _page(t0=float("inf")),
    "an item's time that is no number": _page(items=(ITEM._replace(received_at=float("nan")),)),
    "fields that are no texts": _page(items=(ITEM._replace(fields=(b"x",)),)),  # type: ignore[arg-type]
    "an item of no type": _page(items=(ITEM._replace(type="X"),)),
    "an item without a namespace": _page(items=(ITEM._replace(key="web-0"),)),
    "an audit's keys that are no texts": messages.pack(
        VerifierReport("n", 1.0, "", False, None, Audit("5", 1.0, (b"x",), 1))  # type: ignore[arg-type]
    ),
    "an item of other types": msgpack.packb([1, "batch", "n", "s", 0, "1", "c", "u", [[1] * 9]]),
}


@each_reader
@pytest.mark.parametrize("raw", list(HOSTILE.values()), ids=list(HOSTILE))
def test_hostile_bytes_are_refused_by_type_in_bounded_memory(read: Callable[[bytes], object], raw: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(REFUSALS[read]):
            read(raw)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(raw) + 2_000_000
    finally:
        tracemalloc.stop()


@each_reader
@given(st.data())
@settings(max_examples=150, deadline=None, print_blob=True)
def test_any_mutation_is_a_value_or_a_typed_refusal(read: Callable[[bytes], object], data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from([BATCH, ENVELOPE])))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(raw))
    except REFUSALS[read]:
        pass


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None, print_blob=True)
def test_rot_in_a_body_is_never_served(at: int, flip: int) -> None:
    raw = bytearray(ENVELOPE)
    raw[at] ^= flip
    try:
        assert records.checked_envelope(bytes(raw)).body == b"{}"
    except records.BadRecord:
        pass


def test_a_value_over_the_size_cap_is_refused_unread() -> None:
    with pytest.raises(BadMessage, match="cap"):
        messages.unpack(b"\x00" * (messages.MAX_MESSAGE + 1))


def test_what_is_packed_is_unpacked() -> None:
    assert messages.unpack(BATCH) == Batch("n", "s", 0, "1", "canon", "uid", (ITEM,))
