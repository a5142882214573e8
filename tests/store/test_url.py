"""Redis URLs: what krm takes, what it refuses, and that no message shows a password."""

from __future__ import annotations

import pytest
from krm.store.connect import connect
from krm.store.errors import BadUrl, Unavailable
from krm.store.url import CLUSTER, DIRECT, SENTINEL, UNIX, parse


@pytest.mark.parametrize(
    ("url", "how", "nodes", "db"),
    [
        ("redis://localhost", DIRECT, (("localhost", 6379),), 0),
        ("rediss://u:p@redis.example:6380/3", DIRECT, (("redis.example", 6380),), 3),
        ("redis://[::1]:7000/1", DIRECT, (("::1", 7000),), 1),
        ("unix:///run/redis.sock?db=2", UNIX, (), 2),
        ("redis+sentinel://a:1,b,c:3/krm/4", SENTINEL, (("a", 1), ("b", 26379), ("c", 3)), 4),
        ("rediss+cluster://a:1,b:2", CLUSTER, (("a", 1), ("b", 2)), 0),
    ],
)
def test_what_krm_takes(url: str, how: str, nodes: object, db: int) -> None:
    address = parse(url)
    assert (address.how, address.nodes, address.db) == (how, nodes, db)
    assert address.tls == url.startswith("rediss")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://host\r\nFLUSHALL",
        "redis://host:6379\n/0",
        "redis://ho st",
        "redis://host%0d%0a",
        "redis://host:0",
        "redis://host:65536",
        "redis://host:-1",
        "redis://host:6379x",
        "redis://host:",
        "redis://host:\u0661",
        "redis://host:" + "9" * 5000,
        "redis://a,b",
        "redis://host/one",
        "redis://host/1/2",
        "redis://host/" + "1" * 5000,
        "redis://host?db=1",
        "redis://host#0",
        "redis://[::1",
        "redis://user:pa#ss@host",
        "unix://relative/path",
        "unix:///run/a%0ab",
        "unix:///" + "x" * 200,
        "redis+sentinel://a:1",
        "redis+sentinel://a:1/sv c",
        "redis+cluster://a:1/2",
        "redis+cluster://a:1,,b:2",
        "rediss://host?ssl_cert_reqs=maybe",
    ],
)
def test_what_krm_refuses(url: str) -> None:
    with pytest.raises(BadUrl):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:s3cr3t@127.0.0.1:1",
        "redis://:s3cr3t@127.0.0.1:1",
        "redis://me:s3cr3t@x@127.0.0.1:1/x",
        "redis+sentinel://me:s3cr3t@127.0.0.1:1/krm?sentinel_password=s3cr3t",
        "redis+cluster://me:s3cr3t@127.0.0.1:1",
        "redis://me:s3cr3t/x@127.0.0.1:1",
        "unknown://me:s3cr3t@127.0.0.1:1",
    ],
)
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises((BadUrl, Unavailable)) as told:
        connect(url, name="x")
    error = told.value
    while error is not None:
        assert "s3cr3t" not in str(error) + repr(error)
        error = error.__cause__ or error.__context__


def test_escaped_passwords_arrive_whole() -> None:
    address = parse("redis://us%40er:p%40ss%2F%0A@host")
    assert (address.username, address.password) == ("us@er", "p@ss/\n")
    assert "p@ss" not in repr(address)
