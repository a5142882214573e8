"""The two codecs split alike and refuse alike, whatever bytes come."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.model import codec, nesting
from krm.model.codec import MSGSPEC, STDLIB, NotJson

pytestmark = pytest.mark.skipif(MSGSPEC is None, reason="msgspec is not installed: there is one codec")

TEXT = st.text(max_size=12) | st.sampled_from(
    ["env", "name", "value", "metadata", 'a"b', "\\", "\u2028", "é", "\U0001f600"]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    LEAVES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXT, inside, max_size=4), max_leaves=25
)
SPACES = st.text(" \t\n\r", max_size=2)
# Bytes that break JSON in every way that a parser could forgive.
SHARP = st.sampled_from(
    [b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\u0065", b"{", b"}", b"[", b"]", b",", b":",
     b"\xff", b"\xc3", b"\xe9", b"\x00", b"\x1f", b"\x7f", b"\x85", b"\xa0", b"\x0b", b"\x0c", b" ", b"-",
     b"+", b"0", b"1",
     b".", b"e", b"E5", b"NaN", b"Infinity", b"-Infinity", b"null", b"tru", b"//", b"'", b"\xb2", b"\xef\xbb\xbf"]
)  # fmt: skip


def dumped(value: object, escape: bool, spaces: str) -> bytes:
    return json.dumps(value, ensure_ascii=escape, separators=("," + spaces, spaces + ":")).encode(
        "utf-8", "surrogatepass"
    )


def outcome(which: codec.Codec, call: str, raw: bytes) -> object:
    try:
        codec.check_bytes(raw)
        if call == "opened":
            top, inner = which.opened(raw, frozenset({"metadata", "env"}))
            return list(top.items()), {key: list(value.items()) for key, value in inner.items()}
        found = getattr(which, call)(raw)
        return list(found.items()) if isinstance(found, dict) else found
    except NotJson as error:
        return "refused: %s" % error.error


def both(raw: bytes) -> None:
    assert MSGSPEC is not None
    for call in ("fields", "opened", "elements"):
        assert outcome(MSGSPEC, call, raw) == outcome(STDLIB, call, raw), (call, raw)


@settings(max_examples=400, deadline=None, print_blob=True)
@given(VALUES, st.booleans(), SPACES, st.data())
def test_both_codecs_agree_on_valid_and_mutated_json(
    value: object, escape: bool, spaces: str, data: st.DataObject
) -> None:
    raw = spaces.encode() + dumped(value, escape, spaces)
    both(raw)
    for _ in range(3):
        at = data.draw(st.integers(0, len(raw)))
        cut = data.draw(st.integers(0, 2))
        raw = raw[:at] + data.draw(SHARP) + raw[at + cut :]
        both(raw)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=5), st.booleans(), SPACES)
def test_fields_hold_the_values_of_the_object(value: dict, escape: bool, spaces: str) -> None:
    for which in (STDLIB, MSGSPEC):
        assert which is not None
        pieces = which.fields(dumped(value, escape, spaces))
        assert {key: json.loads(piece) for key, piece in pieces.items()} == value
        assert list(pieces) == list(value), "order is the source's"


@given(st.lists(VALUES, max_size=5), SPACES)
@settings(max_examples=200, deadline=None, print_blob=True)
def test_elements_and_loose_elements_hold_the_values_of_the_array(value: list, spaces: str) -> None:
    raw = dumped(value, False, spaces)
    for split in (STDLIB.elements, nesting.loose_elements):
        assert [json.loads(piece) for piece in split(raw)] == value


@pytest.mark.parametrize("which", [STDLIB, MSGSPEC], ids=["stdlib", "msgspec"])
@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":-Infinity}', b'{"a":"\x01"}', b'{"a":01}', b'{"a":1.}',
        b'{"a":[1,]}',
        b'{"a":1,}', b'{"a":1}x', b'{"a":"\\ud800"}', b'{"a":"\\udc00"}', b'{"\\ud800":1}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"a":"\\q"}', b'{"a":\xc2\xa01}', b"null", b"[]", b"", b"{", b'{"a"', b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_by_each(which: codec.Codec, raw: bytes) -> None:
    with pytest.raises(NotJson):
        which.fields(raw)


def test_the_last_duplicate_wins_at_the_place_of_the_first() -> None:
    for which in (STDLIB, MSGSPEC):
        assert which is not None
        assert list(which.fields(b'{"a":1,"b":2,"a":3}').items()) == [("a", b"3"), ("b", b"2")]
        assert which.opened(b'{"a":{"x":1},"a":2}', frozenset({"a"})) == ({"a": b"2"}, {})


def test_a_surrogate_pair_and_an_escaped_backslash_before_u_are_text() -> None:
    with pytest.raises(NotJson):
        STDLIB.elements(b'["\\ud800",{"a\\"b":null}]')
    for raw in (b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\\\ud800"}', b'{"\\ud83d\\ude00":1}'):
        both(raw)
        assert len(STDLIB.fields(raw)) == 1


@pytest.mark.parametrize(("length", "refused"), [(300, False), (301, True), (5000, True), (3_000_000, True)])
def test_number_literals_end_at_300_characters(length: int, refused: bool) -> None:
    for literal in (b"1" * length, b"-" + b"1" * (length - 1), b"0." + b"3" * (length - 2)):
        raw = b'{"a":{"b":[%s]}}' % literal
        if refused:
            with pytest.raises(NotJson, match="number"):
                codec.check_bytes(raw)
        else:
            codec.check_bytes(raw)


def test_long_runs_of_digits_inside_strings_are_no_numbers() -> None:
    codec.check_bytes(b'{"a":"%s","b":"\\"%s"}' % (b"1" * 5000, b":" + b"1" * 5000))


@given(st.integers(290, 310), st.integers(0, 120))
@settings(max_examples=60, deadline=None, print_blob=True)
def test_no_long_number_hides_between_the_samples(length: int, offset: int) -> None:
    raw = b'{"%s":%s}' % (b"x" * offset, b"7" * length)
    if length > codec.MAX_NUMBER:
        with pytest.raises(NotJson):
            codec.check_bytes(raw)
    else:
        codec.check_bytes(raw)


def depth(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return int(isinstance(value, (dict, list))) + max(map(depth, inside), default=0)


@given(VALUES, st.integers(1, 8))
@settings(max_examples=200, deadline=None, print_blob=True)
def test_depth_is_counted_exactly(value: object, cap: int) -> None:
    raw = dumped(value, False, "")
    for which in (STDLIB, MSGSPEC):
        assert which is not None
        if depth(value) > cap:
            with pytest.raises(NotJson, match="deeper"):
                nesting.check_depth(which, raw, cap)
        else:
            nesting.check_depth(which, raw, cap)
