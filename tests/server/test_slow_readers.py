"""A reader that takes nothing is cut off, costs little until then, and nobody else feels it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Awaitable, Callable, List, cast

import pytest
from krm.model.head import Head
from krm.model.kinds import Kind, Resource
from krm.model.messages import ADDED, MODIFIED
from krm.model.records import Change, ChangeEntry, Envelope, object_digest, pack_envelope
from krm.model.served import pack_facts
from krm.server import streams, web
from krm.server.app import App
from krm.server.catalog import Catalog
from krm.server.identity import Open
from krm.server.kept import Kept
from krm.server.listening import Port
from krm.server.own_routes import own_routes
from krm.server.past import Past
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.store.connect import Database
from krm.store.read import SnapshotData, Token
from server.asking import request

PODS = Resource(Kind("pods", ""), "v1", "Pod", True, "pod", ("po",))
SIZE = 20_000  # bytes of a pod
# Bytes that one reader may cost: one piece on its way, what asyncio holds beside it, and what frames them.
MOST = web.PIECE + web.UNTAKEN + 4096


def pod(rv: int) -> Envelope:
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","resourceVersion":"%d"},"padding":"%s"}'
    body = body % (rv, b"x" * SIZE)
    return Envelope(str(rv), "uid", object_digest(body), 1.0, b"", (), body)


class Serves:
    """A server of one kind, in this loop."""

    def __init__(self) -> None:
        self.replica, catalog = Replica("pods"), Catalog("c")
        head = Head(
            incarnation="n", version=1, rv="9", beat=100.0, probed_at=100.0, streamer_at=100.0, current_as_of=100.0,
            verified_at=100.0, verified_rv="9", facts=pack_facts(PODS, {"major": "1"}),
        )  # fmt: skip
        self.replica.load(SnapshotData(Token("n", 1), head, 100.0, {"a/x": pod(9)}))
        catalog.add(self.replica)
        self.serving = Serving(catalog, Kept(1 << 26), lambda _: 100.0)
        app = App("c", lambda: "")
        past = Past(cast(Database, None))  # nothing here is of the past
        self.api = app.add(
            self.serving, Open(),
            lambda gate, streams: own_routes(self.serving, gate, past, streams, lambda: app.routes),
        )  # fmt: skip
        self.port = Port(app, "127.0.0.1", 0)

    def happens(self, rv: int, key: str = "a/x") -> None:
        type_ = MODIFIED if key in self.replica.objects else ADDED
        change = Change(type_, key, pack_envelope(pod(rv)), "", "", b"", ())
        version = self.replica.token.version + 1
        self.replica.apply(version, ChangeEntry(1.0, str(rv), False, 0.0, (change,)))
        self.serving.changed(self.replica)

    def waiting(self) -> int:
        """Bytes that all connections hold."""
        connections = self.port._server.server_state.connections
        return sum(one.transport.get_write_buffer_size() for one in connections)

    @property
    def connections(self) -> int:
        return len(self.port._server.server_state.connections)

    async def ask(self, path: str, small: bool = False, accept: str = "*/*") -> asyncio.StreamReader:
        """An open GET; `small`: of a client whose window is a few KB."""
        raw = socket.socket()
        if small:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port.number))
        reader, writer = await asyncio.open_connection(sock=raw, limit=2048 if small else 1 << 24)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: krm\r\nAccept: {accept}\r\n\r\n".encode())
        reader.writer = writer  # type: ignore[attr-defined]  # it would be closed with its last reference
        return reader


@asynccontextmanager
async def serves() -> AsyncIterator[Serves]:
    made = Serves()
    running = asyncio.ensure_future(made.port.serve())
    try:
        yield made
    finally:
        made.api.streams.close()
        made.port.stop()
        await asyncio.wait_for(running, 10)


async def until(what: str, condition: Callable[[], Any]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within 10 s: {what}")


async def versions(reader: asyncio.StreamReader, last: int) -> List[int]:
    """The resourceVersions that a watch tells, up to `last`; chunked lines as they are."""
    found: List[int] = []
    while not found or found[-1] < last:
        line = await asyncio.wait_for(reader.readline(), 10)
        assert line, f"it ended after {found[-3:]}"
        if line.startswith(b'{"type"'):
            found.append(int(json.loads(line)["object"]["metadata"]["resourceVersion"]))
    return found


def in_loop(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    asyncio.run(run())


WATCH = "/api/v1/pods?watch=true&resourceVersion=9"


def test_who_never_reads_is_cut_and_the_others_are_told_everything(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web, "SLOW_AFTER", 1.0)

    async def story() -> None:
        async with serves() as server:
            slow = [await server.ask(WATCH, small=True) for _ in range(5)]
            reader = await server.ask(WATCH)
            await until("all watch", lambda: server.api.streams.open == 6)
            telling = asyncio.ensure_future(versions(reader, 259))
            most = 0
            for rv in range(10, 260):  # 5 MB: more than the kernel takes for those who never read
                server.happens(rv)
                await asyncio.sleep(0.002)
                most = max(most, server.waiting())
            assert await telling == list(range(10, 260))
            assert web.UNTAKEN < most < 6 * MOST, "nobody was slow, or too much was held for those who were"
            await until("the slow are cut", lambda: (server.api.streams.open, server.connections) == (1, 1))
            assert server.waiting() == 0
            server.happens(260)
            assert await versions(reader, 260) == [260]
            del slow

    in_loop(story)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_what_happens_while_a_watcher_is_written_to_is_told_though_nothing_follows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bell rings then, and nobody waits for it."""
    monkeypatch.setattr(streams, "REVIEW_EVERY", 600.0)  # a review would look at the news too

    async def story() -> None:
        async with serves() as server:
            told: List[bytes] = []
            second = asyncio.Event()

            async def write(data: bytes) -> None:
                if data and not told:
                    server.happens(10)
                if data:
                    told.append(data)
                if len(told) == 2:
                    second.set()

            reply = await server.api.answer(request(path="/api/v1/watch/pods"))
            assert isinstance(reply, web.Stream)
            running = asyncio.ensure_future(reply.run(write))
            await asyncio.wait_for(second.wait(), 10)
            assert b'"resourceVersion":"10"' in told[1]
            running.cancel()

    in_loop(story)


def test_a_whole_answer_that_is_not_taken_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "SLOW_AFTER", 1.0)

    async def story() -> None:
        async with serves() as server:
            for rv in range(10, 410):
                server.happens(rv, f"a/pod-{rv}")
            slow = [await server.ask("/api/v1/pods", small=True) for _ in range(3)]  # 8 MB each
            await until("something waits", lambda: server.waiting() > web.UNTAKEN)
            assert server.waiting() <= 3 * MOST
            reader = await server.ask("/api/v1/pods")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200")
            body = await asyncio.wait_for(reader.readline(), 10)
            assert len(json.loads(body)["items"]) == 401
            await until("the slow are cut", lambda: server.connections <= 1)
            assert server.waiting() == 0
            del slow

    in_loop(story)


async def places(reader: asyncio.StreamReader, last: int) -> List[int]:
    """The versions that server-sent events of changes name, up to `last`."""
    found: List[int] = []
    text = b""
    await reader.readuntil(b"\r\n\r\n")
    while not found or found[-1] < last:
        size = int(await asyncio.wait_for(reader.readline(), 10), 16)
        assert size, f"it ended after {found[-3:]}"
        text += (await reader.readexactly(size + 2))[:-2]
        *events, text = text.split(b"\n\n")
        found += [int(one.split(b"\n")[0][len(b"id: n:") :]) for one in events if b"event: ADDED" in one]
    return found


def test_a_slow_reader_of_events_costs_a_piece_and_not_the_burst() -> None:
    async def story() -> None:
        async with serves() as server:
            for rv in range(10, 160):  # 3 MB in one burst
                server.happens(rv, f"a/pod-{rv}")
            path, accept = "/krm/v1/changes/pods?since=n:1", "text/event-stream"
            slow = await server.ask(path, small=True, accept=accept)
            await until("something waits", lambda: server.waiting() > web.UNTAKEN)
            most = 0
            reader = await server.ask(path, accept=accept)
            telling = asyncio.ensure_future(places(reader, 151))
            while not telling.done():
                most = max(most, server.waiting())
                await asyncio.sleep(0)
            assert telling.result() == list(range(2, 152))
            assert most < 2 * (3 * web.UNTAKEN)
            assert await places(slow, 151) == list(range(2, 152))

    in_loop(story)


@pytest.mark.parametrize(
    ("path", "accept"),
    [(WATCH, "*/*"), ("/krm/v1/changes/pods", "text/event-stream"), ("/krm/v1/changes/pods?wait=60", "*/*")],
)
def test_a_client_that_leaves_ends_its_watch(path: str, accept: str) -> None:
    async def story() -> None:
        async with serves() as server:
            reader = await server.ask(path, accept=accept)
            await until("it watches", lambda: server.api.streams.open == 1)
            reader.writer.close()  # type: ignore[attr-defined]
            await until("nobody watches", lambda: server.api.streams.open == 0)

    in_loop(story)
