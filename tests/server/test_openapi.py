"""The document is written from the routes and says what they do: checked as a document, and by asking."""

from __future__ import annotations

import http.client
import json
from typing import Any, Dict, Iterator

import pytest
import seen_in_redis
from kept_cluster import KeptCluster, pod
from served_cluster import Served, quick
from server_process import tell_facts


@pytest.fixture
def served(kept: KeptCluster, monkeypatch: Any) -> Iterator[Served]:
    quick(monkeypatch)
    pods = kept.kind("pods", {"a/x": pod(app="web"), "b/y": pod()})
    kept.kind("nodes", {"/n": {}})
    for number in range(5):
        pods.publish(("a/x", pod(node=f"n{number}", app="web")))
    for kind in ("services", "persistentvolumeclaims", "deployments.apps", "ingresses.networking.k8s.io"):
        kept.kind(kind, {})
    tell_facts(kept)
    seen_in_redis.write(kept.database, kept.name)
    with Served(kept.url, [kept.name]) as running:
        running.settle(kept)
        yield running


def document(served: Served) -> Dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port.number, timeout=20)
    connection.request("GET", "/krm/v1/openapi.json")
    found: Dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def test_the_document_is_openapi_3_1_and_holds_every_route(served: Served) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    found = document(served)
    validator.validate(found)
    assert found["openapi"].startswith("3.1")
    own = {"kinds", "status", "drift", "clusters", "openapi.json", "processes", "kills"}
    of_kind = {"snapshots", "objects", "changes", "versions", "diffs"}
    wanted = {f"/krm/v1/{name}" for name in own} | {f"/krm/v1/{name}/{{kind}}" for name in of_kind}
    assert wanted | {"/metrics", "/pods", "/nodes", "/services", "/ingress", "/pvcs", "/deployments"} <= set(
        found["paths"]
    )
    names = [operation["get"]["operationId"] for operation in found["paths"].values()]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_no_request_that_the_document_allows_or_forbids_is_a_500(served: Served) -> None:
    """Good and bad requests to each route: none fails, and what they answer is what the document says."""
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from hypothesis.errors import Unsatisfiable

    schema = schemathesis.openapi.from_dict(document(served))
    schema.config.update(base_url=served.url)
    asked: Dict[str, int] = {}
    wrong = schemathesis.GenerationMode.NEGATIVE

    def check(case: Any) -> None:
        asked[case.operation.path] = asked.get(case.operation.path, 0) + 1
        if "wait" in (case.query or {}):
            case.query["wait"] = "0.01"
        if "kind" in (case.path_parameters or {}) and asked[case.operation.path] % 2:
            case.path_parameters["kind"] = "pods"  # what exists is asked as often as what does not
        case.call_and_validate(timeout=10, checks=[checks.not_a_server_error, checks.response_schema_conformance])

    checks = schemathesis.checks
    for found in schema.get_all_operations():
        for mode in (schemathesis.GenerationMode.POSITIVE, wrong):
            cases = found.ok().as_strategy(generation_mode=mode)
            bounds = settings(
                max_examples=15,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                derandomize=True,
            )
            try:
                bounds(given(case=cases)(check))()
            except Unsatisfiable:
                assert mode is wrong  # where there are no parameters none can be wrong
    assert len(asked) == len(document(served)["paths"])
    assert sum(asked.values()) > 200
