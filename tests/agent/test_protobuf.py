"""Protocol buffers' wire format: what is written is read, and hostile bytes are typed errors."""

from __future__ import annotations

import random

import pytest
from krm.agent.runtime import protobuf
from krm.agent.runtime.protobuf import BadMessage, Message, fields, first_text, written

# The examples of the format's own documentation.
DOCUMENTED = ((b"\x08\x96\x01", [(1, 150)]), (b"\x12\x07testing", [(2, b"testing")]))


@pytest.mark.parametrize(("raw", "values"), DOCUMENTED)
def test_documented_examples(raw: bytes, values) -> None:
    assert list(fields(raw)) == values
    assert written(values) == raw


def test_what_is_written_is_read() -> None:
    inner = written([(1, "web-0"), (3, 2**64 - 1)])
    raw = written([(1, "é"), (2, inner), (2, b"\xff"), (7, 0), (536_870_911, 127), (4, 2**63)])
    message = Message(raw)
    assert message.text(1) == "é"
    assert [len(one) for one in message.messages(2)] == [len(inner), 1]
    assert (Message(inner).text(1), Message(inner).number(3)) == ("web-0", 2**64 - 1)
    assert (message.number(7), message.number(536_870_911)) == (0, 127)
    assert message.signed(4) == -(2**63)


def test_absent_and_of_another_type_is_unknown_not_zero() -> None:
    message = Message(written([(1, "text"), (2, 5)]))
    assert message.number(1) is None
    assert message.number(3) is None
    assert message.signed(3) is None
    assert (message.text(2), message.text(3)) == ("", "")
    assert message.message(3).number(1) is None


def test_negative_exit_code() -> None:
    assert Message(b"\x38" + b"\xff" * 9 + b"\x01").signed(7) == -1


def test_the_last_of_a_single_field_counts() -> None:
    message = Message(written([(1, 1), (2, "a"), (1, 2), (2, "b")]))
    assert (message.number(1), message.text(2)) == (2, "b")


def test_fixed_fields_are_passed_over() -> None:
    raw = b"\x09" + b"\x01" * 8 + b"\x15" + b"\x02\x00\x00\x00" + written([(3, "after")])
    assert Message(raw).text(3) == "after"
    assert Message(raw).number(2) == 2


def test_maps() -> None:
    entries = [(5, written([(1, key), (2, value)])) for key, value in (("a", "1"), ("b", ""))]
    assert Message(written(entries)).texts(5) == {"a": "1", "b": ""}


def test_first_text_looks_no_further() -> None:
    assert first_text(written([(1, "id")]) + b"\xff\xff", 1) == "id"
    assert first_text(written([(2, "other")]), 1) == ""


def test_text_is_bounded_and_escaped() -> None:
    message = Message(written([(1, b"a\xff\n"), (2, "x" * 100_000)]))
    assert message.text(1) == "a\\xff\n"
    assert len(message.text(2)) == protobuf.MAX_TEXT


BAD = (
    b"\x08",  # a key without its value
    b"\x0a\x05abcd",  # longer than the message
    b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2**64 - 1
    b"\x08" + b"\x80" * 20,  # a number that does not end
    b"\x08" + b"\xff" * 9 + b"\x02",  # of 65 bits
    b"\x00\x01",  # field 0
    b"\x0b\x0c",  # groups
    b"\x0e\x01", b"\x0f\x01",  # wire types 6 and 7
    b"\x09\x01", b"\x0d\x01",  # fixed ones that break off
    b"\xf8\xff\xff\xff\x7f\x01",  # a field number above the largest
)  # fmt: skip


@pytest.mark.parametrize("raw", BAD)
def test_no_message_is_a_typed_error(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        Message(raw)


def test_too_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 10)
    Message(written([(1, 1)] * 10))
    with pytest.raises(BadMessage, match="more than 10"):
        Message(written([(1, 1)] * 11))


def test_whatever_comes_is_read_or_a_typed_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = written([(1, "web"), (2, written([(1, 2**40), (3, b"\0\xff")])), (9, 300), (15, "x" * 200)])
    for _ in range(3000):
        raw = bytearray(good if rng.random() < 0.7 else rng.randbytes(40) if hasattr(rng, "randbytes") else b"")
        for _ in range(rng.randrange(4)):
            if raw:
                raw[rng.randrange(len(raw))] = rng.randrange(256)
        try:
            message = Message(bytes(raw[: rng.randrange(len(raw) + 1)]))
            message.message(2).texts(3)
            message.text(15)
        except BadMessage:
            continue


@pytest.mark.parametrize("value", [-1, 2**64])
def test_numbers_that_do_not_fit_are_not_written(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        written([(1, value)])
