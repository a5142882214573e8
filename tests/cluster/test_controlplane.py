"""The door against a real kube-apiserver: who may enter, what lists and watches give, kinds that come and go."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from cluster.scripted import wait_for
from krm.cluster.__main__ import main
from krm.cluster.credentials import connect
from krm.cluster.discovery import cluster_uid, discover, server_version
from krm.cluster.errors import (
    ClusterError,
    Expired,
    Forbidden,
    NotFound,
    TooLargeResourceVersion,
    Unauthorized,
    from_error_event,
)
from krm.cluster.listing import consistent, exact, freshness_probe, list_pages, not_older_than
from krm.cluster.requests import Cluster
from krm.cluster.reviews import Right, allowed
from krm.cluster.watching import Watch, WatchClosed
from krm.model.canonical import Canonicaliser
from krm.model.kinds import Kind, parse_kind
from krm.model.pages import PageBody

pytestmark = pytest.mark.xdist_group("controlplane")
PODS = parse_kind("pods")


@pytest.fixture(scope="module")
def admin(control_plane) -> Cluster:
    return connect(str(control_plane.kubeconfig("admin")), stage="test")


def keys(pages: List[PageBody]) -> List[str]:
    return [item.key for page in pages for item in page.items]


def read(watch: Watch, count: int) -> List[Dict[str, Any]]:
    """The first `count` events that are no bookmarks."""
    events: List[Dict[str, Any]] = []

    def enough() -> bool:
        events.extend(json.loads(line) for line in watch.poll(0.5))
        events[:] = [event for event in events if event["type"] != "BOOKMARK"]
        return len(events) >= count

    wait_for(enough, f"{count} events")
    watch.close()
    return events


def with_user(control_plane, folder: Path, user: Dict[str, Any]) -> str:
    """The admin's kubeconfig with other credentials."""
    content = json.loads(control_plane.kubeconfig("admin").read_text())
    content["users"][0]["user"] = user
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return str(path)


def test_all_ways_in(control_plane, tmp_path) -> None:
    token = control_plane.token("admin")
    (tmp_path / "token").write_text(token + "\n")
    script = tmp_path / "plugin"
    status = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": {"token": token}}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(status)}'\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    plugin = {"apiVersion": status["apiVersion"], "command": str(script), "interactiveMode": "Never"}
    for user in ({"token": token}, {"tokenFile": str(tmp_path / "token")}, {"exec": plugin}):
        assert cluster_uid(connect(with_user(control_plane, tmp_path, user)))


def test_strangers_stay_out(control_plane, tmp_path) -> None:
    with pytest.raises(Unauthorized):
        discover(connect(with_user(control_plane, tmp_path, {"token": "wrong"})), PODS)
    nobody = connect(str(control_plane.kubeconfig("krm-none")))
    pods = discover(nobody, PODS)
    words = 'User "krm-none" cannot list resource "pods"'
    with pytest.raises(Forbidden, match=words):
        next(list_pages(nobody, pods, consistent(), Canonicaliser(pods).page))
    with pytest.raises(Forbidden):
        Watch(nobody, pods, None, "1")
    with pytest.raises(Forbidden):
        freshness_probe(nobody, pods)
    assert cluster_uid(nobody) == ""


def test_a_certificate_of_another_server_is_not_taken(control_plane, tmp_path) -> None:
    content = json.loads(control_plane.kubeconfig("admin").read_text())
    content["clusters"][0]["cluster"]["tls-server-name"] = "other.example.com"
    (tmp_path / "config").write_text(json.dumps(content))
    with pytest.raises(ClusterError, match="certificate"):
        server_version(connect(str(tmp_path / "config")))


def test_every_mode_gives_every_pod_at_one_version(control_plane, admin) -> None:
    (namespace,) = control_plane.create_namespaces(1, "listed")
    control_plane.create_pods(1100, [namespace])
    pods = discover(admin, PODS)
    canonical = Canonicaliser(pods)
    version = server_version(admin)[:2]
    full = list(list_pages(admin, pods, consistent(), canonical.page, namespace))
    assert [len(page.items) for page in full] == [500, 500, 100]
    rv = full[0].rv
    cached = list(
        list_pages(admin, pods, not_older_than(rv, version), canonical.metadata_page, namespace, metadata_only=True)
    )
    unpaged = list(list_pages(admin, pods, not_older_than(rv, (1, 33)), canonical.page, namespace))
    past = list(list_pages(admin, pods, exact(rv), canonical.page, namespace))
    assert keys(full) == keys(cached) == keys(unpaged) == keys(past)
    assert len(unpaged) == 1
    assert {page.rv for page in past} == {rv}
    assert sum(len(item.body) for page in cached for item in page.items) == 0


def test_a_version_of_the_future_is_too_large(admin) -> None:
    pods = discover(admin, PODS)
    future = str(int(freshness_probe(admin, pods)) + 1_000_000)
    for mode in (exact(future), not_older_than(future, (1, 36))):
        with pytest.raises(TooLargeResourceVersion):
            next(list_pages(admin, pods, mode, Canonicaliser(pods).page))


def test_a_watch_gives_what_happened_since_its_version(control_plane, admin) -> None:
    (namespace,) = control_plane.create_namespaces(1, "watched")
    pods = discover(admin, PODS)
    rv = freshness_probe(admin, pods, namespace)
    created = control_plane.create_pods(20, [namespace])
    events = read(Watch(admin, pods, namespace, rv), 20)
    assert [event["type"] for event in events] == ["ADDED"] * 20
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(int(pod["metadata"]["resourceVersion"]) for pod in created)
    again = read(Watch(admin, pods, namespace, str(versions[9])), 10)
    assert again == events[10:]


def test_a_watch_lives_as_long_as_it_was_asked_to_and_bookmarks_its_end(control_plane, admin) -> None:
    """A bookmark comes only where something was written since, here to another kind, and a read asked for it."""
    pods = discover(admin, PODS)
    watch = Watch(admin, pods, None, freshness_probe(admin, pods), timeout_seconds=3)
    control_plane.create_namespaces(1, "elsewhere")
    freshness_probe(admin, pods)
    lines: List[bytes] = []
    with pytest.raises(WatchClosed) as caught:
        lines = _until_closed(watch, lines)
    assert any(json.loads(line)["type"] == "BOOKMARK" for line in lines)
    assert caught.value.cause == "server"
    assert 2 <= caught.value.lived <= 6


def _until_closed(watch: Watch, lines: List[bytes]) -> List[bytes]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        lines += watch.poll(1.0)
    return lines


def test_an_old_version_is_expired_on_a_watch_in_the_stream_and_on_a_list_by_status(control_plane, admin) -> None:
    events = discover(admin, parse_kind("events"))  # no cache stands before etcd for them
    rv = freshness_probe(admin, events)
    control_plane.create_namespaces(2, "later")
    control_plane.compact()
    (line, *_) = read(Watch(admin, events, None, rv), 1)
    assert line["type"] == "ERROR"
    assert isinstance(from_error_event(json.dumps(line["object"]).encode(), "WATCH events"), Expired)
    with pytest.raises(Expired):
        next(list_pages(admin, events, exact(rv), Canonicaliser(events).page))


def test_a_kind_vanishes_and_returns_at_run_time(control_plane, admin) -> None:
    kind = Kind("widgets", "door.example.com")

    def served() -> Any:
        try:
            return discover(admin, kind)
        except NotFound:
            return None

    assert served() is None
    for _ in range(2):
        control_plane.create_crd("widgets", kind.group, "Widget")
        found = wait_for(served, "discovery shows the kind")
        assert (found.object_kind, found.version, found.namespaced) == ("Widget", "v1", True)
        # A returning kind is answered 429 for a moment.
        pages = wait_for(lambda resource=found: _listed(admin, resource), "the kind is listed")
        assert keys(pages) == []
        control_plane.delete_crd("widgets", kind.group)
        wait_for(lambda: served() is None, "discovery lacks the kind")
        with pytest.raises(NotFound):
            list(list_pages(admin, found, consistent(), Canonicaliser(found).page))


def _listed(cluster: Cluster, resource: Any) -> List[PageBody]:
    try:
        return list(list_pages(cluster, resource, consistent(), Canonicaliser(resource).page))
    except ClusterError:
        return []


def test_reviews_tell_what_krm_may_do(control_plane) -> None:
    control_plane.grant("krm-reader", ["list"], ["pods"])
    cluster = connect(str(control_plane.kubeconfig("krm-reader")))
    rights = [
        Right("list", PODS),
        Right("watch", PODS),
        Right("list", PODS, "default"),
        Right("list", Kind("jobs", "batch")),
    ]
    assert allowed(cluster, rights) == [True, False, True, False]
    control_plane.revoke("krm-reader", ["list"], ["pods"])
    assert allowed(cluster, rights[:1]) == [False]


def check(control_plane, capsys, user: str, *flags: str) -> Tuple[int, Dict[str, Dict[str, Any]]]:
    code = main(["check", "--kubeconfig", str(control_plane.kubeconfig(user)), "--json", *flags])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return code, {line["check"]: line for line in lines}


def test_the_check_passes_for_who_may(control_plane, capsys) -> None:
    code, lines = check(control_plane, capsys, "admin")
    assert [line for line in lines.values() if not line["ok"]] == []
    assert code == 0
    assert {"reachable", "version", "clock", "served pods", "rights pods", "consistent read", "bookmarks"} <= set(
        lines
    )
    assert len(lines) == 5 + 2 * 17


def test_the_rule_that_the_check_prints_is_the_one_that_helps(control_plane, capsys) -> None:
    """The printed rule is granted word for word, and the check passes."""
    flags = ("--kinds", "deployments.apps,pods", "--namespaces", "default")
    code, lines = check(control_plane, capsys, "krm-verifier", *flags)
    assert code == 1
    remedy = lines["rights deployments.apps"]["remedy"]
    assert "a Role in namespace default" in remedy
    rule = '- {apiGroups: ["apps"], resources: ["deployments"], verbs: [list, watch]}'
    assert rule in remedy
    control_plane.grant("krm-verifier", ["list", "watch"], ["deployments"], "apps", "default")
    control_plane.grant("krm-verifier", ["list", "watch"], ["pods"], "", "default")
    code, lines = check(control_plane, capsys, "krm-verifier", *flags)
    assert code == 0, lines
    control_plane.revoke("krm-verifier", ["list", "watch"], ["deployments"], "apps", "default")
    control_plane.revoke("krm-verifier", ["list", "watch"], ["pods"], "", "default")


def test_the_check_names_what_is_not_served(control_plane, capsys) -> None:
    code, lines = check(control_plane, capsys, "admin", "--kinds", "ingresses,pods")
    assert code == 1
    assert not lines["served ingresses"]["ok"]
    assert "RESOURCE.GROUP" in lines["served ingresses"]["remedy"]
    assert lines["bookmarks"]["ok"]
