"""/krm/v1/processes and kills: a client reads from the server what it reads from Redis, within its rights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest
import server_process
from kept_cluster import KeptCluster, wait_until
from krm.client import connect
from krm.client.errors import Refused
from seen_in_redis import write

TOKENS = {
    "admin": "*/*",
    "nodes": "*/nodes",
    "pods": "*/pods",
    "shop": "shop/pods",
    "both": "shop/pods */nodes",
    "metrics": "*/pods.metrics.k8s.io",
    "nobody": "",
}
HOST, EVERYTHING, SHOP, LAB = {"host": "true"}, {}, {"namespace": "shop"}, {"namespace": "lab"}
# Of processes: who -> what they are answered, to HOST, EVERYTHING, SHOP and LAB.
MATRIX: Dict[str, Tuple[int, int, int, int]] = {
    "admin": (200, 200, 200, 200),
    "nodes": (200, 403, 403, 403),
    "pods": (403, 200, 200, 200),
    "shop": (403, 403, 200, 403),
    "both": (200, 403, 200, 403),
    "metrics": (403, 403, 403, 403),
    "nobody": (403, 403, 403, 403),
}
ASKED: List[Dict[str, Any]] = [{}, {"namespace": "shop"}, {"node": "n1"}, {"pod": "web-0"}, {"node": "w1"}]
Served = Tuple[KeptCluster, server_process.Server]


@pytest.fixture
def served(kept: KeptCluster, tmp_path: Path) -> Iterator[Served]:
    kept.kind("pods", {})
    kept.kind("nodes", {})
    server_process.tell_facts(kept)
    write(kept.database, kept.name)
    file = tmp_path / "tokens.csv"
    file.write_text("".join(f'{token(who)},{who},,,"{reads}"\n' for who, reads in TOKENS.items()))
    file.chmod(0o600)
    with server_process.running(kept, "--auth", "token-file", "--token-file", str(file)) as server:
        server.ready()
        yield kept, server


def token(who: str) -> str:
    return f"{who}-token-0123456789"


def ask(server: server_process.Server, who: str, path: str, **query: str) -> Tuple[int, Any]:
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = server.get(f"/krm/v1/{path}?{text}", {"Authorization": f"Bearer {token(who)}"})
    return answer.status, json.loads(answer.body)


def pids(found: Any) -> List[int]:
    return [row["pid"] for row in found["rows"]]


def test_who_may_read_what(served: Served) -> None:
    _, server = served
    for who, wanted in MATRIX.items():
        told = tuple(ask(server, who, "processes", **query)[0] for query in (HOST, EVERYTHING, SHOP, LAB))
        assert told == wanted, who
        told = tuple(ask(server, who, "kills", **query)[0] for query in (EVERYTHING, SHOP, LAB))
        assert told == wanted[1:], who
    assert server.get("/krm/v1/processes", {}).status == 401
    assert server.get("/krm/v1/kills", {}).status == 401


def test_rows_are_those_that_the_caller_may_see(served: Served) -> None:
    _, server = served
    assert pids(ask(server, "admin", "processes")[1]) == [5000, 4700, 4711, 4712]
    assert pids(ask(server, "nodes", "processes", host="true")[1]) == [900, 6000]
    for who in ("shop", "both", "pods"):
        assert pids(ask(server, who, "processes", namespace="shop")[1]) == [4700, 4711, 4712]
    assert [row["pod"] for row in ask(server, "admin", "kills")[1]["rows"]] == ["web-0", "", "job"]
    found = ask(server, "pods", "kills")[1]
    assert [row["pod"] for row in found["rows"]] == ["web-0", "job"]
    assert any("kills of no pod are left out" in reason for reason in found["reasons"])
    assert [row["pod"] for row in ask(server, "shop", "kills", namespace="shop")[1]["rows"]] == ["web-0"]


def test_nodes_are_named_to_those_alone_who_may_list_them(served: Served) -> None:
    _, server = served
    for path in ("processes", "kills"):
        found = ask(server, "shop", path, namespace="shop")[1]
        assert found["nodes"] == [1, 4, "nodes"]
        assert found["gaps"] == []
        assert "agents tell of 1 of 4 nodes" in found["reasons"]
        written = json.dumps({name: value for name, value in found.items() if name != "rows"})
        assert not any(name in written for name in ("n1", "n2", "w1", "lab"))
        assert {one["why"] for one in found["unseen"]} == {"why is told to who may list nodes"}
        of_node = ask(server, "shop", path, namespace="shop", node="w1")[1]
        assert (of_node["nodes"], of_node["rows"]) == (None, [])
        assert any("told to who may list nodes" in reason for reason in of_node["reasons"])
        assert ask(server, "shop", path, namespace="shop", node="nobody")[1]["nodes"] is None
        found = ask(server, "both", path, namespace="shop")[1]
        assert [gap["node"] for gap in found["gaps"]] == ["n2", "w1", "w2"]


def test_a_node_that_nobody_tells_of_is_absent_and_no_failure(served: Served) -> None:
    _, server = served
    for path in ("processes", "kills"):
        status, found = ask(server, "admin", path, node="nobody")
        assert (status, found["state"], found["rows"]) == (200, "absent", [])
        assert "node nobody is not known" in found["reasons"][0]
        assert ask(server, "shop", path, namespace="shop", node="nobody")[1]["state"] == "live", "nor is that told"


def test_the_server_gives_what_redis_gives(served: Served) -> None:
    kept, server = served
    with connect(kept.url, kept.name) as direct, connect(server.url, token=token("admin")) as client:
        for asked in ASKED:
            assert replace(client.processes(**asked), now=0.0) == replace(direct.processes(**asked), now=0.0)
            assert replace(client.kills(**asked), now=0.0) == replace(direct.kills(**asked), now=0.0)
        assert replace(client.processes(host=True), now=0.0) == replace(direct.processes(host=True), now=0.0)
    with connect(server.url, token=token("shop")) as client:
        with pytest.raises(Refused):
            client.processes()
        assert client.processes("shop").rows


def test_what_does_not_fit_is_400_and_what_is_old_is_503(served: Served) -> None:
    kept, server = served
    assert ask(server, "admin", "processes", host="true", namespace="shop")[0] == 400
    assert ask(server, "admin", "processes", host="perhaps")[0] == 400
    assert ask(server, "admin", "processes", container="x")[0] == 400
    key = "krm:{%s}:latest:collector" % kept.name
    link = kept.database.link(key)
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 3 * 3600))
    for path in ("processes", "kills"):
        wait_until(lambda path=path: ask(server, "admin", path)[0] == 503)
        assert "the collector is away" in ask(server, "admin", path)[1]["message"]
        code, found = ask(server, "admin", path, stale_ok="true")
        assert (code, found["state"]) == (200, "stale")
    code, found = ask(server, "admin", "openapi.json")
    assert code == 200, found
    paths = found["paths"]
    assert {"/krm/v1/processes", "/krm/v1/kills"} <= set(paths)
