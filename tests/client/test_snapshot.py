"""Reading: one version, lazily, read-only, with selectors on the envelopes."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from kept_cluster import KeptCluster, pod
from krm.client import errors
from krm.client.client import Client, connect
from krm.client.objects import KubernetesObject
from krm.model import columns
from krm.model.records import Envelope, object_digest
from krm.store.keys import meta_key


def envelope(body: bytes) -> Envelope:
    return Envelope("5", "u", object_digest(body), 1.0, b"", (), body)


def test_a_snapshot_is_what_was_written(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"b/x": pod(), "a/y": pod(), "a-b/z": pod()})
    pods = client.snapshot("po")
    # The API server's order: bytes of namespace/name as one string.
    assert [one.key for one in pods.items()] == ["a-b/z", "a/y", "b/x"]
    assert [one.key for one in client.snapshot("pods", namespace="a").items()] == ["a/y"]
    assert client.snapshot("pods", namespace="none").items() == []
    assert pods.trust.state == "live"
    assert "a/y" in pods
    assert len(pods) == 3


def test_a_table_is_what_kubectl_prints_of_a_snapshot(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"b/x": pod(node="n7"), "a/y": pod(app="web"), "a-b/z": pod()})
    pods, table = client.snapshot("pods"), client.table("po")
    assert [column.name for column in table.columns[:3]] == ["Name", "Ready", "Status"]
    assert next(column.name for column in table.columns if column.wide) == "IP"
    age = [column.name for column in table.columns].index("Age")
    rows = {one.key: columns.row("pods", one.body(), pods.read_at) for one in pods.items()}
    assert [found.key for found in table.rows] == list(rows) == ["a-b/z", "a/y", "b/x"]
    for found in table.rows:
        assert all(
            mine == theirs for place, (mine, theirs) in enumerate(zip(found.cells, rows[found.key])) if place != age
        )
    assert (table.trust.state, table.trust.version, table.damaged) == ("live", pods.trust.version, ())
    assert [one.key for one in client.table("pods", "a").rows] == ["a/y"]
    assert [one.key for one in client.table("pods", label_selector="app=web").rows] == ["a/y"]
    assert [one.key for one in client.table("pods", field_selector="spec.nodeName=n7").rows] == ["b/x"]
    assert client.table("pods", "none").rows == []
    with pytest.raises(errors.BadRequest):
        client.table("pods", label_selector="a in (")
    with pytest.raises(errors.UnknownKind):
        client.table("configmaps")


def test_rows_stand_as_kubectl_prints_them_where_that_is_not_by_name(kept: KeptCluster, client: Client) -> None:
    placed = {"/a": 9, "/b": 1, "/c": 5}
    schemas = {key: {"spec": {"matchingPrecedence": place}} for key, place in placed.items()}
    kept.kind("flowschemas.flowcontrol.apiserver.k8s.io", schemas).serve()
    table = client.table("flowschemas.flowcontrol.apiserver.k8s.io")
    assert [row.key for row in table.rows] == ["/b", "/c", "/a"]


def test_attributes_items_and_camel_case_are_one(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod(node="n7", app="web")})
    one = client.snapshot("pods").get("x", "a")
    assert one is not None
    assert one.metadata.name == one["metadata"]["name"] == one.name == "x"
    assert one.spec.node_name == one.spec.nodeName == one["spec"]["nodeName"] == "n7"
    assert one.status.pod_ip == one.status.podIP == "10.0.0.7"
    assert one.status.pod_i_ps[0].ip == "10.0.0.7"
    assert one.labels == {"app": "web"} == one.metadata.labels
    assert one.spec.no_such_field is None
    with pytest.raises(KeyError):
        one["spec"]["noSuchField"]
    assert json.loads(one.raw) == one.to_dict()
    assert [container.image for container in one.spec.containers] == ["nginx:1"]


def test_nothing_can_be_changed_but_a_copy(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod()})
    one = client.snapshot("pods").get("x")
    assert one is not None

    def mutate(how: str) -> None:
        if how == "attribute":
            one.spec.node_name = "y"
        elif how == "item":
            one["spec"]["nodeName"] = "y"
        elif how == "object":
            one.spec = {}
        elif how == "list":
            one.spec.containers[0] = {}
        else:
            del one["spec"]

    for how in ("attribute", "item", "object", "list", "del"):
        with pytest.raises(errors.ReadOnly):
            mutate(how)
    mine = one.to_dict()
    mine["spec"]["containers"][0]["image"] = "other"
    assert one.spec.containers[0].image == "nginx:1"


def test_an_object_survives_copy_and_pickle() -> None:
    one = KubernetesObject("pods", "a/x", envelope(b'{"spec":{"a":[1]}}'), "9")
    for again in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert again == one
        assert again.spec.a == [1]
        assert again.verified


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[1]", b"null", b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}", b"\xff"]
)
def test_a_body_that_does_not_parse_is_that_objects_error_alone(body: bytes) -> None:
    bad = KubernetesObject("pods", "a/x", envelope(body), "")
    assert (bad.name, bad.uid, bad.resource_version, bad.raw) == ("x", "u", "5", body)
    if body.startswith(b'{"a"'):
        try:
            assert bad.a == int(body[5:-1]) if len(body) < 4300 else bad.a is not None
        except errors.BadObject:
            pass  # Python refuses integers of more than 4,300 digits from 3.11 on
        return
    with pytest.raises(errors.BadObject, match="a/x"):
        _ = bad.spec


def test_bodies_are_not_parsed_for_keys_labels_and_selectors(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod(app="web"), "a/y": pod("Pending", app="db"), "b/z": pod(app="web")})
    pods = client.snapshot("pods")
    for row in pods._rows.values():
        assert row[0].body  # the bytes are there ...
    pods._rows = {key: (one._replace(body=b"no json"), rv) for key, (one, rv) in pods._rows.items()}
    assert [one.key for one in pods.items(label_selector="app=web")] == ["a/x", "b/z"]
    assert [one.key for one in pods.items(field_selector="status.phase!=Running")] == ["a/y"]
    assert [one.key for one in pods.items("app in (web,db)", "metadata.namespace=a")] == ["a/x", "a/y"]
    assert pods.items("app=web")[0].labels == {"app": "web"}


@pytest.mark.parametrize(
    ("labels", "fields"), [("app in (", ""), ("", "spec.nodename=x"), ("a=b=c", ""), ("", "x")]
)
def test_a_bad_selector_is_told_never_ignored(kept: KeptCluster, client: Client, labels: str, fields: str) -> None:
    kept.kind("pods", {"a/x": pod()})
    with pytest.raises(errors.BadRequest):
        client.snapshot("pods").items(labels, fields)
    with pytest.raises(errors.BadRequest):
        client.watch("pods", label_selector=labels, field_selector=fields)


def test_get_needs_the_namespace_where_a_name_is_not_the_only_one(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod(), "b/x": pod(), "b/y": pod()})
    pods = client.snapshot("pods")
    assert pods.get("y").key == "b/y"  # type: ignore[union-attr]
    assert pods.get("x", "b").key == "b/x"  # type: ignore[union-attr]
    assert pods.get("none") is None
    with pytest.raises(errors.BadRequest, match="several namespaces"):
        pods.get("x")
    assert client.get("pods", "x", "a").key == "a/x"  # type: ignore[union-attr]
    assert client.get("pods", "x", "c") is None


def test_one_object_of_a_namespaced_kind_needs_its_namespace(kept: KeptCluster, client: Client) -> None:
    kept.kind("pods", {"a/x": pod()})
    kept.kind("widgets.example.com", {"a/w": {}})
    kept.kind("nodes", {"/n": {}})
    for kind, name in (("pods", "x"), ("pods", "none"), ("widgets", "w"), ("widgets", "none")):
        with pytest.raises(errors.BadRequest, match="namespaced: give namespace="):
            client.get(kind, name)
    assert client.get("nodes", "n").key == "/n"  # type: ignore[union-attr]
    assert client.get("nodes", "none") is None
    assert client.get("widgets", "none", "a") is None


def test_an_empty_namespace_is_never_read_as_one_without_objects(kept: KeptCluster, client: Client) -> None:
    """It is a variable that was not set; None means all."""
    kept.kind("pods", {"a/x": pod()})
    kept.kind("nodes", {"/n": {}})
    for read in (client.snapshot, client.table, client.changes, client.watch):
        with pytest.raises(errors.BadRequest, match="the namespace is empty: leave it out to read all"):
            read("pods", namespace="")  # type: ignore[operator]
    assert client.snapshot("nodes", namespace="").keys() == ["/n"]


@pytest.mark.parametrize("told", [True, False], ids=["told by discovery", "not told yet"])
def test_of_a_custom_kind_without_namespaces_a_namespace_is_ignored(
    kept: KeptCluster, client: Client, told: bool
) -> None:
    custom = kept.kind("globals.example.com", {"/g": {}})
    start = client.snapshot("globals").token
    assert client.namespaced("globals") is None
    if told:
        custom.serve()
        assert client.namespaced("globals") is False
        assert client.snapshot("globals", "web").keys() == ["/g"]
        assert client.get("globals", "g", "web").key == "/g"  # type: ignore[union-attr]
        assert client.at("globals", start, "web").keys() == ["/g"]
        custom.publish(("/h", {}))
        assert [change.object.key for change in client.changes("globals", start, "web")] == ["/h"]
        assert [one.key for one in client.diff("globals", start, namespace="web")] == ["/h"]
    assert client.get("globals", "g").key == "/g"  # type: ignore[union-attr]
    assert client.get("globals", "none") is None


def test_discovery_says_that_a_custom_kind_has_namespaces_before_it_has_objects(
    kept: KeptCluster, client: Client
) -> None:
    kept.kind("widgets.example.com", {}).serve()
    with pytest.raises(errors.BadRequest, match="namespaced: give namespace="):
        client.get("widgets", "none")
    assert client.get("widgets", "none", "a") is None


def test_each_object_says_which_side_it_comes_from(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/old": pod()})
    pods.publish(("a/new", pod()))
    snapshot = client.snapshot("pods")
    old, new = snapshot.get("old"), snapshot.get("new")
    assert old is not None
    assert new is not None
    assert old.verified
    assert old.streamed_at is None
    assert not new.verified
    assert new.streamed_at == pytest.approx(pods.now(), abs=60)
    pods.verify()
    assert all(one.verified for one in client.snapshot("pods").items())


def test_verified_only_is_the_last_verified_state(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/kept": pod(node="n1"), "a/gone": pod()})
    pods.publish(("a/kept", pod(node="n2")))
    pods.publish(("a/gone", None), ("a/new", pod()))
    now, verified = client.snapshot("pods"), client.snapshot("pods", verified_only=True)
    assert now.keys() == ["a/kept", "a/new"]
    assert verified.keys() == ["a/gone", "a/kept"]
    assert verified.get("kept").spec.node_name == "n1"  # type: ignore[union-attr]
    assert client.snapshot("pods", namespace="b", verified_only=True).keys() == []


def test_rotten_bytes_are_named_and_not_served(kept: KeptCluster, client: Client) -> None:
    pods = kept.kind("pods", {"a/x": pod(), "a/y": pod()})
    place = pods.keys.objects(pods.writer.known.incarnation, "a")  # type: ignore[union-attr]
    raw = pods.link.call("HGET", place, "x")
    pods.link.call("HSET", place, "x", raw[:-1] + b" ")
    snapshot = client.snapshot("pods")
    assert snapshot.keys() == ["a/y"]
    assert snapshot.damaged == ("a/x",)
    with pytest.raises(errors.Damaged):
        client.get("pods", "x", "a")


def test_the_typed_class_of_the_kubernetes_package(kept: KeptCluster, client: Client) -> None:
    pytest.importorskip("kubernetes")
    kept.kind("pods", {"a/x": pod(node="n1", app="web")})
    kept.kind("widgets.example.com", {"a/w": {}})
    typed: Any = client.snapshot("pods").get("x").to_kubernetes()  # type: ignore[union-attr]
    assert type(typed).__name__ == "V1Pod"
    assert typed.spec.node_name == "n1"
    assert typed.metadata.labels == {"app": "web"}
    with pytest.raises(errors.NeedsPackage, match="no class"):
        client.snapshot("widgets").get("w").to_kubernetes()  # type: ignore[union-attr]


def test_kinds_are_found_by_any_of_their_names(kept: KeptCluster, client: Client) -> None:
    kept.kind("deployments.apps")
    kept.kind("widgets.example.com")
    for word in ("deploy", "Deployment", "deployments", "deployments.apps", "deployments.v1.apps"):
        assert client.resolve(word) == "deployments.apps"
    for word in ("widget", "widgets", "widgets.example.com"):
        assert client.resolve(word) == "widgets.example.com"
    with pytest.raises(errors.UnknownKind, match=r"services.*kept: deployments\.apps"):
        client.snapshot("svc")
    for word in ("Pods!", "secrets", "a b"):
        with pytest.raises(errors.BadRequest):
            client.snapshot(word)


def test_namespace_pipelines_are_one_answer_that_says_so(kept: KeptCluster, client: Client) -> None:
    a = kept.kind("pods", {"a/x": pod()}, namespace="a")
    b = kept.kind("pods", {"b/y": pod()}, namespace="b")
    whole = client.snapshot("pods")
    assert whole.keys() == ["a/x", "b/y"]
    assert whole.trust.state == "live"
    assert "only a, b" in whole.trust.reasons[0]
    assert client.snapshot("pods", namespace="b").keys() == ["b/y"]
    with pytest.raises(errors.UnknownKind, match="a, b only"):
        client.snapshot("pods", namespace="c")
    found = client.watch("pods", since=whole.token, timeout=10)
    b.publish(("b/z", pod()))
    assert next(found).object.key == "b/z"
    change = next(client.watch("pods", since=whole.token, timeout=10))
    a.publish(("a/w", pod()))
    assert [one.object.key for one in client.changes("pods", since=change.token)] == ["a/w"]
    b.stall()
    with pytest.raises(errors.Stale, match="b: the aggregator"):
        client.snapshot("pods")
    assert client.snapshot("pods", stale_ok=True).keys() == ["a/w", "a/x", "b/y", "b/z"]
    assert client.snapshot("pods", namespace="a").trust.state == "live"


def test_pipelines_that_are_no_longer_announced_are_forgotten_where_others_go_on(kept: KeptCluster) -> None:
    old = kept.kind("pods", {"a/x": pod()}, namespace="a")
    kept.kind("pods", {"b/y": pod()}, namespace="b")
    kept.kind("nodes", {"/n": pod()})
    now = old.now()

    def announce(field: str, ago: float) -> None:
        old.link.call("HSET", meta_key(kept.name), f"kind/{field}", f"{now - ago:.3f}")

    announce("pods@a", 400.0)  # krm runs with other namespaces since then
    announce("pods@b", 100.0)
    announce("nodes", 4000.0)  # not kept any more: stale, and not unknown
    with connect(kept.url, kept.name) as client:
        assert client.directory.pipelines() == [("nodes", ""), ("pods", "b")]
        assert client.snapshot("pods").keys() == ["b/y"]
        assert client.snapshot("nodes").keys() == ["/n"]
    announce("pods@b", 400.0)
    with connect(kept.url, kept.name) as client:
        assert client.directory.namespaces_of("pods") == ["a", "b"]


def test_the_cluster_must_be_named_where_there_are_several(kept: KeptCluster) -> None:
    with pytest.raises(errors.UnknownCluster, match="holds no cluster"):
        connect(kept.url)
    kept.kind("pods")
    assert connect(kept.url).cluster == "paper"
    KeptCluster(kept.url, "Another One").kind("pods")
    with pytest.raises(errors.UnknownCluster, match="Another One, paper"):
        connect(kept.url)
    assert connect(kept.url, "Another One").kinds() == ["pods"]
