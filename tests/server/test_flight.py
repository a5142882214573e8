"""Large answers that their readers do not take have a bound of bytes for all together, and give them back."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any, Dict, List, Tuple

import pytest
from kept_cluster import pod as spec
from krm.server import kept, own, web
from krm.server.flight import Flight
from krm.server.statuses import ApiError
from paper_app import PaperApp
from server.asking import request
from server.test_metrics import scraped, value
from server.test_slow_readers import Serves, in_loop, serves, until

# 8 MB for each reader alone; the past and differences are sent as `snapshots` are.
SELECTED = "/api/v1/pods?labelSelector=%21none"
PRIVATE = (
    SELECTED,
    "/api/v1/pods?limit=399",
    "/krm/v1/snapshots/pods",
    "/krm/v1/snapshots/pods?labelSelector=%21none",
    "/krm/v1/changes/pods?since=n:200",  # a page has 4 MiB at most
)
BIG = 3_000_000  # bytes: less than any of them


def filled(server: Serves) -> Flight:
    for rv in range(10, 410):
        server.happens(rv, f"a/pod-{rv}")
    return server.serving.kept.flight


async def answered(reader: asyncio.StreamReader) -> Tuple[int, Dict[str, str], bytes]:
    """The whole answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
    headers = {name.lower(): text for name, _, text in (row.partition(": ") for row in head[1:] if row)}
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 10)
    return int(head[0].split()[1]), headers, body


@pytest.mark.parametrize("path", PRIVATE)
def test_readers_who_take_nothing_hold_no_more_than_the_bound_and_one_answer(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "SLOW_AFTER", 1.0)

    async def story() -> None:
        async with serves() as server:
            flight = filled(server)
            flight.most = 2 * BIG
            slow: List[Any] = []
            held, most = 0, 0
            while flight.size < flight.most:
                slow.append(await server.ask(path, small=True))
                await until("one more is taking", lambda held=held: flight.size > held)
                held, most = flight.size, max(most, flight.size - held)
            assert held < flight.most + most
            status, headers, body = await answered(await server.ask(path))
            said = json.loads(body)
            assert (status, headers["retry-after"], said["kind"]) == (429, "1", "Status")
            assert (said["reason"], said["details"]) == ("TooManyRequests", {"retryAfterSeconds": 1})
            assert said["message"].startswith("Too many requests, please try again later: ")
            assert flight.size == held
            small = await answered(await server.ask("/api/v1/namespaces/a/pods/pod-10"))
            assert small[0] == 200
            await until("the slow are cut", lambda: flight.size == 0)
            assert (await answered(await server.ask(path)))[0] == 200
            await until("it was taken", lambda: flight.size == 0)
            del slow

    in_loop(story)


@pytest.mark.parametrize("path", [SELECTED, "/krm/v1/snapshots/pods"])
def test_a_reader_that_hangs_up_gives_its_bytes_back_at_once(path: str) -> None:
    async def story() -> None:
        async with serves() as server:
            flight = filled(server)
            slow: Any = [await server.ask(path, small=True) for _ in range(3)]
            await until("three are taking", lambda: flight.size > 3 * BIG)
            for one in slow[:2]:
                one.writer.transport.abort()
            await until("two have gone", lambda: BIG < flight.size < 3 * BIG)
            slow[2].writer.close()
            await until("all have gone", lambda: flight.size == 0)

    in_loop(story)


def test_one_answer_that_is_larger_than_the_bound_is_possible_alone() -> None:
    async def story() -> None:
        async with serves() as server:
            flight = filled(server)
            flight.most = 1
            status, _, body = await answered(await server.ask(SELECTED))
            assert (status, len(json.loads(body)["items"])) == (200, 401)

    in_loop(story)


def test_a_list_that_several_take_counts_once_and_its_next_version_anew() -> None:
    async def story() -> None:
        async with serves() as server:
            flight = filled(server)
            slow = [await server.ask("/api/v1/pods", small=True) for _ in range(5)]
            await until("one body is taken", lambda: flight.size > 2 * BIG)
            await until("all five wait", lambda: server.waiting() > 5 * web.UNTAKEN)
            assert flight.size < 3 * BIG
            flight.most = 1
            assert (await answered(await server.ask("/api/v1/pods")))[0] == 200  # it costs nothing more
            server.happens(410)  # what the five take is nobody else's from now on
            assert (await answered(await server.ask("/api/v1/pods")))[0] == 429
            for one in slow:
                one.writer.transport.abort()  # type: ignore[attr-defined]
            await until("all have gone", lambda: flight.size == 0)

    in_loop(story)


@pytest.mark.parametrize(
    ("path", "module"), [(SELECTED, kept), ("/krm/v1/snapshots/pods", own)], ids=["list", "snapshot"]
)
def test_what_waits_to_be_compressed_counts_and_what_fails_there_gives_it_back(
    path: str, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with serves() as server:
            flight, seen = filled(server), []

            def gzipped(*parts: bytes) -> bytes:
                seen.append(flight.size)
                if len(seen) == 1:
                    raise MemoryError
                return gzip.compress(b"".join(parts), 1)

            monkeypatch.setattr(module, "gzipped", gzipped)
            for wanted in (500, 200):
                reader = await asyncio.open_connection("127.0.0.1", server.port.number, limit=1 << 24)
                reader[1].write(f"GET {path} HTTP/1.1\r\nHost: krm\r\nAccept-Encoding: gzip\r\n\r\n".encode())
                assert (await answered(reader[0]))[0] == wanted
                reader[1].close()
                await until("it was given back", lambda: flight.size == 0)
            assert min(seen) > 2 * BIG

    in_loop(story)


def test_a_place_in_flight_is_kept_while_the_body_becomes_its_gzip() -> None:
    flight, first, second = Flight(1), request(), request()
    flight.take(first, b"x" * (2 * web.WHOLE))
    flight.take(first, b"x" * (web.WHOLE + 1))
    assert flight.size == web.WHOLE + 1
    with pytest.raises(ApiError):
        flight.take(second, b"x" * (web.WHOLE + 1))
    flight.take(second, b"x" * web.WHOLE)  # its connection holds so much
    flight.take(first, b"small")
    assert flight.size == 0


def test_the_original_contract_tells_it_in_its_own_form_and_metrics_show_the_bytes() -> None:
    app = PaperApp()
    app.kind("pods", {f"a/{n}": spec(node="x" * 100) for n in range(1000)})
    flight = app.metrics._kept.flight
    flight.most = 1
    flight.take(request(), b"x" * 200_000)
    assert value(scraped(app), "krm_server_inflight_bytes") == 200_000
    got = app.ask("/pods")
    assert (got.status, got.json()["status"], got.headers["retry-after"]) == (429, 429, "1")
    assert app.ask("/pods?name=1").status == 200
