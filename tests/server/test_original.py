"""The original REST contract: what is asked, what is answered, and that no error looks like an empty list."""

from __future__ import annotations

import gzip
import json
from typing import Any, List

import pytest
from kept_cluster import pod
from krm.model.head import Head
from krm.server.original import LISTED, with_former_backends
from krm.server.statuses import unauthorized
from krm.store.read import SnapshotData, Token
from paper_app import NOW, Got, PaperApp

PODS = {
    "a/web-1": pod(node="n1", app="web", tier="front"),
    "a/web-2": pod(node="n2", app="web"),
    "a/job-1": pod(node="n1", app="job"),
    "b/web-1": pod(node="", app="web"),
    "b/api-1": pod(node="n2", app="api"),
}


@pytest.fixture
def app() -> PaperApp:
    app = PaperApp("paper", "other")
    app.kind("pods", PODS)
    app.kind("nodes", {"/n1": {"labels": {"zone": "a"}}, "/n2": {}})
    app.kind("services")
    app.kind("pods", {}, cluster="other")
    return app


def names(got: Got) -> List[str]:
    assert got.status == 200, got.body
    rows = [item["metadata"] for item in got.json()["items"]]
    return [f"{row.get('namespace', '')}/{row['name']}" for row in rows]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a/job-1", "a/web-1", "a/web-2", "b/api-1", "b/web-1"]),
        ("name=web-1", ["a/web-1", "b/web-1"]),
        ("namespace=a", ["a/job-1", "a/web-1", "a/web-2"]),
        ("name=web-1&namespace=b", ["b/web-1"]),
        ("node=n2", ["a/web-2", "b/api-1"]),
        ("node=", ["b/web-1"]),
        ("label_selector=app%3Dweb", ["a/web-1", "a/web-2", "b/web-1"]),
        ("label_selector=app+in+(job,api)", ["a/job-1", "b/api-1"]),
        ("label_selector=app+notin+(web),tier!%3Dfront", ["a/job-1", "b/api-1"]),
        ("label_selector=tier", ["a/web-1"]),
        ("label_selector=!tier,app%3Dweb&node=n2&namespace=a", ["a/web-2"]),
        ("label_selector=", ["a/job-1", "a/web-1", "a/web-2", "b/api-1", "b/web-1"]),
        ("name=a,b%3Dc%5C", []),
        ("namespace=c", []),
    ],
)
def test_each_parameter_selects_and_all_may_be_left_out(app: PaperApp, query: str, found: List[str]) -> None:
    assert names(app.ask(f"/pods?{query}")) == found


def test_objects_are_the_bytes_that_krm_holds(app: PaperApp) -> None:
    replica = next(iter(app.catalogs["paper"].all()))
    held = [json.loads(replica.objects[key].body) for key in sorted(replica.objects)]
    assert app.ask("/pods").json() == {"items": held}


def test_a_cluster_answers_below_its_own_prefix_alone(app: PaperApp) -> None:
    assert names(app.ask("/clusters/paper/nodes")) == ["/n1", "/n2"]
    assert names(app.ask("/nodes?label_selector=zone")) == ["/n1"]
    assert names(app.ask("/clusters/other/pods")) == []
    assert app.ask("/clusters/none/pods").status == 404


def test_an_empty_list_is_an_answer_only_where_the_kind_is_known(app: PaperApp) -> None:
    assert app.ask("/services").json() == {"items": []}
    missing = app.ask("/deployments")
    assert missing.status == 404
    assert missing.json()["status"] == 404
    assert "krm keeps no deployments.apps" in missing.json()["error"]
    app.warming("deployments.apps")
    warming = app.ask("/deployments?namespace=a")
    assert (warming.status, warming.json()["status"]) == (503, 503)
    assert "cannot be read" in warming.json()["error"]
    assert warming.headers["retry-after"] == "1"
    app.kind("deployments.apps", truncated=200_000, list_error="")
    assert app.ask("/deployments").status == 503
    app.kind("ingresses.networking.k8s.io", list_error="NotFound", unserved=True)
    assert app.ask("/ingress").status == 404


def test_some_namespaces_are_never_taken_for_all(app: PaperApp) -> None:
    app.kind("persistentvolumeclaims", {"a/x": {}}, namespace="a")
    assert names(app.ask("/pvcs?namespace=a")) == ["a/x"]
    for target in ("/pvcs", "/pvcs?namespace=b"):
        got = app.ask(target)
        assert got.status == 404
        assert ("namespaces a alone" in got.json()["error"]) is (target == "/pvcs")


def test_every_answer_says_what_it_is_worth(app: PaperApp) -> None:
    live = app.ask("/pods?name=web-1")
    assert live.headers["krm-version"] == "n:1"
    assert live.headers["krm-resource-version"] == "100"
    assert live.headers["krm-age-seconds"] == "1.000"
    assert live.headers["krm-state"] == "live"
    assert "warning" not in live.headers
    app.now = NOW + 60
    old = app.ask("/pods")
    assert old.headers["krm-state"] == "stale"
    assert "may be older than they look" in old.headers["warning"]
    assert len(old.json()["items"]) == 5


def test_rights_are_those_to_list_the_kind_where_it_was_asked(app: PaperApp) -> None:
    app.gate.refused = [("list", "pods", ""), ("list", "nodes", "")]
    for target in ("/pods", "/pods?name=web-1", "/nodes"):
        refused = app.ask(target)
        assert refused.status == 403
        kind = target[1:5] if "pods" in target else "nodes"
        assert refused.json() == {
            "error": f'{kind} is forbidden: User "system:anonymous" cannot list resource "{kind}" in API group ""'
            " at the cluster scope",
            "status": 403,
        }
    assert names(app.ask("/pods?namespace=b&name=web-1")) == ["b/web-1"]
    asked = app.gate.asked[-1]
    assert (asked.cluster, asked.verb, str(asked.kind), asked.namespace) == ("paper", "list", "pods", "b")
    app.gate.refused.append(("list", "deployments.apps", ""))
    assert app.ask("/deployments").status == 403  # before it is told whether the kind is kept


def test_who_is_not_known_gets_401_in_the_contracts_form(app: PaperApp) -> None:
    def refuse(_: Any) -> None:
        raise unauthorized()

    app.gate.known = refuse
    got = app.ask("/pods")
    assert (got.status, got.json()) == (401, {"error": "Unauthorized", "status": 401})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/pods?labelSelector=app", "no parameter of /pods"),
        ("/nodes?namespace=a", "no parameter of /nodes"),
        ("/pods?label_selector=app+in+(web", ""),
        ("/pods?label_selector=a%3Db%3Dc", ""),
        ("/pods?name=", "name is empty"),
        ("/pods?namespace=", "namespace is empty"),
        ("/pods?namespace=a&namespace=b", "more than once"),
        ("/pods?namespace=a%2Fb", "may not contain '/'"),
        ("/pods?name=..", "may not be '..'"),
        ("/pods?name=" + "x" * 2000, "more than"),
        ("/pods?name=%ff", "URL-encoded"),
    ],
)
def test_what_does_not_parse_is_400_and_never_ignored(app: PaperApp, target: str, said: str) -> None:
    got = app.ask(target)
    assert got.status == 400, got.body
    assert set(got.json()) == {"error", "status"}
    assert got.json()["status"] == 400
    assert said in got.json()["error"]
    assert got.headers["content-type"] == "application/json"


def test_writes_are_refused_in_the_contracts_form(app: PaperApp) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        got = app.ask("/pods", method)
        assert (got.status, got.json()["status"]) == (405, 405)
    head = app.ask("/pods", "HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(app.ask("/pods").body)


def test_a_large_list_is_compressed_where_that_is_accepted(app: PaperApp) -> None:
    app.kind("pods", {f"a/p-{n}": pod(app="x" * 60) for n in range(500)})
    plain = app.ask("/pods")
    packed = app.ask("/pods", headers=[("Accept-Encoding", "gzip, deflate")])
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


def test_an_answer_follows_the_replica_though_bodies_are_kept(app: PaperApp) -> None:
    replica = app.kind("pods", PODS)
    assert len(names(app.ask("/pods"))) == 5
    kept = {"a/web-1": replica.objects["a/web-1"]}
    replica.load(SnapshotData(Token("n", 2), replica.head or Head(), NOW, kept))
    assert names(app.ask("/pods")) == ["a/web-1"]


def test_backends_of_an_ingress_bear_their_former_names_besides() -> None:
    def ingress(path: Any, default: Any) -> bytes:
        spec = {"defaultBackend": default, "rules": [{"http": {"paths": [{"path": "/", "backend": path}]}}, {}]}
        return json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": spec}).encode()

    numbered = {"service": {"name": "web", "port": {"number": 80}}}
    named = {"service": {"name": "api", "port": {"name": "http"}}}
    resource = {"resource": {"kind": "Bucket", "name": "b"}}
    spec = json.loads(with_former_backends(ingress(numbered, named)))["spec"]
    assert spec["rules"][0]["http"]["paths"][0]["backend"] == {**numbered, "serviceName": "web", "servicePort": 80}
    assert spec["backend"] == {"serviceName": "api", "servicePort": "http"}
    assert spec["defaultBackend"] == named
    spec = json.loads(with_former_backends(ingress(resource, None)))["spec"]
    assert spec["rules"][0]["http"]["paths"][0]["backend"] == {**resource, "serviceName": "", "servicePort": 0}
    for odd in (b"[]", b'{"spec":[]}', b'{"spec":{"rules":[{"http":{"paths":[1,{"backend":2}]}}]}}', b"{"):
        with_former_backends(odd)


def test_the_table_names_six_routes_with_their_parameters(app: PaperApp) -> None:
    routes = {route.path: [one.name for one in route.parameters] for route in app.app.routes["paper"].all}
    assert {one.path: list(one.parameters) for one in LISTED}.items() <= routes.items()
    assert routes["/pods"] == ["name", "namespace", "node", "label_selector"]
