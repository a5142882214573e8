"""The kubelets of a paper cluster follow its pods, and are steered over HTTP."""

from __future__ import annotations

import http.client
import json
import random
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest
from contract.api import Api
from krm.simulator.churn import Churn
from krm.simulator.kubelet_loads import Life
from krm.simulator.kubelet_paper import Paper, draw
from krm.simulator.kubelets import Kubelets
from krm.simulator.populate import populate
from krm.simulator.world import World
from simulator.kubelet_samples import CADVISOR, RESOURCE, SUMMARY, needs_openssl, samples
from simulator.listen import until
from simulator.test_process import start, url_of


@pytest.fixture
def paper() -> Iterator[Paper]:
    world = World(seed=3)
    populate(world, nodes=3, pods=30, namespaces=2)
    with Kubelets(tls=False) as kubelets, Paper(world, kubelets, seed=3) as paper:
        yield paper


def told(paper: Paper) -> Dict[str, Set[str]]:
    """node -> the pods of its page, with what is beside the name."""
    pages = {name: json.loads(paper.kubelets.page(name, SUMMARY)) for name in paper.kubelets.names}
    return {
        name: {"%s/%s %s" % (ref["namespace"], ref["name"], ref["uid"]) for ref in _refs(page)}
        for name, page in pages.items()
    }


def _refs(page: Any) -> List[Dict[str, str]]:
    return [pod["podRef"] for pod in page["pods"]]


def true(paper: Paper) -> Dict[str, Set[str]]:
    found: Dict[str, Set[str]] = {name: set() for name in paper.world.keys("nodes")}
    for key in paper.world.keys("pods"):
        pod = paper.world.read("pods", key)
        if pod["status"]["phase"] == "Running":
            found[pod["spec"]["nodeName"]].add("%s %s" % (key, pod["metadata"]["uid"]))
    return found


def test_nodes_say_where_their_kubelet_listens(paper: Paper) -> None:
    for name in paper.world.keys("nodes"):
        status = paper.world.read("nodes", name)["status"]
        assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == paper.kubelets.port(name)
        assert status["addresses"][0] == {"type": "InternalIP", "address": "127.0.0.1"}
        assert status["capacity"]["pods"] == "110"


def test_a_page_has_the_pods_of_its_node_whatever_happens_to_them(paper: Paper) -> None:
    assert told(paper) == true(paper)
    assert sum(map(len, told(paper).values())) == 30
    churn = Churn(paper.world, seed=3)
    for _ in range(20):
        churn.turn(20)
        paper.world.burst("pods", 50)
    until(lambda: told(paper) == true(paper), "the pages follow")
    before = paper.world.revision
    churn.turn(100)
    until(lambda: told(paper) == true(paper), "the pages follow")
    paper.world.rollback(before)
    until(lambda: told(paper) == true(paper), "the pages follow into the past")
    paper.world.inject("pods", "default/evil", b'{"spec":{"nodeName":"node-1"},"status":[]')
    paper.world.inject("pods", "default/odd", b'{"spec":{"nodeName":"node-1"},"status":[],"metadata":{}}')
    key = next(iter(paper.world.keys("pods")))
    paper.world.delete("pods", key)
    until(lambda: not any(key + " " in pod for pods in told(paper).values() for pod in pods), "the rest goes on")


def test_a_restart_in_the_world_is_one_in_the_pages(paper: Paper) -> None:
    key, name = _first(paper)

    def begin(pod: Any) -> None:
        pod["status"]["containerStatuses"][0]["restartCount"] += 1

    def started() -> float:
        for (metric, labels), sample in samples(paper.kubelets.page(name, RESOURCE)).items():
            if metric == "container_start_time_seconds" and dict(labels)["pod"] == key.partition("/")[2]:
                return sample.value
        raise AssertionError(key)

    before = started()
    now = time.time()
    paper.world.update("pods", key, begin)
    until(lambda: started() > before, "the new start")
    assert abs(started() - now) < 5.0


def _first(paper: Paper) -> Tuple[str, str]:
    """A pod of one container, and its node."""
    for key in paper.world.keys("pods"):
        pod = paper.world.read("pods", key)
        if len(pod["spec"]["containers"]) == 1:
            return key, pod["spec"]["nodeName"]
    raise AssertionError("no such pod")


def test_the_same_seed_draws_the_same_loads() -> None:
    def loads() -> List[object]:
        world = World(seed=5)
        populate(world, nodes=2, pods=12)
        with Kubelets(tls=False) as kubelets, Paper(world, kubelets, seed=5):
            pods = [pod for name in kubelets.names for pod in kubelets.node(name).pods.values()]
            return [
                (pod.key, container.name, container.life.at(0).epoch.load)
                for pod in pods
                for container in pod.containers
            ]

    assert loads() == loads()


def test_what_is_drawn_stays_within_its_limits_and_is_of_every_kind() -> None:
    kinds: Set[str] = set()
    for seed in range(200):
        load = draw(random.Random(seed), 500.0, 512e6)
        wave = load.wave
        kinds.add("leak" if load.leak else "steady" if wave is None else "bursts" if wave.duty else "daily")
        life, day = Life(0.0, load), range(0, 86_400_000, 600_000)
        assert max(life.at(moment).rate for moment in day) <= 500.0 * 1.001, seed
        last = life.at(86_400_000).amounts()
        assert last.memory <= 512e6, seed
        assert last.usage >= last.memory > 0, seed
        assert 0 <= last.inactive <= last.cache, seed
    assert kinds == {"steady", "bursts", "daily", "leak"}


def post(api: Api, **body: Any) -> Any:
    return api.ask("POST", "/simulator/kubelets", body)


def fetch(url: str, path: str, context: Any = None, token: str = "") -> Tuple[int, bytes]:
    host = url.split("//")[1]
    if url.startswith("https"):
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, timeout=5, context=context)
    else:
        connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    assert process.wait(10) == 0


def test_the_process_serves_kubelets_and_their_levers() -> None:
    process = start("--kubelets", "http", "--metrics-api", "--housekeeping", "0", "--nodes", "2")
    try:
        api = Api("simulator", url_of(process), namespace="default")
        found = api.get("/simulator/kubelets").json
        assert set(found) == {"node-0", "node-1"}
        url = found["node-1"]["url"]
        status = api.get("/api/v1/nodes/node-1").json["status"]
        assert url == "http://127.0.0.1:%d" % status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        ref = json.loads(fetch(url, SUMMARY)[1])["pods"][0]
        key = "%s/%s" % (ref["podRef"]["namespace"], ref["podRef"]["name"])
        container = ref["containers"][0]["name"]
        load = {"cpu": 321.0, "wave": None}
        where = {"node": "node-1", "pod": key, "container": container}
        assert post(api, action="step", load=load, **where).status == 200
        again = json.loads(fetch(url, SUMMARY)[1])["pods"][0]["containers"][0]
        assert again["cpu"]["usageNanoCores"] == 321_000_000
        measured = api.get("/apis/metrics.k8s.io/v1beta1/nodes").json["items"]
        assert [item["metadata"]["name"] for item in measured] == ["node-0", "node-1"]
        assert post(api, action="restart", **where).status == 200
        assert post(api, action="fault", node="node-1", path=CADVISOR, fault="status", value=500).status == 200
        assert fetch(url, CADVISOR)[0] == 500
        state = api.get("/simulator/kubelets").json["node-1"]
        assert (state["requests"][CADVISOR], state["faults"]) == (1, {CADVISOR: ["status", 500.0]})
        assert post(api, action="heal", node="node-1").status == 200
        assert fetch(url, CADVISOR)[0] == 200
        assert post(api, action="kill", node="node-1").status == 200
        with pytest.raises(ConnectionRefusedError):
            fetch(url, RESOURCE)
        assert post(api, action="revive", node="node-1").status == 200
        assert fetch(url, RESOURCE)[0] == 200
        for wrong in ({"action": "kill", "node": "none"}, {"action": "fly", "node": "node-1"}, {"node": "node-1"}):
            assert post(api, **wrong).status == 400
        assert post(api, action="step", load={"heat": 1}, **where).status == 400
    finally:
        end(process)


@needs_openssl
def test_kubelets_of_a_secured_simulator_have_its_certificate_and_tokens(tmp_path: Path) -> None:
    ca, config = tmp_path / "kubelets.pem", tmp_path / "config"
    flags = ("--token", "secret-1", "--tls", "--kubelet-ca-out", str(ca), "--kubeconfig-out", str(config))
    process = start("--kubelets", "https", *flags)
    try:
        url_of(process)
        cluster = json.loads(config.read_text())["clusters"][0]["cluster"]
        trust = ssl.create_default_context(cafile=str(ca))
        api = Api("simulator", cluster["server"], "secret-1", ca, namespace="default")
        url = api.get("/simulator/kubelets").json["node-0"]["url"]
        assert url.startswith("https://127.0.0.1:")
        assert fetch(url, RESOURCE, trust, "secret-1")[0] == 200
        assert fetch(url, RESOURCE, trust)[0] == 401
        rules = [{"verbs": ["get"], "kinds": ["nodes/stats"], "namespaces": ["*"]}]
        api.ask("POST", "/simulator/access", {"token": "weak", "user": "w", "rules": rules})
        assert fetch(url, RESOURCE, trust, "weak")[0] == 403
        assert fetch(url, SUMMARY, trust, "weak")[0] == 200
    finally:
        end(process)


def test_without_kubelets_there_are_no_levers() -> None:
    process = start()
    try:
        api = Api("simulator", url_of(process), namespace="default")
        assert api.ask("GET", "/simulator/kubelets").status == 400
        ports = [
            each["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
            for each in api.get("/api/v1/nodes").json["items"]
        ]
        assert set(ports) == {10250}
    finally:
        end(process)


def test_figures_without_kubelets_are_refused_at_the_start() -> None:
    command = [sys.executable, "-m", "krm.simulator", "--metrics-api"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert "--kubelets" in ended.stderr


def test_its_help_names_the_kubelets() -> None:
    command = [sys.executable, "-m", "krm.simulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for flag in ("--kubelets", "--kubelet-ca-out", "--housekeeping", "--metrics-api"):
        assert flag in text
