"""The audit compares one version of the API server's cache with its etcd."""

from __future__ import annotations

from typing import List

from krm.model.messages import Item
from krm.verifier.audit import KEYS_NAMED, compare, keep


def items(*rows: str) -> List[Item]:
    """`key rv uid` of each object."""
    return [Item("A", key, rv, uid) for key, rv, uid in (row.split() for row in rows)]


def test_equal_answers_differ_in_nothing() -> None:
    kept = keep("9", 0.0, items("a/x 5 u1", "a/y 6 u2"))
    found = compare(kept, items("a/y 6 u2", "a/x 5 u1"), 3.0)
    assert (found.rv, found.at, found.differing, found.keys) == ("9", 3.0, 0, ())


def test_every_way_to_differ_is_named_by_key() -> None:
    kept = keep("9", 0.0, items("a/same 1 u", "a/stale 2 u", "a/ghost 3 u", "a/reborn 4 u"))
    found = compare(kept, items("a/same 1 u", "a/stale 7 u", "a/reborn 4 other", "a/missing 8 u"), 3.0)
    assert found.keys == ("a/ghost", "a/missing", "a/reborn", "a/stale")
    assert found.differing == 4


def test_at_most_twenty_keys_are_named_and_all_are_counted() -> None:
    found = compare(keep("9", 0.0, []), items(*(f"a/p{n} 5 u" for n in range(50))), 3.0)
    assert (len(found.keys), found.differing) == (KEYS_NAMED, 50)
