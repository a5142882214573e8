"""What krm holds but cannot show is never "not found" and never silently left out."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, Tuple

import pytest
from krm.model.head import Head
from krm.model.kinds import Kind, Resource
from krm.model.records import Envelope, object_digest
from krm.model.served import pack_facts
from krm.server.catalog import Catalog
from krm.server.identity import Open
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import ApiError
from krm.server.web import Answer, Request
from krm.store.read import SnapshotData, Token

PODS = Resource(Kind("pods", ""), "v1", "Pod", True, "pod", ("po",))


def api(corrupt: Tuple[str, ...]) -> KubernetesApi:
    body = b'{"apiVersion":"v1","kind":"Pod","metadata":{"name":"sound","namespace":"a"}}'
    envelope = Envelope("5", "u", object_digest(body), 1.0, b"", (), body)
    replica, catalog = Replica("pods"), Catalog("c")
    head = Head(
        incarnation="n", version=1, rv="9", beat=100.0, probed_at=100.0, streamer_at=100.0, current_as_of=100.0,
        verified_at=100.0, verified_rv="9", facts=pack_facts(PODS, {"major": "1"}),
    )  # fmt: skip
    replica.load(SnapshotData(Token("n", 1), head, 100.0, {"a/sound": envelope}, corrupt))
    catalog.add(replica)
    return KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 100.0), Open())


def get(path: str, corrupt: Tuple[str, ...]) -> Answer:
    scope: Dict[str, Any] = {"method": "GET", "path": path, "headers": [], "query_string": b""}
    found = asyncio.run(api(corrupt).answer(Request(scope, path)))
    assert isinstance(found, Answer)
    return found


def test_an_object_whose_bytes_rotted_is_unavailable_and_another_is_not_found() -> None:
    with pytest.raises(ApiError) as rotten:
        get("/api/v1/namespaces/a/pods/rotten", ("a/rotten",))
    assert (rotten.value.code, rotten.value.retry_after) == (503, 1)
    assert "rotted" in rotten.value.message
    absent = get("/api/v1/namespaces/a/pods/absent", ("a/rotten",))
    assert (absent.status, json.loads(absent.body)["message"]) == (404, 'pods "absent" not found')
    assert "left out" in dict(absent.headers)["Warning"]


def test_a_list_that_leaves_one_out_says_so() -> None:
    warned = dict(get("/api/v1/pods", ("a/rotten",)).headers).get("Warning", "")
    assert "some pods of this cluster are left out" in warned
    assert "Warning" not in dict(get("/api/v1/pods", ()).headers)


def test_how_many_objects_there_are_is_not_told_with_an_error() -> None:
    replica = Replica("pods")
    replica.lost(Head(incarnation="n", version=1, rv="9", truncated=123_456, facts=pack_facts(PODS, {})))
    catalog = Catalog("c")
    catalog.add(replica)
    server = KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 100.0), Open())
    path = "/api/v1/pods"
    scope: Dict[str, Any] = {"method": "GET", "path": path, "headers": [], "query_string": b""}
    with pytest.raises(ApiError) as refused:
        asyncio.run(server.answer(Request(scope, path)))
    assert refused.value.code == 503
    assert "123" not in refused.value.message
