"""TLS over real sockets: who is asked for what, and what a change of the files does to whom."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest
from authorities import Authority, Pair
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from krm.server.listening import Port, run
from krm.server.tls import BadCertificates, Certificates


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


async def who(scope: Any, _receive: Any, send: Any) -> None:
    """Answers with the peer's name."""
    der = scope["state"].get("peer_certificate", b"")
    name = x509.load_der_x509_certificate(der).subject.rfc4514_string() if der else "nobody"
    headers = [(b"content-length", str(len(name)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": name.encode()})


@contextlib.contextmanager
def listening(certificates: Certificates) -> Iterator[int]:
    """The port."""
    port = Port(who, "127.0.0.1", 0, certificates.context)

    async def serve() -> int:
        await port.serve()
        return 0

    thread = threading.Thread(target=run, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield port.number
    finally:
        port.stop()
        thread.join(20)


def trusting(ca: Authority, client: Optional[Pair] = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.pem.decode())
    if client:
        context.load_cert_chain(str(client.cert), str(client.key))
    return context


def asked(port: int, context: ssl.SSLContext) -> str:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def refused(port: int, context: ssl.SSLContext) -> bool:
    """With TLS 1.3 a client hears of it only where it reads."""
    try:
        asked(port, context)
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return True
    return False


def certificate_at(port: int, ca: Authority, name: Optional[str] = "localhost") -> bytes:
    """DER. `name` None: no server name is sent."""
    context = trusting(ca)
    context.check_hostname = name is not None
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(plain, server_hostname=name) as secure:
        return secure.getpeercert(binary_form=True) or b""


def der(pair: Pair) -> bytes:
    return x509.load_pem_x509_certificate(pair.cert.read_bytes()).public_bytes(serialization.Encoding.DER)


def served(pair: Pair, client_ca: str = "") -> Certificates:
    return Certificates(str(pair.cert), str(pair.key), client_ca)


def replace(old: Pair, new: Pair) -> None:
    """As an operator does it: whole files, moved over the old ones."""
    for source, target in zip(new, old):
        copy = target.with_suffix(".new")
        shutil.copy(str(source), str(copy))
        os.replace(str(copy), str(target))


def test_a_client_certificate_is_asked_for_and_not_demanded(tmp_path: Path, ca: Authority) -> None:
    people = Authority(tmp_path, "people")
    with listening(served(ca.server(), str(people.file))) as port:
        assert asked(port, trusting(ca, people.client("alice", ["team-a"]))) == "CN=alice,O=team-a"
        assert asked(port, trusting(ca)) == "nobody"
        assert refused(port, trusting(ca, Authority(tmp_path, "strangers").client("alice")))
        # A serving certificate of the same CA is no client's.
        assert refused(port, trusting(ca, people.server("web")))


def test_without_a_client_ca_no_certificate_names_anyone(ca: Authority) -> None:
    with listening(served(ca.server())) as port:
        assert asked(port, trusting(ca, ca.client("alice"))) == "nobody"


def test_a_changed_pair_is_served_to_whoever_comes_next(tmp_path: Path, ca: Authority) -> None:
    pair = ca.server()
    certificates, before = served(pair), der(pair)
    with listening(certificates) as port:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting(ca))
        connection.request("GET", "/")
        connection.getresponse().read()
        assert certificate_at(port, ca) == before
        assert certificates.look() is None
        replace(pair, ca.server("renewed"))
        assert certificates.look() == f"{pair.cert} was read anew"
        assert certificate_at(port, ca) == certificate_at(port, ca, None) == der(pair) != before
        connection.request("GET", "/")  # who was connected stays so
        assert connection.getresponse().read() == b"nobody"
        connection.close()


def test_a_broken_new_pair_keeps_the_old_one_and_is_told(tmp_path: Path, ca: Authority) -> None:
    pair = ca.server()
    certificates, before = served(pair), der(pair)
    other = ca.server("other")
    with listening(certificates) as port:
        shutil.copy(str(other.key), str(pair.key))  # half of a renewal
        told = certificates.look()
        assert told is not None
        assert told.startswith(f"the earlier certificate is kept: {pair.cert} and {pair.key} are no pair")
        assert certificate_at(port, ca) == before
        pair.cert.write_text("-----BEGIN CERT")
        assert "the earlier certificate is kept" in str(certificates.look())
        pair.cert.unlink()
        assert f"{pair.cert}: No such file" in str(certificates.look())
        assert certificate_at(port, ca) == before
        shutil.copy(str(other.cert), str(pair.cert))  # the other half
        assert certificates.look() == f"{pair.cert} was read anew"
        assert certificate_at(port, ca) == der(other)


def test_a_client_ca_that_was_taken_away_lets_nobody_in(tmp_path: Path, ca: Authority) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    alice, bob = first.client("alice"), second.client("bob")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(first.pem)
    certificates = served(ca.server(), str(bundle))
    with listening(certificates) as port:
        as_alice = trusting(ca, alice)
        assert asked(port, as_alice) == "CN=alice"
        assert refused(port, trusting(ca, bob))
        bundle.write_bytes(second.pem + b"\n")
        assert certificates.look()
        assert asked(port, trusting(ca, bob)) == "CN=bob"
        assert refused(port, as_alice)  # nor by the session of before


def once(port: int, context: ssl.SSLContext, session: Any, kept: Optional[List[Any]] = None) -> str:
    """One request that offers a session of before; '' where it is refused."""
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as secure:
            secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: secure.recv(4096), b""))
            if kept is not None:
                kept.append(secure.session)
    except OSError:
        return ""
    return answer.rpartition(b"\r\n")[2].decode()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(tmp_path: Path, ca: Authority, version: ssl.TLSVersion) -> None:
    """It would name a peer whose CA is gone."""
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    certificates = served(ca.server(), str(first.file))
    with listening(certificates) as port:
        context = trusting(ca, first.client("alice"))
        context.maximum_version = version
        session: List[Any] = []
        assert once(port, context, None, session) == "CN=alice"
        assert once(port, context, session[0]) == ("nobody" if version == ssl.TLSVersion.TLSv1_2 else "CN=alice")
        first.file.write_bytes(second.pem + b"\n")
        assert certificates.look()
        assert once(port, context, session[0]) in ("", "nobody")


def test_cas_may_be_told_by_others_than_the_file(tmp_path: Path, ca: Authority) -> None:
    """As the ConfigMap of a cluster tells them."""
    people = Authority(tmp_path, "people")
    certificates = served(ca.server())
    with listening(certificates) as port:
        alice = trusting(ca, people.client("alice"))
        assert asked(port, alice) == "nobody"
        certificates.trust("the ConfigMap", people.pem.decode())
        assert asked(port, alice) == "CN=alice"
        with pytest.raises(BadCertificates, match="the ConfigMap holds no CA certificates"):
            certificates.trust("the ConfigMap", "nonsense")
        assert asked(port, alice) == "CN=alice"
        certificates.trust("the ConfigMap", "")
        assert asked(port, alice) == "nobody"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_below_1_2_is_refused(ca: Authority) -> None:
    with listening(served(ca.server())) as port:
        old = trusting(ca)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        assert refused(port, old)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            new = trusting(ca)
            new.minimum_version = new.maximum_version = version
            assert asked(port, new) == "nobody"


@pytest.mark.parametrize(
    ("mode", "said"), [(0o600, ""), (0o640, "can be read by its group"), (0o644, "can be read by everyone")]
)
def test_a_key_that_others_may_read_is_told_and_served(
    ca: Authority, mode: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    pair = ca.server()
    pair.key.chmod(mode)
    served(pair)
    assert (said in caplog.text, bool(caplog.text)) == (True, bool(said))


def test_files_that_cannot_be_served_with_are_told(tmp_path: Path, ca: Authority) -> None:
    pair = ca.server()
    fifo = tmp_path / "fifo"
    os.mkfifo(str(fifo))
    with pytest.raises(BadCertificates, match="fifo is no file"):
        Certificates(str(fifo), str(pair.key))
    with pytest.raises(BadCertificates, match="nowhere: No such file"):
        Certificates("nowhere", str(pair.key))
    with pytest.raises(BadCertificates, match="no pair"):
        Certificates(str(pair.cert), str(ca.server("other").key))
    with pytest.raises(BadCertificates, match="holds no CA certificates"):
        served(pair, str(pair.key))
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked))
    with pytest.raises(BadCertificates, match="the key is encrypted"):
        served(pair)
