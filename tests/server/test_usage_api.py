"""/krm/v1/usage, points and totals: a client reads from the server what it reads from Redis, within its rights."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Iterator, Tuple

import pytest
import server_process
from kept_cluster import KeptCluster, wait_until
from krm.client import connect
from krm.client.errors import BadRequest, KrmError
from krm.collector import certificate, endpoint
from krm.model.measures import Covers, Sample, Silence, Subject
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

CPU = "cpu/usage_rate"
TOKENS = (
    'admin-token-0123456789,admin,,,"*/*"\nshop-token-0123456789,shopper,,,"shop/pods shop/pods.metrics.k8s.io"\n'
)


@pytest.fixture
def served(kept: KeptCluster, tmp_path: Path) -> Iterator[Tuple[KeptCluster, server_process.Server, Path]]:
    kept.kind("pods", {})
    server_process.tell_facts(kept)
    token = tmp_path / "history-token"
    token.write_text("a-token\n")
    history = LocalHistory(str(tmp_path / "history"))
    now = time.time()
    for step in range(8, -1, -1):
        at = now - 15 * step
        for space in ("shop", "lab"):
            history.record([Sample(Subject(space, "web", "u", "app", "n1"), at, {CPU: 100.0}, "x", 15.0)], at)
    kept_history = endpoint.Server(Summing(history), None, "a-token", certificate.made(), ("127.0.0.1", 0))
    writer = LatestWriter(kept.database, kept.name)
    assert writer.take()
    web = pack_pod(Pod("web", "u", "n1", (), {"app": (Measured("x", now, 4.0, {CPU: 100.0}),)}))
    silences = (Silence("pod lab/other", "app", "404", 1.0), Silence("node n9", "kubelet/resource", "away", 1.0))
    state = CollectorState(
        kept_history.address,
        kept_history.digest,
        3600.0,
        silences,
        {},
        ("an hour of lab is damaged",),
        Covers(1, 2, "nodes"),
    )
    writer.write(
        Turn({"shop": {"web": web}, "lab": {"web": web}}, {"shop": (), "lab": ()}, {"n1": (), "": ()}, state)
    )
    file = tmp_path / "tokens.csv"
    file.write_text(TOKENS)
    file.chmod(0o600)
    arguments = ("--auth", "token-file", "--token-file", str(file), "--history-token-file", str(token))
    try:
        with server_process.running(kept, *arguments) as server:
            server.ready()
            yield kept, server, token
    finally:
        kept_history.close()
        history.close()


def test_the_server_gives_what_redis_gives(served: Tuple[KeptCluster, server_process.Server, Path]) -> None:
    kept, server, token = served
    with connect(kept.url, kept.name, history_token_file=str(token)) as direct, connect(
        server.url, token="admin-token-0123456789"
    ) as client:  # fmt: skip
        wait_until(lambda: client.usage("pods").rows)
        for what in ("pods", "containers", "namespaces", "nodes"):
            assert replace(client.usage(what), now=0.0) == replace(direct.usage(what), now=0.0)
        assert client.usage("nodes").history == ("an hour of lab is damaged",)
        assert [row.namespace for row in client.usage("pods", "shop").rows] == ["shop"]
        (row,) = client.usage("pods", "shop", window="1m").rows
        assert row.spans[CPU].average == pytest.approx(100.0)
        (total,) = client.totals(CPU, begin="2m", namespace="shop").totals
        assert total.sum == pytest.approx(100.0 * 120, rel=0.2)
        with pytest.raises(BadRequest, match="no metric"):
            client.history("cpu/nothing")


def test_who_may_read_one_namespace_is_told_of_no_other(
    served: Tuple[KeptCluster, server_process.Server, Path],
) -> None:
    _, server, _ = served
    with connect(server.url, token="shop-token-0123456789") as client:
        wait_until(lambda: client.usage("pods", "shop").rows)
        assert [row.namespace for row in client.usage("pods", "shop").rows] == ["shop"]
        assert client.usage("pods", "shop").silences == ()
        assert client.history(CPU, begin="1m", namespace="shop").series
        for refused in (
            lambda: client.usage("pods"),
            lambda: client.usage("pods", "lab"),
            lambda: client.usage("nodes"),
            lambda: client.history(CPU, namespace="lab"),
            lambda: client.history(CPU),
            lambda: client.totals(CPU, "nodes"),
        ):
            with pytest.raises(KrmError, match=r"403|cannot|forbidden"):
                refused()
    headers = {"Authorization": "Bearer shop-token-0123456789"}
    assert "lab" not in json.dumps(json.loads(server.get("/krm/v1/usage/pods?namespace=shop", headers).body))
    assert server.get("/krm/v1/usage/services?namespace=shop", headers).status == 400
    assert server.get("/krm/v1/points?namespace=shop&metric=cpu/usage_rate&begin=soon", headers).status == 400


def test_what_is_no_measure_of_now_is_503_unless_it_is_asked_for(
    served: Tuple[KeptCluster, server_process.Server, Path],
) -> None:
    kept, server, _ = served
    headers = {"Authorization": "Bearer admin-token-0123456789"}
    wait_until(lambda: server.get("/krm/v1/usage/pods", headers).status == 200)
    key = "krm:{%s}:latest:collector" % kept.name
    link = kept.database.link(key)
    # Longer than two turns of an hour: late, and not yet as old as where metrics.k8s.io shows nothing.
    link.call("HSET", key, "beat", str(float(link.call("HGET", key, "beat")) - 3 * 3600))
    wait_until(lambda: server.get("/krm/v1/usage/pods", headers).status == 503)
    assert "the collector is away" in json.loads(server.get("/krm/v1/usage/pods", headers).body)["message"]
    assert json.loads(server.get("/krm/v1/usage/pods?stale_ok=true", headers).body)["state"] == "stale"
