"""metrics.k8s.io/v1beta1 as a whole: paths, words and forms, as a real metrics-server 0.9 answered them."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, Sequence, Tuple

import pytest
from krm.server.attributes import of_resource
from krm.server.identity import Attributes, Open, User
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.paths import target
from krm.server.serving import Serving
from krm.server.statuses import ApiError
from krm.server.tokenfile import may, parse
from server.measured_api import (
    BASE,
    answer,
    asked,
    catalog_of,
    get,
    names,
    pods_of,
    refusal,
    turn,
)

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{BASE}/nodes", ["n-1"]),
        (f"{BASE}/pods", ["dns", "web-0", "web-1"]),
        (f"{BASE}/namespaces/shop/pods", ["web-0", "web-1"]),
        (f"{BASE}/namespaces/none/pods", []),
        (f"{BASE}/pods?labelSelector=app%3Dweb", ["web-0", "web-1"]),
        (f"{BASE}/pods?labelSelector=app%3Dweb,z", ["web-1"]),
        (f"{BASE}/pods?labelSelector=app%3Dnothing", []),
        (f"{BASE}/nodes?labelSelector=zone%20in%20(a,b)", ["n-1"]),
        (f"{BASE}/pods?fieldSelector=metadata.name%3Dweb-1", ["web-1"]),
        (f"{BASE}/pods?fieldSelector=metadata.namespace!%3Dshop", ["dns"]),
        (f"{BASE}/nodes?fieldSelector=metadata.namespace%3Dx", []),
        (f"{BASE}/pods?limit=1", ["dns", "web-0", "web-1"]),
        (f"{BASE}/pods?continue=abc&limit=1", ["dns", "web-0", "web-1"]),
        (f"{BASE}/pods?resourceVersion=abc&limit=1", ["dns", "web-0", "web-1"]),
        (f"{BASE}/pods?resourceVersion=5&continue=abc", ["dns", "web-0", "web-1"]),
        (f"{BASE}/pods?watch=false", ["dns", "web-0", "web-1"]),
    ],
)
def test_every_form_of_a_list(path: str, expected: Sequence[str]) -> None:
    assert names(path) == expected


NOT_SERVED = (404, "the server could not find the requested resource", {})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"{BASE}/nodes/none", (404, 'node "none" not found', {"name": "none", "kind": "node"})),
        (f"{BASE}/nodes/n-2", (404, 'nodemetrics.metrics.k8s.io "n-2" not found',
            {"name": "n-2", "group": "metrics.k8s.io", "kind": "nodemetrics"})),
        (f"{BASE}/namespaces/shop/pods/none", (404, 'pods "none" not found', {"name": "none", "kind": "pods"})),
        (f"{BASE}/namespaces/shop/pods/pending",
            (404, 'pods "pending" not found', {"name": "pending", "kind": "pods"})),
        (f"{BASE}/namespaces/shop/pods/bare", (404, 'podmetrics.metrics.k8s.io "shop/bare" not found',
            {"name": "shop/bare", "group": "metrics.k8s.io", "kind": "podmetrics"})),
        (f"{BASE}/pods/web-0", NOT_SERVED),
        (f"{BASE}/namespaces/shop/nodes", NOT_SERVED),
        (f"{BASE}/nodes/n-1/status", NOT_SERVED),
        (f"{BASE}/foo", NOT_SERVED),
        (f"{BASE}/watch/nodes", NOT_SERVED),
        ("/apis/metrics.k8s.io/v1/nodes", (404, "404 page not found", None)),
        (f"{BASE}/nodes?watch=true", (405, 'watch is not supported on resources of kind "nodes.metrics.k8s.io"',
            {"group": "metrics.k8s.io", "kind": "nodes"})),
        (f"{BASE}/pods?labelSelector=app%3D%3D%3D",
            (400, "unable to parse requirement: found '=', expected: identifier", None)),
        (f"{BASE}/pods?fieldSelector=spec.nodeName%3Dn-1", (400,
            '"spec.nodeName" is not a known field selector: only "metadata.name", "metadata.namespace"', None)),
        (f"{BASE}/pods?limit=x", (400, 'strconv.ParseInt: parsing "x": invalid syntax', None)),
        (f"{BASE}/pods?timeoutSeconds=x", (400, 'strconv.ParseInt: parsing "x": invalid syntax', None)),
    ],
)  # fmt: skip
def test_what_is_refused_and_what_is_not_there(path: str, expected: Tuple[int, str, Any]) -> None:
    assert refusal(path) == expected


@pytest.mark.parametrize("query", ["resourceVersionMatch=Exact", "sendInitialEvents=true"])
def test_options_that_contradict_one_another_are_invalid(query: str) -> None:
    assert refusal(f"{BASE}/pods?{query}")[0] == 422


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD"])
def test_nothing_can_be_written(method: str) -> None:
    api = KubernetesApi(Serving(catalog_of(turn()), Kept(1 << 20), lambda _: 12.0), Open())
    with pytest.raises(ApiError) as caught:
        asyncio.run(api.answer(asked(f"{BASE}/nodes", method)))
    assert caught.value.code == 405


def test_one_pod_and_one_node() -> None:
    found = get(f"{BASE}/namespaces/shop/pods/web-1?resourceVersion=abc")
    assert list(found) == ["kind", "apiVersion", "metadata", "timestamp", "window", "containers"]
    assert (found["kind"], found["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")
    assert found["metadata"]["labels"] == {"app": "web", "z": "1"}
    assert found["containers"] == [{"name": "app", "usage": {"cpu": "1500m", "memory": "1Gi"}}]
    assert get(f"{BASE}/nodes/n-1")["usage"] == {"cpu": "2", "memory": "8Gi"}


def test_a_list_has_no_version() -> None:
    found = get(f"{BASE}/nodes")
    del found["items"]
    assert found == {"kind": "NodeMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}


def test_discovery_tells_of_it_as_metrics_server_does() -> None:
    version = {"groupVersion": "metrics.k8s.io/v1beta1", "version": "v1beta1"}
    assert get("/apis/metrics.k8s.io") == {
        "kind": "APIGroup", "apiVersion": "v1", "name": "metrics.k8s.io", "versions": [version],
        "preferredVersion": version,
    }  # fmt: skip
    assert get(BASE) == {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "metrics.k8s.io/v1beta1", "resources": [
            {"name": "nodes", "singularName": "", "namespaced": False, "kind": "NodeMetrics",
             "verbs": ["get", "list"]},
            {"name": "pods", "singularName": "", "namespaced": True, "kind": "PodMetrics",
             "verbs": ["get", "list"]},
        ]}  # fmt: skip
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    rows = [
        {"resource": one, "responseKind": {"group": "", "version": "", "kind": kind}, "scope": scope,
         "singularResource": "", "verbs": ["get", "list"]}
        for one, kind, scope in (("nodes", "NodeMetrics", "Cluster"), ("pods", "PodMetrics", "Namespaced"))
    ]  # fmt: skip
    groups = {one["metadata"]["name"]: one["versions"] for one in get("/apis", accept=accept)["items"]}
    assert groups["metrics.k8s.io"] == [{"version": "v1beta1", "resources": rows, "freshness": "Current"}]


def test_without_a_collector_there_is_no_such_group() -> None:
    bare = catalog_of(None)
    assert refusal(BASE, bare)[:2] == (404, "404 page not found")
    assert refusal(f"{BASE}/nodes", bare)[0] == 404
    assert json.loads(answer(bare, "/apis").body)["groups"] == []


def test_of_a_kind_that_is_not_kept_nothing_is_told() -> None:
    found = catalog_of(turn(), pods_of())
    assert [one["name"] for one in json.loads(answer(found, BASE).body)["resources"]] == ["pods"]
    assert refusal(f"{BASE}/nodes", found) == NOT_SERVED


# Forms


def test_a_table_has_metrics_servers_columns() -> None:
    found = get(f"{BASE}/namespaces/shop/pods", accept=TABLE)
    assert [(one["name"], one["type"], one["format"]) for one in found["columnDefinitions"]] == [
        ("Name", "string", "name"), ("cpu", "string", "quantity"), ("memory", "string", "quantity"),
        ("Window", "string", "duration"),
    ]  # fmt: skip
    assert [row["cells"] for row in found["rows"]] == [
        ["web-0", "251m", "74Mi", "9.996s"],
        ["web-1", "1500m", "1Gi", "9.996s"],
    ]
    assert found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert found["rows"][0]["object"]["metadata"]["labels"] == {"app": "web"}
    assert (found["apiVersion"], found["metadata"]) == ("meta.k8s.io/v1", {})


def test_a_table_of_none_has_no_columns() -> None:
    found = get(f"{BASE}/pods?labelSelector=x", accept=TABLE)
    assert (found["columnDefinitions"], found["rows"]) == (None, None)


def test_a_tables_rows_hold_what_was_asked_for() -> None:
    whole = get(f"{BASE}/nodes?includeObject=Object", accept=TABLE.replace("v1", "v1beta1"))
    assert whole["apiVersion"] == "meta.k8s.io/v1beta1"
    assert whole["rows"][0]["object"]["usage"] == {"cpu": "2", "memory": "8Gi"}
    assert get(f"{BASE}/nodes/n-1?includeObject=None", accept=TABLE)["rows"][0]["object"] is None
    assert refusal(f"{BASE}/nodes?includeObject=x", accept=TABLE)[0] == 400


def test_metadata_alone() -> None:
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    found = get(f"{BASE}/nodes", accept=accept)
    assert (found["kind"], found["metadata"]) == ("PartialObjectMetadataList", {})
    assert [list(one) for one in found["items"]] == [["kind", "apiVersion", "metadata"]]
    assert found["items"] == [get(f"{BASE}/nodes/n-1", accept=accept.replace("List", ""))]
    said = "you requested PartialObjectMetadata, but the requested object is a list (*metrics.NodeMetricsList)"
    assert refusal(f"{BASE}/nodes", accept=accept.replace("List", "")) == (406, said, None)


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "text/html"])
def test_what_krm_does_not_speak_is_not_acceptable(accept: str) -> None:
    assert refusal(f"{BASE}/nodes", accept=accept)[0] == 406


# Rights


class Asked(Open):
    """Remembers what it was asked, and refuses."""

    def __init__(self) -> None:
        self.attributes: Dict[str, Any] = {}

    async def check(self, user: User, attributes: Attributes) -> None:
        self.attributes = attributes.review()["resourceAttributes"]
        raise ApiError(403, "Forbidden", "no")


@pytest.mark.parametrize(
    ("path", "verb", "namespace", "name"),
    [(f"{BASE}/nodes", "list", "", ""), (f"{BASE}/nodes/n-1", "get", "", "n-1"),
     (f"{BASE}/namespaces/shop/pods", "list", "shop", ""),
     (f"{BASE}/namespaces/shop/pods/web-0", "get", "shop", "web-0"),
     (f"{BASE}/pods?watch=1", "watch", "", "")],
)  # fmt: skip
def test_rights_are_asked_for_as_the_cluster_would(path: str, verb: str, namespace: str, name: str) -> None:
    gate = Asked()
    with pytest.raises(ApiError) as caught:
        answer(catalog_of(turn()), path, gate)
    assert caught.value.code == 403
    expected = {"verb": verb, "group": "metrics.k8s.io", "version": "v1beta1", "namespace": namespace, "name": name}
    assert {**gate.attributes, **expected} == gate.attributes


def test_a_token_file_can_give_what_the_pods_of_one_namespace_use_alone() -> None:
    ((_, entry),) = parse("0123456789abcdef,ann,1,,shop/pods.metrics.k8s.io\n")

    def allowed(path: str) -> bool:
        found = target(path)
        assert found is not None
        return may(entry, of_resource("c", "GET", found, {}, False))

    assert allowed(f"{BASE}/namespaces/shop/pods")
    assert allowed(f"{BASE}/namespaces/shop/pods/web-0")
    others = (f"{BASE}/pods", f"{BASE}/nodes", f"{BASE}/namespaces/other/pods", "/api/v1/namespaces/shop/pods")
    assert not any(map(allowed, others))
