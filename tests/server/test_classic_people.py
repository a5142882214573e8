"""The POST API: who is let in, how often, and to what."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from krm.server import classic
from krm.server.accounts import Accounts, TooBusy, Unreadable
from krm.server.threads import Full
from server.classic_bench import CPU, RIGHT, Bench, is_error


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_account_of_some_namespaces_is_refused_others_whether_they_exist_or_not(tmp_path: Any) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text('sifac,hunter2!,"shop"\n')
    path.chmod(0o600)
    bench = Bench(Accounts(str(path)))
    own = (RIGHT[0], ("X-PASSWORD", "hunter2!"))
    assert len(bench.post(body={"namespace": "shop"}, headers=own).json()) == 4
    for namespace in ("default", "nowhere", "kube-system"):
        for agg in ("", "pod-by-namespace"):
            got = bench.post(body={"namespace": namespace, "agg": agg}, headers=own)
            is_error(got, 403, f"This account may not read the namespace {namespace}")
    assert [row["sum"] for row in bench.post(body={"agg": "all-namespace"}, headers=own).json()] == [600]
    assert [row["sum"] for row in bench.post(body={"agg": "all-pod"}, headers=own).json()] == [600]
    assert {query.allowed for query in bench.history.asked} == {("shop",)}


def test_guesses_of_a_peer_are_bounded_and_then_the_right_one_is_not_looked_at(bench: Bench) -> None:
    wrong = (RIGHT[0], ("X-PASSWORD", "guess"))
    for _ in range(classic.GUESSES):
        assert bench.post(headers=wrong).status == 401
    for headers in (wrong, RIGHT):
        got = bench.post(headers=headers)
        is_error(got, 429, "Too many requests: try again in 2 s")
        assert got.headers["retry-after"] == "2"
    assert bench.post(peer="10.0.0.2").status == 200  # another peer
    bench.clock.now += classic.GUESS_EVERY
    assert bench.post().status == 200
    assert bench.post().status == 200  # the right one costs nothing


def test_requests_of_an_account_are_bounded_wherever_they_come_from(bench: Bench) -> None:
    for number in range(classic.REQUESTS):
        assert bench.post("/api/no/such", peer=f"10.0.1.{number % 200}").status == 404
    got = bench.post()
    assert (got.status, got.headers["retry-after"]) == (429, "1")
    bench.clock.now += 1.0
    assert [bench.post("/api/no/such").status for _ in range(11)] == [404] * 10 + [429]


def test_requests_that_wait_for_the_history_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any) -> None:
        raise Full

    monkeypatch.setattr(bench.classic._threads, "run", full)
    got = bench.post()
    assert (got.status, got.json()["code"], got.headers["retry-after"]) == (429, 429, "1")


@pytest.mark.parametrize(("error", "code"), [(Unreadable, 503), (TooBusy, 429)])
def test_where_accounts_cannot_be_looked_at_nobody_is_let_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Any, code: int
) -> None:
    async def find(*_: bytes) -> None:
        raise error

    monkeypatch.setattr(bench.accounts, "find", find)
    got = bench.post()
    assert (got.status, got.json()["code"]) == (code, code)
    assert "retry-after" in got.headers


def test_names_of_a_caller_stand_in_the_audit_log_and_passwords_do_not(bench: Bench) -> None:
    lines: List[Dict[str, Any]] = []

    class Line:
        def __init__(self, request: Any, send: Any) -> None:
            self.request, self.send = request, send

        def end(self, _: Any) -> None:
            asked = self.request.asked
            lines.append({"user": self.request.user and self.request.user.name, "asked": asked})

    class Log:
        def begin(self, request: Any, send: Any) -> Line:
            return Line(request, send)

    bench.app.app.audit = Log()  # type: ignore[assignment]
    bench.post(body={"agg": "pod-by-namespace", "namespace": "shop"})
    bench.post(headers=())
    assert lines[0]["user"] == "api:sifac"
    assert (lines[0]["asked"].verb, lines[0]["asked"].namespace) == ("post", "shop")
    assert (lines[0]["asked"].path, lines[0]["asked"].cluster) == (f"/api/{CPU}", "paper")
    assert lines[1]["user"] is None
    assert "hunter2" not in str(lines)
