"""A real metrics-server and krm read the same pages: the same nanocores, windows and times come out."""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from authorities import Authority
from controlplane.metrics_server import API, MetricsServer
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.collector.source import Target
from krm.collector.sources.metrics_server import nodes_of, pods_of
from krm.collector.sources.resource import samples_of
from krm.model import times
from krm.model.durations import go_duration
from krm.model.measures import Sample, Subject
from krm.model.rates import Rates

NODE = "random"
STARTED = int(time.time()) - 86400
CONTAINERS = ("app", "proxy", "slow")


class Kubelet(ThreadingHTTPServer):
    """Over HTTPS by the fixture below; its loads are drawn anew for each page, its times are no whole seconds."""

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: List[Tuple[float, bytes]] = []  # when it was asked, and what it said
        self._random = random.Random(seed)
        self._used = {name: self._random.uniform(0.001, 1e6) for name in (NODE, *CONTAINERS)}
        self._lock = threading.Lock()

    def page(self) -> bytes:
        with self._lock:
            now = time.time()
            lines = []
            for name in self._used:
                self._used[name] += self._random.choice([1e-9, 0.000001, 0.1, 1.0, 3.3]) * self._random.random()
                stamp = int(now * 1000) - self._random.randint(0, 900)
                of_node = name == NODE
                labels = "" if of_node else f'{{container="{name}",namespace="default",pod="one"}}'
                start = "node" if of_node else "container"
                lines += [
                    f"{start}_cpu_usage_seconds_total{labels} {round(self._used[name] * 1e9) / 1e9!r} {stamp}",
                    f"{start}_memory_working_set_bytes{labels} {self._random.randint(1, 2**40)} {stamp}",
                ]
                lines += [] if of_node else [f"container_start_time_seconds{labels} {STARTED}"]
            made = "".join(f"{line}\n" for line in sorted(lines)).encode()
            self.pages.append((now, made))
            return made


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Kubelet)
        body = self.server.page()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture
def kubelet(tmp_path) -> Iterator[Kubelet]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    server = Kubelet(seed)
    pair = Authority(tmp_path, "kubelet").server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pair.cert), str(pair.key))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def ours(pages: List[Tuple[float, bytes]]) -> Dict[Subject, Sample]:
    rates, found = Rates(), []
    for now, page in pages:
        found = rates.take(samples_of(page, Target(f"node {NODE}", NODE), now), now)
    return {sample.subject._replace(node="" if sample.subject.pod else NODE): sample for sample in found}


def told(sample: Sample) -> Tuple[int, float, str, str]:
    """Nanocores, bytes, window and time as the API writes them."""
    window = go_duration(round(sample.window * 1e9))
    nanocores = round(sample.values["cpu/usage_rate"] * 1e6)
    return nanocores, sample.values["memory/working_set"], window, times.write(float(int(sample.at)))


@pytest.mark.slow  # two of its turns of ten seconds
def test_it_and_krm_say_the_same(
    metrics_plane: ControlPlane, metrics_server: MetricsServer, kubelet: Kubelet
) -> None:
    admin = metrics_plane.admin
    status: Dict[str, Any] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.server_port}},
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    admin.create("/api/v1/nodes", {"metadata": {"name": NODE}, "status": status})
    spec = {"nodeName": NODE, "containers": [{"name": name, "image": "none"} for name in CONTAINERS]}
    admin.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "one"}, "spec": spec})
    admin.patch("/api/v1/namespaces/default/pods/one/status", {"status": {"phase": "Running"}})
    metrics_server.wait_for_nodes([NODE])

    def raw() -> Tuple[Any, Any]:
        return admin.get(f"{API}/nodes"), admin.get(f"{API}/pods")

    def settled() -> bool:
        """Their answer is of the last page that was served."""
        pages = list(kubelet.pages)
        answer = raw()
        stamps = {item["metadata"]["name"]: item["timestamp"] for item in answer[0]["items"]}
        newest = ours(pages)
        same = stamps.get(NODE) == times.write(float(int(newest[Subject(node=NODE)].at)))
        if same and pages == kubelet.pages:
            found.append((pages, answer))
        return bool(found)

    found: List[Tuple[List[Tuple[float, bytes]], Tuple[Any, Any]]] = []
    wait_until(settled, 40.0, "metrics-server stored the last page", pause=0.2)
    pages, (nodes, pods) = found[0]
    mine = ours(pages)
    (node,) = [item for item in nodes["items"] if item["metadata"]["name"] == NODE]
    (pod,) = [item for item in pods["items"] if item["metadata"]["name"] == "one"]
    theirs = {sample.subject: sample for sample in (*nodes_of(_listed(node)), *pods_of(_listed(pod)))}
    whole = Subject(node=NODE)
    assert told(mine[whole])[2:] == (node["window"], node["timestamp"])
    assert set(theirs) == {whole, *(Subject("default", "one", "", name) for name in CONTAINERS)}
    for subject, sample in theirs.items():
        assert told(sample)[:2] == told(mine[subject])[:2], subject
    # A pod has the time and the window of that of its containers whose time is the oldest.
    oldest = min((mine[Subject("default", "one", "", name)] for name in CONTAINERS), key=lambda one: one.at)
    assert told(oldest)[2:] == (pod["window"], pod["timestamp"])


def _listed(item: Any) -> bytes:
    return json.dumps({"items": [item]}).encode()
