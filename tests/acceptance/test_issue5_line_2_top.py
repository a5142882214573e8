"""Issue 5, line 2: before the same kubelets, `kubectl top` prints the same bytes from krm as from a metrics-server.

The kubelets are simulated: their counters grow at constant rates. kubectl asks one API server, which hands
requests on to a real metrics-server, and krm, which reads the kubelets itself. Each URL is asked of both too.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import pytest
import redis_servers
from acceptance.kubectl_world import Answer, Kubectl, kubectls
from acceptance.product import Product, product
from controlplane.fixtures import not_built, running_plane
from controlplane.kubeapi import KubeClient
from controlplane.metrics_server import API, USERS, MetricsServer, aggregation_flags
from controlplane.plane import ControlPlane, MissingBinary
from krm.model.quantities import read
from krm.simulator.kubelet_loads import MIB, Life, Load
from krm.simulator.kubelet_nodes import Container, Node, Pod
from krm.simulator.kubelets import Kubelets

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]
KINDS = "pods,nodes,namespaces"
# Seconds: metrics-server takes two points, 10 s apart, and what kubelets show is some seconds old.
KNOWN_WITHIN = 90.0
# Two answers may be of different moments, between which a pod's window or a counter's last digit changed.
TURNS = 4
T = TypeVar("T")


class World(NamedTuple):
    plane: ControlPlane
    kubelets: Kubelets
    url: str
    kubectl: Kubectl


def _pod(name: str, loads: Dict[str, Load], namespace: str = "shop", **labels: str) -> Pod:
    begun = time.time() - 3600
    return Pod(namespace, name, [Container(each, Life(begun, load)) for each, load in loads.items()], labels=labels)


def _nodes() -> List[Node]:
    web = [
        _pod(
            f"web-{number}",
            {"app": Load(cpu=250 * number, memory=64 * MIB * number), "side": Load(cpu=7, memory=10 * MIB)},
            app="web",
            n=str(number),
        )
        for number in range(1, 6)
    ]
    tools = _pod("tool", {"z": Load(cpu=3, memory=5 * MIB + 1), "a": Load(cpu=999, memory=4096)}, "ops", app="tool")
    alone = _pod("alone", {"app": Load(cpu=1, memory=1023 * MIB)}, "default")
    return [
        Node("n-1", [*web[:3], tools], start=time.time() - 7200),
        Node("n-2", [*web[3:], alone], start=time.time() - 7200),
        Node("n-3", [_pod("lost", {"app": Load()}, app="web")], start=time.time() - 7200),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = Path(tmp_path_factory.mktemp("top"))
    for one in ("aggregation", "metrics-server", "redis", "krm"):
        (folder / one).mkdir()
    for plane in running_plane(users=USERS, apiserver_flags=aggregation_flags(folder / "aggregation")):
        with Kubelets(_nodes()) as kubelets:
            _create(plane.admin, kubelets)
            kubelets.kill("n-3")
            with _metrics_server(plane, folder) as real, redis_servers.one(folder / "redis") as redis, product(
                folder / "krm", redis
            ) as krm:
                url = _serve(krm, plane, kubelets)
                real.wait_for_nodes(["n-1", "n-2"], KNOWN_WITHIN)
                world = World(plane, kubelets, url, _kubectl(folder, plane, url))
                krm.wait("both know the same pods", lambda one=world: _known(one), KNOWN_WITHIN)
                yield world


def _metrics_server(plane: ControlPlane, folder: Path) -> MetricsServer:
    try:
        return MetricsServer(plane, folder / "metrics-server")
    except MissingBinary as error:
        not_built(error)


def _create(admin: KubeClient, kubelets: Kubelets) -> None:
    for one in kubelets.objects():
        kind, metadata = one["kind"], one["metadata"]
        space = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        path = f"/api/v1{space}/{kind.lower()}s"
        if kind == "Namespace" and admin.request("GET", f"{path}/{metadata['name']}").status == 200:
            continue
        admin.create(path, one)
        if kind == "Pod":  # the API server begins with a status of its own
            admin.patch(f"{path}/{metadata['name']}/status", {"status": one["status"]})
    bare: Dict[str, Any] = {"spec": {"nodeName": "n-1", "containers": [{"name": "c", "image": "none"}]}}
    for name, phase in (("bare", "Running"), ("pending", "Pending")):
        admin.create("/api/v1/namespaces/shop/pods", {"metadata": {"name": name}, **bare})
        admin.patch(f"/api/v1/namespaces/shop/pods/{name}/status", {"status": {"phase": phase}})


def _serve(krm: Product, plane: ControlPlane, kubelets: Kubelets) -> str:
    """The pipeline, a collector that asks the kubelets, and the server. Its URL."""
    assert krm.redis is not None
    kubeconfig = ("--kubeconfig", str(plane.kubeconfig("admin")))
    where = ("--redis", krm.redis.url, "--cluster", krm.cluster)
    port = redis_servers.free_port()
    krm.up(*kubeconfig, "--kinds", KINDS, "--verify-every", "5s", "--no-collector")
    sources = ("--sources", "kubelet,cadvisor,summary", "--kubelet-ca", str(kubelets.ca))
    krm.start("collector", "-m", "krm.collector", *where, *kubeconfig, *sources)
    krm.start("server", "-m", "krm.server", *where, "--port", str(port))
    return f"http://127.0.0.1:{port}"


def _kubectl(folder: Path, plane: ControlPlane, url: str) -> Kubectl:
    binary = kubectls().get("1.36")
    if binary is None:
        not_built(MissingBinary("kubectl is not built"))
    return Kubectl(binary, folder / "kubectl", plane.kubeconfig("admin"), url)


def _known(world: World) -> bool:
    names = [[item["metadata"]["name"] for item in _items(answer)] for answer in _both(world, f"{API}/pods")]
    return len(names[0]) == 7 and names[0] == names[1]


def _items(answer: Tuple[int, Any]) -> List[Any]:
    found: List[Any] = answer[1].get("items", []) if answer[0] == 200 else []
    return found


def _alike(ask: Callable[[], List[T]]) -> List[T]:
    """What both say, asked again where that differs."""
    said = ask()
    for turn in range(1, TURNS):
        if said[0] != said[1]:
            time.sleep(turn)
            said = ask()
    return said


# Commands --------------------------------------------------------------------------------------

COMMANDS: List[Sequence[str]] = [
    ("top", "nodes"),
    ("top", "nodes", "--no-headers"),
    ("top", "nodes", "--show-capacity"),
    ("top", "nodes", "--sort-by", "cpu"),
    ("top", "nodes", "--sort-by", "memory"),
    ("top", "nodes", "-l", "kubernetes.io/hostname in (n-1,n-3)"),
    ("top", "nodes", "-l", "kubernetes.io/hostname=none"),
    ("top", "node", "n-1"),
    ("top", "node", "n-3"),
    ("top", "node", "none"),
    ("top", "pods"),
    ("top", "pods", "-n", "empty"),
    ("top", "pods", "-n", "shop"),
    ("top", "pods", "-n", "shop", "--no-headers"),
    ("top", "pods", "-A"),
    ("top", "pods", "-A", "--sum"),
    ("top", "pods", "-A", "--containers"),
    ("top", "pods", "-A", "--containers", "--sum", "--sort-by", "cpu"),
    ("top", "pods", "-A", "--sort-by", "memory"),
    ("top", "pods", "-n", "shop", "--sort-by", "cpu", "--sum"),
    ("top", "pods", "-n", "shop", "-l", "app=web,n notin (1,2)"),
    ("top", "pods", "-A", "-l", "app in (tool)", "--containers"),
    ("top", "pods", "-A", "-l", "app=none"),
    ("top", "pods", "-A", "-l", "app==="),
    ("top", "pods", "-A", "--field-selector", "metadata.namespace!=shop"),
    ("top", "pods", "-A", "--field-selector", "spec.nodeName=n-1"),
    ("top", "pod", "web-1", "-n", "shop"),
    ("top", "pod", "web-2", "-n", "shop", "--containers"),
    ("top", "pod", "web-2", "-n", "shop", "--sum"),
    ("top", "pod", "lost", "-n", "shop"),
    ("top", "pod", "bare", "-n", "shop"),
    ("top", "pod", "pending", "-n", "shop"),
    ("top", "pod", "none", "-n", "shop"),
    ("get", "pods.metrics.k8s.io", "-n", "shop", "-o", "name"),
    ("get", "nodes.metrics.k8s.io", "-o", "name", "--show-kind"),
    ("get", "nodes.metrics.k8s.io", "-l", "x", "-o", "wide"),
    ("get", "pods.v1beta1.metrics.k8s.io", "-A", "-o", "custom-columns=N:.metadata.name,M:..usage.memory"),
    ("get", "nodes.metrics.k8s.io", "-o", "jsonpath={.items[*].usage.memory}"),
    ("get", "pods.metrics.k8s.io", "none", "-n", "shop"),
    ("get", "pods.metrics.k8s.io", "-A", "--watch-only", "--request-timeout", "5s"),
    ("api-resources", "--api-group", "metrics.k8s.io"),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_kubectl_prints_the_same_bytes(world: World, command: Sequence[str]) -> None:
    real, krm = _alike(lambda: [_plain(world.kubectl.ask(one, *command), command) for one in ("real", "krm")])
    assert krm == real


def _plain(answer: Answer, command: Sequence[str]) -> Answer:
    """The order of containers is by chance at metrics-server, but where kubectl sorts them itself."""
    if "custom-columns=" in command[-1]:
        rows = sorted(" ".join(sorted(line.replace(",", " ").split())) for line in answer.out.splitlines())
        return answer._replace(out="\n".join(rows))
    return answer


def test_the_figures_are_those_of_the_loads(world: World) -> None:
    """Equal bytes could both be wrong."""
    lines = world.kubectl.ask("krm", "top", "pods", "-n", "shop", "--no-headers").out.split("\n")
    assert [line.split() for line in lines if line] == [
        [f"web-{number}", f"{250 * number + 7}m", f"{64 * number + 10}Mi"] for number in range(1, 6)
    ]


def test_who_reads_is_warned_of_what_is_not_there(world: World) -> None:
    command = world.kubectl.command("krm", "top", "nodes")
    done = subprocess.run(command, capture_output=True, env=world.kubectl.environment, timeout=60, encoding="utf-8")
    assert "Warning: krm: measured are 2 of 3 nodes" in done.stderr


# URLs ------------------------------------------------------------------------------------------

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
OLD_TABLE = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata%s;v=v1;g=meta.k8s.io"
URLS: List[Tuple[str, str]] = [
    *[(f"{API}{path}", "") for path in (
        "", "/", "/nodes", "/pods", "/nodes/n-1", "/nodes/n-3", "/nodes/none", "/namespaces/shop/pods",
        "/namespaces/none/pods", "/namespaces/shop/pods/web-1", "/namespaces/shop/pods/none",
        "/namespaces/shop/pods/bare", "/namespaces/shop/pods/pending", "/namespaces/shop/pods/lost",
        "/namespaces/shop/nodes", "/pods/web-1", "/nodes/n-1/status", "/namespaces/shop/pods/web-1/log", "/foo",
        "/watch/pods", "/pods?watch=true", "/pods?watch=0", "/pods?limit=1", "/pods?limit=x", "/pods?limit=-1",
        "/pods?continue=abc", "/pods?resourceVersion=0", "/pods?resourceVersion=abc",
        "/nodes/n-1?resourceVersion=7",
        "/pods?resourceVersion=7&resourceVersionMatch=Exact", "/pods?resourceVersionMatch=Exact",
        "/pods?resourceVersion=7&resourceVersionMatch=x", "/pods?sendInitialEvents=true",
        "/pods?timeoutSeconds=x", "/pods?labelSelector=app%3Dweb", "/pods?labelSelector=app%20in%20(web,tool)",
        "/pods?labelSelector=app,n!%3D1", "/pods?labelSelector=!app", "/pods?labelSelector=n%3E2",
        "/pods?labelSelector=app%3D%3D%3D", "/pods?labelSelector=(",
        "/nodes?labelSelector=kubernetes.io/hostname%3Dn-2",
        "/namespaces/shop/pods?labelSelector=n%3D3", "/pods?fieldSelector=metadata.name%3Dtool",
        "/pods?fieldSelector=metadata.namespace!%3Dshop", "/nodes?fieldSelector=metadata.name%3Dn-1",
        "/nodes?fieldSelector=metadata.namespace%3Dx", "/pods?fieldSelector=status.phase%3DRunning",
        "/pods?fieldSelector=x", "/nodes?fieldSelector=metadata.name%3Dn-1&labelSelector=x",
    )],
    *[(f"{API}{path}", accept) for accept in (TABLE, OLD_TABLE) for path in (
        "/nodes", "/pods", "/nodes/n-1", "/namespaces/shop/pods/web-1", "/pods?labelSelector=none",
        "/nodes?includeObject=None", "/nodes?includeObject=Object", "/nodes?includeObject=x", "/nodes/none",
    )],
    (f"{API}/nodes", PARTIAL % "List"), (f"{API}/nodes/n-1", PARTIAL % ""), (f"{API}/nodes", PARTIAL % ""),
    (f"{API}/nodes/n-1", PARTIAL % "List"), ("/apis/metrics.k8s.io", ""), ("/apis/metrics.k8s.io/v1", ""),
    ("/apis/metrics.k8s.io/v1/nodes", ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "accept"), URLS)
def test_every_url_is_answered_alike(world: World, path: str, accept: str) -> None:
    real, krm = _alike(lambda: _both(world, path, accept))
    assert krm == real


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/nodes", "/nodes/n-1", "/namespaces/shop/pods"])
def test_nothing_can_be_written(world: World, method: str, path: str) -> None:
    real, krm = _both(world, API + path, method=method)
    assert (krm[0], real[0]) == (405, 405)


def _both(world: World, path: str, accept: str = "", method: str = "GET") -> List[Tuple[int, Any]]:
    """What the API server and krm answer, without what differs by the moment."""
    headers = {"User-Agent": "test", **({"Accept": accept} if accept else {})}
    real = world.plane.admin.request(method, path, headers=headers)
    asked = urllib.request.Request(world.url + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=20) as answer:
            krm = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        krm = error.code, error.read()
    return [(code, _timeless(body)) for code, body in ((real.status, real.body), krm)]


def _timeless(body: bytes) -> Any:
    try:
        return _without(json.loads(body))
    except ValueError:
        return body


def _without(value: Any, name: Optional[str] = None) -> Any:
    """Moments and windows go; CPU, whose counters are cut off to a nanosecond, is rounded up as kubectl does."""
    if isinstance(value, dict):
        found = {key: _without(each, key) for key, each in value.items()}
        if isinstance(found.get("containers"), list):
            found["containers"] = sorted(found["containers"], key=lambda one: str(one.get("name")))
        return found
    if isinstance(value, list):
        if name == "cells":
            return [value[0], _millicores(value[1]), *value[2:-1]]
        return [_without(each) for each in value]
    if name in ("timestamp", "window", "creationTimestamp"):
        return ""
    return _millicores(value) if name == "cpu" and isinstance(value, str) else value


def _millicores(text: str) -> int:
    return -int(-read(text).value * 1000 // 1)
