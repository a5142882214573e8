"""Line 1: the six calls, verbatim, on a real control plane with kwok nodes: by kubeconfig, and from a running krm.

What comes of the state is equal however it is reached, and equal to what the API server itself says. Of what would
come of a history that does not go back far enough there is None, and `history_since` says since when there is any.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Callable, Dict, Iterator

import pytest
import redis_servers
import yaml  # of the kubernetes package
from acceptance.apitruth import listed
from acceptance.product import Product, product
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.model.quantities import parse
from krm.monitor import K8sResourceMonitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CONTAINER = {
    "name": "main", "image": "example/api:1",
    "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
}  # fmt: skip
# Fields that say when an answer was made, or rest on what was measured in between.
MOVES = frozenset((
    "worth", "findings", "at", "used", "cpu", "memory", "covers", "source", "share", "since", "above_since",
    "beside", "efficiency", "doubts",
))  # fmt: skip


@pytest.fixture(scope="module")
def plane(full_control_plane: ControlPlane) -> ControlPlane:
    """Two nodes, a deployment of three pods under a quota, and one pod that fits nowhere."""
    admin = full_control_plane.admin
    full_control_plane.create_nodes(2)
    admin.create("/api/v1/namespaces", {"metadata": {"name": "production"}})
    root = "/api/v1/namespaces/production"
    hard = {"requests.cpu": "2", "pods": "10"}
    admin.create(f"{root}/resourcequotas", {"metadata": {"name": "most"}, "spec": {"hard": hard}})
    limits = [{"type": "Container", "default": {"memory": "256Mi"}, "defaultRequest": {"cpu": "100m"}}]
    admin.create(f"{root}/limitranges", {"metadata": {"name": "range"}, "spec": {"limits": limits}})
    labels = {"app": "api-server"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template}
    body = {"metadata": {"name": "api-server"}, "spec": spec}
    admin.create("/apis/apps/v1/namespaces/production/deployments", body)
    wait_until(lambda: running(full_control_plane) == 3, 60.0, "three pods run")
    return full_control_plane


def running(plane: ControlPlane) -> int:
    pods = plane.admin.get("/api/v1/namespaces/production/pods")["items"]
    return sum(pod["status"].get("phase") == "Running" for pod in pods)


# The calls as the issue writes them; `connect` is the sixth.
CALLS: Dict[str, Callable[[Any], Any]] = {
    "get_namespace_resources": lambda monitor: monitor.get_namespace_resources(
        namespace="production", include_pods=True, include_quota=True
    ),
    "detect_limit_breaches": lambda monitor: monitor.detect_limit_breaches(threshold_percent=90, time_window="5m"),
    "analyze_node_pressure": lambda monitor: monitor.analyze_node_pressure(
        include_scheduling_hints=True, predict_evictions=True
    ),
    "generate_hpa_metrics": lambda monitor: monitor.generate_hpa_metrics(
        deployment="api-server", metric_type="requests_per_second", aggregation="p95"
    ),
    "get_resource_recommendations": lambda monitor: monitor.get_resource_recommendations(
        namespace="production", optimization_target="balanced"
    ),
}


def ask(monitor: K8sResourceMonitor) -> Dict[str, Any]:
    """Call -> its answer."""
    return {name: call(monitor) for name, call in CALLS.items()}


def plain(answers: Dict[str, Any]) -> Dict[str, Any]:
    return {name: steady(answer.to_dict()) for name, answer in answers.items()}


def steady(value: Any) -> Any:
    """Without what moves."""
    if isinstance(value, dict):
        kept = {name: steady(part) for name, part in value.items() if name not in MOVES}
        for name in ("cpu", "memory"):
            if isinstance(value.get(name), dict) and "request" in value[name]:
                kept[name] = {part: value[name][part] for part in ("request", "limit")}
        return kept
    return [steady(part) for part in value] if isinstance(value, list) else value


def live(krm: Product) -> bool:
    return {row["trust"]["state"] for row in krm.status().values()} == {"live"}


@pytest.fixture(scope="module")
def running_krm(
    plane: ControlPlane, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """`krm up` with a server."""
    with product(tmp_path_factory.mktemp("up"), redis_server) as krm:
        out = krm.folder / "krm.kubeconfig"
        krm.up("--kubeconfig", str(plane.kubeconfig("admin")), "--context", "test", "--kubeconfig-out", str(out))
        krm.wait("its server answers", out.exists, 90.0)
        krm.wait(
            "all kinds are live",
            lambda: all(row["trust"]["state"] == "live" for row in krm.status().values()),
            60.0,
        )
        yield krm


def differences(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """A sentence each."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other)):
            yield from differences(left, right, f"{where}[{number}]")
    elif one != other:
        yield f"{where}: {one!r} is not {other!r}"


@pytest.fixture(scope="module")
def by_kubeconfig(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[K8sResourceMonitor]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("run")
        folder.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        monitor = K8sResourceMonitor()
        monitor.connect(kubeconfig=str(plane.kubeconfig("admin")), context="test")
        with monitor:
            yield monitor


def test_every_call_answers_live_and_prints(by_kubeconfig: K8sResourceMonitor) -> None:
    for name, answer in ask(by_kubeconfig).items():
        print(f"--- {name}\n{answer}")
        assert answer.worth.state in ("live", "absent"), (name, answer.worth)
        assert answer.worth.as_of is not None, name
        assert answer.worth.verified_at is not None, name
        assert json.loads(json.dumps(answer.to_dict(), allow_nan=False)), name
        assert str(answer), name


def test_what_comes_of_the_state_is_the_api_servers(by_kubeconfig: K8sResourceMonitor, plane: ControlPlane) -> None:
    found = ask(by_kubeconfig)
    pods = {pod["metadata"]["name"]: pod for pod in listed(plane, "/api/v1/namespaces/production/pods").values()}
    rows = {row.name: row for row in found["get_namespace_resources"].rows}
    assert rows.keys() == pods.keys()
    for name, row in rows.items():
        (container,) = pods[name]["spec"]["containers"]
        wanted = container["resources"]
        assert row.owner == "deployment.apps/api-server"
        assert row.node == pods[name]["spec"]["nodeName"]
        assert (row.cpu.request, row.memory.limit) == (
            float(parse(wanted["requests"]["cpu"]) * 1000), float(parse(wanted["limits"]["memory"])),
        )  # fmt: skip
    (quota,) = plane.admin.get("/api/v1/namespaces/production/resourcequotas")["items"]
    assert {row.resource: (row.used, row.hard) for row in found["get_namespace_resources"].quotas} == {
        name: (quota["status"]["used"][name], hard) for name, hard in quota["status"]["hard"].items()
    }
    ranges = found["get_namespace_resources"].limit_ranges
    assert [(row.resource, row.default_limit, row.default_request) for row in ranges] == [
        ("cpu", None, "100m"), ("memory", "256Mi", "256Mi"),  # as the API server completed it
    ]  # fmt: skip
    nodes = sorted(node["metadata"]["name"] for node in plane.admin.get("/api/v1/nodes")["items"])
    assert sorted({row.node for row in found["analyze_node_pressure"].rows}) == nodes


def reached(krm: Product, how: str) -> Dict[str, Any]:
    """Arguments of connect."""
    assert krm.redis is not None
    if how == "redis":
        (token_file,) = (krm.folder / "run" / "krm").glob("up-*/history.token")
        return {"url": krm.redis.url, "cluster": krm.cluster, "history_token_file": str(token_file)}
    config = yaml.safe_load((krm.folder / "krm.kubeconfig").read_text())
    ca = krm.folder / "ca.crt"
    ca.write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
    token = config["users"][0]["user"]["token"]
    return {"url": config["clusters"][0]["cluster"]["server"], "ca": str(ca), "token": token}


@pytest.mark.parametrize("how", ["redis", "https"])
def test_a_running_krm_gives_the_same(by_kubeconfig: K8sResourceMonitor, running_krm: Product, how: str) -> None:
    with K8sResourceMonitor() as monitor:
        monitor.connect(**reached(running_krm, how))
        other = ask(monitor)
    mine = plain(ask(by_kubeconfig))
    for name, answer in plain(other).items():
        assert not list(differences(answer, mine[name])), name
    for name, answer in other.items():
        assert answer.worth.as_of is not None, name


def test_before_the_history_covers_the_window_there_is_none(by_kubeconfig: K8sResourceMonitor) -> None:
    """A quota is measured by the collector from the API server's own count: kwok's pods use nothing."""
    deadline = time.monotonic() + 60
    found = by_kubeconfig.get_quota_usage("production", "24h")
    while found.worth.history_since is None and time.monotonic() < deadline:
        time.sleep(0.5)
        found = by_kubeconfig.get_quota_usage("production", "24h")
    assert found.worth.history_since is not None
    assert found.worth.now - 300 < found.worth.history_since <= found.worth.now
    assert {row.full_at for row in found.rows} == {None}
    assert all(row.covers.known < row.covers.of for row in found.rows)
