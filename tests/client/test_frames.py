"""DataFrames: a row an object, numbers as numbers, times as times, null where nothing is known."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from typing import Any

import pytest
from kept_cluster import KeptCluster, pod
from krm.client import errors
from krm.client.client import Client
from krm.client.frames import column_types, object_row
from krm.client.objects import KubernetesObject
from krm.model.kinds import DEFAULT_KINDS
from krm.model.records import Envelope, object_digest

PACKAGES = ("pandas", "polars")


def test_a_row_leads_with_what_every_object_has() -> None:
    body = (
        b'{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"x","namespace":"a",'
        b'"creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"volumeName":"v","accessModes":["ReadWriteOnce"]},'
        b'"status":{"phase":"Bound","capacity":{"storage":"1Gi"}}}'
    )
    envelope = Envelope("7", "u", object_digest(body), 1.0, b'{"app":"db"}', (), body)
    row = object_row("persistentvolumeclaims", KubernetesObject("persistentvolumeclaims", "a/x", envelope, ""))
    assert list(row)[:6] == ["namespace", "name", "uid", "resource_version", "created", "labels"]
    assert row["created"] == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert row["labels"] == {"app": "db"}
    assert row["capacity"] == 2**30
    assert row["status"] == "Bound"


@pytest.mark.parametrize("package", PACKAGES)
def test_objects_as_a_frame(kept: KeptCluster, client: Client, package: str) -> None:
    pytest.importorskip(package)
    kept.kind("pods", {"a/x": pod(node="n1", app="web"), "a/y": {}})
    frame: Any = client.snapshot("pods").to_dataframe({"phase_": ".status.phase", "x": ".a.b"}, package=package)
    names = list(frame.columns)
    assert names[:6] == ["namespace", "name", "uid", "resource_version", "created", "labels"]
    assert names[-2:] == ["phase_", "x"]
    assert list(frame["name"]) == ["x", "y"]
    assert frame["restarts"].sum() == 2
    assert next(iter(frame["phase_"])) == "Running"
    created = next(iter(frame["created"]))
    assert created == datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert "datetime" in str(frame["created"].dtype).lower()


def test_columns_and_their_types_follow_from_the_kind_alone() -> None:
    types = column_types("pods", [("x", ("a",))])
    assert list(types)[:6] == ["namespace", "name", "uid", "resource_version", "created", "labels"]
    assert list(types)[-1] == "x"
    wanted = {"created": "time", "restarted_at": "time", "nominated_node": "text", "restarts": "whole", "x": ""}
    assert {name: types[name] for name in wanted} == wanted
    assert column_types("nodes")["ready"] == "truth"
    assert column_types("persistentvolumeclaims")["capacity"] == "number"
    for kind in map(str, DEFAULT_KINDS):
        body = b'{"metadata":{"name":"x"}}'
        envelope = Envelope("7", "u", object_digest(body), 1.0, b"", (), body)
        assert list(object_row(kind, KubernetesObject(kind, "/x", envelope, ""))) == list(column_types(kind))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_rows_have_the_columns_and_types_of_many(kept: KeptCluster, client: Client, package: str) -> None:
    pytest.importorskip(package)
    start = client.snapshot("pods").token if kept.kind("pods", {"a/x": pod(), "a/y": {}}) else ""
    full: Any = client.snapshot("pods").to_dataframe({"x": ".a"}, package=package)
    empty: Any = client.snapshot("pods", namespace="none").to_dataframe({"x": ".a"}, package=package)
    assert list(empty.columns) == list(full.columns)
    for name, type_ in column_types("pods").items():
        if type_:
            assert empty[name].dtype == full[name].dtype, name
    assert "datetime" in str(full["restarted_at"].dtype).lower()
    assert "str" in str(full["nominated_node"].dtype).lower()
    none: Any = client.changes("pods", since=start).to_dataframe(package=package)
    assert list(none.columns)[:2] == ["type", "published_at"]


@pytest.mark.parametrize("path", ["spec[[", ".spec.containers[*].name", "{.spec.nodeName}", ".a..b", "", "a b"])
def test_a_path_that_is_none_is_told_never_null(
    kept: KeptCluster, client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    kept.kind("pods")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(errors.BadRequest, match="plain names"):
        client.snapshot("pods").to_dataframe({"x": path})


@pytest.mark.parametrize("package", PACKAGES)
def test_changes_as_a_frame(kept: KeptCluster, client: Client, package: str) -> None:
    pytest.importorskip(package)
    pods = kept.kind("pods")
    start = client.snapshot("pods").token
    pods.publish(("a/x", pod()))
    pods.publish(("a/x", None), repair=True)
    frame: Any = client.changes("pods", since=start).to_dataframe(package=package)
    assert list(frame["type"]) == ["ADDED", "DELETED"]
    assert list(frame["repair"]) == [False, True]
    assert "datetime" in str(frame["published_at"].dtype).lower()


def test_a_missing_package_is_a_sentence(
    kept: KeptCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.kind("pods", {"a/x": pod()})
    snapshot = client.snapshot("pods")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(errors.NeedsPackage, match="pip install pandas"):
        snapshot.to_dataframe()
    with pytest.raises(errors.BadRequest, match="neither"):
        snapshot.to_dataframe(package="numpy")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(errors.NeedsPackage, match=r"krm\[cluster\]"):
        snapshot.items()[0].to_kubernetes()
