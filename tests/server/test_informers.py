"""A client-go informer and the official Python client read from krm: every change once and in order."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Dict, Iterator

import pytest
import redis_servers
from faults.paper import Paper
from faults.pipeline import CLUSTER
from krm.simulator.churn import Churn
from server.running import Informer, KrmServer, backwards, lost_deletes

CHANGES = 10_000
RATE = 1_000.0  # changes a second: within what two busy cores stream


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    if redis_servers.REDIS is None:
        pytest.skip("no redis-server on PATH")
    with Paper(tmp_path_factory.mktemp("paper"), ("pods",), pods=60, verify_every=5.0) as paper:
        paper.live()
        yield paper


@pytest.fixture
def server(paper: Paper, tmp_path: Path) -> Iterator[KrmServer]:
    with KrmServer(tmp_path, paper.pipeline.redis.url, CLUSTER) as server:
        yield server


def happen(paper: Paper, changes: int, seed: int) -> int:
    """Pods are made, changed, deleted and made again; the last resourceVersion.

    The last change is no deletion: who lists anew after one is told of nothing that is as new.
    """
    churn = Churn(paper.world, weights={"pods": 1.0}, seed=seed)
    step = 50
    for _ in range(changes // step):
        churn.turn(step)
        time.sleep(step / RATE)
    while paper.truth.present("pods").facts[-1].deleted:
        churn.turn(1)
    return paper.truth.present("pods").facts[-1].rv


def held(paper: Paper) -> Dict[str, int]:
    """What the API server holds now: namespace/name -> resourceVersion."""
    return {
        key: int(paper.world.read("pods", key)["metadata"]["resourceVersion"]) for key in paper.world.keys("pods")
    }


def test_the_official_python_client_lists_and_watches(paper: Paper, server: KrmServer) -> None:
    from kubernetes import client, config, watch

    api = client.CoreV1Api(config.new_client_from_config(str(server.kubeconfig)))
    found = api.list_pod_for_all_namespaces()
    now = held(paper)
    assert {
        f"{pod.metadata.namespace}/{pod.metadata.name}": int(pod.metadata.resource_version) for pod in found.items
    } == now
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    begin = int(found.metadata.resource_version)
    last = happen(paper, 100, seed)
    told = []
    stream = watch.Watch()
    for event in stream.stream(api.list_pod_for_all_namespaces, resource_version=str(begin), timeout_seconds=20):
        metadata = event["object"].metadata
        told.append(
            (int(metadata.resource_version), f"{metadata.namespace}/{metadata.name}", event["type"] == "DELETED")
        )
        if told[-1][0] >= last:
            stream.stop()
    assert told == [
        (fact.rv, fact.key, fact.deleted) for fact in paper.truth.present("pods").facts if fact.rv > begin
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_ten_thousand_changes_are_told_once_and_in_order(paper: Paper, server: KrmServer) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with Informer(server.kubeconfig) as informer:
        begin = informer.wait_synced()
        last = happen(paper, CHANGES, seed)
        informer.wait_told(last)
        store = informer.end()
    true = [(fact.rv, fact.key, fact.deleted) for fact in paper.truth.present("pods").facts if fact.rv > begin]
    told = [(line.rv, line.key, line.type == "DELETED") for line in informer.lines if line.rv > begin]
    assert len(true) >= CHANGES
    assert told == true, informer.errors()
    assert store == held(paper)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_restart_of_the_server_makes_nobody_list_anew(paper: Paper, server: KrmServer) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with Informer(server.kubeconfig) as informer:
        begin = informer.wait_synced()
        informer.wait_told(happen(paper, 200, seed))
        assert server.stop() == 0
        happen(paper, 200, seed + 1)  # nobody serves these
        server.start()
        informer.wait_told(happen(paper, 200, seed + 2))
        server.kill()
        server.start()
        informer.wait_told(happen(paper, 200, seed + 3))
        store = informer.end()
    true = [(fact.rv, fact.key) for fact in paper.truth.present("pods").facts if fact.rv > begin]
    assert [(line.rv, line.key) for line in informer.lines if line.rv > begin] == true, informer.errors()
    assert not [line for line in informer.lines if line.of_a_list]
    assert store == held(paper)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_version_goes_back_and_no_delete_is_missed_across_410(paper: Paper, server: KrmServer) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    with Informer(server.kubeconfig) as informer:
        informer.wait_synced()
        informer.wait_told(happen(paper, 200, seed))
        server.kill()
        happen(paper, 4_000, seed + 1)  # more than Redis keeps: the log begins later than the informer ended
        server.start()
        informer.wait_told(happen(paper, 100, seed + 2))
        assert any(line.unknown or line.of_a_list for line in informer.lines), "it did not list anew"
        paper.pipeline.flush()  # the snapshot is rebuilt while the server follows it
        happen(paper, 200, seed + 3)
        paper.wait_converged()
        informer.wait_told(happen(paper, 100, seed + 4))
        assert "pods of paper is read anew" in server.log()
        store = informer.end()
    assert backwards(informer.lines) == []
    assert lost_deletes(informer.lines, held(paper)) == []
    assert any(line.unknown for line in informer.lines), "no delete was found by a list: nothing was tried"
    assert store == held(paper), informer.errors()
