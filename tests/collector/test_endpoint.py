"""The history through the collector's endpoint is the history itself; nobody without the token gets any of it."""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
from contextlib import contextmanager
from typing import Iterator, List, Optional, Tuple
from urllib.parse import urlsplit

import pytest
from krm.collector import certificate, endpoint
from krm.model.measures import Covers, Subject
from krm.store.history import wire
from krm.store.history.asked import Extent, NoHistory, Query, Ranged, Series, TooMuch, Total, Totalled
from krm.store.history.remote import RemoteHistory

TOKEN = "a-token-of-the-test"
SUBJECT = Subject("shop", "web-0", "uid", "app", "n1")
EXTENT = Extent(0.0, 60.0, 0.0, 59.0, ("an hour was damaged",), Covers(1, 2, "hours"))
QUERY = Query("cpu/usage_rate", "container", 0.0, 60.0, namespace="shop", allowed=("shop",))


class Kept:
    """A history that answers one thing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: List[Query] = []
        self.error: Optional[Exception] = None

    def range(self, query: Query) -> Ranged:
        self._hear(query)
        return Ranged([Series(SUBJECT, [15.0, 30.0, 45.0], [1.5, math.nan, 2.5])], EXTENT)

    def totals(self, query: Query) -> Totalled:
        self._hear(query)
        return Totalled([Total(SUBJECT, 60.0, 30.0, 2.5, 2, 15.0, 45.0)], EXTENT)

    def _hear(self, query: Query) -> None:
        self.asked.append(query)
        if self.error is not None:
            raise self.error


@contextmanager
def copy() -> Iterator[io.BytesIO]:
    yield io.BytesIO(b"a copy" * 1000)


@pytest.fixture(scope="module")
def serving() -> certificate.Serving:
    return certificate.made()


@pytest.fixture
def served(serving: certificate.Serving) -> Iterator[Tuple[Kept, endpoint.Server]]:
    kept = Kept()
    server = endpoint.Server(kept, copy, TOKEN, serving, ("127.0.0.1", 0))
    yield kept, server
    server.close()


def remote(server: endpoint.Server, token: str = TOKEN, digest: str = "") -> RemoteHistory:
    return RemoteHistory(lambda: (server.address, digest or server.digest), token)


def test_questions_and_answers_come_through_unchanged(served: Tuple[Kept, endpoint.Server]) -> None:
    kept, server = served
    found = remote(server).range(QUERY)
    assert found.extent == EXTENT
    (series,) = found.series
    assert series.subject == SUBJECT
    assert list(series.times) == [15.0, 30.0, 45.0]
    assert math.isnan(series.values[1])
    assert (series.values[0], series.values[2]) == (1.5, 2.5)
    assert remote(server).totals(QUERY) == kept.totals(QUERY)
    assert kept.asked[:2] == [QUERY, QUERY]


@pytest.mark.parametrize(("error", "shown"), [(NoHistory("the disk is gone"), "disk"), (TooMuch("less"), "less")])
def test_what_the_history_cannot_answer_is_told(
    served: Tuple[Kept, endpoint.Server], error: NoHistory, shown: str
) -> None:
    kept, server = served
    kept.error = error
    with pytest.raises(type(error), match=shown):
        remote(server).range(QUERY)


def test_another_token_and_another_certificate_get_nothing(served: Tuple[Kept, endpoint.Server]) -> None:
    kept, server = served
    with pytest.raises(NoHistory, match="token"):
        remote(server, "another").range(QUERY)
    with pytest.raises(NoHistory, match="certificate"):
        remote(server, digest="00" * 32).range(QUERY)
    with pytest.raises(NoHistory, match="token"):
        remote(server, "").range(QUERY)
    with pytest.raises(NoHistory, match="no collector"):
        RemoteHistory(lambda: None, TOKEN).range(QUERY)
    assert kept.asked == []


def ask(server: endpoint.Server, method: str, path: str, body: bytes, **headers: str) -> Tuple[int, bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = urlsplit(server.address)
    connection = http.client.HTTPSConnection(address.hostname or "", address.port, timeout=10, context=context)
    connection.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_bytes_that_ask_for_nothing_are_refused(served: Tuple[Kept, endpoint.Server]) -> None:
    kept, server = served
    for body in (b"", b"\xc1", b"\x90", wire.pack_query(QUERY._replace(metric="no/such")),
                 wire.pack_query(QUERY._replace(end=-1.0)), wire.pack_query(QUERY._replace(level="pods")),
                 wire.pack_query(QUERY._replace(metric="network/rx_rate"))):  # fmt: skip
        assert ask(server, "POST", wire.RANGE, body)[0] == 400
    assert ask(server, "POST", wire.RANGE, b"", **{"Content-Length": str(wire.MAX_QUERY + 1)})[0] == 413
    assert ask(server, "POST", "/v1/other", wire.pack_query(QUERY))[0] == 404
    assert ask(server, "GET", "/v1/other", b"")[0] == 404
    assert kept.asked == []


def test_a_copy_of_the_file_is_given_whole_and_only_with_the_token(served: Tuple[Kept, endpoint.Server]) -> None:
    _, server = served
    assert ask(server, "GET", "/v1/backup", b"") == (200, b"a copy" * 1000)
    assert ask(server, "GET", "/v1/backup", b"", Authorization="Bearer no")[0] == 401


def test_a_peer_that_says_nothing_holds_up_no_other(served: Tuple[Kept, endpoint.Server]) -> None:
    import socket

    _, server = served
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname or "", address.port or 0)):
        assert remote(server).totals(QUERY).totals


def test_a_collector_that_stands_still_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer asks for ten series: ten times five seconds is long. One that was begun anew is asked."""
    monkeypatch.setattr("krm.store.history.remote.CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as still:
        place = [f"https://127.0.0.1:{still.getsockname()[1]}", "digest"]
        asks = RemoteHistory(lambda: (place[0], place[1]), TOKEN, keeps=True)
        for _ in range(20):
            with pytest.raises(NoHistory, match="cannot be reached"):
                asks.range(QUERY)
        still.settimeout(0.2)
        still.accept()[0].close()
        with pytest.raises(OSError, match="timed out"):
            still.accept()
        place[1] = "another"
        with pytest.raises(NoHistory, match="cannot be reached"):
            asks.range(QUERY)
        still.accept()[0].close()


def test_a_kept_connection_leaves_a_collector_that_is_no_longer_the_one(
    served: Tuple[Kept, endpoint.Server], serving: certificate.Serving
) -> None:
    """One that lost its lease goes on answering, from a past that grows no more."""
    former, server = served
    newer = Kept()
    other = endpoint.Server(newer, copy, TOKEN, serving, ("127.0.0.1", 0))
    try:
        place = [server.address]
        asks = RemoteHistory(lambda: (place[0], server.digest), TOKEN, keeps=True)
        asks.range(QUERY)
        asks.range(QUERY)
        place[0] = other.address
        asks.range(QUERY)
        asks.close()
    finally:
        other.close()
    assert (len(former.asked), len(newer.asked)) == (2, 1)
