"""Where a watch begins, and what it is told when its server knows less, or other things, than its client."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from krm.model.head import Head
from krm.model.kinds import Kind, Resource
from krm.model.messages import MODIFIED
from krm.model.records import Change, ChangeEntry, Envelope, object_digest, pack_envelope
from krm.server import options
from krm.server.lists import Forms
from krm.server.negotiation import JSON, Form
from krm.server.replica import Replica
from krm.server.tables import Tabulator
from krm.server.watches import Lines, Plan, Watch
from krm.server.writing import Writer
from krm.store.read import SnapshotData, Token

PODS = Resource(Kind("pods", ""), "v1", "Pod", True)


def pod(rv: int) -> Envelope:
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","resourceVersion":"%d"}}' % rv
    return Envelope(str(rv), "uid", object_digest(body), 1.0, b"", (), body)


def replica_at(rv: int) -> Replica:
    replica = Replica("pods")
    replica.load(SnapshotData(Token("n", 1), Head(incarnation="n", version=1, rv=str(rv)), 10.0, {"a/x": pod(rv)}))
    return replica


def happens(replica: Replica, rv: int) -> None:
    change = Change(MODIFIED, "a/x", pack_envelope(pod(rv)), "", "", b"", ())
    replica.apply(replica.token.version + 1, ChangeEntry(1.0, str(rv), False, 0.0, (change,)))


def watch(replica: Replica, query: Dict[str, str]) -> Watch:
    plan = Plan("", options.parse("pods", query, True), Form(JSON))
    lines = Lines(replica, Forms(Writer(PODS), Tabulator("pods", None)))
    made = Watch(replica, lines, plan, 100.0, lambda: 0.0, lambda: True)
    made.start(0.0)
    return made


def told(one: Watch) -> List[Any]:
    """(type, resourceVersion or code) of all that is due now."""
    found = []
    while True:
        burst = one.next(0.0)
        for line in (burst or b"").splitlines():
            event = json.loads(line)
            found.append(
                (event["type"], event["object"].get("code") or event["object"]["metadata"]["resourceVersion"])
            )
        if burst is None or not one.behind:
            return found


def test_a_client_that_has_seen_more_is_told_only_what_is_newer() -> None:
    replica = replica_at(10)
    one = watch(replica, {"resourceVersion": "13"})
    happens(replica, 12)
    assert told(one) == []
    happens(replica, 13)
    assert told(one) == []
    happens(replica, 14)
    assert told(one) == [("MODIFIED", "14")]


def test_a_step_over_what_the_client_has_seen_is_told_from_there_on() -> None:
    replica = replica_at(10)
    one = watch(replica, {"resourceVersion": "13"})
    for rv in (12, 13, 14, 15):
        happens(replica, rv)
    assert told(one) == [("MODIFIED", "14"), ("MODIFIED", "15")]


def test_a_watch_from_a_repair_s_version_is_told_the_repair_and_then_where_it_stands() -> None:
    """Its client may have read before the repair; and it could not watch again from the repaired object's."""
    replica = replica_at(10)
    change = Change(MODIFIED, "a/x", pack_envelope(pod(7)), "", "", b"", ())
    replica.apply(2, ChangeEntry(1.0, "10", True, 0.0, (change,)))
    one = watch(replica, {"resourceVersion": "10", "allowWatchBookmarks": "true"})
    assert told(one) == [("MODIFIED", "7")]
    assert (one.wait(), told(one)) == (0.0, [("BOOKMARK", "10")])
    assert told(watch(replica, {"resourceVersion": "10"})) == [("MODIFIED", "7")]
    happens(replica, 11)
    assert told(one) == [("MODIFIED", "11")]


def test_what_is_no_longer_kept_is_410() -> None:
    assert told(watch(replica_at(10), {"resourceVersion": "9"})) == [("ERROR", 410)]


def test_a_snapshot_read_anew_ends_watches_with_410() -> None:
    replica = replica_at(10)
    one = watch(replica, {"resourceVersion": "10"})
    replica.adopt(replica_at(20))
    assert told(one) == [("ERROR", 410)]
    later = watch(replica, {"resourceVersion": "20"})
    happens(replica, 21)
    assert told(later) == [("MODIFIED", "21")]


def test_lines_of_the_snapshot_before_are_never_sent_for_the_new_one() -> None:
    """Lines are kept by their positions in the log: these go on where the former log ended."""
    replica = replica_at(10)
    plan = Plan("", options.parse("pods", {}, True), Form(JSON))
    lines = Lines(replica, Forms(Writer(PODS), Tabulator("pods", None)))
    begin = replica.end
    happens(replica, 11)
    before = lines.chunk(plan, begin, 0.0, False)
    made = replica_at(20)
    happens(made, 21)
    replica.adopt(made)
    place = replica.position(20)
    assert place is not None
    after = lines.chunk(plan, place, 0.0, False)
    assert before is not None
    assert after is not None
    assert b'"21"' in after.lines
    assert after.lines != before.lines


def test_watchers_at_one_place_share_what_they_are_sent_and_what_came_later_is_in_it() -> None:
    replica = replica_at(10)
    plan = Plan("", options.parse("pods", {}, True), Form(JSON))
    lines = Lines(replica, Forms(Writer(PODS), Tabulator("pods", None)))
    begin = replica.end
    happens(replica, 11)
    first, second = lines.chunk(plan, begin, 0.0, False), lines.chunk(plan, begin, 0.0, False)
    happens(replica, 12)
    later = lines.chunk(plan, begin, 0.0, False)
    elsewhere = lines.chunk(plan._replace(namespace="elsewhere"), begin, 0.0, False)
    assert first is not None
    assert first is second
    assert first.told == 1
    assert later is not None
    assert later.told == 2
    assert elsewhere is not None
    assert elsewhere.lines == b""
