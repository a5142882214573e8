"""Each fault does over HTTP what it says, no more, and is over when it is healed."""

from __future__ import annotations

import gzip
import http.client
import json
import time
from typing import Any, Dict, Iterator, Tuple

import pytest
from contract.api import Api
from krm.simulator.access import Access, Rule
from krm.simulator.routes import Timing
from krm.simulator.server import Server
from krm.simulator.world import World
from simulator.listen import Ended, Listener, listening, until

MAPS = "/api/v1/namespaces/default/configmaps"
ALL_MAPS = "/api/v1/configmaps"


@pytest.fixture
def server() -> Iterator[Server]:
    timing = Timing(too_large_wait=0.1, hang=0.3, bookmark=0.2)
    with Server(World(), timing=timing) as running:
        yield running


def add(server: Server, *names: str) -> int:
    """Create config maps; answers the revision after."""
    for name in names:
        server.world.create("configmaps", {"metadata": {"name": name, "namespace": "default"}})
    return server.world.revision


def api(server: Server, token: str = "") -> Api:
    return Api("simulator", server.url, token, namespace="default")


def test_dropped_events_are_missing_from_watches_and_not_from_lists(server: Server) -> None:
    start = server.world.revision
    server.world.faults.drop("configmaps", 2)
    with listening(server, ALL_MAPS, start) as live:
        add(server, "a", "b", "c")
        assert live.told(1) == ["ADDED c"]
    with listening(server, ALL_MAPS, start) as resumed:
        assert resumed.told(1) == ["ADDED c"]
    assert api(server).get(MAPS).names == ["a", "b", "c"]
    assert [change.key for change in server.world.history("configmaps")] == ["default/a", "default/b", "default/c"]


def test_duplicates(server: Server) -> None:
    server.world.faults.count("duplicate", "configmaps")
    start = server.world.revision
    add(server, "a", "b")
    with listening(server, ALL_MAPS, start) as watch:
        assert watch.told(3) == ["ADDED a", "ADDED a", "ADDED b"]


def test_a_watch_cut_in_the_middle_of_a_line(server: Server) -> None:
    start = server.world.revision
    add(server, "a", "b")
    server.world.faults.count("cut", "configmaps")
    with listening(server, ALL_MAPS, start) as watch, pytest.raises(Ended):
        watch.raw()
    with listening(server, ALL_MAPS, start) as again:
        assert again.told(2) == ["ADDED a", "ADDED b"]


def test_an_unparsable_line(server: Server) -> None:
    start = server.world.revision
    server.world.faults.count("garbage", "configmaps")
    add(server, "a")
    with listening(server, ALL_MAPS, start) as watch:
        with pytest.raises(ValueError):
            watch.next()
        assert watch.told(1) == ["ADDED a"]


def test_a_stalled_watch_is_open_and_silent_until_healed(server: Server) -> None:
    start = server.world.revision
    server.world.faults.last("stall", "configmaps")
    with listening(server, ALL_MAPS, start, patience=0.5, allowWatchBookmarks="true") as watch:
        add(server, "a")
        with pytest.raises((TimeoutError, OSError)):
            watch.raw()
    with listening(server, ALL_MAPS, start) as watch:
        server.world.faults.heal()
        assert watch.told(1) == ["ADDED a"]


def test_a_stale_replica_serves_the_past_until_healed(server: Server) -> None:
    old = add(server, "a")
    new = add(server, "b")
    server.world.faults.stale("configmaps", old)
    client = api(server)
    assert client.get(MAPS, resourceVersion="0").names == ["a"]
    assert client.get(MAPS).names == ["a", "b"], "a consistent read asks etcd"
    assert client.get(MAPS, resourceVersion=new, resourceVersionMatch="NotOlderThan").status == 504
    with listening(server, ALL_MAPS, old - 1) as watch:
        assert watch.told(1) == ["ADDED a"]
        server.world.faults.heal("configmaps")
        assert watch.told(1) == ["ADDED b"]
    server.world.faults.stale("configmaps", old, quorum=True)
    assert client.get(MAPS).names == ["a"]


def test_a_storm_of_410_ends_every_watch(server: Server) -> None:
    start = add(server, "a")
    with listening(server, ALL_MAPS, start) as open_before:
        server.world.faults.last("watch_410", "configmaps", seconds=30)
        for watch in (open_before,):
            error = watch.next()
            assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
    with listening(server, ALL_MAPS, start) as new:
        assert (new.status, new.next()["type"]) == (200, "ERROR")
    assert api(server).get(MAPS).names == ["a"]
    server.world.faults.last("http_410", "configmaps", seconds=30)
    assert api(server).get(MAPS).status == 410


def test_refusals_with_retry_after_end_by_themselves(server: Server) -> None:
    server.world.faults.last("http_429", "configmaps", seconds=0.3, value=7)
    reply = api(server).get(MAPS)
    status = reply.json
    assert (reply.status, reply.headers["retry-after"], status["reason"]) == (429, "7", "TooManyRequests")
    until(lambda: api(server).get(MAPS).status == 200, "the storm is over")
    server.world.faults.last("http_500", "configmaps")
    assert api(server).get(MAPS).status == 500
    assert api(server).get("/api/v1/pods").status == 200, "other kinds are well"


def test_answers_packed_unasked(server: Server) -> None:
    start = server.world.revision
    add(server, "a")
    server.world.faults.last("gzip", "configmaps")
    reply = api(server).get(MAPS)
    assert reply.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(reply.body))["items"][0]["metadata"]["name"] == "a"
    watched = api(server).watch(MAPS, str(start))
    assert json.loads(gzip.decompress(watched.body))["type"] == "ADDED"


def test_large_answers_are_packed_for_those_who_ask(server: Server) -> None:
    for index in range(3):
        data = {"metadata": {"name": "m%d" % index, "namespace": "default"}, "data": {"x": "y" * 100_000}}
        server.world.create("configmaps", data)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", MAPS, headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") == "gzip"
    assert len(json.loads(gzip.decompress(answer.read()))["items"]) == 3
    connection.close()


def test_a_slow_answer(server: Server) -> None:
    server.world.faults.last("slow", "configmaps", value=0.3)
    begun = time.monotonic()
    assert api(server).get(MAPS).status == 200
    assert time.monotonic() - begun >= 0.3


def test_with_etcd_stopped_caches_and_bookmarks_go_on(server: Server) -> None:
    start = add(server, "a")
    server.world.faults.last("etcd_stopped")
    client = api(server)
    assert client.get(MAPS).status == 504
    assert client.ask("POST", MAPS, {"metadata": {"name": "b"}}).status == 504
    assert client.get(MAPS, resourceVersion=start, resourceVersionMatch="NotOlderThan").names == ["a"]
    with listening(server, ALL_MAPS, start, allowWatchBookmarks="true") as watch:
        assert watch.next()["type"] == "BOOKMARK"
    server.world.faults.heal()
    assert client.get(MAPS).names == ["a"]


def test_a_quiet_kind_gets_no_bookmark_without_progress(server: Server) -> None:
    start = add(server, "a")
    server.world.faults.last("no_progress")
    with listening(server, ALL_MAPS, start, allowWatchBookmarks="true") as watch:
        server.world.update("namespaces", "default", lambda found: None)
        added = add(server, "b")
        assert watch.told(2) == ["ADDED b", "BOOKMARK "]
    assert server.world.revision == added


def test_a_paused_server_refuses_connections_and_comes_back_on_its_port(server: Server) -> None:
    start = add(server, "a")
    port = server.port
    with listening(server, ALL_MAPS, start) as watch:
        server.pause()
        with pytest.raises(Ended):
            watch.raw()
    with pytest.raises(ConnectionRefusedError):
        api(server).get(MAPS)
    server.resume()
    assert server.port == port
    assert api(server).get(MAPS).names == ["a"]


def test_a_rollback_cuts_watches_or_leaves_them_deaf(server: Server) -> None:
    old = add(server, "a")
    new = add(server, "b")
    with listening(server, ALL_MAPS, new) as watch:
        server.world.rollback(old)
        with pytest.raises(Ended):
            watch.raw()
    new = add(server, "c")
    with listening(server, ALL_MAPS, new) as watch:
        server.world.rollback(old, cut_watches=False)
        add(server, "d", "e")  # at revisions that this watch believes to have seen
        assert watch.told(1) == ["ADDED e"]


def test_compaction_ends_no_open_watch_but_refuses_new_ones(server: Server) -> None:
    start = server.world.revision
    add(server, "a", "b")
    with listening(server, ALL_MAPS, start) as watch:
        assert watch.told(2) == ["ADDED a", "ADDED b"]
        server.world.compact()
        add(server, "c")
        assert watch.told(1) == ["ADDED c"]
    with listening(server, ALL_MAPS, start) as late:
        assert late.next()["object"]["code"] == 410


HOSTILE = {
    "deep": b'{"metadata":{"resourceVersion":"@RV@"},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "number": b'{"metadata":{"resourceVersion":"@RV@"},"x":' + b"9" * 5_000 + b"}",
    "nan": b'{"metadata":{"resourceVersion":"@RV@"},"x":NaN}',
    "twice": b'{"metadata":{"resourceVersion":"@RV@"},"x":1,"x":2}',
    "surrogate": b'{"metadata":{"resourceVersion":"@RV@"},"x":"\\ud800"}',
    "escape": b'{"metadata":{"resourceVersion":"@RV@","labels":{"a":"\\u001b[31m<script>"}}}',
    "large": b'{"metadata":{"resourceVersion":"@RV@","labels":{"a":"' + b"x" * 2_000_000 + b'"}}}',
    "no json": b"\xff\xfe",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_bytes_come_through_as_they_are(server: Server, name: str) -> None:
    start, body = server.world.revision, HOSTILE[name]
    stored = server.world.inject("configmaps", "default/evil", body)
    expected = body.replace(b"@RV@", b"%d" % stored.revision)
    with listening(server, ALL_MAPS, start) as watch:
        assert watch.raw() == b'{"type":"ADDED","object":' + expected + b"}\n"
        gone = server.world.delete("configmaps", "default/evil")
        later = body.replace(b"@RV@", b"%d" % gone.revision)
        assert watch.raw() == b'{"type":"DELETED","object":' + later + b"}\n"
    server.world.inject("configmaps", "default/evil", body)
    assert HOSTILE[name][:20] in api(server).get(MAPS).body


def test_a_kind_that_goes_away_while_it_is_watched(server: Server) -> None:
    world, path = server.world, "/apis/example.com/v1/widgets"
    world.add_kind("widgets.example.com")
    world.create("widgets.example.com", {"metadata": {"name": "w", "namespace": "default"}})
    with listening(server, path, world.revision) as watch:
        world.remove_kind("widgets.example.com")
        assert watch.told(1) == ["DELETED w"]
        with pytest.raises(Ended):
            watch.raw()
    reply = api(server).get(path)
    assert (reply.status, reply.body) == (404, b"404 page not found\n")
    world.add_kind("widgets.example.com")
    assert api(server).get(path).json["items"] == []


@pytest.fixture
def guarded() -> Iterator[Tuple[Server, Access]]:
    access = Access()
    access.allow("good", "u", [Rule(("list", "watch"), ("pods",), ("team-a",))])
    with Server(World(), access=access) as running:
        yield running, access


def refusal(server: Server, path: str, token: str) -> Dict[str, Any]:
    reply = api(server, token).get(path)
    status: Dict[str, Any] = api(server).status_of(reply)
    return status


def test_rights_are_refused_in_the_servers_words(guarded: Tuple[Server, Access]) -> None:
    server, access = guarded
    assert refusal(server, "/api/v1/pods", "bad")["message"] == "Unauthorized"
    status = refusal(server, "/api/v1/pods", "good")
    assert status["code"] == 403
    assert status["message"] == (
        'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope'
    )
    assert status["details"] == {"kind": "pods"}
    status = refusal(server, "/apis/apps/v1/namespaces/x/deployments/y", "good")
    assert status["message"] == (
        'deployments.apps "y" is forbidden: User "u" cannot get resource "deployments" in API group "apps" '
        'in the namespace "x"'
    )
    assert refusal(server, "/apis/none.example.com/v1/widgets", "good")["code"] == 403, "rights come before 404"
    assert 'User "system:anonymous"' in refusal(server, "/api/v1/pods", "")["message"]
    assert api(server, "good").get("/api/v1/namespaces/team-a/pods").status == 200
    access.allow("good", "u", [Rule()])
    assert api(server, "good").get("/api/v1/pods").status == 200
    access.revoke("good")
    assert refusal(server, "/api/v1/pods", "good")["code"] == 401


def test_a_burst_reaches_plain_and_selecting_watchers_alike(server: Server) -> None:
    add(server, "a", "b", "c")
    start = server.world.revision
    with listening(server, ALL_MAPS, start) as plain, listening(
        server, ALL_MAPS, start, fieldSelector="metadata.name=b"
    ) as one:
        server.world.burst("configmaps", 300)
        lines = [plain.next()["object"]["metadata"] for _ in range(300)]
        assert [line["name"] for line in lines] == ["a", "b", "c"] * 100
        assert [int(line["resourceVersion"]) for line in lines] == list(range(start + 1, start + 301))
        assert one.told(100) == ["MODIFIED b"] * 100


def test_many_watchers_see_the_same(server: Server) -> None:
    start = server.world.revision
    opened = [listening(server, ALL_MAPS, start) for _ in range(20)]
    watches = [each.__enter__() for each in opened]
    try:
        add(server, *("m%03d" % index for index in range(100)))
        for watch in watches:
            _all_in_order(watch, start)
    finally:
        for each in opened:
            each.__exit__(None, None, None)


def _all_in_order(watch: Listener, start: int) -> None:
    revisions = [int(watch.next()["object"]["metadata"]["resourceVersion"]) for _ in range(100)]
    assert revisions == list(range(start + 1, start + 101))
