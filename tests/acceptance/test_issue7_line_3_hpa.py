"""Issue 7, line 3: a real HPA controller scales a real Deployment on krm's metric, and krm tells that decision.

A real kube-controller-manager asks its API server, which hands requests on to krm's server. The application is a
real HTTP server with a page of metrics; the test plays scheduler and kubelet: it binds pods and writes their
status, with this machine as their address. 50 requests a second are shared by the pods that run.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import pytest
import redis_servers
from acceptance.product import Product, product
from authorities import Authority
from controlplane.fixtures import running_plane
from controlplane.kubeapi import KubeClient
from controlplane.metrics_server import USERS, aggregation_flags
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.model.quantities import parse

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(420)]
HPAS = "horizontalpodautoscalers.autoscaling"
KINDS = f"pods,nodes,namespaces,deployments.apps,{HPAS},events"
GROUPS = (("custom.metrics.k8s.io", "v1beta2"), ("custom.metrics.k8s.io", "v1beta1"),
          ("external.metrics.k8s.io", "v1beta1"))  # fmt: skip
SHOP = "/api/v1/namespaces/shop"
WEB = "/apis/apps/v1/namespaces/shop/deployments/web"
HPA = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
RATE = 50.0  # requests a second, of all pods together
MEAN = 0.2  # seconds that an answer takes
FLAGS = ("--horizontal-pod-autoscaler-sync-period=3s",)


class Application:
    """Its page: what one of the pods that share RATE has answered so far. All its answers take MEAN."""

    def __init__(self) -> None:
        self.pods = 2
        self._count, self._at, self._lock = 0.0, time.monotonic(), threading.Lock()
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = application.page().encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Application:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def run(self, pods: int) -> None:
        """So many share it from now on."""
        with self._lock:
            self._advance()
            self.pods = pods

    def page(self) -> str:
        with self._lock:
            self._advance()
            name, count = "http_request_duration_seconds", round(self._count)
        buckets = "".join(f'{name}_bucket{{le="{bound}"}} {count if bound >= MEAN else 0}\n'
                          for bound in (0.19, 0.205, 1.0))  # fmt: skip
        return (
            f'# TYPE {name} histogram\n{buckets}{name}_bucket{{le="+Inf"}} {count}\n{name}_count {count}\n'
            f"{name}_sum {count * MEAN}\nqueue_depth 7\n"
        )

    def _advance(self) -> None:
        now = time.monotonic()
        self._count, self._at = self._count + RATE / self.pods * (now - self._at), now


class World(NamedTuple):
    plane: ControlPlane
    krm: Product
    application: Application


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = Path(tmp_path_factory.mktemp("hpa"))
    for one in ("aggregation", "redis", "krm", "tls"):
        (folder / one).mkdir()
    flags = aggregation_flags(folder / "aggregation")
    options = {"users": USERS, "apiserver_flags": flags, "controller_flags": FLAGS}
    for plane in running_plane(controllers=True, **options):
        with Application() as application, redis_servers.one(folder / "redis") as redis, product(
            folder / "krm", redis
        ) as krm:
            _deploy(plane.admin, application.port)
            _serve(krm, plane, folder / "tls")
            yield World(plane, krm, application)


def _deploy(admin: KubeClient, port: int) -> None:
    admin.create("/api/v1/namespaces", {"metadata": {"name": "shop"}})
    admin.create("/api/v1/nodes", {"metadata": {"name": "n-1"}})
    annotations = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)}
    template = {
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "none"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    admin.create(WEB.rpartition("/")[0], {"metadata": {"name": "web"}, "spec": spec})
    wait_until(lambda: len(_pods(admin)) == 2, 60, "the deployment has its pods")
    _run(admin)


def _pods(admin: KubeClient) -> List[Dict[str, Any]]:
    found = admin.get(f"{SHOP}/pods")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def _run(admin: KubeClient) -> int:
    """As scheduler and kubelet: every pod has a node and runs. How many there are."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    pods = _pods(admin)
    for pod in pods:
        name = pod["metadata"]["name"]
        if not pod["spec"].get("nodeName"):
            target = {"kind": "Node", "name": "n-1"}
            admin.create(f"{SHOP}/pods/{name}/binding", {"metadata": {"name": name}, "target": target})
        if pod["status"]["phase"] != "Running":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            running = {"name": "app", "ready": True, "restartCount": 0, "image": "none", "imageID": "",
                       "containerID": f"test://{name}", "state": {"running": {"startedAt": now}}}  # fmt: skip
            status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "startTime": now,
                      "conditions": [ready], "containerStatuses": [running]}  # fmt: skip
            admin.patch(f"{SHOP}/pods/{name}/status", {"status": status})
    return len(pods)


def _serve(krm: Product, plane: ControlPlane, folder: Path) -> None:
    """The pipeline, a collector that scrapes the pods, and a server that the API server hands requests on to."""
    assert krm.redis is not None
    kubeconfig = ("--kubeconfig", str(plane.kubeconfig("admin")))
    where = ("--redis", krm.redis.url, "--cluster", krm.cluster)
    port, pair = redis_servers.free_port(), Authority(folder, "server").server("server")
    krm.up(*kubeconfig, "--kinds", KINDS, "--verify-every", "10s", "--no-collector")
    token = folder / "token"
    token.write_text("not a secret, in a test\n")
    token.chmod(0o600)
    krm.environment["KRM_HISTORY_TOKEN_FILE"] = str(token)  # of the collector, and of whoever reads
    krm.start("collector", "-m", "krm.collector", *where, *kubeconfig, "--sources", "app", "--scrape-loopback",
              "--whole-every", "5s", "--every", "4s", "--history", str(folder / "history"))  # fmt: skip
    krm.start("server", "-m", "krm.server", *where, "--port", str(port), "--auth", "kubernetes", *kubeconfig,
              "--tls-cert", str(pair.cert), "--tls-key", str(pair.key))  # fmt: skip
    spec: Dict[str, Any] = {"type": "ExternalName", "externalName": "127.0.0.1"}
    plane.admin.create("/api/v1/namespaces/kube-system/services", {"metadata": {"name": "krm"}, "spec": spec})
    for group, version in GROUPS:
        body = {
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"namespace": "kube-system", "name": "krm", "port": port},
            },
        }  # fmt: skip
        plane.admin.create("/apis/apiregistration.k8s.io/v1/apiservices", body)


def _value(admin: KubeClient, path: str) -> List[float]:
    """What the API server hands on."""
    answer = admin.request("GET", path, headers={"User-Agent": "test"})
    if answer.status != 200:
        return []
    items = answer.json()["items"]
    return [float(parse(one["value"])) for one in items]


def _explained(krm: Product) -> Dict[str, Any]:
    done = krm.krm("hpa", "explain", "web", "-n", "shop", "-o", "json")
    rows = json.loads(done.stdout)["rows"] if done.stdout else []
    return dict(rows[0]) if rows else {}


def test_a_real_controller_scales_on_krms_metric_and_krm_tells_why(world: World) -> None:
    plane, krm, application = world
    admin, custom = plane.admin, "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop"
    each = f"{custom}/pods/*/requests_per_second?labelSelector=app%3Dweb"
    near = [pytest.approx(25.0, rel=0.05)] * 2
    krm.wait("the API server hands on 25 requests a second a pod", lambda: _value(admin, each) == near, 120)
    old, external = each.replace("v1beta2", "v1beta1"), "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop"
    for path, expected in (
        (f"{custom}/deployments.apps/web/requests_per_second", [pytest.approx(50.0, rel=0.05)]),
        (f"{custom}/pods/*/queue_depth", [7.0, 7.0]),
        (f"{custom}/pods/*/response_time", [pytest.approx(MEAN, rel=0.05)] * 2),
        (f"{custom}/pods/*/response_time_p95", [pytest.approx(MEAN, rel=0.05)] * 2),
        (old, near),
        (f"{external}/queue_depth", [14.0]),
    ):
        krm.wait(f"{path} is {expected}", lambda path=path, expected=expected: _value(admin, path) == expected, 30)

    # What krm says it will do, while the controller is held.
    plane.pause("controllers")
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    metric = {"type": "Pods", "pods": {"metric": {"name": "requests_per_second"}, "target": {
        "type": "AverageValue", "averageValue": "10"}}}  # fmt: skip
    # While the load moves to new pods, it is for a moment in the rates of old and new: no more than 5.
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5, "metrics": [metric]}
    admin.create(HPA, {"metadata": {"name": "web"}, "spec": spec})
    before = krm.wait("krm explains the HPA", lambda: _explained(krm), 60)
    assert (before["current"], before["desired"], before["sources"]) == (
        2, 4, {"requests_per_second": "krm's own measurements"},
    ), before  # fmt: skip
    steps = {one["what"]: one["why"] for one in before["steps"]}
    assert "the target is 10: ratio 2." in steps["metric"]
    assert steps["behaviour"].startswith("ScaleUpLimit: the rate of change allows at most 4 from 2")

    # What the real controller does: the same.
    plane.resume("controllers")
    wait_until(lambda: admin.get(WEB)["spec"]["replicas"] != 2, 60, "the real controller scales")
    assert admin.get(WEB)["spec"]["replicas"] == before["desired"]

    # It goes on until every pod has its 10.
    def settled() -> bool:
        application.run(_run(admin))
        return bool(admin.get(WEB)["spec"]["replicas"] == 5 and len(_pods(admin)) == 5)

    krm.wait("5 pods share the requests", settled, 120)
    ten = [pytest.approx(10.0, rel=0.05)] * 5
    krm.wait("each answers 10 a second", lambda: _value(admin, each) == ten, 60)

    def content() -> Dict[str, Any]:
        found = _explained(krm)
        return found if found.get("told") == 5 and found["desired"] == 5 and not found["differences"] else {}

    after = krm.wait("the HPA and krm agree", content, 60)
    assert "New size: 5; reason: pods metric requests_per_second above target" in after["last_scaling"]
    assert after["last_scaled"] is not None
    assert "within the tolerance" in next(one["why"] for one in after["steps"] if one["what"] == "metric")
    table = krm.krm("hpa", "explain", "web", "-n", "shop").stdout
    assert "last scaling" in table
    assert "New size: 5; reason: pods metric requests_per_second above target" in table

    # Line 1: the figure that it scales on, once the history covers the window.
    def figure() -> Dict[str, Any]:
        arguments = ("hpa", "metrics", "web", "-n", "shop", "--aggregation", "avg", "--window", "60s", "-o", "json")
        found = json.loads(krm.krm(*arguments).stdout or "{}")
        is_ten = found.get("value") == pytest.approx(10.0, rel=0.05)
        return found if is_ten and found["total"] == pytest.approx(RATE, rel=0.05) else {}

    told = krm.wait("the figure is 10 of a pod and 50 of all", figure, 90)
    assert (told["metric"], told["unit"], len(told["rows"])) == ("requests_per_second", "count/s", 5)
    assert world.krm.children["server"].poll() is None
