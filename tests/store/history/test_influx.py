"""InfluxDB's own ways: accounts, TLS, a database that is not there, 2.x as a protocol; servers that misbehave."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple
from urllib.parse import parse_qs, urlencode, urlsplit

import metric_servers
import pytest
from authorities import Authority
from krm.model.measures import Sample, Subject
from krm.store.history.asked import NoHistory, Query
from krm.store.history.external import ExternalHistory, delay_point
from krm.store.history.influx import Influx
from krm.store.history.place import parse_place
from redis_servers import until

SECRET = "s3cr3t"


def open_history(url: str, folder: Path, timeout: float = 5.0) -> ExternalHistory:
    return ExternalHistory(Influx(parse_place(url), timeout), folder, pause=0.05)


def record(history: ExternalHistory, at: float) -> Query:
    history.record([Sample(Subject("shop", "web-0", "u"), at, {"cpu/usage_rate": 100.0}, "agent", 10.0)], at)
    return Query("cpu/usage_rate", "pod", at - 60, at + 60)


def seen(history: ExternalHistory, query: Query) -> bool:
    try:
        return [one.sum for one in history.totals(query).totals] == [1000.0]
    except NoHistory:
        return False


def test_the_database_is_made_and_made_again_when_someone_dropped_it(tmp_path: Path) -> None:
    with metric_servers.influx(tmp_path) as server:
        history = open_history(f"influxdb://127.0.0.1:{server.port}/a%22b%20c", tmp_path)
        now = time.time()
        query = record(history, now)
        until("it arrives", lambda: seen(history, query))
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        drop = 'q=DROP DATABASE "a\\"b c"'
        assert metric_servers.ask(server.port, "POST", "/query", drop, form)[0] == 200
        later = record(history, now + 50)
        until("the next arrives", lambda: seen(history, later))
        until("all is well", lambda: history.health() == [])
        history.close()


def test_an_account_that_may_not_is_told_without_its_password_and_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with metric_servers.influx(tmp_path, auth=True) as server:
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        def admin(statement: str, who: str = "") -> int:
            basic = base64.b64encode(f"{who}:{SECRET}".encode()).decode()
            headers = {**form, "Authorization": f"Basic {basic}"} if who else form
            return int(metric_servers.ask(server.port, "POST", "/query", f"q={statement}", headers)[0])

        assert admin(f"CREATE USER root WITH PASSWORD '{SECRET}' WITH ALL PRIVILEGES") == 200
        assert admin('CREATE DATABASE "k8s"', "root") == 200
        url = f"influxdb://krm:{SECRET}@127.0.0.1:{server.port}/k8s"
        with caplog.at_level(logging.DEBUG):
            history = open_history(url, tmp_path)
            query = record(history, time.time())
            until("it is told", lambda: any("401" in one for one in history.health()))
            with pytest.raises(NoHistory, match="401"):
                history.totals(query)
            assert admin(f"CREATE USER krm WITH PASSWORD '{SECRET}'", "root") == 200
            until("it may not write", lambda: any("403" in one for one in history.health()))
            assert admin('GRANT ALL ON "k8s" TO krm', "root") == 200
            until("it arrives", lambda: seen(history, query))
            until("all is well", lambda: history.health() == [])
            history.close()
        assert SECRET not in caplog.text
        assert "***@" in caplog.text


def test_over_tls_the_certificate_is_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    pair, ca = authority.server(addresses=["127.0.0.1"]), authority.file
    tls = f'https-enabled = true\nhttps-certificate = "{pair.cert}"\nhttps-private-key = "{pair.key}"'
    with metric_servers.influx(tmp_path, tls=tls) as server:
        trusting = open_history(f"influxdbs://127.0.0.1:{server.port}/k8s?ssl_ca_certs={ca}", tmp_path / "a")
        query = record(trusting, time.time())
        until("it arrives", lambda: seen(trusting, query))
        trusting.close()
        strict = open_history(f"influxdbs://127.0.0.1:{server.port}/k8s", tmp_path / "b")
        record(strict, time.time())
        until("it is told", lambda: any("no trusted TLS connection" in one for one in strict.health()))
        strict.close()


def test_a_stream_delay_is_read_by_the_query_of_the_docs(tmp_path: Path) -> None:
    """docs/history.md's query, against points of five seconds and of two."""
    docs = (Path(__file__).resolve().parents[3] / "docs" / "history.md").read_text(encoding="utf-8")
    statement = next(line for line in docs.splitlines() if "PERCENTILE" in line and "streamed_data" in line)
    with metric_servers.influx(tmp_path) as server:
        history = open_history(f"influxdb://127.0.0.1:{server.port}/k8s", tmp_path)
        now = time.time() - 30
        points = [delay_point("pods", "ADDED", now + n / 10, 2.0 if n else 5.0, str(1000 + n)) for n in range(21)]
        history.write_points([*points, delay_point("no des", "DELETED", now, 7.0, '"x')])
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        def answer() -> Any:
            body = metric_servers.ask(server.port, "POST", "/query", f"db=k8s&q={statement}", form)[1]
            return json.loads(body)["results"][0].get("series")

        found = until("it is there", answer)
        others = [line.strip() for line in docs.splitlines() if line.startswith("    SELECT")]
        assert len(others) == 3
        for other in others:
            asked = metric_servers.ask(server.port, "POST", "/query", urlencode({"db": "k8s", "q": other}), form)
            assert "error" not in json.loads(asked[1])["results"][0], (other, asked)
        assert {(one["tags"]["resource"], one["values"][0][1]) for one in found} == {("pods", 2), ("no des", 7)}
        history.close()


class Fake:
    """A server that keeps what it gets, and answers as it is told."""

    def __init__(self) -> None:
        self.got: List[Tuple[str, Dict[str, List[str]], Dict[str, str], bytes]] = []
        self.answers: List[Tuple[int, Dict[str, str], bytes]] = []
        self.slow = 0.0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                if parts.path == "/query":
                    self._answer(200, {}, b'{"results":[]}')
                    return
                fake.got.append((parts.path, parse_qs(parts.query), dict(self.headers), body))
                self._answer(*(fake.answers.pop(0) if fake.answers else (204, {}, b"")))

            def _answer(self, status: int, headers: Dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for at in range(len(body) if fake.slow else 0):
                    self.wfile.write(body[at : at + 1])
                    time.sleep(fake.slow)
                self.wfile.write(b"" if fake.slow else body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def fake() -> Iterator[Fake]:
    found = Fake()
    yield found
    found.server.shutdown()
    found.server.server_close()


def test_2x_is_written_to_as_its_protocol_has_it(fake: Fake, tmp_path: Path) -> None:
    history = open_history(f"influxdb2://{SECRET}@127.0.0.1:{fake.port}/my%20org/bu%26cket", tmp_path)
    record(history, 1700000000.25)
    path, query, headers, body = until("it is written", lambda: fake.got)[0]
    assert (path, query) == ("/api/v2/write", {"org": ["my org"], "bucket": ["bu&cket"], "precision": ["ms"]})
    assert headers["Authorization"] == f"Token {SECRET}"
    assert headers["Content-Encoding"] == "gzip"
    line = b"cpu/usage_rate,namespace_name=shop,pod_id=u,pod_name=web-0,source=agent,type=pod "
    assert gzip.decompress(body) == line + b"value=100.0,sum=1000.0,seconds=10.0 1700000000250\n"
    history.close()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((503, {}, b'{"error":"timeout"}'), "it answered 503: timeout"),
        ((401, {}, b'{"message":"unauthorized"}'), "it answered 401: unauthorized"),
        ((404, {}, b'{"message":"bucket \\"b\\" not found"}'), 'it answered 404: bucket "b" not found'),
        ((307, {"Location": "http://127.0.0.1:1/"}, b""), "it redirects elsewhere, and krm does not follow"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "its answer cannot be decompressed"),
    ],
)
def test_what_passes_is_sent_again_byte_for_byte(fake: Fake, tmp_path: Path, answer: Any, told: str) -> None:
    fake.answers = [answer] * 3
    history = open_history(f"influxdb2://{SECRET}@127.0.0.1:{fake.port}/o/b", tmp_path)
    record(history, 1700000000.0)
    until("it is told", lambda: any(told in one for one in history.health()))
    until("it is sent again", lambda: len(fake.got) == 4)
    assert len({body for _, _, _, body in fake.got}) == 1
    until("all is well", lambda: history.health() == [])
    history.close()


def test_what_is_refused_for_good_is_told_and_not_sent_again(fake: Fake, tmp_path: Path) -> None:
    fake.answers = [(400, {}, b'{"error":"partial write: field type conflict\\u0007"}')]
    history = open_history(f"influxdb2://{SECRET}@127.0.0.1:{fake.port}/o/b", tmp_path)
    record(history, 1700000000.0)
    record(history, 1700000010.0)
    until("the next one is sent", lambda: len(fake.got) == 2)
    until("it is told", lambda: history.health())
    assert "1 batches were refused, the last one: it answered 400: partial write: field type" in history.health()[0]
    history.close()


def test_a_server_that_drips_is_given_up(fake: Fake, tmp_path: Path) -> None:
    fake.slow, fake.answers = 0.1, [(200, {}, b"x" * 1000)]
    history = open_history(f"influxdb2://{SECRET}@127.0.0.1:{fake.port}/o/b", tmp_path, timeout=0.5)
    began = time.monotonic()
    record(history, 1700000000.0)
    until("it is told", lambda: any("timed out" in one for one in history.health()))
    assert time.monotonic() - began < 5
    history.close()
