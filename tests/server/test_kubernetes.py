"""The Kubernetes API as a whole: which question a path asks, and what the answer says of itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any, Dict, List

import pytest
from krm.model.messages import DELETED, MODIFIED
from krm.model.served import pack_facts
from krm.server.catalog import Catalog
from krm.server.identity import Open
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import ApiError, PageNotFound
from krm.server.web import Answer, Request, Stream
from krm.store.read import SnapshotData, Token
from server.replicas import PODS, WIDGETS, change, head, loaded, pod


def held() -> Replica:
    """Three pods at 100, of which the server knows how they are served."""
    replica = loaded(pod("a/x", 5), pod("a/y", 6), pod("b/x", 7))
    replica.told(head(100, facts=pack_facts(PODS, {"major": "1"})))
    return replica


def api(replica: Replica) -> KubernetesApi:
    catalog = Catalog("c")
    catalog.add(replica)
    return KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 12.0), Open())


def request(path: str) -> Request:
    path, _, query = path.partition("?")
    scope: Dict[str, Any] = {"method": "GET", "path": path, "headers": [], "query_string": query.encode()}
    return Request(scope, path)


def get(replica: Replica, path: str) -> Answer:
    found = asyncio.run(api(replica).answer(request(path)))
    assert isinstance(found, Answer)
    return found


def watched(replica: Replica, path: str) -> List[Any]:
    """The lines of a watch that ends by its own timeout."""
    lines: List[bytes] = []

    async def take(body: bytes) -> None:
        lines.append(body)

    async def run() -> None:
        found = await api(replica).answer(request(path))
        assert isinstance(found, Stream), path
        await found.run(take)

    asyncio.run(run())
    return [json.loads(line) for line in b"".join(lines).splitlines()]


# --- one object, watched by its path


def test_the_old_path_of_a_watch_of_one_object_is_a_watch_of_it_alone() -> None:
    for query in (
        "",
        "&fieldSelector=metadata.name%3Dx",
        "&fieldSelector=status.phase%3DRunning,metadata.name%3Dx",
    ):
        (line,) = watched(held(), "/api/v1/watch/namespaces/a/pods/x?timeoutSeconds=-1" + query)
        assert (line["type"], line["object"]["metadata"]["namespace"]) == ("ADDED", "a")


def test_a_watch_of_one_object_by_its_path_refuses_a_selector_of_another() -> None:
    with pytest.raises(ApiError) as refused:
        watched(held(), "/api/v1/watch/namespaces/a/pods/x?fieldSelector=metadata.name%3Dy")
    assert str(refused.value) == "fieldSelector metadata.name doesn't match requested name"


# --- what an answer says of itself


def worth(answer: Answer) -> List[str]:
    found = dict(answer.headers)
    return [found[name] for name in ("Krm-Version", "Krm-Resource-Version", "Krm-Age-Seconds", "Krm-Verified-At")]


def test_a_list_of_an_older_version_is_never_said_to_be_as_fresh_as_the_newest() -> None:
    replica = held()
    newest = ["n:1", "100", "2.000", "1970-01-01T00:00:10Z"]
    first = get(replica, "/api/v1/pods?limit=1")
    token = json.loads(first.body)["metadata"]["continue"]
    asks = [f"/api/v1/pods?limit=1&continue={token}", "/api/v1/pods?resourceVersion=100&resourceVersionMatch=Exact"]
    assert [worth(get(replica, ask)) for ask in asks] == [newest, newest] == [worth(first)] * 2
    change(replica, (MODIFIED, pod("a/y", 101)), (DELETED, pod("b/x", 102)))
    replica.told(replace(head(102, 2), facts=pack_facts(PODS, {"major": "1"})))
    assert worth(get(replica, "/api/v1/pods"))[:3] == ["n:2", "102", "2.000"]
    for ask in (*asks, "/api/v1/pods?limit=2&resourceVersion=100"):
        answer = get(replica, ask)
        assert json.loads(answer.body)["metadata"]["resourceVersion"] == "100"
        assert worth(answer) == ["unknown", "100", "unknown", "unknown"]


# --- kinds that come and go


def test_a_kind_that_is_built_anew_is_served_before_it_is_told_how() -> None:
    """As after FLUSHALL: a 404 would say that the cluster does not serve nodes any more."""
    replica = held()
    server = api(replica)
    asyncio.run(server.answer(request("/api/v1/pods")))
    replica.told(head(100))  # without facts
    assert isinstance(asyncio.run(server.answer(request("/api/v1/pods"))), Answer)
    found = asyncio.run(server.answer(request("/api/v1")))
    assert isinstance(found, Answer)
    assert [one["name"] for one in json.loads(found.body)["resources"]] == ["pods"]


def test_a_kind_of_which_nobody_told_yet_how_it_is_served_is_503_and_not_404() -> None:
    with pytest.raises(ApiError) as caught:
        get(loaded(pod("a/x", 5)), "/api/v1/pods")
    assert (caught.value.code, caught.value.retry_after) == (503, 1)


def test_a_watch_ends_when_the_api_server_serves_the_kind_no_longer() -> None:
    replica = held()
    replica.told(head(100, facts=pack_facts(PODS, {"major": "1"})))

    async def run() -> None:
        server = api(replica)
        found = await server.answer(request("/api/v1/pods?watch=true&timeoutSeconds=600"))
        assert isinstance(found, Stream)

        async def take(body: bytes) -> None:
            if body:  # what there is; then the CRD is removed
                replica.told(head(100, unserved=True, list_error="NotFound"))
                server._serving.changed(replica)

        await asyncio.wait_for(found.run(take), 10)

    asyncio.run(run())


# --- paths that lead nowhere


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/api/v1/nothing", False),
        ("/api/v9", False),
        ("/nothing", True),
        ("/apis/krm.test/v9", True),
        ("/apis/krm.test/v9/widgets", True),
        ("/apis/krm.test/v1/nothing", True),
        ("/apis/krm.test/v1/widgets/w", True),
        ("/apis/nothing.io/v1/x", True),
    ],
)
def test_a_path_that_leads_nowhere_is_a_status_below_built_in_groups_alone(path: str, text: bool) -> None:
    """As a 1.36 API server answers."""
    replica = Replica("widgets.krm.test")
    replica.load(SnapshotData(Token("n", 1), head(100, facts=pack_facts(WIDGETS, {"major": "1"})), 10.0, {}))
    with pytest.raises(ApiError) as caught:
        get(replica, path)
    assert (caught.value.code, isinstance(caught.value, PageNotFound)) == (404, text)
