"""The POST API over HTTP: what is asked and answered, in the classic application's own words."""

from __future__ import annotations

import asyncio
import gzip
import re
import threading
from typing import Any, Dict, List

import pytest
from krm.model.measures import Subject
from krm.model.metrics import TABLE
from krm.server import classic
from krm.server.accounts import Accounts
from krm.store.history.asked import NoHistory, TooMuch
from server.classic_bench import CPU, NOW, RIGHT, Bench, is_error


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_defaults_are_the_last_hour_of_the_namespace_default(bench: Bench) -> None:
    bench.history.put(CPU, Subject("default", "old", "u9", node="n1"), NOW - 3615, 1, 2)
    got = bench.post()
    assert got.status == 200
    rows = got.json()
    assert [row["value"] for row in rows] == [103, 102, 101, 100, 2]
    assert rows[0] == {
        "time": "2018-01-01T12:34:41Z", "value": 103, "type": "pod", "nodename": "n1",
        "namespace_name": "default", "pod_name": "web-0", "container_name": None, "resource_id": None,
    }  # fmt: skip
    assert got.headers["krm-unit"] == "millicores"
    assert got.headers["krm-as-of"] == "2018-01-01T12:34:41Z"
    assert "krm-sum-unit" not in got.headers


@pytest.mark.parametrize(
    "media", ["", "application/x-www-form-urlencoded", "application/json", "text/plain", "a/b;c"]
)
def test_a_body_is_json_whatever_it_says_it_is(bench: Bench, media: str) -> None:
    headers = (*RIGHT, ("Content-Type", media)) if media else RIGHT
    got = bench.post(body={"namespace": "shop", "limit": "1"}, headers=headers)
    assert [row["namespace_name"] for row in got.json()] == ["shop"]


def test_a_body_may_come_in_pieces(bench: Bench) -> None:
    got = bench.app.ask(f"/api/{CPU}", "POST", RIGHT, [b'{"name', b'space":"shop",', b'"limit":1}', b""])
    assert [row["namespace_name"] for row in got.json()] == ["shop"]


@pytest.mark.parametrize(
    ("agg", "rows"),
    [
        ("pod-by-namespace", [{"sum": 6090, "namespace_name": "default", "pod_name": "web-0"}]),
        ("all-namespace", [{"sum": 6090, "namespace_name": "default"}, {"sum": 600, "namespace_name": "shop"}]),
        ("all-pod", [{"sum": 6690, "pod_name": "web-0"}]),
    ],
)
def test_each_aggregation(bench: Bench, agg: str, rows: List[Dict[str, Any]]) -> None:
    got = bench.post(body={"agg": agg})
    assert got.json() == [{"time": "2018-01-01T11:34:56Z", **row} for row in rows]
    assert got.headers["krm-sum-unit"] == "millicore-seconds"
    assert got.headers["krm-covers"] == "1 of 2 hours"
    assert "krm-unit" not in got.headers


def test_the_example_of_december_2017(bench: Bench) -> None:
    """From 1 December 00:00 to 30 December 23:59:59: what lies outside by a second is not in it."""
    begin, end = 1_512_086_400.0, 1_514_678_400.0
    pod = Subject("default", "job-1", "u7", node="n1")
    for at, value in ((begin - 15, 1e6), (begin, 1), (end - 1, 2), (end, 1e6)):
        bench.history.put(CPU, pod, at, value)
    body = {"agg": "pod-by-namespace", "timeBeginInterval": "2017-12-01", "timeEndInterval": "2017-12-31"}
    assert bench.post(body=body).json() == [
        {"time": "2017-12-01T00:00:00Z", "sum": 45, "namespace_name": "default", "pod_name": "job-1"}
    ]


@pytest.mark.parametrize("name", TABLE)
def test_every_name_of_the_table_is_accepted(bench: Bench, name: str) -> None:
    metric = TABLE[name]
    for agg, header, unit in (("", "krm-unit", metric.unit), ("all-pod", "krm-sum-unit", metric.sum_unit)):
        got = bench.post(f"/api/{name}", {"agg": agg})
        assert got.status == 200, got.body
        assert got.headers[header] == unit


def test_nothing_found_is_200_and_says_so(bench: Bench) -> None:
    for body in ({"namespace": "empty"}, {"namespace": "empty", "agg": "pod-by-namespace"}):
        is_error(bench.post(body=body), 200, "Query returns empty set")
    swapped = bench.post(body={"timeBeginInterval": "now", "timeEndInterval": "now-1h"})
    is_error(swapped, 200, "Query returns empty set")
    assert "is not before" in swapped.headers["warning"]


def large(bench: Bench) -> None:
    """2,000 points: some 300 KB."""
    bench.history.put(CPU, Subject("default", "web-1", "u8", node="n1"), NOW - 15 * 3000, *range(2000))


def test_a_large_answer_is_compressed_where_that_is_accepted(bench: Bench) -> None:
    large(bench)
    body = {"limit": 5000, "timeBeginInterval": "now-1d"}
    plain = bench.post(body=body)
    packed = bench.post(body=body, headers=(*RIGHT, ("Accept-Encoding", "deflate, gzip")))
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 5
    assert gzip.decompress(packed.body) == plain.body
    assert len(plain.json()) == 2004


def test_large_answers_that_are_taken_slowly_are_bounded(bench: Bench) -> None:
    """In one bound with those of the Kubernetes API: an account could fill any memory."""
    large(bench)
    bench.kept.flight.size = bench.kept.flight.most
    got = bench.post(body={"limit": 5000, "timeBeginInterval": "now-1d"})
    assert (got.status, got.json()["code"], got.headers["retry-after"]) == (429, 429, "1")
    assert bench.post(body={"limit": 1}).status == 200
    bench.kept.flight.size = 0
    assert bench.post(body={"limit": 5000, "timeBeginInterval": "now-1d"}).status == 200
    assert bench.kept.flight.size == 0  # it was taken


# Errors


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_another_method_is_a_bad_request_with_or_without_a_name(bench: Bench, method: str) -> None:
    for headers in (RIGHT, ()):
        is_error(bench.post(method=method, headers=headers), 400, "Bad request")


@pytest.mark.parametrize(
    "headers",
    [(), RIGHT[:1], RIGHT[1:], (RIGHT[0], ("X-PASSWORD", "")), (("X-USERNAME", ""), RIGHT[1])],
)
def test_who_says_no_name_or_no_password_is_not_authorized(bench: Bench, headers: Any) -> None:
    is_error(bench.post(headers=headers), 401, "You are not authorized")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("sifac", "hunter3"),
        ("other", "hunter2"),
        ("sifac ", "hunter2"),
        ("SIFAC", "hunter2"),
        ("sifac", "hunter2 "),
    ],
)
def test_a_wrong_name_or_password_is_not_recognized(bench: Bench, name: str, password: str) -> None:
    got = bench.post(headers=(("x-username", name), ("x-password", password)))
    is_error(got, 401, "Username and password is not recognized")


def test_two_names_or_passwords_are_none(bench: Bench) -> None:
    for one in RIGHT:
        is_error(bench.post(headers=(*RIGHT, one)), 401, "Username and password is not recognized")


def test_without_accounts_every_post_is_401() -> None:
    bench = Bench(Accounts())
    is_error(bench.post(), 401, "Username and password is not recognized")
    is_error(bench.post("/api/", headers=()), 401, "You are not authorized")
    is_error(bench.post("/api/no/such"), 401, "Username and password is not recognized")


INJECTIONS = (
    'cpu/usage_rate" where 1=1 --', "cpu/usage_rate;DROP DATABASE k8s", "cpu/usage_rate\\", "cpu/../cpu/usage_rate",
    "cpu%2Fusage_rate", "cpu/usage_rate%00", "cpu/usage_rate\n", "../etc/passwd", "%2e%2e/v1/pods", ".*",
    "CPU/usage_rate", "cpu", "cpu/", "cpu/usage_rate/", "cpu//usage_rate", "x" * 5000, "__class__", "quota",
    "v1beta1",
)  # fmt: skip


@pytest.mark.parametrize("name", ["", *INJECTIONS])
def test_what_is_no_metric_is_not_found_and_reaches_no_history(bench: Bench, name: str) -> None:
    is_error(bench.post(f"/api/{name.replace('%', '%25')}"), 404, "Request not found")
    assert bench.history.asked == []


@pytest.mark.parametrize(
    "text", ["default' OR 'a'='a", 'default"', "default; drop", "a\\", "*", "a,b", "a\nb", "é"]
)
def test_no_text_of_a_body_reaches_the_history_but_as_what_it_means(bench: Bench, text: str) -> None:
    for name in ("namespace", "timeBeginInterval", "timeEndInterval", "limit"):
        got = bench.post(body={name: text})
        assert (got.status, got.json()["code"]) == (400, 400)
        assert re.match(rf"{name} is no ", got.json()["message"])
    assert bench.history.asked == []
    assert bench.post(body={"agg": text}).status == 200
    for query in bench.history.asked:
        assert query[:2] in ((CPU, "pod"), (CPU, "container"))
        assert query.namespace == "default"


def test_hostile_bodies_are_refused_in_the_same_form(bench: Bench) -> None:
    for body in (b"{", b"[]", b"\xff", b"[" * 50_000, b'{"limit":1e400}', b'{"limit":1,"limit":2}'):
        got = bench.post(body=body)
        assert (got.status, set(got.json())) == (400, {"code", "message"})
    is_error(bench.post(body=b" " * (64 * 1024 + 1)), 413, "a body has at most 65536 bytes")
    assert bench.post(body=b" " * (64 * 1024)).status == 200
    cut = bench.app.ask(f"/api/{CPU}", "POST", RIGHT, [b"{", *[b" "] * 3][:0])
    is_error(cut, 400, "the body ended too early")


def test_a_body_that_never_ends_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "BODY_WITHIN", 0.05)

    async def never() -> Any:
        await asyncio.sleep(60)

    sent: List[Dict[str, Any]] = []

    async def send(message: Dict[str, Any]) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in RIGHT]
    scope = {"type": "http", "method": "POST", "path": f"/api/{CPU}", "headers": headers, "client": ("a", 1)}
    asyncio.run(bench.app.app(scope, never, send))
    assert sent[0]["status"] == 408


def test_a_backend_that_is_away_is_told_as_the_classic_application_did(bench: Bench) -> None:
    bench.history.away = NoHistory("the collector at https://10.0.0.9:1 does not answer")
    for agg in ("", "all-pod"):
        got = bench.post(body={"agg": agg})
        is_error(got, 500, "Can't connect to influxdb")
        assert b"10.0.0.9" not in got.body
    bench.history.away = TooMuch("more than 2000000 points: ask for less time")
    is_error(bench.post(), 400, "more than 2000000 points: ask for less time")


def test_a_history_that_is_slow_is_not_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "READ_WITHIN", 0.05)
    free = threading.Event()
    monkeypatch.setattr(bench.history, "totals", lambda _: free.wait(10))
    is_error(bench.post(body={"agg": "all-pod"}), 500, "Can't connect to influxdb")
    free.set()


def test_a_fault_of_ours_is_told_without_what_it_was(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr(bench.history, "totals", broken)
    is_error(bench.post(body={"agg": "all-pod"}), 500, "krm failed to answer: its log says why")
