"""One version: what it puts, deletes, tells and keeps of the past; and what the budgets keep."""

from __future__ import annotations

from typing import Dict

from krm.aggregator.edition import Budget, Delays, Kept, compose
from krm.aggregator.state import Applied, Row
from krm.model import records
from krm.model.messages import ADDED, DELETED, MODIFIED, Item
from krm.model.records import Envelope, object_digest


def item(type: str, rv: str, key: str = "shop/web", body: bytes = b"{}", labels: bytes = b'{"a":"1"}') -> Item:
    return Item(type, key, rv, "uid", object_digest(body), labels, ("node-1",), body, 10.0)


def envelope(rv: str, body: bytes = b"{}", labels: bytes = b'{"a":"0"}') -> bytes:
    return records.pack_envelope(Envelope(rv, "uid", object_digest(body), 9.0, labels, ("node-0",), body))


ROW = Row("4", "uid", b"d" * 16)


def test_a_new_object_is_put_and_told_without_a_before() -> None:
    made = compose([Applied(item(ADDED, "5"), None)], {"shop/web": b""}, "5", 10.5, False, True)
    assert list(made.puts) == ["shop/web"]
    entry = records.unpack_change_entry(made.entry)
    (change,) = entry.changes
    assert (change.type, change.previous_rv, change.envelope) == (ADDED, "", made.puts["shop/web"])
    assert (entry.rv, entry.at, entry.delay, entry.repair) == ("5", 10.5, 0.5, False)
    assert records.unpack_past(made.past) == {"shop/web": b""}


def test_a_change_tells_the_labels_and_fields_it_replaced() -> None:
    made = compose([Applied(item(MODIFIED, "5"), ROW)], {"shop/web": envelope("4")}, "5", 10.5, False, True)
    (change,) = records.unpack_change_entry(made.entry).changes
    assert (change.previous_rv, change.previous_labels, change.previous_fields) == ("4", b'{"a":"0"}', ("node-0",))


def test_two_changes_of_one_key_are_both_told_and_the_last_one_stands() -> None:
    changes = [Applied(item(MODIFIED, "5"), ROW), Applied(item(DELETED, "6"), ROW), Applied(item(ADDED, "7"), None)]
    made = compose(changes, {"shop/web": envelope("4")}, "7", 10.5, False, True)
    told = records.unpack_change_entry(made.entry).changes
    assert [(change.type, change.previous_rv) for change in told] == [(MODIFIED, "4"), (DELETED, "5"), (ADDED, "")]
    assert records.unpack_envelope(made.puts["shop/web"]).rv == "7"
    assert not made.deletes


def test_an_object_born_and_gone_within_a_version_leaves_nothing_to_delete() -> None:
    changes = [Applied(item(ADDED, "5"), None), Applied(item(DELETED, "6"), ROW)]
    made = compose(changes, {"shop/web": b""}, "6", 10.5, False, True)
    assert (made.puts, made.deletes, made.size) == ({}, [], 0)


def test_a_ghosts_last_bytes_are_what_its_deletion_shows() -> None:
    ghost = Item(DELETED, "shop/web", "9", "uid")
    made = compose([Applied(ghost, ROW)], {"shop/web": envelope("4", b'{"last":1}')}, "9", 10.5, True, True)
    entry = records.unpack_change_entry(made.entry)
    shown = records.unpack_envelope(entry.changes[0].envelope)
    assert (shown.rv, shown.body) == ("9", b'{"last":1}')
    assert made.deletes == ["shop/web"]
    assert entry.repair
    assert (made.delays, entry.delay) == ([], None)


def test_what_was_received_later_than_now_by_another_clock_has_no_known_delay() -> None:
    ahead = Applied(item(ADDED, "5"), None)
    behind = Applied(item(ADDED, "6", "shop/db")._replace(received_at=8.5), None)
    made = compose([ahead], {"shop/web": b""}, "5", 9.0, False, True)
    assert (made.delays, records.unpack_change_entry(made.entry).delay) == ([], None)
    made = compose([ahead, behind], {"shop/web": b"", "shop/db": b""}, "6", 9.0, False, True)
    assert (made.delays, records.unpack_change_entry(made.entry).delay) == ([0.5], 0.5)


def test_the_past_can_be_off() -> None:
    assert compose([Applied(item(ADDED, "5"), None)], {"shop/web": b""}, "5", 1.0, False, False).past == b""


def test_a_budget_keeps_the_newest_that_fit_and_always_one() -> None:
    budget = Budget(0.5, 100, 1000)
    kept: Dict[int, int] = dict.fromkeys(range(1, 6), 0)
    trims = [budget.add(version, str(version * 10), 1.0, 60, canonical=0) for version in kept]
    assert [gone and (gone.version, gone.rv) for gone in trims] == [
        None,
        (1, "10"),
        (2, "20"),
        (3, "30"),
        (4, "40"),
    ]
    assert budget.add(6, "60", 2.0, 5000, canonical=0) == Kept(5, "50", 1.0, 60)


def test_a_budget_grows_with_the_kind_up_to_its_limit() -> None:
    budget = Budget(0.5, 100, 1000)
    assert [budget.add(version, "1", 1.0, 200, canonical=1600) for version in (1, 2, 3, 4)] == [None] * 4
    assert budget.add(5, "1", 1.0, 300, canonical=1_000_000) == Kept(1, "1", 1.0, 200)


def test_a_full_redis_gets_the_older_half_back() -> None:
    budget = Budget(1.0, 10_000, 10_000)
    for version in range(1, 6):
        budget.add(version, "7", None, 10, 0)
    assert budget.halve() == Kept(3, "7", None, 10)
    assert Budget(1.0, 1, 1).halve() is None


def test_percentiles_are_unknown_before_the_first_delay() -> None:
    delays = Delays()
    assert delays.percentiles() == (None, None)
    delays.add([n / 1000 for n in range(1, 101)])
    p50, p99 = delays.percentiles()
    assert (p50, p99) == (0.051, 0.1)
