"""The real metrics-server: reached through the API server, reading a kubelet at its node's address."""

import http.server
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Iterator, List

import pytest
from authorities import Authority
from controlplane.build import find_binary
from controlplane.kubeapi import Json
from controlplane.metrics_server import API, MetricsServer
from controlplane.plane import ControlPlane

# Its counter grows by a quarter of a core; the page carries times of its own, as a kubelet's does.
CORES = 0.25
WORKING_SET = 64 * 1024 * 1024
# As of one container: a start that changed between two pages would be a restart.
STARTED = int(time.time()) - 3600


def page() -> bytes:
    stamp = int(time.time() * 1000)
    used = (stamp - STARTED * 1000) / 1000 * CORES
    labels = '{container="app",namespace="default",pod="one"}'
    lines = [
        f"node_cpu_usage_seconds_total {used} {stamp}",
        f"node_memory_working_set_bytes {WORKING_SET} {stamp}",
        f"container_start_time_seconds{labels} {STARTED}",
        f"container_cpu_usage_seconds_total{labels} {used} {stamp}",
        f"container_memory_working_set_bytes{labels} {WORKING_SET} {stamp}",
    ]
    return "".join(f"{line}\n" for line in lines).encode()


class Kubelet(http.server.ThreadingHTTPServer):
    """One page, over TLS; it notes who asked for what."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: List[str] = []
        pair = Authority(folder, "kubelet").server()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(pair.cert), str(pair.key))
        self.socket = context.wrap_socket(self.socket, server_side=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Kubelet)
        self.server.asked.append(f"{self.path} {self.headers.get('Authorization', '')}")
        body = page()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[Kubelet]:
    server = Kubelet(tmp_path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def node(name: str, port: int) -> Json:
    return {
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "capacity": {"cpu": "4", "memory": "1Gi"},
            "allocatable": {"cpu": "4", "memory": "1Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


@pytest.mark.slow  # it has figures after two turns of ten seconds
def test_it_answers_with_what_a_kubelet_counts(
    metrics_plane: ControlPlane, metrics_server: MetricsServer, kubelet: Kubelet
) -> None:
    metrics_plane.admin.create("/api/v1/nodes", node("counted", kubelet.server_port))
    spec = {"nodeName": "counted", "containers": [{"name": "app", "image": "none"}]}
    metrics_plane.admin.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "one"}, "spec": spec})
    # metrics-server asks the API server for running pods only.
    metrics_plane.admin.patch("/api/v1/namespaces/default/pods/one/status", {"status": {"phase": "Running"}})
    metrics_server.wait_for_nodes(["counted"])
    usage = metrics_plane.admin.get(f"{API}/nodes/counted")["usage"]
    assert usage["memory"] == "64Mi"
    assert usage["cpu"] in ("250m", "249999999n")  # it rounds each counter down to a nanosecond
    containers = metrics_plane.admin.get(f"{API}/namespaces/default/pods/one")["containers"]
    assert [container["name"] for container in containers] == ["app"]
    path, scheme, token = kubelet.asked[0].split(" ")
    assert (path, scheme) == ("/metrics/resource", "Bearer")
    assert token == metrics_plane.token("metrics-server")
    assert top(metrics_plane, "nodes").split() == ["counted", "250m", "6%", "64Mi", "6%"]
    assert top(metrics_plane, "pods").split() == ["one", "250m", "64Mi"]


def top(plane: ControlPlane, what: str) -> str:
    """`kubectl top` through the API server, without its heading."""
    kubectl = find_binary("kubectl", "1.36")
    assert kubectl is not None
    command = [str(kubectl), f"--kubeconfig={plane.kubeconfig('admin')}", "top", what, "--no-headers"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
