"""Arrays of env that were met before: the same result, for each other array its own, and no value kept."""

from __future__ import annotations

from typing import List

from krm.model import codec as codecs
from krm.model.redaction import PLACEHOLDER, Arrays, clean, clean_plain


def spec(*values: str) -> bytes:
    items = ",".join(f'{{"name":"VARIABLE_NUMBER_{n}","value":"{value}"}}' for n, value in enumerate(values))
    return b'{"spec":{"env":[%s],"after":[1]}}' % items.encode()


def test_what_was_met_before_is_redacted_the_same() -> None:
    arrays = Arrays()
    objects: List[bytes] = [
        spec("one", "two"),
        spec("one", "three"),
        spec("one"),
        spec("one", "two"),
        spec("longer"),
    ]
    for raw in objects * 3:
        assert clean_plain(codecs.BEST, raw, False, arrays) == clean(codecs.BEST, raw, False)


def test_arrays_that_begin_alike_are_told_apart() -> None:
    """Longer than the prefix that picks the candidate, and different only behind it."""
    arrays, same = Arrays(), [f"{'x' * 30}{n}" for n in range(8)]
    for last in ("first", "second", "first", "third-and-longer"):
        raw = spec(*same, last)
        assert clean_plain(codecs.BEST, raw, False, arrays) == clean(codecs.BEST, raw, False)
        assert last.encode() not in clean_plain(codecs.BEST, raw, False, arrays)


def test_no_value_is_kept_and_their_number_is_bounded() -> None:
    arrays = Arrays()
    arrays.MOST = 50
    for n in range(200):
        assert clean_plain(codecs.BEST, spec(f"hunter{n}"), False, arrays).count(PLACEHOLDER.encode()) == 1
    assert 0 < len(arrays._known) <= 50
    assert "hunter" not in repr(arrays._known)
