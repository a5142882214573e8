"""Nothing is an answer of /krm/v1/ only where there could have been something; else a sentence says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pytest
from kept_cluster import KeptCluster, pod
from krm.client import errors
from krm.server.past import told
from krm.server.tokenfile import TokenFile
from served_cluster import Got, Served, quick
from server_process import tell_facts

ALL, ONE = "all-0123456789abcdef", "one-0123456789abcdef"


@pytest.fixture
def served(kept: KeptCluster, tmp_path: Path, monkeypatch: Any) -> Iterator[Served]:
    quick(monkeypatch)
    rights = tmp_path / "rights.csv"
    rights.write_text(f"{ALL},admin,1,,*/*\n{ONE},tenant,2,,a/*\n")
    rights.chmod(0o600)
    with Served(kept.url, [kept.name], {kept.name: TokenFile(str(rights))}) as running:
        yield running


@pytest.fixture
def full(kept: KeptCluster, served: Served) -> Served:
    kept.kind("pods", {"a/x": pod()})
    kept.kind("nodes", {"/n": {}})
    tell_facts(kept)
    return served


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        (
            "snapshots/pods?at=2999-01-01T00:00:00Z",
            400,
            "2999-01-01T00:00:00Z lies in the future: by Redis' clock it is 20",
        ),
        ("objects/pods?name=x", 400, "pods are namespaced: give namespace="),
        ("objects/pods?name=x&namespace=", 400, "the namespace is empty"),
        ("objects/nodes?name=n&namespace=a", 400, "nodes have no namespaces"),
        ("snapshots/pods?namespace=", 400, "the namespace is empty"),
        ("snapshots/nodes?namespace=a", 400, "nodes have no namespaces"),
        ("changes/nodes?namespace=a", 400, "nodes have no namespaces"),
        ("diffs/nodes?namespace=a&a=1", 400, "nodes have no namespaces"),
        ("snapshots/pods?namespace=a&namespace=b", 400, '"namespace" stands there more than once'),
        ("status?kind=services", 404, "krm does not keep services of paper (kept: nodes, pods)"),
        ("drift?kind=services", 404, "krm does not keep services of paper (kept: nodes, pods)"),
        ("nonsense", 404, "/krm/v1/openapi.json names those there are"),
        ("", 404, "/krm/v1/openapi.json names those there are"),
    ],
)
def test_where_nothing_could_have_been_a_sentence_stands(
    kept: KeptCluster, full: Served, path: str, code: int, said: str
) -> None:
    got = full.get(kept, f"/krm/v1/{path}", ALL)
    assert (got.status, got.json()["code"]) == (code, code), got.body
    assert said in got.json()["message"]


def test_what_there_is_is_found_where_it_is(kept: KeptCluster, full: Served) -> None:
    for path in ("objects/pods?name=x&namespace=a", "objects/nodes?name=n", "snapshots/nodes", "snapshots/pods"):
        assert full.get(kept, f"/krm/v1/{path}", ALL).first()["lines"] == 1
    # Who may read one namespace learns nothing of the others from the sentence either.
    assert full.get(kept, "/krm/v1/status?kind=services", ONE).status == 403


@pytest.mark.parametrize(
    "path", ["/pods", "/api", "/apis", "/", "/api/v1/pods", "/apis/apps/v1/deployments", "/version"]
)
def test_a_server_that_has_found_no_kind_calls_none_of_them_absent(
    kept: KeptCluster, served: Served, path: str
) -> None:
    """kubectl keeps what discovery said for hours."""
    got: Got = served.get(kept, path, ALL)
    assert got.status == 503, got.body
    assert got.headers["Retry-After"] == "1"


def test_where_redis_is_stays_with_whoever_runs_the_server() -> None:
    error = told(errors.Unreachable("redis://10.0.0.7:6379: Redis cannot be reached (Connection refused)"))
    assert (error.code, error.reason) == (503, "Unreachable")
    assert "10.0.0.7" not in error.message
    assert "Redis does not answer" in error.message
