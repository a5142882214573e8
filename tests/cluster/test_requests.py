"""One request: bytes out, typed errors else, within its deadline and its caps, without leaks."""

from __future__ import annotations

import gzip
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from cluster.scripted import (
    HOLD,
    LAST_CHUNK,
    RESET,
    ScriptedServer,
    answer,
    chunk,
    head,
    header,
    kubeconfig,
    status_body,
)
from krm.cluster import requests
from krm.cluster.credentials import connect
from krm.cluster.errors import (
    ClusterError,
    Malformed,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from krm.model.release import VERSION

PATH = "/api/v1/pods"
BODY = b'{"items":[]}'


def test_a_body_comes_as_it_was_sent(tmp_path: Path) -> None:
    whole = [answer(BODY)]
    chunked = [head(Transfer_Encoding="chunked"), chunk(BODY[:5]), 0.01, chunk(BODY[5:]), LAST_CHUNK]
    closed = [head(), BODY]
    with ScriptedServer(whole, chunked, closed) as server:
        cluster = server.cluster(tmp_path)
        assert [cluster.get(PATH) for _ in range(3)] == [BODY] * 3


def test_what_is_sent(tmp_path: Path) -> None:
    with ScriptedServer([answer(BODY)]) as server:
        server.cluster(tmp_path, token="s3cret").get(PATH, {"fieldSelector": "a=b,c", "limit": "1"})
        request = server.requests[0]
        assert request.startswith(b"GET /api/v1/pods?fieldSelector=a%3Db%2Cc&limit=1 HTTP/1.1\r\n")
        assert header(request, "Authorization") == "Bearer s3cret"
        assert header(request, "User-Agent") == f"krm/{VERSION} (test)"
        assert header(request, "Accept") == "application/json"
        assert header(request, "Accept-Encoding") == "identity"


def test_connections_are_used_again(tmp_path: Path) -> None:
    """A TLS handshake a page would cost more than the page."""
    whole, missing = [answer(BODY, keep=True)], [answer(b"nothing here", 404, keep=True)]
    chunked = [head(keep=True, Transfer_Encoding="chunked"), chunk(BODY), LAST_CHUNK]
    with ScriptedServer(whole, chunked, missing, whole, close=False) as server:
        cluster = server.cluster(tmp_path)
        for _ in range(2):
            assert cluster.get(PATH) == BODY
        with pytest.raises(NotFound):
            cluster.get(PATH)
        assert cluster.get(PATH) == BODY
        assert server.connections == 1


def test_a_connection_with_bytes_left_over_is_not_used_again(tmp_path: Path) -> None:
    """Else the left-over bytes would be the next request's answer."""
    with ScriptedServer([answer(BODY, keep=True) + answer(b"forged")], [answer(BODY)], close=False) as server:
        cluster = server.cluster(tmp_path)
        assert [cluster.get(PATH), cluster.get(PATH)] == [BODY, BODY]
        assert server.connections == 2


def test_an_unasked_gzip_is_unpacked_and_a_broken_one_malformed(tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    scripts = [[answer(data, Content_Encoding="gzip")] for data in (packed, packed[:-4], b"plain")]
    with ScriptedServer(*scripts, [answer(BODY, Content_Encoding="br")]) as server:
        cluster = server.cluster(tmp_path)
        assert cluster.get(PATH) == BODY
        for _ in range(3):
            with pytest.raises(Malformed):
                cluster.get(PATH)


def test_answers_over_the_cap_are_malformed_packed_or_not(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(requests, "MAX_ANSWER", 10_000)
    bomb = gzip.compress(b"0" * 10_000_000)
    scripts = (
        [head(Transfer_Encoding="chunked"), *[chunk(b"x" * 5000)] * 1000, HOLD],
        [answer(b"x" * 10_001)],
        [answer(bomb, Content_Encoding="gzip")],
    )
    with ScriptedServer(*scripts) as server:
        cluster = server.cluster(tmp_path)
        for _ in scripts:
            with pytest.raises(Malformed):
                cluster.get(PATH)


def test_an_error_body_is_read_up_to_its_cap(tmp_path: Path) -> None:
    """The status is told at once, though the body would go on for ever."""
    with ScriptedServer([head(404, Transfer_Encoding="chunked"), *[chunk(b"x" * 9000)] * 20, HOLD]) as server:
        began = time.monotonic()
        with pytest.raises(NotFound):
            server.cluster(tmp_path).get(PATH)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "script",
    [
        [HOLD],
        [head(Content_Length="100"), HOLD],
        [head(Content_Length="100"), *[b"x", 0.1] * 60],
        [head(Transfer_Encoding="chunked"), *[b"1\r\nx\r\n", 0.1] * 60],
        [head(Transfer_Encoding="chunked"), *[b"0", 0.1] * 60],
    ],
)
def test_the_deadline_holds_for_silence_and_for_a_trickle(tmp_path: Path, script) -> None:
    """A timeout a recv, as HTTP libraries have it, lets a byte each second go on for ever."""
    with ScriptedServer(script) as server:
        cluster = server.cluster(tmp_path)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            cluster.get(PATH, timeout=0.6)
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "script", [[], [RESET], [b"\x15\x03\x01"], [head(Content_Length="9"), b"x"], [b"HTTP/1.1 2"]]
)
def test_a_broken_answer_is_unreachable(tmp_path: Path, script) -> None:
    with ScriptedServer(script) as server, pytest.raises(Unreachable):
        server.cluster(tmp_path).get(PATH, timeout=5)


def test_no_server_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="check that the API server runs"):
        connect(str(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"))).get(PATH)


def test_tls_to_a_server_that_has_none_names_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        greeter = threading.Thread(target=lambda: listener.accept()[0].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        greeter.start()
        with pytest.raises(Unreachable, match="certificate"):
            connect(str(kubeconfig(tmp_path, url))).get(PATH, timeout=5)
        greeter.join(5)


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    """The token would go to whoever the answer names."""
    with ScriptedServer([answer(BODY)]) as trap:
        for status in (301, 302, 307, 308):
            with ScriptedServer([answer(b"", status, Location=trap.url + PATH)]) as server:
                with pytest.raises(Malformed, match="redirect"):
                    server.cluster(tmp_path, token="s3cret").get(PATH)
                assert len(server.requests) == 1
        assert trap.requests == []


def test_retry_after_is_told(tmp_path: Path) -> None:
    scripts = [[answer(b"wait", 429, Retry_After="7")], [answer(b"", 503, Retry_After="2")], [answer(b"", 429)]]
    with ScriptedServer(*scripts) as server:
        cluster = server.cluster(tmp_path)
        for error, seconds in ((TooManyRequests, 7.0), (ServerError, 2.0), (TooManyRequests, None)):
            with pytest.raises(error) as caught:
                cluster.get(PATH)
            assert caught.value.retry_after == seconds
        assert len(server.requests) == 3, "nothing is sent again behind the caller's back"


def test_a_401_reads_the_credentials_again_once(tmp_path: Path, monkeypatch) -> None:
    """A token file is replaced under a running krm; kubectl would read it anew."""
    monkeypatch.setattr(requests, "RENEW_INTERVAL", 0.0)
    token = tmp_path / "token"
    token.write_text("old\n")
    refused = [answer(status_body(401, "Unauthorized"), 401)]
    with ScriptedServer([answer(BODY)], refused, [answer(BODY)], refused) as server:
        cluster = server.cluster(tmp_path, tokenFile=str(token))
        cluster.get(PATH)
        token.write_text("new\n")
        assert cluster.get(PATH) == BODY
        sent = [header(request, "Authorization") for request in server.requests]
        assert sent == ["Bearer old", "Bearer old", "Bearer new"]
        with pytest.raises(Unauthorized):
            cluster.get(PATH)
        assert len(server.requests) == 5, "one more try, not a loop"


def test_a_wrong_token_is_no_storm_of_renewals(tmp_path: Path) -> None:
    with ScriptedServer([answer(b"", 401)]) as server:
        cluster = server.cluster(tmp_path, token="wrong")
        for _ in range(5):
            with pytest.raises(Unauthorized):
                cluster.get(PATH)
        assert len(server.requests) <= 6


def test_no_error_names_the_token_or_the_query(tmp_path: Path) -> None:
    scripts = [[answer(b"CANARY s3cret", status)] for status in (400, 401, 403, 404, 410, 429, 500)]
    scripts += [[RESET], [], [head(Content_Length="9")], [b"CANARY"]]
    with ScriptedServer(*scripts) as server:
        cluster = server.cluster(tmp_path, token="s3cret")
        for _ in scripts:
            with pytest.raises(ClusterError) as caught:
                cluster.get(PATH, {"continue": "CANARY"}, timeout=5)
            text = f"{caught.value!r} {caught.value.__cause__!r}"
            assert not re.search("s3cret|CANARY|127.0.0.1", text), text
            assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "path", ["api/v1", "/api/../secrets", "/api//v1", "/api/v1/%2e%2e/x", "/a b", "/a?x=1", "/a\r\nX: y", "/", ""]
)
def test_a_path_that_is_none_is_never_sent(tmp_path: Path, path: str) -> None:
    with ScriptedServer([answer(BODY)]) as server:
        with pytest.raises(ValueError):
            server.cluster(tmp_path).get(path)
        assert server.requests == []


def test_a_post_carries_its_body(tmp_path: Path) -> None:
    with ScriptedServer([answer(BODY, 201)]) as server:
        assert server.cluster(tmp_path).post("/apis/x/v1/reviews", json.dumps({"a": 1}).encode()) == BODY
        assert server.requests[0].startswith(b"POST /apis/x/v1/reviews HTTP/1.1\r\n")
        assert server.requests[0].endswith(b'\r\n\r\n{"a": 1}')
        assert header(server.requests[0], "Content-Type") == "application/json"


def test_a_large_post_on_a_used_connection_is_sent_whole(tmp_path: Path) -> None:
    """krm reads without blocking; the connection must block again for whoever uses it next."""
    large = b"x" * 8_000_000
    with ScriptedServer([answer(BODY, keep=True)], close=False) as server:
        cluster = server.cluster(tmp_path)
        cluster.get(PATH)
        assert cluster.post(PATH, large) == BODY
        assert server.connections == 1
        assert len(server.requests[1].partition(b"\r\n\r\n")[2]) == len(large)
