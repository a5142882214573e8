"""Whose a client certificate is, and what the published ConfigMap is read as."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import pytest
from authorities import Authority, Pair
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from krm.server import peers
from krm.server.authorities import parse
from krm.server.credentials import ProxyHeaders, bearer, proxied
from krm.server.identity import User
from krm.server.peers import Cas, Peer
from krm.server.statuses import ApiError
from server.asking import request

NOW = datetime.datetime.now(datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)
HEADERS = ProxyHeaders(("x-remote-user",), ("x-remote-uid",), ("x-remote-group",), ("x-remote-extra-",))


def der(pair: Pair) -> bytes:
    certificate = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)


def cas(clients: Optional[Authority], proxies: Optional[Authority] = None, names: Sequence[str] = ()) -> Cas:
    def of(one: Optional[Authority]) -> Any:
        return peers.bundle(one.pem.decode()) if one else ()

    return Cas(of(clients), of(proxies), tuple(names))


def named(found: Peer) -> str:
    return found.user.name if found.user else ""


@pytest.fixture
def one(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "one")


@pytest.fixture
def two(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "two")


def test_a_certificate_names_its_user_and_groups(one: Authority) -> None:
    found = peers.peer(der(one.client("alice", ["devs", "ops"])), cas(one), NOW)
    assert found.user is not None
    assert found.user.name == "alice"
    assert found.user.groups == ("devs", "ops", "system:authenticated")
    (extra,) = found.user.extra
    assert extra[0] == "authentication.kubernetes.io/credential-id"
    assert not found.proxy


def test_each_ca_says_only_what_it_is_for(one: Authority, two: Authority) -> None:
    alice, proxy = der(one.client("alice")), der(two.client("front"))
    assert peers.peer(alice, cas(one, two, ["front"]), NOW).proxy is False
    assert peers.peer(proxy, cas(one, two, ["front"]), NOW) == Peer(None, True)
    assert peers.peer(proxy, cas(one, two, ["other"]), NOW) == Peer()
    assert peers.peer(proxy, cas(one, two), NOW).proxy is True  # an empty list allows every name
    assert peers.peer(alice, cas(two), NOW) == Peer()
    assert peers.peer(alice, cas(None), NOW) == Peer()


def test_a_ca_of_the_same_name_and_another_key_signs_nothing(tmp_path: Path, one: Authority) -> None:
    (tmp_path / "other").mkdir()
    twin = Authority(tmp_path / "other", "one")
    assert peers.peer(der(twin.client("alice")), cas(one), NOW) == Peer()


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_certificate_counts_while_it_is_in_force(one: Authority, hours: int) -> None:
    assert named(peers.peer(der(one.client("alice")), cas(one), NOW)) == "alice"
    assert peers.peer(der(one.client("alice")), cas(one), NOW + hours * HOUR) == Peer()


def test_a_servers_certificate_is_no_clients(one: Authority) -> None:
    assert peers.peer(der(one.server()), cas(one), NOW) == Peer()


def test_whoever_was_signed_may_not_sign(tmp_path: Path, one: Authority) -> None:
    """A client's key is no CA's, even where its certificate stands in the bundle."""
    middle = one.client("middle")
    key = serialization.load_pem_private_key(middle.key.read_bytes(), None)
    issuer = x509.load_pem_x509_certificate(middle.cert.read_bytes())
    forged = signed(key, issuer.subject, [x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    bundle = Cas(peers.bundle(one.pem.decode() + middle.cert.read_text()))
    assert peers.peer(forged, bundle, NOW) == Peer()


@pytest.mark.parametrize(
    ("names", "who"),
    [
        ([], ""),
        ([(NameOID.ORGANIZATION_NAME, "system:masters")], ""),
        ([(NameOID.COMMON_NAME, "first"), (NameOID.COMMON_NAME, "last")], "last"),
        ([(NameOID.COMMON_NAME, "a"), (peers._UID, "7")], "a/7"),
        ([(NameOID.COMMON_NAME, "a"), (peers._UID, "7"), (peers._UID, "8")], ""),
    ],
)
def test_a_subject_is_read_as_the_api_server_reads_it(names: List[Any], who: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    ca = x509.load_der_x509_certificate(signed(key, issuer, list(issuer), x509.BasicConstraints(True, None)))
    leaf = signed(key, issuer, [x509.NameAttribute(oid, value) for oid, value in names])
    found = peers.peer(leaf, Cas((ca,)), NOW).user
    assert (f"{found.name}/{found.uid}".rstrip("/") if found else "") == who


def test_a_critical_demand_that_is_not_understood_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    ca = x509.load_der_x509_certificate(signed(key, issuer, list(issuer), x509.BasicConstraints(True, None)))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "a")]
    assert named(peers.peer(signed(key, issuer, names), Cas((ca,)), NOW)) == "a"
    assert peers.peer(signed(key, issuer, names, unknown), Cas((ca,)), NOW) == Peer()


@pytest.mark.parametrize("junk", [b"", b"\x30", b"x" * 5000])
def test_what_is_no_certificate_is_nobodys(one: Authority, junk: bytes) -> None:
    assert peers.peer(junk, cas(one), NOW) == Peer()


def test_what_ran_out_is_nobodys_though_its_ca_goes_on() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    ca = x509.load_der_x509_certificate(signed(key, issuer, list(issuer), x509.BasicConstraints(True, None)))
    names = [x509.NameAttribute(NameOID.COMMON_NAME, "a")]
    short = signed(key, issuer, names, lasts=HOUR / 2)
    assert named(peers.peer(short, Cas((ca,)), NOW)) == "a"
    assert peers.peer(short, Cas((ca,)), NOW + HOUR * 0.75) == Peer()


def signed(
    key: Any,
    issuer: x509.Name,
    subject: List[x509.NameAttribute[str]],
    *critical: Any,
    lasts: datetime.timedelta = HOUR,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - HOUR)
        .not_valid_after(NOW + lasts)
    )
    if not any(isinstance(one, x509.BasicConstraints) for one in critical):
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    for extension in critical:
        builder = builder.add_extension(extension, True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


# The ConfigMap


def published(one: Authority, two: Authority, **changed: Optional[str]) -> Dict[str, str]:
    data: Dict[str, Optional[str]] = {
        "client-ca-file": one.pem.decode(),
        "requestheader-client-ca-file": two.pem.decode(),
        "requestheader-allowed-names": json.dumps(["front"]),
        "requestheader-username-headers": json.dumps(["X-Remote-User"]),
        "requestheader-uid-headers": json.dumps(["X-Remote-Uid"]),
        "requestheader-group-headers": json.dumps(["X-Remote-Group"]),
        "requestheader-extra-headers-prefix": json.dumps(["X-Remote-Extra-"]),
    }
    data.update({key.replace("_", "-"): value for key, value in changed.items()})
    return {key: value for key, value in data.items() if value is not None}


def test_what_is_published_is_taken_whole(one: Authority, two: Authority) -> None:
    found = parse(published(one, two))
    assert (len(found.cas.clients), len(found.cas.proxies), found.cas.allowed_names) == (1, 1, ("front",))
    assert found.headers == HEADERS
    assert found.pem.count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"requestheader_allowed_names": None},
        {"requestheader_allowed_names": "front"},
        {"requestheader_allowed_names": "null"},
        {"requestheader_allowed_names": '["front", 1]'},
        {"requestheader_username_headers": None},
        {"requestheader_username_headers": "[]"},
        {"requestheader_client_ca_file": None},
        {"requestheader_client_ca_file": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
    ],
)
def test_a_proxy_that_is_not_described_whole_is_none(
    one: Authority, two: Authority, changed: Dict[str, Optional[str]]
) -> None:
    found = parse(published(one, two, **changed))
    assert found.cas.proxies == ()
    assert len(found.cas.clients) == 1


def test_nothing_published_is_nobody(one: Authority) -> None:
    assert parse({}).cas == Cas()
    assert parse({"client-ca-file": "no certificate"}).cas == Cas()


# Headers


def test_a_proxy_names_one_user_with_groups_uid_and_extra() -> None:
    ask = request(
        ("X-Remote-User", "alice"),
        ("X-Remote-User", "bob"),
        ("X-Remote-Group", "devs"),
        ("x-remote-group", ""),
        ("X-REMOTE-GROUP", "ops"),
        ("X-Remote-Uid", "7"),
        ("X-Remote-Extra-Acme.com%2FProject", "p1"),
        ("X-Remote-Extra-Acme.com%2FProject", "p2"),
        ("X-Remote-Extra-", "nameless"),
    )
    assert proxied(ask, HEADERS) == User(
        "alice", "7", ("devs", "ops", "system:authenticated"), (("acme.com/project", ("p1", "p2")),)
    )


def test_a_proxy_that_names_nobody_names_nobody() -> None:
    assert proxied(request(("X-Remote-Group", "system:masters")), HEADERS) is None
    assert proxied(request(("X-Remote-User", "")), HEADERS) is None
    assert proxied(request(("X-Remote-User", "alice")), ProxyHeaders()) is None


@pytest.mark.parametrize(
    ("value", "token"),
    [("", None), ("Basic x", None), ("Token x", None), ("Bearer x", "x"), ("bEaReR x.y-z", "x.y-z")],
)
def test_a_bearer_token_is_read_where_there_is_one(value: str, token: Optional[str]) -> None:
    assert bearer(request(("Authorization", value))) == token


@pytest.mark.parametrize("value", ["Bearer", "Bearer  x", "Bearer x y", "Bearer \u00e9", "Bearer " + "x" * 40_000])
def test_a_malformed_one_is_401(value: str) -> None:
    with pytest.raises(ApiError) as caught:
        bearer(request(("Authorization", value)))
    assert caught.value.code == 401
