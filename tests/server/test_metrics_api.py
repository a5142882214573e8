"""metrics.k8s.io/v1beta1 as a whole: paths, words and forms, as a real metrics-server 0.9 answered them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Dict, Optional, Sequence, Tuple

import pytest
from krm.model.kinds import Kind, Resource
from krm.model.measures import Silence
from krm.model.records import Envelope
from krm.model.served import pack_facts
from krm.server.attributes import of_resource
from krm.server.catalog import Catalog
from krm.server.identity import Attributes, Open, User
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.paths import target
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import ApiError
from krm.server.tokenfile import may, parse
from krm.server.web import Answer, Request
from krm.store.latest_reader import Packed
from krm.store.read import SnapshotData, Token
from server.measurements import measured, pod, state, turn_of
from server.replicas import PODS, head, loaded
from server.replicas import pod as object_of

BASE = "/apis/metrics.k8s.io/v1beta1"
NODES = Resource(Kind("nodes", ""), "v1", "Node", False, "node", ("no",), ())
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def pods_of(*more: Envelope) -> Replica:
    running = [object_of(key, number, labels) for number, (key, labels) in enumerate(_PODS, 5)]
    found = loaded(*running, object_of("shop/pending", 50, phase="Pending"), *more)
    found.told(head(100, facts=pack_facts(PODS, {"major": "1"})))
    return found


_PODS = (("kube-system/dns", ""), ("shop/bare", ""), ("shop/web-0", "app=web"), ("shop/web-1", "app=web,z=1"))


def nodes_of() -> Replica:
    replica = Replica("nodes")
    objects = {f"/{name}": Envelope("5", name, b"", 1.0, b'{"zone":"a"}', (), b"{}") for name in ("n-1", "n-2")}
    replica.load(SnapshotData(Token("n", 1), head(100), 10.0, objects))
    replica.told(head(100, facts=pack_facts(NODES, {"major": "1"})))
    return replica


def turn(**more: Any) -> Packed:
    web = pod("web-0", {"app": [measured(250.0, 64.0 * 2**20)], "side": [measured(1.0, 10.0 * 2**20)]})
    pods = {
        "kube-system": [pod("dns", {"dns": [measured(123.4567, 12345678.0)]})],
        "shop": [web, pod("web-1", {"app": [measured(1500.0, 2.0**30)]}), pod("pending", {"c": [measured(1, 1)]})],
    }
    return turn_of(pods, {"n-1": [measured(2000.0, 2.0**33)]}, state(**more))


def catalog_of(found: Optional[Packed], *replicas: Replica, age: float = 0.0) -> Catalog:
    """`age`: seconds since the collector wrote."""
    catalog = Catalog("c")
    for replica in replicas or (pods_of(), nodes_of()):
        catalog.add(replica)
    beat = 10.0 if found is None or found.collector is None else found.collector.beat
    catalog.newest.told(found, beat + age - time.monotonic())
    return catalog


def asked(path: str, method: str = "GET", accept: str = "") -> Request:
    path, _, query = path.partition("?")
    rows = [(b"accept", accept.encode())] if accept else []
    scope = {"method": method, "path": path, "headers": rows, "query_string": query.encode()}
    return Request(scope, path)


def answer(catalog: Catalog, path: str, gate: Optional[Open] = None, accept: str = "") -> Answer:
    api = KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 12.0), gate or Open())
    found = asyncio.run(api.answer(asked(path, accept=accept)))
    assert isinstance(found, Answer)
    return found


def get(path: str, accept: str = "") -> Any:
    found = answer(catalog_of(turn()), path, accept=accept)
    assert found.status == 200, found.body
    return json.loads(found.body)


def refusal(path: str, catalog: Optional[Catalog] = None, accept: str = "") -> Tuple[int, str, Any]:
    """Code, message and details."""
    try:
        found = answer(catalog or catalog_of(turn()), path, accept=accept)
    except ApiError as error:
        return error.code, error.message, error.details
    body = json.loads(found.body)
    return found.status, body["message"], body.get("details")


def warned(found: Answer) -> str:
    return "\n".join(value for name, value in found.headers if name == "Warning")


def names(path: str) -> Sequence[str]:
    return [one["metadata"]["name"] for one in get(path)["items"]]


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
    groups = get("/apis", accept=accept)["items"]
    assert groups == [{
        "metadata": {"name": "metrics.k8s.io"},
        "versions": [{"version": "v1beta1", "resources": rows, "freshness": "Current"}],
    }]  # fmt: skip


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


# What it is worth


def test_an_answer_says_how_old_it_is() -> None:
    found = answer(catalog_of(turn(), age=4.0), f"{BASE}/nodes")
    assert dict(found.headers)["Krm-State"] == "live"
    assert warned(found) == ""


def test_measurements_that_are_late_are_shown_with_a_warning() -> None:
    found = answer(catalog_of(turn(), age=31.0), f"{BASE}/nodes")
    assert dict(found.headers)["Krm-State"] == "stale"
    assert "the measurements are 31 s old" in warned(found)


@pytest.mark.parametrize("path", [f"{BASE}/nodes", f"{BASE}/namespaces/shop/pods/web-0", f"{BASE}/nodes/none"])
def test_measurements_that_are_old_are_not_shown(path: str) -> None:
    code, said, _ = refusal(path, catalog_of(turn(), age=61.0))
    assert (code, "the newest are 61 s old" in said) == (503, True)
    assert answer(catalog_of(turn(), age=61.0), BASE).status == 200  # the group has not gone


def test_nodes_that_give_no_data_are_told() -> None:
    silence = Silence("node n-2", "kubelet/resource", "connection refused", 1.0)
    found = catalog_of(turn(nodes=(1, 2), silences=[silence]))
    assert "measured are 1 of 2 nodes" in warned(answer(found, f"{BASE}/nodes"))
    assert "not all nodes" in warned(answer(found, f"{BASE}/namespaces/shop/pods"))
    assert "connection refused" in warned(answer(found, f"{BASE}/nodes/n-2"))


def test_containers_that_lack_values_are_told() -> None:
    some = pod("web-0", {"app": [measured(250.0, 64.0)]}, lacks=["side"])
    found = catalog_of(turn_of({"shop": [some]}, collector=state()))
    assert "krm.io/lacks" in warned(answer(found, f"{BASE}/pods"))
    assert "side" in warned(answer(found, f"{BASE}/namespaces/shop/pods/web-0"))
    assert warned(answer(found, f"{BASE}/namespaces/kube-system/pods")) == ""
    assert warned(answer(found, f"{BASE}/pods?labelSelector=z")) == ""


def test_a_pod_that_took_the_name_of_another_does_not_take_its_values() -> None:
    def found(uid: str) -> Catalog:
        return catalog_of(turn_of({"shop": [pod("web-0", {"app": [measured(1.0, 1.0)]}, uid)]}, collector=state()))

    path = f"{BASE}/namespaces/shop/pods/web-0"
    assert answer(found("uid-shop/web-0"), path).status == 200
    assert answer(found(""), path).status == 200
    assert answer(found("another"), path).status == 404
    assert json.loads(answer(found("another"), f"{BASE}/pods").body)["items"] == []


def test_a_new_turn_and_a_new_label_are_seen_at_once() -> None:
    replica = pods_of()
    catalog = catalog_of(turn(), replica, nodes_of())
    api = KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 12.0), Open())

    def listed() -> Any:
        found = asyncio.run(api.answer(asked(f"{BASE}/pods")))
        assert isinstance(found, Answer)
        return json.loads(found.body)["items"]

    assert len(listed()) == 3
    catalog.newest.told(
        turn_of({"shop": [pod("web-0", {"app": [measured(7, 7)]})]}, collector=state(turn=2)),
        10.0 - time.monotonic(),
    )
    assert [one["containers"][0]["usage"]["cpu"] for one in listed()] == ["7m"]
    assert "labels" in listed()[0]["metadata"]
    replica.objects["shop/web-0"] = object_of("shop/web-0", 60, "app=new")
    replica.token, replica.rv = Token("n", 2), "101"
    assert listed()[0]["metadata"]["labels"] == {"app": "new"}
