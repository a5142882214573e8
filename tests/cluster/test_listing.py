"""LIST: every page at one resourceVersion or the list is void; each mode asks for what it is to prove."""

from __future__ import annotations

import json
from typing import Dict, List, NamedTuple
from urllib.parse import parse_qs

import pytest
from cluster.scripted import PODS, ScriptedServer, answer, header, status_body
from krm.cluster.errors import Expired, Malformed, TooLargeResourceVersion
from krm.cluster.listing import ListMode, consistent, exact, freshness_probe, list_pages, not_older_than
from krm.model.kinds import Kind, Resource

NODES = Resource(Kind("nodes", ""), "v1", "Node", False)


class Page(NamedTuple):
    rv: str
    continue_token: str
    names: List[str]


def parse(body: bytes) -> Page:
    content = json.loads(body)
    metadata = content["metadata"]
    return Page(metadata.get("resourceVersion", ""), metadata.get("continue", ""), content["items"])


def page(rv: str, token: str, *names: str) -> List[bytes]:
    return [answer(json.dumps({"metadata": {"resourceVersion": rv, "continue": token}, "items": names}).encode())]


def query(request: bytes) -> Dict[str, List[str]]:
    return parse_qs(request.split(b" ")[1].decode().partition("?")[2])


def test_pages_are_followed_to_the_end(tmp_path) -> None:
    with ScriptedServer(page("7", "t/1", "a", "b"), page("7", "t=2", "c"), page("7", "", "d")) as server:
        pages = list(list_pages(server.cluster(tmp_path), PODS, consistent(), parse))
        assert [one.names for one in pages] == [["a", "b"], ["c"], ["d"]]
        # A continue token holds the version; with both, an API server answers 400.
        assert [query(request) for request in server.requests] == [
            {"limit": ["500"]},
            {"limit": ["500"], "continue": ["t/1"]},
            {"limit": ["500"], "continue": ["t=2"]},
        ]


def test_a_page_is_asked_for_when_it_is_wanted(tmp_path) -> None:
    """The verifier waits between pages until Redis took the last one."""
    with ScriptedServer(page("7", "t"), page("7", "")) as server:
        pages = list_pages(server.cluster(tmp_path), PODS, consistent(), parse)
        assert server.requests == []
        next(pages)
        assert len(server.requests) == 1
        next(pages)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("mode", "first"),
    [
        (consistent(), {"limit": ["500"]}),
        (not_older_than("9", (1, 34)), {"limit": ["500"], "resourceVersion": ["9"], "match": ["NotOlderThan"]}),
        (not_older_than("9", (2, 0)), {"limit": ["500"], "resourceVersion": ["9"], "match": ["NotOlderThan"]}),
        # Below 1.34 a limit would go to etcd.
        (not_older_than("9", (1, 33)), {"resourceVersion": ["9"], "match": ["NotOlderThan"]}),
        (exact("9"), {"limit": ["500"], "resourceVersion": ["9"], "match": ["Exact"]}),
    ],
)
def test_what_each_mode_asks_for(tmp_path, mode: ListMode, first: Dict[str, List[str]]) -> None:
    if "match" in first:
        first = {**{k: v for k, v in first.items() if k != "match"}, "resourceVersionMatch": first["match"]}
    with ScriptedServer(page("9", "t"), page("9", "")) as server:
        list(list_pages(server.cluster(tmp_path), PODS, mode, parse, namespace="team-a"))
        assert query(server.requests[0]) == first
        assert query(server.requests[1]) == {"limit": ["500"], "continue": ["t"]}
        assert all(request.startswith(b"GET /api/v1/namespaces/team-a/pods?") for request in server.requests)


@pytest.mark.parametrize("rv", ["", "0"])
def test_a_list_that_proves_nothing_is_refused(tmp_path, rv: str) -> None:
    with ScriptedServer(page("9", "")) as server:
        for mode in (exact(rv), not_older_than(rv, (1, 36))):
            with pytest.raises(ValueError):
                next(list_pages(server.cluster(tmp_path), PODS, mode, parse))


def test_metadata_alone_is_asked_for_by_accept(tmp_path) -> None:
    with ScriptedServer(page("9", "")) as server:
        list(list_pages(server.cluster(tmp_path), PODS, consistent(), parse, metadata_only=True))
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
        assert header(server.requests[0], "Accept") == accept


def test_a_page_at_another_version_voids_the_list(tmp_path) -> None:
    with ScriptedServer(page("7", "t", "a"), page("8", "", "b")) as server:
        pages = list_pages(server.cluster(tmp_path), PODS, consistent(), parse)
        assert next(pages).names == ["a"]
        with pytest.raises(Expired):
            next(pages)


def test_a_continue_too_old_voids_the_list_and_its_inconsistent_token_is_not_used(tmp_path) -> None:
    gone = status_body(410, "Expired", "The provided continue parameter is too old")
    gone = gone[:-1] + b', "metadata": {"continue": "inconsistent", "resourceVersion": "9"}}'
    with ScriptedServer(page("7", "t"), [answer(gone, 410)], page("9", "")) as server:
        pages = list_pages(server.cluster(tmp_path), PODS, consistent(), parse)
        next(pages)
        with pytest.raises(Expired):
            next(pages)
        assert list(pages) == []
        assert len(server.requests) == 2


def test_a_cache_behind_our_version_is_told_as_such(tmp_path) -> None:
    late = status_body(504, "Timeout", "Too large resource version: 9, current: 5", causes=[{}])
    with ScriptedServer([answer(late, 504)]) as server, pytest.raises(TooLargeResourceVersion):
        next(list_pages(server.cluster(tmp_path), PODS, not_older_than("9", (1, 36)), parse))


def test_a_list_without_a_version_is_malformed(tmp_path) -> None:
    with ScriptedServer(page("", "")) as server, pytest.raises(Malformed):
        next(list_pages(server.cluster(tmp_path), PODS, consistent(), parse))


def test_a_list_without_end_is_malformed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("krm.cluster.listing.MAX_PAGES", 5)
    with ScriptedServer(page("7", "again")) as server, pytest.raises(Malformed):
        list(list_pages(server.cluster(tmp_path), PODS, consistent(), parse))


def test_the_probe_reads_one_absent_key_consistently(tmp_path) -> None:
    with ScriptedServer(page("77", "")) as server:
        cluster = server.cluster(tmp_path)
        assert freshness_probe(cluster, PODS) == "77"
        assert freshness_probe(cluster, PODS, "team-a") == "77"
        assert freshness_probe(cluster, NODES) == "77"
        paths = [request.split(b" ")[1].decode().partition("?")[0] for request in server.requests]
        assert paths == ["/api/v1/namespaces/default/pods", "/api/v1/namespaces/team-a/pods", "/api/v1/nodes"]
        for request in server.requests:
            assert query(request) == {"fieldSelector": ["metadata.name=krm-probe"], "limit": ["1"]}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metadata": {"resourceVersion": 7}}', b"[" * 100_000])
def test_a_probe_answered_with_something_else_is_malformed(tmp_path, body: bytes) -> None:
    with ScriptedServer([answer(body)]) as server, pytest.raises(Malformed):
        freshness_probe(server.cluster(tmp_path), PODS)
