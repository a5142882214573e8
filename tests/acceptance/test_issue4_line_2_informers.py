"""Issue 4, line 2: client-go's informer, the official client and the original's read a real cluster from krm.

With TLS and no more rights than to get, list and watch pods, whatever happens to krm meanwhile. The informers are
always two: one lists first, one watches from the start on (sendInitialEvents).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Iterator

import pytest
import redis_servers
from acceptance.informing import ACCOUNT, COMES_BACK, HOLDER, PATIENCE, Truth, World, pods_of, reading
from krm.store.keys import Keys
from model.made import make
from model.made_original import status
from original_client import BUCKET, NAMED, NUMBERED, TOLD, ask, ingress, workload
from redis_servers import until
from server.running import KrmServer

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]

CHANGES = 10_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, redis_server: redis_servers.Server) -> Iterator[World]:
    with reading(Path(tmp_path_factory.mktemp("informers")), redis_server) as world:
        yield world


def test_ten_thousand_changes_are_told_once_and_in_order_without_interruption(world: World) -> None:
    traffic = world.traffic(200)
    with Truth(world.plane) as truth, world.informers() as informers:
        begin = truth.begin
        last = traffic.change(CHANGES)
        true = [(fact.rv, fact.key, fact.deleted) for fact in truth.between(begin, last)]
        informers.told(last)
        told = informers.settle(world.plane)
    assert len(true) >= CHANGES
    for lines in told:
        assert [(line.rv, line.key, line.type == "DELETED") for line in lines if line.rv > begin] == true
    # Nobody listed anew or watched again: that is said once their only watch has ended.
    until("both watches have ended", lambda: "watch" in world.asked(ACCOUNT) and "watch" in world.asked(HOLDER))
    assert (world.asked(ACCOUNT), world.asked(HOLDER)) == (["list", "watch"], ["watch"])


def test_over_a_restart_of_the_server_nothing_goes_back_and_no_delete_is_missed(world: World) -> None:
    """Most often nobody lists anew. A server that a busy machine is slow to start may answer 503 for a moment, and
    client-go lists after that."""
    traffic = world.traffic()
    with Truth(world.plane) as truth, world.informers() as informers:
        begin = truth.begin
        informers.told(traffic.change(200))
        with world.without_server():
            traffic.change(200)
        last = traffic.change(200)
        informers.told(last)
        true = truth.between(begin, last)
        told = informers.settle(world.plane)
    assert sum(fact.deleted for fact in true) > 20
    facts = {(fact.rv, fact.key) for fact in true}
    for lines in told:
        news = [line for line in lines if line.rv > begin and not line.of_a_list and not line.unknown]
        assert {(line.rv, line.key) for line in news} <= facts
        assert len({(line.rv, line.key) for line in news}) == len(news), "a change was told twice"


@pytest.mark.parametrize("how", ["trimmed", "emptied"])
def test_who_comes_back_to_a_history_that_begins_later_misses_nothing(world: World, how: str) -> None:
    traffic, keys = world.traffic(), Keys(world.stages.cluster, "pods")
    traffic.create("once")
    with world.informers() as informers:
        informers.told(traffic.change(50))
        with world.without_server():
            traffic.delete("once")
            last = traffic.change(100)
            if how == "trimmed":
                world.kept_up(last)
                for stream in (keys.changes, keys.past):
                    world.redis.ask("XTRIM", stream, "MAXLEN", "1")
            else:
                assert world.redis.ask("FLUSHALL") == b"+OK\r\n"
            traffic.change(100)
        informers.told(traffic.change(50))
        told = informers.settle(world.plane)
    for lines in told:
        found = [line for line in lines if line.key == f"{traffic.namespace}/once" and line.unknown]
        assert [line.type for line in found] == ["DELETED"], "no list said that it is gone: nothing was tried"


def test_a_snapshot_that_is_built_anew_under_open_watches_loses_and_reverts_nothing(world: World) -> None:
    traffic = world.traffic()
    with world.informers() as informers:
        informers.told(traffic.change(50))
        assert world.redis.ask("FLUSHALL") == b"+OK\r\n"
        traffic.change(100)
        world.stages.wait_state("pods", "live", PATIENCE)
        informers.told(traffic.change(50))
        informers.settle(world.plane)
    assert "is read anew" in world.served.krm.log("server")


def test_an_expired_version_is_410_as_at_the_api_server(world: World) -> None:
    client = world.served.client(world.token)
    connection = client.connect()
    answer = client.send(connection, "GET", "/api/v1/pods?watch=true&resourceVersion=1")
    event = json.loads(answer.readline())
    connection.close()
    assert (answer.status, event["type"], event["object"]["code"], event["object"]["reason"]) == (
        200, "ERROR", 410, "Expired",
    )  # fmt: skip


def test_what_a_list_repairs_reaches_those_who_watch(world: World) -> None:
    traffic, before = world.traffic(), world.drift()
    gone = f"{traffic.namespace}/gone-lost"
    with world.informers() as informers:
        world.lose(traffic)
        traffic.until("they are told of what was lost", lambda: informers.know_gone(gone))
        informers.told(traffic.change(20))
        informers.settle(world.plane)
    assert world.repaired(before)


@pytest.mark.parametrize("quiet", [False, True])
def test_what_a_list_repairs_while_the_server_is_away_reaches_those_who_come_back(
    world: World, quiet: bool
) -> None:
    """Where nothing else happens they come back at the repair's own resourceVersion; and its past is gone too."""
    traffic, before = world.traffic(), world.drift()
    gone = f"{traffic.namespace}/gone-lost"
    with world.informers() as informers:
        with world.without_lists():
            world.lose(traffic)
            informers.told(traffic.change(20))  # they have read up to there, without what was lost
            world.served.kill()
        with world.without_server():
            if quiet:
                until("a list found it", lambda: world.repaired(before), PATIENCE)
                world.redis.ask("DEL", Keys(world.stages.cluster, "pods").past)
            else:
                traffic.until("a list found it", lambda: world.repaired(before))
            world.stages.wait_state("pods", "live", PATIENCE)
        until("they are told of what was lost", lambda: informers.know_gone(gone), COMES_BACK)
        informers.told(traffic.change(20))
        informers.settle(world.plane)


def test_the_official_client_lists_and_watches_what_it_may(world: World) -> None:
    from kubernetes import client, config, watch

    traffic = world.traffic()
    api = client.CoreV1Api(config.new_client_from_config(str(world.by_token)))
    with Truth(world.plane) as truth:
        found = api.list_pod_for_all_namespaces()
        now = {
            f"{one.metadata.namespace}/{one.metadata.name}": one.metadata.resource_version for one in found.items
        }
        assert {key: int(rv) for key, rv in now.items()} == pods_of(world.plane)
        begin = int(found.metadata.resource_version)
        last = traffic.change(100)
        true = [(fact.rv, fact.key, fact.deleted) for fact in truth.between(begin, last)]
    told = []
    stream = watch.Watch()
    for event in stream.stream(api.list_pod_for_all_namespaces, resource_version=str(begin), timeout_seconds=30):
        metadata = event["object"].metadata
        key = f"{metadata.namespace}/{metadata.name}"
        told.append((int(metadata.resource_version), key, event["type"] == "DELETED"))
        if told[-1][0] >= last:
            stream.stop()
    assert told == true
    with pytest.raises(client.exceptions.ApiException) as refused:
        api.list_service_for_all_namespaces()
    assert refused.value.status == 403


def test_the_six_calls_of_the_original_client_work(world: World, original_client: Path, tmp_path: Path) -> None:
    """It knows neither TLS nor tokens: the server that it asks is on loopback, and reads the same Redis."""
    _make_what_it_asks_for(world.plane.admin)
    with KrmServer(tmp_path, world.redis.url, world.stages.cluster) as server:
        until("all of it is served", lambda: len(server.get("/ingress")["items"]) == 2, PATIENCE)
        until("all of it is served", lambda: len(server.get("/deployments")["items"]) == 2, PATIENCE)
        until("all of it is served", lambda: len(server.get("/pvcs")["items"]) == 2, PATIENCE)
        told = ask(original_client, tmp_path, server.port)
    pods = sorted(pods_of(world.plane))
    year = int(world.plane.admin.get("/api/v1/namespaces/a/pods/web-1")["metadata"]["creationTimestamp"][:4])
    assert told == {**TOLD, "pods": ["V1PodList", pods], "fields": [["n1", "Running", 2, year]]}


def _make_what_it_asks_for(admin: Any) -> None:
    container = {"containers": [{"name": "c", "image": "nginx:1"}], "automountServiceAccountToken": False}
    for namespace in ("a", "b"):
        admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    for name in ("n1", "n2"):
        admin.create("/api/v1/nodes", {"metadata": {"name": name}})
    for name, node, app in (("web-1", "n1", "web"), ("job", "n2", "job")):
        running = {"phase": "Running", "containerStatuses": [status("c", True, 2)]}
        spec = {**container, "nodeName": node}
        make(admin, "/api/v1/namespaces/a/pods", name, spec, running, "Pod", labels={"app": app})
    for namespace, name in (("a", "web"), ("b", "api")):
        ports = {"ports": [{"port": 80}]}
        make(admin, f"/api/v1/namespaces/{namespace}/services", name, ports, None, "Service")
    for namespace, name, spec in (("a", "web", ingress(NUMBERED, NAMED)), ("b", "files", ingress(BUCKET, BUCKET))):
        make(admin, f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses", name, spec, None, "Ingress")
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = "/api/v1/namespaces/a/persistentvolumeclaims"
    make(admin, claims, "data", claim, None, "PersistentVolumeClaim", labels={"disk": "ssd"})
    make(admin, claims, "logs", claim, None, "PersistentVolumeClaim")
    for app in ("web", "api"):
        where = "/apis/apps/v1/namespaces/a/deployments"
        make(admin, where, app, workload(app=app), {"readyReplicas": 0}, "Deployment", labels={"app": app})
