"""Faults that the control plane is made to show: pauses, kills, compaction, and etcd taken back."""

import time

import pytest
from controlplane.kubeapi import ApiError
from controlplane.plane import ControlPlane

pytestmark = pytest.mark.slow


def test_without_etcd_only_cached_reads_are_answered(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    namespace = plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/pods"
    plane.create_pods(3, [namespace])
    assert len(plane.admin.get(path)["items"]) == 3  # the cache has them from here on
    plane.pause("etcd")
    try:
        assert len(plane.admin.get(path, {"resourceVersion": 0})["items"]) == 3
        with pytest.raises(OSError, match="timed out"):
            plane.admin.request("GET", path, timeout=2)
    finally:
        plane.resume("etcd")
    assert len(plane.admin.get(path)["items"]) == 3


def test_a_paused_server_answers_nothing_and_then_goes_on(own_control_plane: ControlPlane) -> None:
    own_control_plane.pause("apiserver")
    try:
        with pytest.raises(OSError, match="timed out"):
            own_control_plane.admin.request("GET", "/version", timeout=0.5)
    finally:
        own_control_plane.resume("apiserver")
    assert own_control_plane.admin.get("/version")["major"] == "1"


def test_stopping_a_paused_plane_ends_in_time(own_control_plane: ControlPlane) -> None:
    plane = ControlPlane(own_control_plane.version).start()
    plane.pause("etcd")
    plane.pause("apiserver")
    began = time.monotonic()
    plane.stop()
    assert time.monotonic() - began < 20


def test_a_killed_server_comes_back_at_its_address_with_its_objects(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    url, namespace = plane.url, plane.create_namespaces(1)[0]
    plane.kill("apiserver")
    with pytest.raises(OSError, match=r"refused|reset|closed|EOF"):
        plane.admin.request("GET", "/version")
    plane.restart("apiserver")
    assert plane.url == url
    assert plane.admin.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace


def test_a_killed_etcd_keeps_what_it_had_confirmed(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    namespace = plane.create_namespaces(1)[0]
    plane.kill("etcd")
    plane.restart("etcd")
    assert plane.admin.get(f"/api/v1/namespaces/{namespace}")["metadata"]["name"] == namespace


def test_restoring_etcd_takes_revisions_back(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    kept = plane.create_namespaces(1)[0]
    snapshot = plane.etcd_snapshot()
    lost = plane.create_namespaces(300)[-1]
    before = int(plane.admin.get("/api/v1/namespaces")["metadata"]["resourceVersion"])
    url = plane.url
    plane.etcd_restore(snapshot)
    assert plane.url == url
    after = int(plane.admin.get("/api/v1/namespaces")["metadata"]["resourceVersion"])
    assert after < before
    assert plane.etcd_revision() >= after
    assert plane.admin.get(f"/api/v1/namespaces/{kept}")["metadata"]["name"] == kept
    with pytest.raises(ApiError) as caught:
        plane.admin.get(f"/api/v1/namespaces/{lost}")
    assert caught.value.status == 404


def test_a_watch_from_before_a_compaction_is_gone(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    namespace = plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/events"  # events have no watch cache: etcd itself answers
    old = plane.admin.get(path)["metadata"]["resourceVersion"]
    plane.create_pods(2, [namespace])
    assert plane.compact() > int(old)
    event = next(plane.admin.watch(path, {"resourceVersion": old}))
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_a_cached_kind_forgets_its_past_when_the_server_restarts(own_control_plane: ControlPlane) -> None:
    plane = own_control_plane
    namespace = plane.create_namespaces(1)[0]
    path = f"/api/v1/namespaces/{namespace}/pods"
    old = plane.admin.get(path)["metadata"]["resourceVersion"]
    plane.create_pods(2, [namespace])
    plane.compact()
    assert next(plane.admin.watch(path, {"resourceVersion": old}))["type"] == "ADDED"  # from the cache
    plane.restart("apiserver")
    event = next(plane.admin.watch(path, {"resourceVersion": old}))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


def test_a_component_that_does_not_run_is_named(own_control_plane: ControlPlane) -> None:
    with pytest.raises(KeyError, match="no component 'kwok'"):
        own_control_plane.pause("kwok")
