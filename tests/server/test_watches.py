"""Watches: what a selection shows of an event, when bookmarks come, and how a lost place is told."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Tuple

import pytest
from krm.model.messages import ADDED, DELETED, MODIFIED
from krm.model.records import Envelope
from krm.server.negotiation import PLAIN, TABLE, Form
from krm.server.options import parse
from krm.server.replica import Event, Replica
from krm.server.watches import BOOKMARK_EVERY, Lines, Plan, Watch, transition
from server.replicas import change, forms, head, loaded, pod


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def watching(
    replica: Replica,
    namespace: str = "",
    form: Form = PLAIN,
    clock: Optional[Clock] = None,
    live: bool = True,
    life: float = 1e6,
    **query: str,
) -> Watch:
    plan = Plan(namespace, parse("pods", query, True), form)
    made = Watch(replica, Lines(replica, forms()), plan, life, clock or Clock(), lambda: live)
    made.start(0.0)
    return made


def sent(watch: Watch) -> List[Dict[str, Any]]:
    """All that it sends until nothing is left or it is over."""
    found = b""
    while True:
        burst = watch.next(0.0)
        found += burst or b""
        if not burst and not (burst is not None and watch.behind):
            return [json.loads(line) for line in found.splitlines()]


def shown(watch: Watch) -> List[Tuple[str, str, str]]:
    """(type as the stream of changes has it, name, resourceVersion)."""
    meta = [(one["type"][0], one["object"]["metadata"]) for one in sent(watch)]
    return [(type_, one.get("name", ""), one["resourceVersion"]) for type_, one in meta]


IN, OUT = "a=1", "a=2"
# (type, labels before or None, labels now) -> what a watch of a=1 shows
TRANSITIONS: List[Tuple[str, Optional[str], str, Optional[Tuple[str, str]]]] = [
    (ADDED, None, IN, (ADDED, IN)),
    (ADDED, None, OUT, None),
    (MODIFIED, IN, IN, (MODIFIED, IN)),
    (MODIFIED, OUT, IN, (ADDED, IN)),
    (MODIFIED, IN, OUT, (DELETED, IN)),  # as it was before, at the new version
    (MODIFIED, OUT, OUT, None),
    (DELETED, IN, IN, (DELETED, IN)),
    (DELETED, OUT, OUT, None),
]


@pytest.mark.parametrize(("type_", "before", "now", "want"), TRANSITIONS)
def test_what_a_selection_sees_of_an_event(
    type_: str, before: Optional[str], now: str, want: Optional[Tuple[str, str]]
) -> None:
    options = parse("pods", {"labelSelector": "a=1"}, True)
    event = Event(9, type_, "n/x", pod("n/x", 9, now), None if before is None else pod("n/x", 5, before))
    seen = transition(event, options)
    assert (seen is None) == (want is None)
    if seen is not None and want is not None:
        found: Envelope = seen[1]
        told = json.loads(found.body)["metadata"]
        assert (seen[0], told["labels"], told["resourceVersion"]) == (want[0], {"a": want[1][-1]}, "9")


def test_a_selection_by_field_is_left_and_entered_too() -> None:
    replica = loaded(pod("n/x", 5, phase="Pending"))
    watch = watching(replica, resourceVersion="100", fieldSelector="status.phase=Running")
    change(replica, (MODIFIED, pod("n/x", 101, phase="Running")))
    change(replica, (MODIFIED, pod("n/x", 102, phase="Failed")))
    assert shown(watch) == [(ADDED, "x", "101"), (DELETED, "x", "102")]


def test_a_watch_shows_each_later_event_once_and_in_order() -> None:
    replica = loaded(pod("n/x", 5))
    change(replica, (MODIFIED, pod("n/x", 101)))
    watch = watching(replica, "n", resourceVersion="100")
    change(replica, (ADDED, pod("n/y", 102)), (ADDED, pod("m/z", 103)))
    change(replica, (DELETED, pod("n/x", 104)))
    assert shown(watch) == [(MODIFIED, "x", "101"), (ADDED, "y", "102"), (DELETED, "x", "104")]
    assert shown(watch) == []


def test_without_a_version_all_that_there_is_comes_first_in_the_order_of_lists() -> None:
    replica = loaded(pod("n/b", 7), pod("n/a", 9), pod("m/z", 3))
    watch = watching(replica)
    change(replica, (MODIFIED, pod("n/a", 101)))
    assert shown(watch) == [(ADDED, "z", "3"), (ADDED, "a", "9"), (ADDED, "b", "7"), (MODIFIED, "a", "101")]


@pytest.mark.parametrize(
    "query",
    [{"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}, {}, {"resourceVersion": "0"}],
)
def test_the_end_of_the_beginning_is_marked_for_who_takes_bookmarks(query: Dict[str, str]) -> None:
    replica = loaded(pod("n/x", 5))
    (_, mark) = sent(watching(replica, allowWatchBookmarks="true", **query))
    assert mark["object"] == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "100", "annotations": {"k8s.io/initial-events-end": "true"}},
    }
    assert [one["type"] for one in sent(watching(replica, **query))] == ["ADDED"]


def test_no_initial_events_begins_now() -> None:
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    replica = loaded(pod("n/x", 5))
    watch = watching(replica, **query)
    assert sent(watch) == []
    change(replica, (MODIFIED, pod("n/x", 101)))
    assert shown(watch) == [(MODIFIED, "x", "101")]


def test_bookmarks_come_each_minute_and_before_the_end() -> None:
    clock, replica = Clock(), loaded(pod("n/x", 5))
    watch = watching(replica, clock=clock, life=90.0, resourceVersion="100", allowWatchBookmarks="true")
    times = []
    while watch.next(0.0) is not None:
        clock.now += watch.wait()
        if watch.next(0.0):
            times.append(clock.now)
    assert times == [BOOKMARK_EVERY, 88.0]


def test_who_asked_for_no_bookmarks_gets_none() -> None:
    clock, replica = Clock(), loaded(pod("n/x", 5))
    watch = watching(replica, clock=clock, life=90.0, resourceVersion="100")
    assert watch.wait() == 90.0
    clock.now = 89.9
    assert watch.next(0.0) == b""
    clock.now = 90.0
    assert watch.next(0.0) is None


def test_a_replica_that_is_not_live_sends_no_bookmark() -> None:
    clock, replica = Clock(), loaded(pod("n/x", 5))
    watch = watching(replica, clock=clock, live=False, resourceVersion="100", allowWatchBookmarks="true")
    clock.now = BOOKMARK_EVERY + 1
    assert watch.next(0.0) == b""


def gone(lines: List[Dict[str, Any]]) -> bool:
    """Whether the last is a 410 of the API server's words."""
    last = lines[-1]
    status = last["object"]
    return (last["type"], status["code"], status["reason"]) == ("ERROR", 410, "Expired") and status[
        "message"
    ].startswith("too old resource version: ")


def test_a_version_before_the_log_is_410_in_the_stream() -> None:
    watch = watching(loaded(pod("n/x", 5)), resourceVersion="7")
    lines = sent(watch)
    assert gone(lines)
    assert len(lines) == 1
    assert watch.next(0.0) is None


def test_a_watcher_that_falls_out_of_the_log_is_told_410(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("krm.server.replica.LOG_LEAST", 1000)
    replica = loaded(pod("n/x", 5))
    watch = watching(replica, resourceVersion="100")
    for rv in range(101, 200):
        change(replica, (MODIFIED, pod("n/x", rv)))
    lines = sent(watch)
    assert (gone(lines), len(lines)) == (True, 1)
    assert watch.next(0.0) is None


@pytest.mark.parametrize("why", ["repaired", "rebuilt"])
def test_a_new_epoch_ends_open_watches_with_410(why: str) -> None:
    replica = loaded(pod("n/x", 5))
    watch = watching(replica, resourceVersion="100")
    if why == "repaired":
        change(replica, (ADDED, pod("n/y", 101)), repair=True)
    else:
        other = loaded(pod("n/z", 5), rv=200)
        other.told(head(200))
        replica.adopt(other)
    assert gone(sent(watch))
    assert watch.next(0.0) is None


def test_a_table_names_its_columns_in_the_first_event_alone() -> None:
    replica = loaded(pod("n/x", 5), pod("n/y", 6))
    watch = watching(replica, form=Form(TABLE, "v1"))
    change(replica, (MODIFIED, pod("n/x", 101)))
    tables = [one["object"] for one in sent(watch)]
    assert [bool(one["columnDefinitions"]) for one in tables] == [True, False, False]
    assert [one["rows"][0]["cells"][0] for one in tables] == ["x", "y", "x"]


@pytest.mark.parametrize("query", [{"resourceVersion": "100"}, {"resourceVersion": "0", "labelSelector": "a=1"}])
def test_a_table_that_begins_with_a_change_names_its_columns_too(query: Dict[str, str]) -> None:
    """`kubectl get --watch-only --output-watch-events` has no other place to learn them from."""
    replica = loaded(pod("n/x", 5))
    watch = watching(replica, form=Form(TABLE, "v1"), **query)
    assert sent(watch) == []
    change(replica, (MODIFIED, pod("n/x", 101, "a=1")), (MODIFIED, pod("n/x", 102, "a=1")))
    change(replica, (MODIFIED, pod("n/x", 103, "a=1")))
    assert [bool(one["object"]["columnDefinitions"]) for one in sent(watch)] == [True, False, False]


def test_a_bookmark_of_a_table_is_a_table_with_its_mark_in_a_row() -> None:
    query = {"allowWatchBookmarks": "true", "labelSelector": "a=1"}
    (mark,) = sent(watching(loaded(pod("n/x", 5)), form=Form(TABLE, "v1"), **query))
    (row,) = mark["object"]["rows"]
    assert (mark["type"], mark["object"]["metadata"]) == ("BOOKMARK", {"resourceVersion": "100"})
    assert len(row["cells"]) == len(mark["object"]["columnDefinitions"])
    assert row["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
