"""Discovery: what is served now, and nothing that was served before."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Sequence

import pytest
from cluster.scripted import ScriptedServer, answer, status_body
from krm.cluster.discovery import cluster_uid, discover, server_version
from krm.cluster.errors import Forbidden, Malformed, NotFound, ServerError
from krm.model.kinds import Kind

MISSING = [answer(b"404 page not found\n", 404)]
ALL = ("create", "get", "list", "watch")


def says(content: Any) -> List[bytes]:
    return [answer(json.dumps(content).encode())]


def group(preferred: str, *versions: str) -> List[bytes]:
    rows = [{"groupVersion": f"x/{version}", "version": version} for version in versions]
    return says({"kind": "APIGroup", "versions": rows, "preferredVersion": {"version": preferred}})


def row(name: str, kind: str = "Widget", verbs: Sequence[str] = ALL, **more: Any) -> Dict[str, Any]:
    return {"name": name, "kind": kind, "verbs": list(verbs), "namespaced": True, "singularName": "", **more}


def resources(*rows: Dict[str, Any]) -> List[bytes]:
    return says({"kind": "APIResourceList", "resources": list(rows)})


def test_the_preferred_version_that_has_the_kind_is_taken(tmp_path) -> None:
    listed = resources(
        row("widgets/status"), row("gadgets"), row("widgets", shortNames=["wd"], singularName="widget")
    )
    with ScriptedServer(group("v1", "v2beta1", "v1"), resources(row("gadgets")), listed) as server:
        found = discover(server.cluster(tmp_path), Kind("widgets", "example.com"))
        assert (found.version, found.object_kind, found.namespaced) == ("v2beta1", "Widget", True)
        assert (found.singular, found.short_names) == ("widget", ("wd",))
        assert found.path("a") == "/apis/example.com/v2beta1/namespaces/a/widgets"
        asked = [request.split(b" ")[1].decode() for request in server.requests]
        assert asked == ["/apis/example.com", "/apis/example.com/v1", "/apis/example.com/v2beta1"]


def test_a_core_kind_has_no_group(tmp_path) -> None:
    with ScriptedServer(says({"versions": ["v1"]}), resources(row("nodes", "Node", namespaced=False))) as server:
        found = discover(server.cluster(tmp_path), Kind("nodes", ""))
        assert (found.api_version, found.namespaced) == ("v1", False)


def test_a_pipeline_of_a_namespace_keeps_no_cluster_scoped_kind(tmp_path) -> None:
    """Whoever has rights in some namespaces has none over nodes: told as such, not asked for and refused."""
    listed = resources(row("nodes", "Node", namespaced=False), row("pods", "Pod"))
    with ScriptedServer(*[says({"versions": ["v1"]}), listed] * 2) as server:
        with pytest.raises(Forbidden, match="nodes are of no namespace: leave them out"):
            discover(server.cluster(tmp_path), Kind("nodes", ""), "team-a")
        assert discover(server.cluster(tmp_path), Kind("pods", ""), "team-a").namespaced


@pytest.mark.parametrize(
    "scripts",
    [
        [MISSING],
        [group("v1", "v1"), MISSING],
        [group("v1", "v1"), resources(row("gadgets"), row("widgets/status"))],
        [group("v1", "v1"), says({"resources": None})],
        [says({"versions": "v1"})],
        [group("../../evil", "v1/../x")],
    ],
)
def test_what_is_not_served_is_not_found(tmp_path, scripts) -> None:
    with ScriptedServer(*scripts) as server, pytest.raises(NotFound, match="not served"):
        discover(server.cluster(tmp_path), Kind("widgets", "example.com"))


def test_a_kind_that_cannot_be_watched_is_told_so(tmp_path) -> None:
    listed = resources(row("widgets", verbs=["get", "list"]))
    with ScriptedServer(group("v1", "v1"), listed) as server, pytest.raises(NotFound, match="without watch"):
        discover(server.cluster(tmp_path), Kind("widgets", "example.com"))


def test_a_broken_server_is_no_absent_kind(tmp_path) -> None:
    """Unknown is unknown: an empty snapshot because of a 500 would be a lie."""
    kind = Kind("widgets", "example.com")
    for script, error in (([answer(b"", 500)], ServerError), ([answer(b"<html>")], Malformed)):
        with ScriptedServer(script) as server, pytest.raises(error):
            discover(server.cluster(tmp_path), kind)


@pytest.mark.parametrize(
    ("content", "version"),
    [
        ({"major": "1", "minor": "36", "gitVersion": "v1.36.3"}, (1, 36, "v1.36.3")),
        ({"major": "1", "minor": "34+", "gitVersion": "v1.34.4-eks-1"}, (1, 34, "v1.34.4-eks-1")),
    ],
)
def test_versions_as_vendors_write_them(tmp_path, content, version) -> None:
    with ScriptedServer(says(content)) as server:
        assert server_version(server.cluster(tmp_path)) == (*version, content)


@pytest.mark.parametrize("content", [{}, {"major": "", "minor": ""}, [], {"major": None, "minor": "x"}])
def test_no_version_is_malformed(tmp_path, content) -> None:
    with ScriptedServer(says(content)) as server, pytest.raises(Malformed):
        server_version(server.cluster(tmp_path))


def test_the_cluster_s_uid_or_nothing(tmp_path) -> None:
    forbidden = [answer(status_body(403, "Forbidden"), 403)]
    with ScriptedServer(says({"metadata": {"uid": "u-1"}}), forbidden, MISSING, [answer(b"", 500)]) as server:
        cluster = server.cluster(tmp_path)
        assert [cluster_uid(cluster) for _ in range(3)] == ["u-1", "", ""]
        with pytest.raises(ServerError):
            cluster_uid(cluster)
