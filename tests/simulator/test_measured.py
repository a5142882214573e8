"""metrics.k8s.io on a paper API server: what a metrics-server would tell of the kubelets that live."""

from __future__ import annotations

import http.client
import json
from typing import Any, Iterator, Tuple

import pytest
from krm.simulator.access import Access, Rule
from krm.simulator.kubelet_loads import MIB, Load
from krm.simulator.kubelet_nodes import Node, pod
from krm.simulator.kubelet_objects import objects
from krm.simulator.kubelets import Kubelets
from krm.simulator.measured import Measured
from krm.simulator.server import Server
from krm.simulator.world import World
from simulator.kubelet_samples import T0, Clock

API = "/apis/metrics.k8s.io/v1beta1"


class Paper:
    """A server with two nodes, and the clock of its kubelets."""

    def __init__(self, server: Server, kubelets: Kubelets, clock: Clock) -> None:
        self.server, self.kubelets, self.clock = server, kubelets, clock

    def ask(self, path: str, token: str = "", method: str = "GET") -> Tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=5)
        connection.request(method, path, headers={"Authorization": "Bearer " + token} if token else {})
        response = connection.getresponse()
        body = json.loads(response.read())
        connection.close()
        return response.status, body

    def items(self, path: str) -> Any:
        status, body = self.ask(API + path)
        assert status == 200, body
        return {item["metadata"]["name"]: item for item in body["items"]}


def nodes() -> Tuple[Node, Node]:
    web, log = Load(cpu=250.0, memory=64.0 * MIB), Load(cpu=7.0, memory=1.0 * MIB)
    system = Load(cpu=100.0, memory=900.0 * MIB)
    return (
        Node("n-1", [pod("shop", "web", T0, {"web": web, "log": log})], T0, system=system),
        Node("n-2", [pod("other", "db", T0, {"db": Load(cpu=1500.0)})], T0, system=system),
    )


@pytest.fixture
def access() -> Access:
    access = Access()
    access.allow("all", "a")
    access.allow("some", "s", [Rule(("list",), ("pods.metrics.k8s.io",), ("shop",))])
    return access


def serve(access: Any = None) -> Iterator[Paper]:
    world, clock, made = World(), Clock(), nodes()
    for found in objects(list(made), [1, 2]):
        world.create(found["kind"].lower() + "s", found)
    world.update("pods", "shop/web", lambda found: found["metadata"].update(labels={"app": "web"}))
    clock.now = T0 + 100.0
    with Kubelets(made, tls=False, clock=clock) as kubelets, Server(world, access=access) as server:
        server.routes.measured = Measured(world, kubelets)
        yield Paper(server, kubelets, clock)


@pytest.fixture
def paper() -> Iterator[Paper]:
    yield from serve()


@pytest.fixture
def guarded(access: Access) -> Iterator[Paper]:
    yield from serve(access)


def test_nodes_and_pods_have_the_figures_of_their_loads(paper: Paper) -> None:
    found = paper.items("/nodes")
    assert {name: item["usage"] for name, item in found.items()} == {
        "n-1": {"cpu": "357m", "memory": "965Mi"},
        "n-2": {"cpu": "1600m", "memory": "964Mi"},
    }
    assert (found["n-1"]["timestamp"], found["n-1"]["window"]) == ("2027-01-15T08:01:40Z", "15s")
    web = paper.items("/pods")["web"]
    usage = {each["name"]: each["usage"] for each in web["containers"]}
    assert usage == {"web": {"cpu": "250m", "memory": "64Mi"}, "log": {"cpu": "7m", "memory": "1Mi"}}
    assert web["metadata"]["labels"] == {"app": "web"}


def test_every_form_of_its_urls(paper: Paper) -> None:
    assert set(paper.items("/namespaces/shop/pods")) == {"web"}
    assert set(paper.items("/pods?labelSelector=app%3Dweb")) == {"web"}
    assert set(paper.items("/pods?labelSelector=app!%3Dweb")) == {"db"}
    assert paper.ask(API + "/nodes/n-1")[1]["kind"] == "NodeMetrics"
    status, body = paper.ask(API + "/namespaces/shop/pods/web")
    assert (status, body["kind"], body["metadata"]["namespace"]) == (200, "PodMetrics", "shop")
    status, body = paper.ask(API + "/namespaces/shop/pods/none")
    assert (status, body["message"]) == (404, 'podmetrics.metrics.k8s.io "shop/none" not found')
    assert paper.ask(API + "/nodes/none")[0] == 404
    assert paper.ask(API + "/services")[0] == 404
    assert paper.ask(API + "/nodes", method="DELETE")[0] == 405
    found = paper.ask(API)[1]["resources"]
    assert [(each["name"], each["verbs"]) for each in found] == [
        ("nodes", ["get", "list"]), ("pods", ["get", "list"]),
    ]  # fmt: skip
    assert "metrics.k8s.io" in [group["name"] for group in paper.ask("/apis")[1]["groups"]]


def test_a_dead_kubelet_and_a_fresh_container_have_no_figures(paper: Paper) -> None:
    paper.kubelets.restart("n-1", "shop/web", "log", at=T0 + 90.0)
    assert set(paper.items("/pods")) == {"db"}
    assert set(paper.items("/nodes")) == {"n-1", "n-2"}
    paper.clock.now = T0 + 106.0
    assert set(paper.items("/pods")) == {"db", "web"}
    paper.kubelets.kill("n-2")
    assert set(paper.items("/nodes")) == {"n-1"}
    assert set(paper.items("/pods")) == {"web"}


def test_rights_are_asked_as_for_any_kind(guarded: Paper) -> None:
    assert guarded.ask(API + "/pods", "all")[0] == 200
    assert guarded.ask(API + "/namespaces/shop/pods", "some")[0] == 200
    assert guarded.ask(API + "/namespaces/other/pods", "some")[0] == 403
    assert guarded.ask(API + "/nodes", "some")[0] == 403
    assert guarded.ask(API + "/nodes")[0] == 403
    assert guarded.ask(API + "/nodes", "made-up")[0] == 401


def test_without_it_the_group_is_unknown() -> None:
    with Server(World()) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", API + "/nodes")
        assert connection.getresponse().status == 404
        connection.close()
