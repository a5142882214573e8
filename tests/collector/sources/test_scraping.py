"""Pods on this machine, asked over HTTP: what they send is read as they call it, and no more of it than may be."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Iterator, List

import pytest
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector.facts import ContainerFacts, PodFacts
from krm.collector.source import NoData
from krm.collector.sources.annotated import Reach, pod_target
from krm.collector.sources.scraping import Scraper, through
from krm.model.measures import Sample

NOW = 1_800_000_000.0
GIB = 2**30
LOOPBACK = Reach(loopback=True)
PIECE = b"queue_depth 1\n" * 4096


class Pod(BaseHTTPRequestHandler):
    """/text, /open, /moved, /endless."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers))  # type: ignore[attr-defined]
        self.send_response(302 if self.path == "/moved" else 200)
        kind = "application/openmetrics-text; version=1.0.0" if self.path == "/open" else "text/plain"
        self.send_header("Content-Type", kind)
        self.send_header("Location", "/text")
        self.end_headers()
        if self.path == "/endless":
            self._without_end()
        elif self.path == "/open":
            self.wfile.write(b"# TYPE queue_depth gauge\nqueue_depth 5\n# EOF\n")
        else:
            self.wfile.write(b"queue_depth 3\n")

    def _without_end(self) -> None:
        sent = 0
        try:
            while sent < GIB:
                sent += self.wfile.write(PIECE)
        except OSError:
            pass  # whoever asked has gone
        self.server.sent.append(sent)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    served = ThreadingHTTPServer(("127.0.0.1", 0), Pod)
    served.asked, served.sent = [], []  # type: ignore[attr-defined]
    thread = threading.Thread(target=served.serve_forever, args=(0.05,))
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def scrape(server: ThreadingHTTPServer, path: str, reach: Reach = LOOPBACK) -> List[Sample]:
    told = {"prometheus.io/port": str(server.server_address[1]), "prometheus.io/path": path}
    runs = (ContainerFacts("web", 1.0),)
    pod = PodFacts("shop", "web-0", "u-1", "node-1", "127.0.0.1", False, False, runs, told, True)
    door = Endpoints(Trust())
    try:
        return Scraper(lambda *_: pod, through(door), frozenset, reach)(pod_target(pod), NOW)
    finally:
        door.close()


def test_each_format_is_read_as_it_is_called(server) -> None:
    assert [one.values for one in scrape(server, "/text")] == [{"app/queue_depth": 3}]
    assert [one.values for one in scrape(server, "/open")] == [{"app/queue_depth": 5}]
    assert [headers.get("Authorization") for _, headers in server.asked] == [None, None]


def test_a_redirect_is_not_followed_and_loopback_is_not_asked_unless_told(server) -> None:
    with pytest.raises(NoData, match="redirect"):
        scrape(server, "/moved")
    with pytest.raises(NoData, match="this machine"):
        scrape(server, "/text", Reach())
    assert [path for path, _ in server.asked] == ["/moved"]


def test_of_a_gigabyte_only_what_is_allowed_is_read(server) -> None:
    with pytest.raises(NoData, match="more than 4194304 bytes"):
        scrape(server, "/endless")
    server.shutdown()
    server.server_close()  # waits for the answer's thread
    assert server.sent[0] < 64 * 2**20, "bytes sent before the other side hung up"
