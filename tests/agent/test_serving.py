"""The agent's door: who has no token gets nothing, over an open line nobody does, and nobody holds it up."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

import pytest
from authorities import Authority, Pair
from krm.agent import access, serving
from krm.agent.access import Files
from krm.agent.serving import Answer, Server

TOKEN = "a-token-of-the-test"
BODY = b'{"version":1}' * 100


class Door(NamedTuple):
    """A server and what it was given."""

    server: Server
    files: Files
    ca: Path
    answers: Dict[str, Answer]
    ill: List[str]

    def connection(self, timeout: float = 10.0) -> http.client.HTTPSConnection:
        at = urlsplit(self.server.address)
        context = ssl.create_default_context(cafile=str(self.ca))
        return http.client.HTTPSConnection(at.hostname or "", at.port, timeout=timeout, context=context)

    def ask(
        self, path: str, token: Optional[str] = TOKEN, method: str = "GET", **headers: str
    ) -> Tuple[http.client.HTTPResponse, bytes]:
        connection = self.connection()
        try:
            given = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request(method, path, headers={**given, **headers})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def plain(self, of: str = "127.0.0.1") -> socket.socket:
        at = urlsplit(self.server.address)
        return socket.create_connection((at.hostname, at.port), timeout=10, source_address=(of, 0))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def door(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setattr(access, "LOOK", 0.0)
    pair = authority.server()
    (tmp_path / "token").write_text(TOKEN + "\n")
    files = Files(str(pair.cert), str(pair.key), str(tmp_path / "token"))
    answers = {"/v1/node": Answer(lambda: BODY), "/metrics": Answer(lambda: b"up 1\n", "text/plain")}
    ill = [""]
    server = Server(lambda: answers, lambda: ill[0], ("127.0.0.1", 0), files)
    yield Door(server, files, authority.file, answers, ill)
    server.close()


def wait_for(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 20
    while True:
        found = what()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.02)


def test_who_has_the_token_gets_the_newest_turn(door: Door) -> None:
    answer, body = door.ask("/v1/node")
    assert (answer.status, body) == (200, BODY)
    assert answer.getheader("Content-Type") == "application/json"
    door.answers["/v1/node"] = Answer(lambda: b"{}")
    assert door.ask("/v1/node")[1] == b"{}"


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "ä" * 5000])
def test_without_the_token_all_is_401_but_health(door: Door, token: Optional[str]) -> None:
    for path in ("/v1/node", "/metrics", "/nowhere", "/v1/node?x", "/healthz/"):
        for method in ("GET", "HEAD", "POST", "DELETE"):
            headers = {"Authorization": f"Bearer {token}".encode()} if token is not None else {}
            connection = door.connection()
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            assert (answer.status, BODY in answer.read()) in ((401, False), (431, False)), (method, path)
            connection.close()
    assert door.ask("/healthz", None)[0].status == 200


def test_health_says_what_is_ill(door: Door) -> None:
    door.ill[0] = "the newest turn ended 99s ago"
    answer, body = door.ask("/healthz", None)
    assert (answer.status, body) == (503, b"the newest turn ended 99s ago\n")


def test_it_is_read_and_never_written(door: Door) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer, _ = door.ask("/v1/node", method=method)
        assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    answer, body = door.ask("/v1/node", method="HEAD")
    assert (answer.status, body, answer.getheader("Content-Length")) == (200, b"", str(len(BODY)))
    assert door.ask("/v1/node", **{"Content-Length": "3"})[0].status == 400
    assert door.ask("/v1/other")[0].status == 404


def test_what_is_packed_is_packed_once_a_turn(door: Door) -> None:
    made: List[int] = []
    door.answers["/v1/node"] = Answer(lambda: made.append(1) or BODY)  # type: ignore[func-returns-value]
    for _ in range(3):
        answer, body = door.ask("/v1/node", **{"Accept-Encoding": "gzip"})
        assert answer.getheader("Content-Encoding") == "gzip"
        assert gzip.decompress(body) == BODY
        assert len(body) < len(BODY) / 5
    assert door.ask("/v1/node")[1] == BODY
    assert len(made) == 1


def test_before_the_first_turn_there_is_no_document(door: Door) -> None:
    door.answers.clear()
    assert door.ask("/v1/node")[0].status == 503


def test_a_connection_serves_many_requests(door: Door) -> None:
    connection = door.connection()
    for _ in range(5):
        connection.request("GET", "/v1/node", headers={"Authorization": f"Bearer {TOKEN}"})
        assert connection.getresponse().read() == BODY
    connection.close()


def test_a_new_token_counts_and_the_old_one_does_not(door: Door) -> None:
    Path(door.files.token).write_text("the next one")
    assert door.ask("/v1/node")[0].status == 401
    assert door.ask("/v1/node", "the next one")[0].status == 200


@pytest.mark.parametrize("content", [None, "", "\n", "two\nlines", "x" * 5000])
def test_where_the_token_cannot_be_read_nobody_is_let_in(door: Door, content: Optional[str]) -> None:
    path = Path(door.files.token)
    path.unlink() if content is None else path.write_text(content)
    for token in (TOKEN, "", content or "None"):
        try:
            status = door.ask("/v1/node", token.replace("\n", " "))[0].status
        except ConnectionError:
            continue
        assert status in (401, 431)
    path.write_text(TOKEN)
    assert door.ask("/v1/node")[0].status == 200


def test_a_new_certificate_is_served_and_a_broken_one_is_not(door: Door, authority: Authority) -> None:
    def serial() -> str:
        at = urlsplit(door.server.address)
        return ssl.get_server_certificate((at.hostname or "", at.port or 0))

    first = serial()
    other: Pair = authority.server("other")
    os.replace(str(other.cert), door.files.cert)  # for a moment the key is another's
    assert serial() == first
    os.replace(str(other.key), door.files.key)
    assert serial() != first
    assert door.ask("/v1/node")[0].status == 200


def test_a_silent_peer_holds_up_nobody(door: Door) -> None:
    silent = [door.plain() for _ in range(5)]
    assert door.ask("/v1/node")[0].status == 200
    for one in silent:
        one.close()


def test_no_more_connections_than_it_may_have(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = [door.plain(of) for of in ("127.0.0.2", "127.0.0.3") for _ in range(serving.OF_ONE)]
    assert wait_for(lambda: len(door.server._server.until) == serving.AT_ONCE)
    one_more = door.plain()
    assert one_more.recv(1) == b""  # closed at once
    for one in silent:
        one.close()
    assert wait_for(lambda: not door.server._server.until)
    assert door.ask("/v1/node")[0].status == 200


def test_one_who_only_opens_connections_keeps_nobody_else_out(door: Door) -> None:
    silent = [door.plain("127.0.0.2") for _ in range(serving.OF_ONE)]
    assert wait_for(lambda: len(door.server._server.until) == serving.OF_ONE)
    assert door.plain("127.0.0.2").recv(1) == b""
    assert door.ask("/v1/node")[0].status == 200
    for one in silent:
        one.close()
    assert wait_for(lambda: not door.server._server.until)


def test_a_request_that_comes_byte_by_byte_is_cut(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "SLOWEST", 1.0)
    slow = door.plain()
    began = time.monotonic()
    with pytest.raises(OSError):  # noqa: PT012
        while time.monotonic() - began < 20:
            slow.sendall(b"\x16")
            time.sleep(0.2)
    assert time.monotonic() - began < 10
    assert wait_for(lambda: not door.server._server.until)


def test_a_head_without_end_is_refused(door: Door) -> None:
    assert door.ask("/" + "x" * 9000)[0].status == 431
    assert door.ask("/v1/node", **{f"X-{number}": "y" * 500 for number in range(20)})[0].status == 431


PAIR = Files("cert", "key", "token")


@pytest.mark.parametrize(
    ("address", "files", "refused"),
    [
        ("127.0.0.1", Files("", "", ""), ""),
        ("::1", Files("", "", ""), ""),
        ("localhost", Files("", "", ""), ""),
        ("0.0.0.0", Files("", "", ""), "--token-file"),
        ("::", Files("", "", ""), "--token-file"),
        ("10.0.0.1", Files("", "", ""), "--address 127.0.0.1"),
        ("node-1", Files("", "", ""), "not this machine alone"),
        ("0.0.0.0", Files("cert", "key", ""), "belong together"),
        ("127.0.0.1", Files("", "", "token"), "belong together"),
        ("0.0.0.0", PAIR, ""),
    ],
)
def test_nothing_is_served_beyond_the_machine_without_token_and_certificate(
    address: str, files: Files, refused: str
) -> None:
    told = access.refused(address, files)
    assert refused in told
    assert bool(told) == bool(refused)
    if refused:
        with pytest.raises(ValueError, match=refused.split()[0]):
            Server(dict, str, (address, 0), files)


def test_without_a_token_only_this_machine_is_answered_and_by_its_own_name() -> None:
    """A page in a browser can have its own name lead to 127.0.0.1: it is not to read what runs here."""
    server = Server(lambda: {"/v1/node": Answer(lambda: BODY)}, str, ("127.0.0.1", 0), Files("", "", ""))
    try:
        at = urlsplit(server.address)
        assert at.scheme == "http"
        for host, status in (
            (f"127.0.0.1:{at.port}", 200), ("localhost", 200), ("[::1]:5", 200),
            ("evil.example", 403), ("", 403), ("127.0.0.1.evil.example", 403), ("[", 403),
        ):  # fmt: skip
            connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=10)
            connection.request("GET", "/v1/node", headers={"Host": host})
            answer = connection.getresponse()
            assert (answer.status, answer.read() == BODY) == (status, status == 200), host
            connection.close()
    finally:
        server.close()


def test_files_that_cannot_serve_are_named(tmp_path: Path, authority: Authority) -> None:
    pair, token = authority.server(), tmp_path / "token"
    token.write_text(TOKEN)
    missing = str(tmp_path / "none")
    for files in (Files(missing, str(pair.key), str(token)), Files(str(pair.cert), str(pair.key), missing)):
        with pytest.raises(OSError, match="^" + re.escape(f"{missing}: No such file or directory") + "$"):
            Server(dict, lambda: "", ("127.0.0.1", 0), files)
    with pytest.raises(ValueError, match="no certificate and the key that fits it, in PEM"):
        Server(dict, lambda: "", ("127.0.0.1", 0), Files(str(token), str(pair.key), str(token)))
