"""The door to kubelets, agents and pods: bounded in time and bytes, and nobody gets a token who must not."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import ssl
import threading
import time
import tracemalloc
from pathlib import Path
from typing import List

import pytest
from authorities import Authority, Pair
from cluster.scripted import HOLD, LAST_CHUNK, RESET, ScriptedServer, answer, chunk, head, header, kubeconfig
from krm.cluster import endpoints
from krm.cluster.credentials import connect
from krm.cluster.endpoints import Endpoints, Identity, Trust, kubelets
from krm.cluster.errors import (
    ClusterError,
    Forbidden,
    Malformed,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from krm.cluster.requests import TLS

BODY = b"node_cpu_usage_seconds_total 1\n"
SECRET = "Bearer s3cret"
IDENTITY = Identity(lambda refused: SECRET)


class Believed:
    """A CA and a server's certificate of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.authority = Authority(folder, name)
        self.file = str(self.authority.file)
        self.pair = self.authority.server(f"{name}-server")

    def server_side(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.pair.cert), str(self.pair.key))
        return context


@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Believed:
    return Believed(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory) -> Believed:
    return Believed(tmp_path_factory.mktemp("stranger"), "stranger")


def test_a_page_comes_whole_however_it_is_framed() -> None:
    whole, closed = [answer(BODY)], [head(), BODY]
    chunked = [head(Transfer_Encoding="chunked"), chunk(BODY[:5]), 0.01, chunk(BODY[5:]), LAST_CHUNK]
    split = [answer(BODY)[:20], 0.01, answer(BODY)[20:]]
    early = [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer(BODY)]
    with ScriptedServer(whole, closed, chunked, split, early) as server:
        door = Endpoints(Trust())
        assert [door.get(server.url + "/metrics") for _ in range(5)] == [BODY] * 5
        assert server.requests[0].startswith(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:")
        assert header(server.requests[0], "Accept-Encoding") == "identity"
        assert header(server.requests[0], "User-Agent").endswith("(collector)")


def test_a_connection_is_used_again_and_one_that_died_is_replaced() -> None:
    kept = answer(BODY, keep=True)
    with ScriptedServer([kept], [kept], [kept, RESET], [kept], close=False) as server:
        door = Endpoints(Trust())
        for _ in range(3):
            assert door.get(server.url) == BODY
        assert server.connections == 1
        wait_until_stale(door)
        assert door.get(server.url) == BODY
        assert server.connections == 2


def wait_until_stale(door: Endpoints) -> None:
    end = time.monotonic() + 10
    (kept,) = door._idle.values()
    while not kept[0][1].stale and time.monotonic() < end:
        time.sleep(0.01)


def test_a_connection_that_is_closed_as_it_is_asked_is_asked_again_once() -> None:
    with ScriptedServer([answer(BODY, keep=True)], [RESET], [answer(BODY)], close=False) as server:
        door = Endpoints(Trust())
        assert [door.get(server.url), door.get(server.url)] == [BODY, BODY]
        assert len(server.requests) == 3


def test_a_hundred_targets_stay_warm(ours: Believed) -> None:
    door = Endpoints(Trust(ours.file))
    servers = [ScriptedServer([answer(BODY, keep=True)], close=False, tls=ours.server_side()) for _ in range(100)]
    try:
        for server in servers:
            server.__enter__()
        for _ in range(2):
            for server in servers:
                assert door.get(server.url) == BODY
        assert [server.connections for server in servers] == [1] * 100
    finally:
        door.close()
        for server in servers:
            server.__exit__()


def test_connections_that_nobody_uses_are_closed(monkeypatch) -> None:
    kept = answer(BODY, keep=True)
    with ScriptedServer([kept], close=False) as gone, ScriptedServer([kept], close=False) as there:
        door = Endpoints(Trust())
        door.get(gone.url)
        (idle,) = door._idle.values()
        monkeypatch.setattr(endpoints, "IDLE", 0.0)
        door.get(there.url)
        assert idle == []
        assert [key[2] for key in door._idle] == [int(there.url.rsplit(":", 1)[1])]


def test_a_redirect_is_not_followed(ours: Believed) -> None:
    with ScriptedServer([answer(BODY)]) as elsewhere:
        moved = answer(b"", 302, Location=elsewhere.url + "/metrics")
        with ScriptedServer([moved], tls=ours.server_side()) as server, pytest.raises(Malformed, match="redirect"):
            Endpoints(Trust(ours.file), IDENTITY).get(server.url)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "script",
    [
        [head(Content_Length="1000001")],
        [head(), b"x" * 1_000_001],
        [head(Transfer_Encoding="chunked"), *[chunk(b"x" * 50_000)] * 21],
        [answer(gzip.compress(b"x" * 1_000_001), Content_Encoding="gzip")],
    ],
)
def test_more_than_was_allowed_is_refused(script) -> None:
    with ScriptedServer([*script, HOLD]) as server, pytest.raises(Malformed, match="more than 1000000 bytes"):
        Endpoints(Trust()).get(server.url, most=1_000_000, timeout=5.0, gzip=True)


@pytest.mark.parametrize("framing", [{"Transfer_Encoding": "chunked"}, {}], ids=["chunked", "until the close"])
def test_a_body_without_end_costs_what_was_allowed_and_no_more(framing) -> None:
    """A gigabyte is offered; the memory that is taken at any moment is told by tracemalloc."""
    piece = b"x" * 1_000_000
    steps = [chunk(piece)] * 1000 if framing else [piece] * 1000
    with ScriptedServer([head(**framing), *steps]) as server:
        door = Endpoints(Trust())
        tracemalloc.start()
        try:
            with pytest.raises(Malformed, match="more than 4000000 bytes"):
                door.get(server.url, most=4_000_000)
            assert tracemalloc.get_traced_memory()[1] < 12_000_000
        finally:
            tracemalloc.stop()


def test_a_body_of_exactly_the_limit_is_read() -> None:
    with ScriptedServer(
        [answer(b"x" * 1000)], [answer(gzip.compress(b"x" * 1000), Content_Encoding="gzip")]
    ) as server:
        door = Endpoints(Trust())
        assert [len(door.get(server.url, most=1000)) for _ in range(2)] == [1000, 1000]


DRIBBLE = [step for byte in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500 for step in (bytes([byte]), 0.02)]


@pytest.mark.parametrize(
    "script",
    [
        [HOLD],
        DRIBBLE,
        [head(Content_Length="100"), HOLD],
        [head(Content_Length="1000"), *[step for _ in range(500) for step in (b"x", 0.02)]],
    ],
    ids=["silence", "headers byte by byte", "no body", "a body byte by byte"],
)
def test_the_deadline_holds_whatever_trickles(script) -> None:
    with ScriptedServer(script) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            Endpoints(Trust()).get(server.url, timeout=0.5)
        assert time.monotonic() - began < 2.0


def test_the_deadline_holds_in_the_handshake(ours: Believed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="in time"):
            Endpoints(Trust(ours.file)).get(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.5)
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([b"SSH-2.0-OpenSSH_9\r\n\r\n"], Malformed),
        ([b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000], Malformed),
        ([b"HTTP/1.1 200 OK\r\nno header\r\n\r\n"], Malformed),
        ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n"], Malformed),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"], Malformed),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"], Malformed),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"], Malformed),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 20], Malformed),
        ([answer(b"no gzip", Content_Encoding="gzip")], Malformed),
        ([answer(gzip.compress(b"cut off")[:-9], Content_Encoding="gzip")], Malformed),
        ([answer(BODY, Content_Encoding="br")], Malformed),
        ([answer(b"", 204)], Malformed),
        ([head(Content_Length="100"), b"x"], Unreachable),
        ([RESET], Unreachable),
        ([answer(b"", 401)], Unauthorized),
        ([answer(b"", 403)], Forbidden),
        ([answer(b"", 404)], NotFound),
        ([answer(b"", 429, Retry_After="7")], TooManyRequests),
        ([answer(b"", 500)], ServerError),
        ([answer(b"", 503)], ServerError),
    ],
)
def test_what_goes_wrong_is_one_typed_sentence_without_the_body(script, error) -> None:
    with ScriptedServer(script) as server:
        with pytest.raises(error) as raised:
            Endpoints(Trust()).get(server.url + "/metrics", timeout=5.0)
        assert f"GET {server.url}/metrics" in str(raised.value)
        assert getattr(raised.value, "retry_after", None) in (None, 7.0)


def test_the_words_of_a_refusal_are_not_repeated() -> None:
    with ScriptedServer([answer(b"password is hunter2", 403)]) as server, pytest.raises(Forbidden) as raised:
        Endpoints(Trust()).get(server.url + "/metrics?token=hunter3")
    assert "hunter" not in str(raised.value)


def test_a_certificate_of_another_authority_is_not_believed_and_gets_no_token(
    ours: Believed, stranger: Believed
) -> None:
    with ScriptedServer([answer(BODY)], tls=stranger.server_side()) as server:
        with pytest.raises(Unreachable, match="not believed"):
            Endpoints(Trust(ours.file), IDENTITY).get(server.url)
        assert server.requests == []


def test_the_name_in_the_certificate_must_be_the_one_that_was_asked_for(ours: Believed) -> None:
    with ScriptedServer([answer(BODY)], tls=ours.server_side()) as server:
        door = Endpoints(Trust(ours.file))
        assert door.get(server.url, server_name="localhost") == BODY
        with pytest.raises(Unreachable, match="worker-1"):
            door.get(server.url, server_name="worker-1")


@pytest.mark.parametrize(
    ("secure", "trust", "sent"),
    [
        (True, {}, True),
        (True, {"verify": False}, False),
        (True, {"verify": False, "token_unverified": True}, True),
        (False, {}, False),
        (False, {"token_unverified": True}, True),
    ],
)
def test_who_gets_the_token(ours: Believed, secure: bool, trust, sent: bool) -> None:
    with ScriptedServer([answer(BODY)], tls=ours.server_side() if secure else None) as server:
        assert Endpoints(Trust(ours.file, **trust), IDENTITY).get(server.url) == BODY
        assert (SECRET.encode() in server.requests[0]) == sent


def test_without_an_identity_there_is_nothing_to_give_away(ours: Believed) -> None:
    with ScriptedServer([answer(BODY)], tls=ours.server_side()) as server:
        Endpoints(Trust(ours.file)).get(server.url)
        assert b"authorization" not in server.requests[0].lower()


def test_a_token_that_was_refused_is_made_anew_once(ours: Believed) -> None:
    asked: List[str] = []

    def authorization(refused: str) -> str:
        asked.append(refused)
        return "Bearer new" if refused else "Bearer old"

    with ScriptedServer([answer(b"", 401)], [answer(BODY)], tls=ours.server_side()) as server:
        assert Endpoints(Trust(ours.file), Identity(authorization)).get(server.url) == BODY
        assert [header(request, "Authorization") for request in server.requests] == ["Bearer old", "Bearer new"]
    assert asked == ["", "Bearer old"]


def test_a_token_with_a_line_break_goes_nowhere(ours: Believed) -> None:
    with ScriptedServer([answer(BODY)], tls=ours.server_side()) as server:
        with pytest.raises(Unauthorized) as raised:
            Endpoints(Trust(ours.file), Identity(lambda _: "Bearer a\r\nX: b")).get(server.url)
        assert server.requests == []
        assert "Bearer" not in str(raised.value)


def test_a_client_certificate_is_shown(ours: Believed) -> None:
    pair: Pair = ours.authority.client("krm")
    tls = ours.server_side()
    tls.load_verify_locations(ours.file)
    tls.verify_mode = ssl.CERT_REQUIRED
    with ScriptedServer([answer(BODY)], tls=tls) as server:
        mine = TLS(ours.file, str(pair.cert), str(pair.key))
        assert Endpoints(Trust(ours.file), Identity(lambda _: "", mine)).get(server.url) == BODY
        with pytest.raises(ClusterError):
            Endpoints(Trust(ours.file)).get(server.url)


def test_a_ca_that_is_replaced_is_believed_from_then_on(
    ours: Believed, stranger: Believed, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(endpoints, "RECHECK", 0.0)
    file = tmp_path / "ca.pem"
    file.write_bytes(Path(stranger.file).read_bytes())
    with ScriptedServer([answer(BODY)], tls=ours.server_side()) as server:
        door = Endpoints(Trust(str(file)))
        with pytest.raises(Unreachable):
            door.get(server.url)
        file.write_bytes(Path(ours.file).read_bytes() + b"\n")
        assert door.get(server.url) == BODY


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "http:///x",
        "http://user:pw@127.0.0.1:1/x",
        "http://127.0.0.1:1/a b",
        "http://127.0.0.1:1/a\r\nX: y",
        "",
        "https://",
    ],
)
def test_an_unsafe_url_is_no_url(url: str) -> None:
    with pytest.raises(ValueError):
        Endpoints(Trust()).get(url)


def test_threads_may_share_it() -> None:
    with ScriptedServer([0.05, answer(BODY, keep=True)], close=False) as server:
        door = Endpoints(Trust())
        found: List[bytes] = []
        threads = [threading.Thread(target=lambda: found.append(door.get(server.url))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert found == [BODY] * 20
        assert len(next(iter(door._idle.values()))) <= endpoints.MAX_KEPT
        door.close()


def test_to_kubelets_krm_is_who_it_is_to_the_api_server(ours: Believed, tmp_path: Path) -> None:
    """Its token file is replaced between two looks."""
    with ScriptedServer([answer(BODY)], [answer(b"", 401)], [answer(BODY)], tls=ours.server_side()) as server:
        cluster = connect(str(kubeconfig(tmp_path, server.url, token="s3cret")), stage="test")
        door = kubelets(cluster, ca_file=ours.file)
        assert door.get(server.url + "/metrics/resource") == BODY
        assert header(server.requests[0], "Authorization") == SECRET
        kubeconfig(tmp_path, server.url, token="n3w")
        cluster._renewed_at = -1e9
        assert door.get(server.url + "/metrics/resource") == BODY
        assert header(server.requests[2], "Authorization") == "Bearer n3w"


def test_to_kubelets_krm_shows_the_kubeconfig_s_certificate_and_believes_its_ca(
    ours: Believed, stranger: Believed, tmp_path: Path
) -> None:
    pair = ours.authority.client("admin")
    tls = ours.server_side()
    tls.load_verify_locations(ours.file)
    tls.verify_mode = ssl.CERT_REQUIRED
    user = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
    with ScriptedServer([answer(BODY)], tls=tls) as server:
        for believed in (ours, stranger):
            path = kubeconfig(tmp_path, server.url, **user)
            content = json.loads(path.read_text())
            data = base64.b64encode(Path(believed.file).read_bytes()).decode()
            content["clusters"][0]["cluster"]["certificate-authority-data"] = data
            path.write_text(json.dumps(content))
            door = kubelets(connect(str(path), stage="test"))
            if believed is ours:
                assert door.get(server.url) == BODY
            else:
                with pytest.raises(Unreachable, match="not believed"):
                    door.get(server.url)
