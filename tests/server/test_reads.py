"""Reads of the Kubernetes API over a real Redis: what an answer says it is, it is."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest
from kept_cluster import KeptCluster, KeptKind, pod
from krm.server import kept as kept_bodies
from krm.server import lists, own, serving
from krm.server.tokenfile import TokenFile
from served_cluster import Got, Served, quick

TOKEN, TENANT = "all-0123456789abcdef", "one-0123456789abcdef"
PODS = "/api/v1/pods"


class World:
    """A server over kept pods, with somebody who may read all and a tenant of one namespace."""

    def __init__(self, kept: KeptCluster, served: Served) -> None:
        self.kept, self.served = kept, served

    def pods(self, objects: Dict[str, Any], namespace: str = "") -> KeptKind:
        pods = self.kept.kind("pods", objects, namespace)
        pods.serve()
        return pods

    def get(self, path: str, token: str = TOKEN, **headers: str) -> Got:
        return self.served.get(self.kept, path, token, **headers)

    @property
    def serving(self) -> serving.Serving:
        return self.served._app.apis[self.kept.name]._serving


@pytest.fixture
def world(kept: KeptCluster, tmp_path: Path, monkeypatch: Any) -> Iterator[World]:
    quick(monkeypatch)
    rights = tmp_path / "rights.csv"
    rights.write_text(f"{TOKEN},admin,1,,*/*\n{TENANT},tenant,2,,c/*\n")
    rights.chmod(0o600)
    with Served(kept.url, [kept.name], {kept.name: TokenFile(str(rights))}) as served:
        yield World(kept, served)


def test_a_page_of_a_version_that_is_not_here_yet_is_waited_for_and_never_made_up(
    world: World, monkeypatch: Any
) -> None:
    """Two servers behind one address: the second page comes to the one that has not read so far."""
    monkeypatch.setattr(serving, "FRESH_WITHIN", 0.2)
    pods = world.pods({"a/x": pod(), "a/y": pod()})
    held = int(world.get(PODS).json()["metadata"]["resourceVersion"])
    after_x = "a/x\0"
    ahead = lists.make_token(str(held + 5), after_x, "")
    got = world.get(f"{PODS}?limit=1&continue={ahead}")
    assert (got.status, got.json()["reason"]) == (504, "Timeout")
    pods.publish(("a/z", pod()))
    now = world.get(PODS).json()["metadata"]["resourceVersion"]
    got = world.get(f"{PODS}?limit=1&continue={lists.make_token(now, after_x, '')}")
    assert [one["metadata"]["name"] for one in got.json()["items"]] == ["y"]


def test_not_found_in_a_copy_that_may_be_old_says_so(world: World) -> None:
    pods = world.pods({"a/x": pod()})
    got = world.get("/api/v1/namespaces/a/pods/none")
    assert (got.status, got.headers["Krm-State"], "Warning" in got.headers) == (404, "live", False)
    pods.stall()
    got = world.get("/api/v1/namespaces/a/pods/none")
    assert (got.status, got.headers["Krm-State"]) == (404, "stale")
    assert "may be older than they look" in got.headers["Warning"]


@pytest.mark.parametrize("agent", ["curl/8.5.0", "client"])
def test_a_large_list_that_is_compressed_is_whole_for_people_too(world: World, agent: str) -> None:
    world.pods({f"a/x{number}": pod() for number in range(600)})
    got = world.get(PODS, **{"Accept-Encoding": "gzip", "User-Agent": agent})
    assert got.headers["Content-Encoding"] == "gzip"
    assert len(got.body) < kept_bodies.GZIP_FROM
    assert len(json.loads(gzip.decompress(got.body))["items"]) == 600


@pytest.mark.parametrize("path", [PODS, "/krm/v1/snapshots/pods"])
def test_the_age_of_an_answer_counts_the_time_of_its_compression(world: World, path: str, monkeypatch: Any) -> None:
    world.pods({f"a/x{number}": pod() for number in range(600)})
    world.get(path)
    clock = time.monotonic

    def slow(*parts: bytes) -> bytes:
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 7)
        return gzip.compress(b"".join(parts))

    for room in (kept_bodies, own):
        monkeypatch.setattr(room, "gzipped", slow)
    got = world.get(path, **{"Accept-Encoding": "gzip"})
    assert got.headers["Content-Encoding"] == "gzip"
    assert float(got.headers["Krm-Age-Seconds"]) >= 7


def test_namespaces_that_hold_nothing_are_not_kept(world: World) -> None:
    world.pods({"a/x": pod()})
    world.get("/api/v1/namespaces/a/pods")
    size = world.serving.kept.size
    assert size > 0
    for number in range(20):
        assert world.get(f"/api/v1/namespaces/none{number}/pods").json()["items"] == []
        assert world.get(f"/pods?namespace=none{number}").json()["items"] == []
    assert world.serving.kept.size == size


def test_whoever_may_read_another_namespace_is_not_told_which_are_kept(world: World) -> None:
    world.pods({"team-a/x": pod()}, "team-a")
    got = world.get("/api/v1/namespaces/c/pods", TENANT)
    assert got.status == 404
    assert "team-a" not in got.body.decode()
    assert "team-a" in world.get(PODS).body.decode()
    got = world.get("/krm/v1/snapshots/pods?namespace=c", TENANT)
    assert (got.status, "team-a" in got.body.decode()) == (404, False)
    assert "team-a" in world.get("/krm/v1/snapshots/pods").body.decode()
