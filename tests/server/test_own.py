"""/krm/v1/ over a real Redis: who learns what, what each state answers, changes once and in order."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from kept_cluster import KeptCluster, KeptKind, pod, wait_until
from krm.client import wire
from krm.client.client import connect
from krm.server import own, past, replica
from krm.server.tokenfile import TokenFile
from served_cluster import Got, Served, quick

ALL, ONE, NONE = "all-0123456789abcdef", "one-0123456789abcdef", "none-0123456789abcdef"


class World:
    """A server with three users over kept pods."""

    def __init__(self, kept: KeptCluster, served: Served, rights: Path) -> None:
        self.kept, self.served, self.rights = kept, served, rights

    def get(self, path: str, token: str = ALL, **headers: str) -> Got:
        return self.served.get(self.kept, path, token, **headers)

    def events(self, path: str, token: str = ALL, **headers: str) -> Events:
        return Events(self.served.port.number, path, token, headers)


class Events:
    """An open stream of server-sent events."""

    def __init__(self, port: int, path: str, token: str, headers: Dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        accept = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream", **headers}
        self._connection.request("GET", path, headers=accept)
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200
        assert self._answer.getheader("Content-Type") == "text/event-stream"

    def __iter__(self) -> Iterator[Tuple[str, str, Any]]:
        """(event, id, data)."""
        event, place = "", ""
        for raw in self._answer:
            name, _, text = raw.decode().rstrip("\n").partition(": ")
            if name == "event":
                event = text
            elif name == "id":
                place = text
            elif name == "data":
                yield event, place, json.loads(text)

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def world(kept: KeptCluster, tmp_path: Path, monkeypatch: Any) -> Iterator[World]:
    quick(monkeypatch)
    rights = tmp_path / "rights.csv"
    rights.write_text(f"{ALL},admin,1,,*/*\n{ONE},tenant,2,,a/*\n{NONE},nobody,3\n")
    rights.chmod(0o600)
    with Served(kept.url, [kept.name], {kept.name: TokenFile(str(rights))}) as served:
        yield World(kept, served, rights)


def pods_of(kept: KeptCluster, others: int) -> KeptKind:
    return kept.kind("pods", {"a/x": pod(app="web"), **{f"b/y{n}": pod() for n in range(others)}})


TENANTS = [
    "/krm/v1/kinds",
    "/krm/v1/status",
    "/krm/v1/status?namespace=a",
    "/krm/v1/drift",
    "/krm/v1/snapshots/pods?namespace=a",
    "/krm/v1/snapshots/pods?namespace=a&cells=true",
    "/krm/v1/snapshots/pods?namespace=a&verified=true",
    "/krm/v1/snapshots/pods?namespace=a&at=1",
    "/krm/v1/objects/pods?namespace=a&name=x",
    "/krm/v1/objects/pods?namespace=a&name=none",
    "/krm/v1/changes/pods?namespace=a&since=1",
    "/krm/v1/diffs/pods?namespace=a&a=1",
    "/krm/v1/columns/pods?namespace=a",
]


def shape(value: Any) -> Any:
    """An answer without what differs between two runs: versions, tokens, times, names of incarnations."""
    if isinstance(value, dict):
        counted = ("rv", "version", "watch_from", "token", "oldest")
        kept = {key: one for key, one in value.items() if not any(word in key.lower() for word in counted)}
        return {key: shape(one) for key, one in kept.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return "" if isinstance(value, float) or (isinstance(value, str) and len(value) > 30) else value


@pytest.mark.parametrize("path", TENANTS)
def test_what_a_tenant_is_told_does_not_depend_on_what_others_have(world: World, path: str) -> None:
    """Counts, keys, drift and bad objects of other namespaces are none of its business."""
    told: List[Any] = []
    for others in (1, 7):
        world.kept.kinds.clear()
        pods = pods_of(world.kept, others)
        before = world.get("/krm/v1/snapshots/pods").first()["token"]
        pods.publish(("a/x", pod(node="n2", app="web")), ("b/y0", None))
        bad = [["BadJson: b/secret", 3, "00", "b/secret", "5", 1.0]] * (others - 1)
        pods.head(drift={"ghost": others}, bad=bad, truncated=None)
        got = world.get(path.replace("=1", f"={before}"), ONE)
        assert got.status == 200, got.body
        assert b"b/" not in got.body
        assert b'"drift":{' not in got.body  # empty would read as nothing lost
        told.append([shape(json.loads(line)) for line in got.body.splitlines()])
    assert told[0] == told[1]
    pods.head(truncated=123456)
    assert b"123456" not in world.get(path.replace("=1", f"={before}") + "&stale_ok=true", ONE).body


@pytest.mark.parametrize(
    "path",
    [
        "status?kind=pods",
        "snapshots/pods",
        "snapshots/pods?namespace=b",
        "snapshots/pods?at=1",
        "objects/pods?namespace=b&name=y0",
        "objects/pods?namespace=b&name=none",
        "changes/pods?since=1",
        "changes/pods?namespace=b",
        "versions/pods",
        "diffs/pods?a=1",
        "snapshots/services",
        "columns/pods",
        "columns/pods?namespace=b",
    ],
)
def test_what_may_not_be_listed_is_403_whether_it_exists_or_not(world: World, path: str) -> None:
    pods_of(world.kept, 1)
    got = world.get(f"/krm/v1/{path}", ONE)
    assert (got.status, got.json()["reason"]) == (403, "Forbidden")
    assert world.get(f"/krm/v1/{path}", "wrong-0123456789abcdef").status == 401


def test_a_user_without_rights_sees_no_kind_but_its_name(world: World) -> None:
    pods_of(world.kept, 1)
    assert world.get("/krm/v1/status", NONE).json()["kinds"] == []
    assert world.get("/krm/v1/drift", NONE).json()["kinds"] == []
    assert world.get("/krm/v1/drift", ONE).json()["kinds"] == []
    got = world.get("/krm/v1/clusters", NONE).json()
    assert got == {"clusters": [{"name": "paper"}], "unknown": False, "default": "paper"}
    assert world.get("/krm/v1/drift").json()["kinds"][0]["drift"] == {}


@pytest.mark.parametrize(
    ("head", "code", "reason"),
    [
        ({"list_error": "Forbidden"}, 503, "Forbidden"),
        ({"truncated": 123456}, 503, "Truncated"),
        ({"list_error": "NotFound", "unserved": True}, 404, "Absent"),
        ({"beat": 1.0}, 503, "Stale"),
    ],
)
def test_a_state_is_an_error_of_the_clients_name_unless_stale_ok(
    world: World, head: Dict[str, Any], code: int, reason: str
) -> None:
    pods = pods_of(world.kept, 1)
    pods.stalled = "beat" in head
    pods.head(**head)
    for path in ("snapshots/pods?", "objects/pods?namespace=a&name=x&", "changes/pods?since=1&", "diffs/pods?a=1&"):
        got = world.get(f"/krm/v1/{path}")
        assert (got.status, got.json()["reason"]) == (code, reason), path
        assert got.json()["details"]["trust"]["state"] == reason.lower()
        answer = world.get(f"/krm/v1/{path}stale_ok=true")
        assert answer.status == 200, path
        assert answer.first()["trust"]["state"] == reason.lower()


def test_nothing_listed_yet_is_warming_whatever_is_said(world: World) -> None:
    KeptKind(world.kept.database, world.kept.name, "pods")
    world.get("/krm/v1/kinds")
    for path in ("snapshots/pods", "snapshots/pods?stale_ok=true", "changes/pods?stale_ok=true"):
        wait_until(lambda path=path: world.get(f"/krm/v1/{path}").json()["reason"] == "Warming")


def test_whoever_holds_an_answer_of_before_is_told_reset(world: World) -> None:
    pods = pods_of(world.kept, 1)
    held = world.get("/krm/v1/snapshots/pods").first()["token"]
    assert world.get(f"/krm/v1/snapshots/pods?held={held}").status == 200
    pods.begin({"a/x": pod()})
    got = world.get(f"/krm/v1/snapshots/pods?held={held}")
    assert (got.status, got.json()["reason"]) == (409, "Reset")
    assert world.get(f"/krm/v1/changes/pods?since={held}").json()["reason"] == "Expired"


def test_an_answer_is_never_from_before_the_one_that_the_caller_holds(world: World, monkeypatch: Any) -> None:
    """Two servers behind one address: the slower one waits until it has come as far."""
    pods = pods_of(world.kept, 1)
    token = world.get("/krm/v1/snapshots/pods").first()["token"]
    incarnation, _, version = token.rpartition(":")
    answers: List[Got] = []
    for number, path in enumerate(("snapshots/pods?", "objects/pods?namespace=a&name=x&"), int(version) + 1):
        path = f"/krm/v1/{path}held={incarnation}:{number}"
        waiting = threading.Thread(target=lambda path=path: answers.append(world.get(path)))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        pods.publish(("a/x", pod(node="n9")))
        waiting.join(20)
        assert answers.pop().first()["token"] == f"{incarnation}:{number}"
    monkeypatch.setattr(own, "FRESH_WITHIN", 0.2)
    got = world.get(f"/krm/v1/snapshots/pods?held={incarnation}:99")
    assert (got.status, got.json()["reason"]) == (409, "Reset")


def test_an_object_travels_as_its_canonical_bytes(world: World) -> None:
    pods = pods_of(world.kept, 1)
    answer = wire.read(world.get("/krm/v1/snapshots/pods?labelSelector=app%3Dweb").body)
    assert [line[0]["key"] for line in answer.lines] == ["a/x"]
    beside, body = answer.lines[0]
    held = pods.objects["a/x"]
    assert (body, beside["digest"], beside["rv"], beside["uid"]) == (
        held.body,
        held.digest.hex(),
        held.rv,
        held.uid,
    )
    assert beside["labels"] == {"app": "web"}
    assert beside["verified"] is True
    gzipped = world.get("/krm/v1/snapshots/pods", **{"Accept-Encoding": "gzip"})
    assert gzipped.status == 200


def test_a_long_poll_answers_when_something_comes(world: World) -> None:
    pods = pods_of(world.kept, 1)
    token = world.get("/krm/v1/snapshots/pods").first()["token"]
    answers: List[Got] = []
    path = f"/krm/v1/changes/pods?since={token}&wait=20&namespace=a"
    waiting = threading.Thread(target=lambda: answers.append(world.get(path)))
    begun = time.monotonic()
    waiting.start()
    pods.publish(("b/other", pod()))  # not what is waited for
    pods.publish(("a/x", None))
    waiting.join(20)
    assert time.monotonic() - begun < 10
    answer = wire.read(answers[0].body)
    assert [(line[0]["type"], line[0]["key"]) for line in answer.lines] == [("DELETED", "a/x")]
    assert answer.facts["caught_up"] is True
    assert world.get(f"/krm/v1/changes/pods?since={answer.facts['token']}").first()["lines"] == 0


def test_changes_that_memory_has_lost_come_from_redis_the_same(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(replica, "LOG_LEAST", 1)
    pods = pods_of(world.kept, 1)
    start = world.get("/krm/v1/snapshots/pods").first()["token"]
    for number in range(250):
        pods.publish((f"a/p{number % 7}", pod(node=f"n{number}")), ("b/z", pod()))
    with connect(world.kept.url) as client:
        wanted = [(one.type, one.object.key, one.token) for one in client.changes("pods", start)]
    found: List[Tuple[str, str, str]] = []
    place, caught_up = start, False
    while not caught_up:
        answer = wire.read(world.get(f"/krm/v1/changes/pods?since={place.replace('+', '%2B')}").body)
        found += [(one["type"], one["key"], one["token"]) for one, _ in answer.lines]
        place, caught_up = answer.facts["token"], answer.facts["caught_up"]
    assert found == wanted
    assert len(found) == 500


def test_server_sent_events_resume_at_the_last_id_and_repeat_nothing(world: World) -> None:
    pods = pods_of(world.kept, 1)
    start = world.get("/krm/v1/snapshots/pods").first()["token"]
    for number in range(5):
        pods.publish((f"a/p{number}", pod()), (f"a/q{number}", pod()))
    seen: List[str] = []
    last = start
    for take in (3, 4, 3):  # three connections, two of them cut within a version
        events = world.events("/krm/v1/changes/pods", **{"Last-Event-ID": last})
        rows = iter(events)
        assert next(rows)[0] == "trust"  # what changes are worth is told before them
        for event, place, data in rows:
            if event == "ADDED":
                seen.append(data["key"])
                last = place
                take -= 1
                if not take:
                    break
            elif event == "trust":
                assert data["trust"]["state"] == "live"
        events.close()
    assert seen == [f"a/{letter}{number}" for number in range(5) for letter in "pq"]


def test_a_stream_of_events_ends_with_the_state_of_its_kind(world: World) -> None:
    pods = pods_of(world.kept, 1)
    world.get("/krm/v1/kinds")
    events = iter(world.events("/krm/v1/changes/pods"))
    assert next(events)[0] == "trust"
    pods.stall()
    ended = [(event, data) for event, _, data in events]
    assert ended[-1][0] == "error"
    assert ended[-1][1]["reason"] == "Stale"


def test_a_stream_of_events_ends_within_ten_seconds_of_its_right(world: World) -> None:
    pods_of(world.kept, 1)
    world.get("/krm/v1/kinds")
    events = iter(world.events("/krm/v1/changes/pods?namespace=a", ONE))
    assert next(events)[0] == "trust"
    world.rights.write_text(f"{ALL},admin,1,,*/*\n{ONE},tenant,2,,b/*\n")
    begun = time.monotonic()
    last = [(event, data) for event, _, data in events][-1]
    assert time.monotonic() - begun < 10
    assert (last[0], last[1]["code"]) == ("error", 403)


def test_reads_of_the_past_are_bounded_in_number_and_time(world: World, monkeypatch: Any) -> None:
    pods_of(world.kept, 1)
    monkeypatch.setattr(past, "WITHIN", 0.0)
    got = world.get("/krm/v1/snapshots/pods?at=1")
    assert (got.status, got.json()["reason"]) == (504, "Timeout")
    monkeypatch.setattr(past, "WITHIN", 20.0)
    monkeypatch.setattr(past, "WAITING", -past.THREADS)
    assert world.get("/krm/v1/snapshots/pods?at=1").status == 429
    assert world.get("/krm/v1/snapshots/pods").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "snapshots/pods?at=x",
        "snapshots/pods?at=1&verified=true",
        "snapshots/pods?at=1&cells=true",
        "snapshots/pods?verified=true&cells=true",
        "snapshots/pods?nonsense=1",
        "snapshots/secrets",
        "snapshots/a%00b",
        "snapshots/pods?labelSelector=a%20in%20(",
        "snapshots/pods?fieldSelector=x%3Dy",
        "snapshots/pods?stale_ok=maybe",
        "snapshots/pods?held=x",
        "changes/pods?since=x",
        "changes/pods?since=",
        "changes/pods?wait=-1",
        "changes/pods?wait=1e9",
        "objects/pods",
        "objects/pods?name=..",
        "diffs/pods",
        "diffs/pods?a=1&b=yesterday",
        "versions/pods?at=",
        "versions/pods?at=9e9",
        "snapshots/pods?labelSelector=" + "a," * 20000,
        "snapshots/pods?at=99999999999.5",
        "status?kind=!",
        "snapshots/pods?at=" + "9" * 400,
    ],
)
def test_what_does_not_parse_is_a_sentence_and_never_ignored(world: World, path: str) -> None:
    pods_of(world.kept, 1)
    got = world.get(f"/krm/v1/{path}")
    assert 400 <= got.status < 500, got.body
    assert got.json()["message"]
