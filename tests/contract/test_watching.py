"""What a WATCH sends and when: judged on the simulator and on a real API server alike."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Tuple

import pytest
from contract.api import PARTIAL, Api

INITIAL_END = {"k8s.io/initial-events-end": "true"}
FAR = 1 << 40


def told(lines: List[Dict[str, Any]]) -> List[Tuple[str, str]]:
    """(type, name) of each event."""
    return [(line["type"], line["object"]["metadata"].get("name", "")) for line in lines]


def version_of(line: Dict[str, Any]) -> int:
    return int(line["object"]["metadata"]["resourceVersion"])


def test_a_watch_sends_strictly_later_events_in_order(api: Api) -> None:
    start = api.put_map("a")["metadata"]["resourceVersion"]
    api.put_map("b")
    api.label("a", seen="yes")
    api.remove("b")
    lines = api.watch(api.maps, start).lines
    assert told(lines) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [version_of(line) for line in lines]
    assert versions == sorted(set(versions))
    assert versions[0] > int(start)


def test_events_carry_whole_objects_with_their_type(api: Api) -> None:
    start = api.put_map("a")["metadata"]["resourceVersion"]
    api.label("a", seen="yes")
    body = api.watch(api.maps, start).body
    assert body.startswith(b'{"type":"MODIFIED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"')
    assert body.endswith(b"}}\n")
    inner = body[len(b'{"type":"MODIFIED","object":') : -2]
    assert inner + b"\n" == api.get(api.maps + "/a").body, "byte for byte what GET shows"


def test_deleted_carries_the_last_object_at_the_version_of_the_delete(api: Api) -> None:
    created = api.put_map("a", tier="web")
    api.remove("a")
    after = api.get(api.maps).version
    lines = api.watch(api.maps, created["metadata"]["resourceVersion"]).lines
    assert told(lines) == [("DELETED", "a")]
    gone = lines[0]["object"]
    assert int(created["metadata"]["resourceVersion"]) < version_of(lines[0]) <= int(after)
    gone["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"]
    assert gone == created


def test_recreated_under_the_same_name_it_has_another_uid(api: Api) -> None:
    first = api.put_map("a")["metadata"]
    api.remove("a")
    second = api.put_map("a")["metadata"]
    assert first["uid"] != second["uid"]
    lines = api.watch(api.maps, first["resourceVersion"]).lines
    assert [(kind, line["object"]["metadata"]["uid"]) for (kind, _), line in zip(told(lines), lines)] == [
        ("DELETED", first["uid"]),
        ("ADDED", second["uid"]),
    ]


@pytest.mark.parametrize("version", [None, "0"])
def test_without_a_version_a_watch_begins_with_synthetic_events(api: Api, version: str) -> None:
    api.put_map("b")
    latest = api.put_map("a")["metadata"]["resourceVersion"]
    api.get(api.maps, resourceVersion=latest, resourceVersionMatch="NotOlderThan")  # the cache knows both
    lines = api.watch(api.maps, version).lines
    assert sorted(told(lines)) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_from_nothing_marks_the_end_of_its_beginning_when_it_takes_bookmarks(api: Api) -> None:
    """Since 1.34, even without sendInitialEvents."""
    api.since(34)
    api.put_map("a")
    lines = api.watch(api.maps, None, allowWatchBookmarks="true").lines
    assert told(lines)[:2] == [("ADDED", "a"), ("BOOKMARK", "")]
    assert lines[1]["object"]["metadata"]["annotations"] == INITIAL_END


def test_initial_events_end_with_a_marked_bookmark(api: Api) -> None:
    api.since(34)
    api.put_map("b")
    latest = api.put_map("a")["metadata"]["resourceVersion"]
    lines = api.watch(
        api.maps, None, sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true"
    ).lines
    assert sorted(told(lines)[:2]) == [("ADDED", "a"), ("ADDED", "b")]
    end = lines[2]
    assert end["type"] == "BOOKMARK"
    assert list(end["object"]) == ["kind", "apiVersion", "metadata"]
    assert end["object"]["metadata"]["annotations"] == INITIAL_END
    assert version_of(end) >= int(latest)


def test_no_initial_events_begins_now(api: Api) -> None:
    api.since(34)
    api.put_map("a")
    lines = api.watch(api.maps, None, sendInitialEvents="false", resourceVersionMatch="NotOlderThan").lines
    assert lines == []


def test_initial_events_from_a_version_ahead_end_in_the_stream(api: Api) -> None:
    api.since(34)
    reply = api.watch(
        api.maps,
        str(FAR),
        8,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
    )
    assert reply.status == 200
    assert [line["type"] for line in reply.lines] == ["ERROR"]
    status = reply.lines[0]["object"]
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


def test_a_watch_at_a_version_ahead_is_silent(api: Api) -> None:
    """The trap of k/k#107457: no error, and what happens below that version is never sent, not even a bookmark."""
    api.put_map("a")
    reply = api.watch(api.maps, str(FAR), 3, allowWatchBookmarks="true")
    assert (reply.status, reply.lines) == (200, [])


def test_a_bookmark_comes_before_the_deadline(api: Api) -> None:
    """The real server sends one only where its cache of the kind moved on since the watch began."""
    start = api.put_map("a")["metadata"]["resourceVersion"]
    with ThreadPoolExecutor(1) as pool:
        watch = pool.submit(api.watch, api.maps, start, 5, allowWatchBookmarks="true")
        time.sleep(1)  # into the watch; its bookmark is due three seconds after its start
        latest = api.put_map("b")["metadata"]["resourceVersion"]
        lines = watch.result().lines
    assert told(lines)[0] == ("ADDED", "b")
    marks = [line for line in lines if line["type"] == "BOOKMARK"]
    assert marks
    assert all(version_of(mark) >= int(latest) for mark in marks)
    # Before 1.34 with `"creationTimestamp":null` beside it.
    assert all(set(mark["object"]["metadata"]) - {"creationTimestamp"} == {"resourceVersion"} for mark in marks)


def test_no_bookmark_where_none_was_asked_for(api: Api) -> None:
    start = api.get(api.maps).version
    api.put_map("a")
    assert told(api.watch(api.maps, start, 3).lines) == [("ADDED", "a")]


def test_what_leaves_a_selector_is_deleted_and_what_enters_is_added(api: Api) -> None:
    start = api.put_map("a", tier="web")["metadata"]["resourceVersion"]
    left = api.label("a", tier="data")["metadata"]["resourceVersion"]
    api.label("a", tier="data", rank="1")
    api.label("a", tier="web")
    lines = api.watch(api.maps, start, labelSelector="tier=web").lines
    assert told(lines) == [("DELETED", "a"), ("ADDED", "a")]
    gone = lines[0]["object"]["metadata"]
    assert (gone["labels"], gone["resourceVersion"]) == ({"tier": "web"}, left), "the old object at the new version"


def test_a_watch_of_one_by_name(api: Api) -> None:
    start = api.put_map("a")["metadata"]["resourceVersion"]
    api.put_map("b")
    api.label("a", seen="yes")
    assert told(api.watch(api.maps, start, fieldSelector="metadata.name=a").lines) == [("MODIFIED", "a")]


def test_metadata_alone(api: Api) -> None:
    start = api.get(api.maps).version
    api.put_map("a")
    reply = api.get(api.maps, PARTIAL, watch="1", resourceVersion=start, timeoutSeconds=1)
    assert list(reply.lines[0]["object"]) == ["kind", "apiVersion", "metadata"]
    assert reply.lines[0]["object"]["kind"] == "PartialObjectMetadata"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        (
            {"resourceVersion": "abc"},
            500,
            'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax',
        ),
        (
            {"sendInitialEvents": "true"},
            422,
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"},
            422,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
        (
            {"sendInitialEvents": "true", "resourceVersionMatch": "Exact", "resourceVersion": "1"},
            422,
            'Unsupported value: "Exact": supported values: "NotOlderThan"]',
        ),
    ],
)
def test_refusals(api: Api, query: Dict[str, str], code: int, message: str) -> None:
    if "sendInitialEvents" in query:
        api.since(34)
    reply = api.get(api.maps, watch="true", timeoutSeconds=1, **query)
    status = api.status_of(reply)
    assert reply.status == code
    assert status["message"].endswith(message)


def test_a_pod_on_a_node_goes_in_three_steps(api: Api) -> None:
    """Marked with its grace; the grace cut to nothing; gone. generation counts the mark."""
    pods = "/api/v1/namespaces/%s/pods" % api.namespace
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 5}
    made = api.ask("POST", pods, {"metadata": {"name": "p"}, "spec": spec})
    assert made.status == 201, made.body
    api.ask("DELETE", pods + "/p")
    api.ask("DELETE", pods + "/p", gracePeriodSeconds=0)
    lines = api.watch(pods, made.version).lines
    assert told(lines) == [("MODIFIED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]
    graces = [line["object"]["metadata"]["deletionGracePeriodSeconds"] for line in lines]
    assert graces == [5, 0, 0]
