"""One watch connection: complete lines, at once, whatever the bytes are cut into; typed ends."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import List, Tuple

import pytest
from cluster.scripted import (
    EVENTS,
    HOLD,
    LAST_CHUNK,
    PODS,
    RESET,
    WATCH_HEAD,
    ScriptedServer,
    answer,
    chunk,
    event,
    head,
    header,
    status_body,
    wait_for,
)
from krm.cluster import watching
from krm.cluster.errors import (
    ClusterError,
    Expired,
    Forbidden,
    Malformed,
    NotFound,
    TooLargeResourceVersion,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from krm.cluster.watching import Watch, WatchClosed


def drain(watch: Watch) -> Tuple[List[bytes], BaseException]:
    """All lines, and how the watch ended."""
    lines: List[bytes] = []
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            lines += watch.poll(1.0)
        except (ClusterError, WatchClosed) as error:
            return lines, error
    raise AssertionError("the watch did not end")


def lines_of(server: ScriptedServer, folder) -> List[bytes]:
    lines, end = drain(Watch(server.cluster(folder), PODS, None, "5"))
    assert isinstance(end, WatchClosed), end
    return lines


# Chunks that hold a line each, parts of lines, several lines, and a line break of their own.
RECORDED = (
    WATCH_HEAD
    + chunk(event(1))
    + chunk(event(2)[:30])
    + chunk(event(2)[30:] + event(3) + event(4)[:-1])
    + chunk(b"\n")
    + chunk(event(5, type="BOOKMARK"))
    + LAST_CHUNK
)


def test_a_watch_cut_at_every_byte_gives_exactly_the_complete_lines_before_the_cut(tmp_path) -> None:
    """The promise that a cut loses nothing: what was not whole comes again with the next watch."""
    start = len(WATCH_HEAD)
    whole = [event(n)[:-1] for n in (1, 2, 3, 4)] + [event(5, type="BOOKMARK")[:-1]]
    cuts = range(start, len(RECORDED) + 1)
    with ScriptedServer(*[[RECORDED[:cut]] for cut in cuts]) as server:
        cluster = server.cluster(tmp_path)
        for cut in cuts:
            lines, end = drain(Watch(cluster, PODS, None, "5"))
            # Said a second way: the body's bytes before the cut, up to the last newline.
            plain = unchunk(RECORDED[start:cut])
            assert lines == plain.split(b"\n")[:-1] == whole[: len(lines)], cut
            assert isinstance(end, WatchClosed), (cut, end)
            assert end.lines == len(lines)
        assert len(lines) == 5


def unchunk(data: bytes) -> bytes:
    """The body in chunked bytes that may end anywhere; written for clarity alone."""
    plain = b""
    while b"\r\n" in data:
        size, _, data = data.partition(b"\r\n")
        plain += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return plain


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_bytes_that_trickle_give_the_same_lines(tmp_path, size: int) -> None:
    rest = RECORDED[len(WATCH_HEAD) :]
    steps = [WATCH_HEAD]
    for at in range(0, len(rest), size):
        steps += [rest[at : at + size], 0.0005]
    with ScriptedServer(steps) as server:
        assert len(lines_of(server, tmp_path)) == 5


def test_without_chunks_the_close_ends_the_lines(tmp_path) -> None:
    with ScriptedServer([head(), event(1) + event(2) + event(3)[:9]]) as server:
        assert lines_of(server, tmp_path) == [event(1)[:-1], event(2)[:-1]]


def test_an_empty_200_is_a_silent_close(tmp_path) -> None:
    with ScriptedServer([answer(b"")]) as server:
        assert lines_of(server, tmp_path) == []


def test_one_event_is_handed_over_before_the_next_one_comes(tmp_path) -> None:
    got = threading.Event()
    with ScriptedServer([WATCH_HEAD, chunk(event(1)), got.wait, chunk(event(2)), LAST_CHUNK]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        assert watch.poll(5.0) == [event(1)[:-1]]
        got.set()
        assert watch.poll(5.0) == [event(2)[:-1]]


def test_nothing_yet_is_an_empty_poll_after_the_timeout(tmp_path) -> None:
    with ScriptedServer([WATCH_HEAD, chunk(event(1)[:20]), HOLD]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        began = time.monotonic()
        assert watch.poll(0.2) == []
        assert 0.19 <= time.monotonic() - began < 2
        watch.close()


def test_a_poll_hands_over_a_bounded_share_of_a_flood(tmp_path) -> None:
    """Else one poll of a server that never pauses would never return."""
    flood = b"".join(chunk(event(n, 8000)) for n in range(400))
    with ScriptedServer([WATCH_HEAD + flood + LAST_CHUNK]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        polls: List[List[bytes]] = []
        while sum(map(len, polls)) < 400:
            polls.append(watch.poll(5.0))
        assert max(sum(map(len, lines)) for lines in polls) <= 2 * watching.MOST


def test_close_from_another_thread_ends_a_waiting_poll_at_once(tmp_path) -> None:
    with ScriptedServer([WATCH_HEAD, HOLD]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        ends = []

        def read() -> None:
            with pytest.raises(WatchClosed) as caught:
                watch.poll(60.0)
            ends.append((caught.value.cause, time.monotonic()))

        reader = threading.Thread(target=read)
        reader.start()
        wait_for(watch._body._reading.locked, "the reader waits")
        closed = time.monotonic()
        watch.close()
        reader.join(5)
        assert ends[0][0] == "here"
        assert ends[0][1] - closed < 0.5
        with pytest.raises(WatchClosed):
            watch.poll(1.0)


def test_a_reset_is_unreachable_and_the_lines_before_it_are_given(tmp_path) -> None:
    got = threading.Event()
    with ScriptedServer([WATCH_HEAD, chunk(event(1)), got.wait, RESET]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        assert watch.poll(5.0) == [event(1)[:-1]]
        got.set()
        lines, end = drain(watch)
        assert lines == []
        assert isinstance(end, Unreachable)


def test_silence_is_unreachable_after_the_limit(tmp_path) -> None:
    with ScriptedServer([WATCH_HEAD, chunk(event(1)), HOLD]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5", inactivity=0.3)
        lines, end = drain(watch)
        assert len(lines) == 1
        assert isinstance(end, Unreachable)
        assert "no byte" in str(end)


def test_kinds_without_bookmarks_may_be_silent(tmp_path) -> None:
    with ScriptedServer([WATCH_HEAD, HOLD]) as server:
        cluster = server.cluster(tmp_path)
        assert Watch(cluster, EVENTS, None, "5")._inactivity > 3600
        assert Watch(cluster, PODS, None, "5")._inactivity == 90


def test_a_server_that_does_not_end_a_watch_in_time_is_left(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(watching, "GRACE", -0.8)
    steps = [WATCH_HEAD] + [step for n in range(200) for step in (chunk(event(n)), 0.02)]
    with ScriptedServer(steps) as server:
        _, end = drain(Watch(server.cluster(tmp_path), PODS, None, "5", timeout_seconds=1))
        assert isinstance(end, WatchClosed)
        assert end.cause == "deadline"


def test_a_line_over_the_cap_is_malformed_before_it_is_whole(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(watching, "MAX_LINE", 100_000)
    with ScriptedServer([WATCH_HEAD, chunk(event(1)) + b"fffffff\r\n" + b"x" * 200_000, HOLD]) as server:
        _, end = drain(Watch(server.cluster(tmp_path), PODS, None, "5"))
        assert isinstance(end, Malformed)


@pytest.mark.parametrize(
    "bad", [b"zz\r\nabc", b"5\r\nabcdefgh\r\n", b"-5\r\n", b"1_0\r\n", b"x" * 5000, b"5 5\r\n"]
)
def test_broken_chunks_are_malformed(tmp_path, bad: bytes) -> None:
    with ScriptedServer([WATCH_HEAD + chunk(event(1)) + bad, HOLD]) as server:
        _, end = drain(Watch(server.cluster(tmp_path), PODS, None, "5"))
        assert isinstance(end, Malformed), end


def test_a_compressed_watch_is_refused(tmp_path) -> None:
    """A server that gzips each flush as a member of its own loses events in clients that read one member."""
    packed = chunk(gzip.compress(event(1)))
    with ScriptedServer([head(Transfer_Encoding="chunked", Content_Encoding="gzip") + packed]) as server:
        with pytest.raises(Malformed, match="compressed"):
            Watch(server.cluster(tmp_path), PODS, None, "5")
        assert header(server.requests[0], "Accept-Encoding") == "identity"


@pytest.mark.parametrize(
    ("status", "body_bytes", "error"),
    [
        (410, status_body(410, "Expired", "too old resource version: 5 (9)"), Expired),
        (410, b"gone", Expired),
        (401, status_body(401, "Unauthorized"), Unauthorized),
        (403, status_body(403, "Forbidden", 'pods is forbidden: User "u" cannot watch'), Forbidden),
        (404, b"404 page not found\n", NotFound),
        (429, b"Too many requests, please try again later.", TooManyRequests),
        (504, status_body(504, "Timeout", "Too large resource version: 9, current: 5"), TooLargeResourceVersion),
        (302, b"", Malformed),
    ],
)
def test_the_status_is_looked_at_before_the_body(tmp_path, status: int, body_bytes: bytes, error: type) -> None:
    with ScriptedServer([answer(body_bytes, status, Location="http://127.0.0.1:1/")]) as server:
        with pytest.raises(error):
            Watch(server.cluster(tmp_path), PODS, None, "5")
        assert len(server.requests) == 1


def test_what_is_asked_for(tmp_path) -> None:
    with ScriptedServer([answer(b"")]) as server:
        cluster = server.cluster(tmp_path)
        Watch(cluster, PODS, None, "123", timeout_seconds=77).close()
        lives = set()
        for _ in range(5):
            Watch(cluster, PODS, "team-a", "124").close()
            lives.add(int(server.requests[-1].split(b"timeoutSeconds=")[1].split(b" ")[0]))
        first, last = server.requests[0], server.requests[-1]
        line = "GET /api/v1/pods?watch=true&allowWatchBookmarks=true&resourceVersion=123&timeoutSeconds=77 HTTP/1.1"
        assert first.decode().split("\r\n")[0] == line
        assert last.startswith(b"GET /api/v1/namespaces/team-a/pods?")
        assert all(300 <= life <= 600 for life in lives)
        assert len(lives) > 1, "watches of one start must not all end at once"


@pytest.mark.parametrize("rv", ["", "0"])
def test_a_watch_from_no_version_is_refused(tmp_path, rv: str) -> None:
    """It would begin with synthetic events in no order."""
    with ScriptedServer([answer(b"")]) as server, pytest.raises(ValueError):
        Watch(server.cluster(tmp_path), PODS, None, rv)


def test_an_ordinary_socket_buffer_is_not_lost_with_the_headers(tmp_path) -> None:
    """Events in one packet with the headers sit in http.client's reader; they must come first."""
    many = [event(n) for n in range(50)]
    with ScriptedServer([WATCH_HEAD + b"".join(map(chunk, many)) + LAST_CHUNK]) as server:
        lines = lines_of(server, tmp_path)
        assert [json.loads(line)["object"]["metadata"]["resourceVersion"] for line in lines] == [
            str(n) for n in range(50)
        ]
