"""The client's HTTP against a server that misbehaves as it is told to: deadlines, retries, errors, tokens."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable, List, Tuple, Type

import pytest
from krm.client import errors, http
from krm.client.http import Http, tls_context

Reply = Callable[[socket.socket], None]


class Scripted:
    """Accepts connections and answers each request by the next reply; keeps what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: List[bytes] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with peer:
            while True:
                request = b""
                while b"\r\n\r\n" not in request:
                    piece = peer.recv(65536)
                    if not piece:
                        return
                    request += piece
                self.asked.append(request)
                reply = self.replies.pop(0) if self.replies else answer(200)
                try:
                    reply(peer)
                except OSError:
                    return
                if reply is hang_up:
                    return


def answer(status: int, body: bytes = b"{}", *headers: str, length: int = -1) -> Reply:
    def reply(peer: socket.socket) -> None:
        rows = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length < 0 else length}", *headers]
        peer.sendall("\r\n".join(rows).encode() + b"\r\n\r\n" + body)

    return reply


def hang_up(peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_RDWR)


def drop_by_drop(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        peer.sendall(b"x")
        time.sleep(0.05)


def test_what_is_none_is_not_sent() -> None:
    server = Scripted()
    Http(server.url + "/clusters/a").get("/pods", {"name": None, "node": "", "label_selector": "a in (b,c)"})
    line = server.asked[0].split(b"\r\n")[0]
    assert line == b"GET /clusters/a/pods?node=&label_selector=a+in+%28b%2Cc%29 HTTP/1.1"


def test_a_connection_serves_the_next_call_and_a_dead_one_is_replaced_unseen() -> None:
    server = Scripted(answer(200), answer(200), hang_up, answer(200, b"[1]"))
    client = Http(server.url)
    client.get("/a")
    client.get("/b")
    assert server.connections == 1
    assert client.get("/c").body == b"[1]"
    assert server.connections == 2


def test_a_503_is_asked_again_a_bounded_number_of_times() -> None:
    server = Scripted(answer(503), answer(200, b"[]"))
    assert Http(server.url).get("/pods").body == b"[]"
    server = Scripted(*[answer(503, b'{"error":"not read yet","status":503}') for _ in range(9)])
    with pytest.raises(errors.Unreachable, match="503: not read yet"):
        Http(server.url).get("/pods")
    assert len(server.asked) == http.ATTEMPTS


def test_a_server_that_says_when_is_believed_but_not_beyond_the_deadline() -> None:
    server = Scripted(answer(429, b"{}", "Retry-After: 1"), answer(200))
    begun = time.monotonic()
    Http(server.url).get("/pods")
    assert time.monotonic() - begun >= 1
    server = Scripted(answer(503, b"{}", "Retry-After: 3600"))
    with pytest.raises(errors.Unreachable):
        Http(server.url, timeout=2).get("/pods")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.BadRequest),
        (401, errors.Refused),
        (403, errors.Refused),
        (404, errors.UnknownKind),
        (410, errors.Expired),
        (500, errors.Unreachable),
        (302, errors.Unreachable),
    ],
)
def test_an_error_is_one_class_with_the_servers_words_and_asked_once(
    status: int, error: Type[errors.KrmError]
) -> None:
    body = b'{"kind":"Status","message":"pods is forbidden:\\u001b[31m no","code":403}'
    server = Scripted(answer(status, body, "Location: http://127.0.0.1:1/"))
    with pytest.raises(error, match=r"pods is forbidden: \[31m no") as raised:
        Http(server.url).get("/pods")
    assert type(raised.value) is error
    assert len(server.asked) == 1


def test_a_page_that_another_server_has_not_is_no_kind_that_krm_does_not_keep() -> None:
    server = Scripted(answer(404, b"<html>Not Found</html>"))
    with pytest.raises(errors.Unreachable, match="is it krm's server"):
        Http(server.url).get("/pods")


def test_an_answer_that_drops_in_ends_at_the_deadline() -> None:
    server = Scripted(*[drop_by_drop] * 3)
    begun = time.monotonic()
    with pytest.raises(errors.Unreachable, match="timed out"):
        Http(server.url, timeout=0.5).get("/pods")
    assert time.monotonic() - begun < 2


def test_a_body_that_was_cut_is_never_an_answer() -> None:
    cut = answer(200, b'{"items":[', "Connection: close", length=100)

    def reply(peer: socket.socket) -> None:
        cut(peer)
        hang_up(peer)

    short = gzip.compress(b"[1,2,3]" * 100)[:-9]
    for broken in (reply, answer(200, short, "Content-Encoding: gzip")):
        with pytest.raises(errors.Unreachable):
            Http(Scripted(*[broken] * 3).url).get("/pods")


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST", 1_000_000)
    bomb = gzip.compress(bytes(50_000_000))
    server = Scripted(*[answer(200, bomb, "Content-Encoding: gzip")] * 3)
    with pytest.raises(errors.Unreachable, match="more than 1000000 bytes"):
        Http(server.url).get("/pods")
    server = Scripted(answer(200, gzip.compress(b"[1]"), "Content-Encoding: gzip"))
    assert Http(server.url).get("/pods").body == b"[1]"


def test_nobody_there_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(errors.Unreachable, match=rf"http://127.0.0.1:{port} does not answer: .*refused"):
        Http(f"http://127.0.0.1:{port}").get("/pods")


def test_a_token_goes_over_tls_or_to_this_machine_alone() -> None:
    server = Scripted()
    Http(server.url, token="abc.def").get("/pods")
    assert b"\r\nAuthorization: Bearer abc.def\r\n" in server.asked[0]
    with pytest.raises(errors.BadRequest, match="in the clear"):
        Http("http://192.0.2.1:80", token="abc")
    for wrong in ("abc\r\nX-Remote-User: admin", "a b", "ä"):
        with pytest.raises(errors.BadRequest, match="token") as raised:
            Http(server.url, token=wrong)
        assert wrong not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["ftp://a", "a:80", "https://u:p@a", "https://a/?x=1", "https://a:99999", "https://[a", "https://"]
)
def test_a_url_that_is_none_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(errors.BadRequest) as raised:
        Http(url)
    assert "u:p" not in str(raised.value)


def test_a_certificate_is_checked_against_the_authority(certificate: Tuple[Path, Path]) -> None:
    server = _tls_server(*certificate)
    with pytest.raises(errors.Unreachable, match="no trusted TLS connection"):
        Http(server).get("/pods")
    assert Http(server, "token", tls_context(str(certificate[0]))).get("/pods").status == 200
    with pytest.raises(errors.Unreachable, match="TLS"):  # the same authority, another name
        Http(server.replace("127.0.0.1", "localhost"), "", tls_context(str(certificate[0]))).get("/pods")
    with pytest.raises(errors.BadRequest, match="no certificates"):
        tls_context(str(certificate[1]) + ".missing")


def _tls_server(certificate: Path, key: Path) -> str:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(certificate), str(key))
    server = Scripted()
    plain = server._serve

    def serve(peer: socket.socket) -> None:
        try:
            plain(context.wrap_socket(peer, server_side=True))
        except OSError:
            peer.close()

    server._serve = serve  # type: ignore[method-assign]
    return f"https://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    pytest.importorskip("cryptography")
    from datetime import datetime, timedelta, timezone
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key: Any = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "krm")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = Path(tmp_path_factory.mktemp("tls"))
    encoding = serialization.Encoding.PEM
    (folder / "crt").write_bytes(made.public_bytes(encoding))
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(private)
    return folder / "crt", folder / "key"
