"""KRMClient against a real server: six calls, typed objects, what they are worth, and errors."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from typing import Any, Iterator, List

import pytest
from kept_cluster import KeptCluster, pod, wait_until
from krm.client import KRMClient, errors
from server_process import Server, running, tell_facts

pytest.importorskip("kubernetes")
pytest.importorskip("uvicorn")


@pytest.fixture
def serving(kept: KeptCluster) -> Iterator[Server]:
    kept.kind("pods", {"a/x": pod(node="n1", app="web"), "b/y": pod(node="n2", app="api")})
    kept.kind("nodes", {"/n1": {"labels": {"zone": "a"}}})
    kept.kind("services", {"a/s": {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}})
    backend = {"service": {"name": "s", "port": {"number": 80}}}
    kept.kind("ingresses.networking.k8s.io", {"a/i": {"spec": {"defaultBackend": backend}}})
    kept.kind("persistentvolumeclaims", {"a/p": {"spec": {"accessModes": ["ReadWriteOnce"]}}})
    tell_facts(kept)
    with running(kept) as server:
        server.ready()
        yield server


def keys(found: List[Any]) -> List[str]:
    return [f"{one.metadata.namespace or ''}/{one.metadata.name}" for one in found]


def test_each_call_gives_typed_objects_and_what_they_are_worth(serving: Server, kept: KeptCluster) -> None:
    with KRMClient("127.0.0.1", serving.port) as krm:
        pods = krm.get_pods()
        assert isinstance(pods, list)
        assert [type(one).__name__ for one in pods] == ["V1Pod", "V1Pod"]
        assert (pods[0].spec.node_name, pods[0].metadata.labels) == ("n1", {"app": "web"})
        assert keys(krm.get_pods("y", "b", "n2", "app in (api)")) == ["b/y"]
        assert keys(krm.get_pods(namespace="a", node="n2")) == []
        nodes, ingress = krm.get_nodes(label_selector="zone"), krm.get_ingress("i", "a")
        assert (type(nodes[0]).__name__, keys(nodes)) == ("V1Node", ["/n1"])
        assert (type(ingress[0]).__name__, ingress[0].spec.default_backend.service.name) == ("V1Ingress", "s")
        services, claims = krm.get_services(), krm.get_pvcs(namespace="a")
        assert (type(services[0]).__name__, type(claims[0]).__name__) == ("V1Service", "V1PersistentVolumeClaim")
        assert pods.state == "live"
        assert pods.version == f"{kept.kinds[0].writer.known.incarnation}:1"  # type: ignore[union-attr]
        assert pods.age is not None
        assert pods.age < 5
        assert pods.verified_at is not None
        kept.kinds[0].stall()
        stale = wait_until(lambda: [found for found in [krm.get_pods()] if found.state == "stale"])[0]
        assert "may be older than they look" in stale.warnings[0]
        with pytest.raises(errors.UnknownKind, match=r"keeps no deployments\.apps"):
            krm.get_deployments()
        with pytest.raises(errors.BadRequest, match="name is empty"):
            krm.get_pods(name="")
        with pytest.raises(errors.UnknownCluster, match="no cluster other"):
            KRMClient("127.0.0.1", serving.port, cluster="other").get_pods()
        with pytest.raises(errors.UnknownKind):
            KRMClient("127.0.0.1", serving.port, cluster=kept.name).get_deployments()
        assert keys(KRMClient("127.0.0.1", serving.port, cluster=kept.name).get_nodes()) == ["/n1"]


def test_a_server_that_is_gone_is_an_error_within_the_timeout(serving: Server) -> None:
    krm = KRMClient("127.0.0.1", serving.port, timeout=1)
    assert krm.get_nodes()
    serving.process.kill()
    serving.process.wait()
    begun = time.monotonic()
    with pytest.raises(errors.Unreachable, match="does not answer"):
        krm.get_nodes()
    assert time.monotonic() - begun < 2


def test_parameters_are_the_originals() -> None:
    of_namespaces = ["self", "name", "namespace", "label_selector"]
    expected = {
        "get_pods": ["self", "name", "namespace", "node", "label_selector"],
        "get_nodes": ["self", "name", "label_selector"],  # the original's takes none
        "get_services": of_namespaces,
        "get_ingress": of_namespaces,
        "get_pvcs": of_namespaces,
        "get_deployments": of_namespaces,
    }
    for name, parameters in expected.items():
        assert list(inspect.signature(getattr(KRMClient, name)).parameters) == parameters
    assert list(inspect.signature(KRMClient).parameters)[:2] == ["host", "port"]


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(errors.NeedsPackage, match=r"krm\[cluster\]"):
        KRMClient("127.0.0.1", 1)


def test_who_reads_from_redis_pays_neither_for_http_nor_for_the_kubernetes_package() -> None:
    code = (
        "import sys, krm.client; print([m for m in ('http.client', 'kubernetes', 'uvicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
