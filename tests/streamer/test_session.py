"""A session's numbers: without gaps, and resumed only behind what Redis acknowledged."""

from __future__ import annotations

import json
from typing import Any, Dict

from krm.model.canonical import Canonicaliser
from krm.model.kinds import Resource, parse_kind
from krm.model.messages import ADDED, BOOKMARK, DELETED, pack, unpack
from krm.streamer.session import BATCH, BATCH_BYTES, Session, read_lines, split

PODS = Canonicaliser(Resource(parse_kind("pods"), "v1", "Pod", True))


def line(type: str, rv: int, name: str = "web") -> bytes:
    metadata: Dict[str, Any] = {"name": name, "namespace": "shop", "uid": "u", "resourceVersion": str(rv)}
    if type == "BOOKMARK":
        metadata = {"resourceVersion": str(rv)}
    return json.dumps({"type": type, "object": {"kind": "Pod", "apiVersion": "v1", "metadata": metadata}}).encode()


def test_events_and_bookmarks_become_items_in_order() -> None:
    read = read_lines(PODS, [line("ADDED", 5), line("BOOKMARK", 8), line("DELETED", 9)], 1.5)
    assert [(item.type, item.rv) for item in read.items] == [(ADDED, "5"), (BOOKMARK, "8"), (DELETED, "9")]
    assert {item.received_at for item in read.items} == {1.5}


def test_what_stood_before_a_line_that_cannot_be_read_is_kept_and_nothing_after_it() -> None:
    read = read_lines(PODS, [line("ADDED", 5), b'{"type":"ADDED","object":{"metadata"', line("ADDED", 7)], 1.0)
    assert [item.rv for item in read.items] == ["5"]
    assert read.bad is not None
    assert read.bad.length == 36


def test_an_error_in_the_stream_ends_what_is_read() -> None:
    gone = (
        b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","code":410,"reason":"Expired","message":"m"}}'
    )
    read = read_lines(PODS, [line("ADDED", 5), gone, line("ADDED", 7)], 1.0)
    assert [item.rv for item in read.items] == ["5"]
    assert read.status is not None
    assert (read.status.code, read.status.reason) == (410, "Expired")


def test_a_batch_keeps_its_number_until_it_is_acknowledged() -> None:
    session = Session("s", "n", "3", "c", "u")
    items = read_lines(PODS, [line("ADDED", 5), line("ADDED", 6, "db")], 1.0).items
    first = session.batch(items)
    assert session.batch(items) == first
    assert (first.seq, first.from_rv, session.rv) == (0, "3", "3")
    session.acknowledged(first)
    assert session.rv == "6"
    assert session.batch(()).seq == 1


def test_an_empty_batch_moves_the_number_and_not_the_place() -> None:
    session = Session("s", "n", "3", "c", "u")
    session.acknowledged(session.batch(()))
    assert (session.batch(()).seq, session.rv) == (1, "3")


def test_batches_hold_at_most_a_hundred() -> None:
    items = read_lines(PODS, [line("MODIFIED", rv) for rv in range(1, 252)], 1.0).items
    runs = list(split(items))
    assert [len(run) for run in runs] == [BATCH, BATCH, 51]
    assert [item for run in runs for item in run] == items


def test_a_batch_of_large_objects_can_be_read_by_the_aggregator_and_one_larger_than_all_goes_alone() -> None:
    items = [item._replace(body=b"x" * 1_500_000) for item in read_lines(PODS, [line("ADDED", 5)], 1.0).items * 100]
    items[50] = items[50]._replace(body=b"x" * 3_000_000)
    session, runs = Session("s", "n", "3", "c", "u"), list(split(items))
    assert [item for run in runs for item in run] == items
    for run in runs:
        unpack(pack(session.batch(run)))
    assert max(sum(len(item.body) for item in run) for run in runs) <= BATCH_BYTES
