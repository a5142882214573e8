"""Which of the POST API and the Kubernetes read API answers a method on a path: one table of all pairs."""

from __future__ import annotations

from typing import Any, Dict, Tuple

import pytest
from krm.server.classic import answers
from krm.server.statuses import unauthorized
from paper_app import PaperApp
from server.classic_bench import Bench, is_error


@pytest.fixture
def bench() -> Bench:
    return Bench()


READ_API, POST_API = "Kubernetes", "POST API"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
# path -> (who answers GET and HEAD, POST, every other method), the Kubernetes API at the root and not.
ROUTES: Dict[str, Tuple[Tuple[str, str, str], Tuple[str, str, str]]] = {
    "/api": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/": ((READ_API, POST_API, POST_API), (POST_API,) * 3),
    "/api/v1": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/v1/": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/v1/pods": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/v1/namespaces/a/pods": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/v1/cpu/usage_rate": ((READ_API,) * 3, (POST_API,) * 3),
    "/api/v1beta1": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/v1x/pods": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/V1/pods": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/v2": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/uptime": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/cpu/usage_rate": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/cpu/usage_rate/": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/no/such": ((POST_API,) * 3, (POST_API,) * 3),
    "/api//v1/pods": ((POST_API,) * 3, (POST_API,) * 3),
    "/api/./v1/pods": ((POST_API,) * 3, (POST_API,) * 3),
    "/": ((READ_API,) * 3, ("404",) * 3),
    "/apis": ((READ_API,) * 3, ("404",) * 3),
    "/apis/apps/v1/deployments": ((READ_API,) * 3, ("404",) * 3),
    "/apix/cpu/usage_rate": ((READ_API,) * 3, ("404",) * 3),
    "/API/cpu/usage_rate": ((READ_API,) * 3, ("404",) * 3),
    "//api/cpu/usage_rate": ((READ_API,) * 3, ("404",) * 3),
    "/version": ((READ_API,) * 3, ("404",) * 3),
    "/clusters/paper/api": ((READ_API,) * 3, (READ_API,) * 3),
    "/clusters/paper/api/": ((READ_API,) * 3, (READ_API,) * 3),
    "/clusters/paper/api/cpu/usage_rate": ((READ_API,) * 3, (READ_API,) * 3),
    "/clusters/paper/api/v1/pods": ((READ_API,) * 3, (READ_API,) * 3),
    "/clusters/other/api/cpu/usage_rate": ((READ_API,) * 3, (READ_API,) * 3),
    "/clusters/none/api/cpu/usage_rate": ((READ_API,) * 3, (READ_API,) * 3),
}
COLUMN = {"GET": 0, "HEAD": 0, "POST": 1}
CASES = [
    (path, method, root, ROUTES[path][0 if root else 1][COLUMN.get(method, 2)])
    for path in ROUTES
    for method in METHODS
    for root in (True, False)
]  # fmt: skip


@pytest.mark.parametrize(("path", "method", "root", "who"), CASES)
def test_each_pair_of_method_and_path_has_one_who_answers(path: str, method: str, root: bool, who: str) -> None:
    bench = Bench()
    bench.app.app.kubernetes_root = root
    got = bench.app.ask(path, method)  # without a name: the POST API lets nobody in
    if who == POST_API:
        is_post = method == "POST"
        assert got.status == (401 if is_post else 400)
        assert method == "HEAD" or got.json()["message"] == ("You are not authorized" if is_post else "Bad request")
    else:
        without = PaperApp("paper", "other")
        without.kind("pods", {"a/x": {}})
        if who == READ_API:  # as if there were no POST API
            assert got == without.ask(path, method)
            assert got.status == 405 or method in ("GET", "HEAD") or path.startswith("/clusters/none")
        else:
            assert got.status == 404
            assert got.body == (b"" if method == "HEAD" else b"404 page not found\n")


def test_the_function_that_routes_says_the_same() -> None:
    for path, method, root, who in CASES:
        if not path.startswith("/clusters/"):
            assert answers(method, path, root) == (who == POST_API), (method, path, root)


def test_reads_below_api_go_on_as_they_were(bench: Bench) -> None:
    assert bench.app.ask("/api").json()["kind"] == "APIVersions"
    assert bench.app.ask("/api/").json()["kind"] == "APIVersions"
    assert [one["metadata"]["name"] for one in bench.app.ask("/api/v1/pods").json()["items"]] == ["x"]
    written = bench.post("/api/v1/namespaces/a/pods", {"kind": "Pod"})
    assert (written.status, written.json()["reason"]) == (405, "MethodNotAllowed")
    bench.app.app.kubernetes_root = False
    is_error(bench.app.ask("/api/v1/pods"), 400, "Bad request")
    assert bench.app.ask("/clusters/paper/api/v1/pods").json()["items"]
    assert bench.app.ask("/pods").json()["items"]  # the original contract is not the Kubernetes API


def test_whom_a_cluster_knows_and_what_they_may_read_means_nothing_here(bench: Bench) -> None:
    def refuse(_: Any) -> None:
        raise unauthorized()

    bench.app.gate.known = refuse
    assert bench.app.ask("/api/v1/pods").status == 401
    assert bench.post().status == 200
    assert bench.app.gate.asked == []
    bearer = (("Authorization", "Bearer of-the-cluster"),)
    is_error(bench.post(headers=bearer), 401, "You are not authorized")
