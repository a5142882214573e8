"""What an answer of metrics.k8s.io is worth: how old it is, and what is missing in it, is told."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any, Tuple

import pytest
from krm.model.measures import Silence
from krm.model.served import pack_facts
from krm.server.catalog import Catalog
from krm.server.identity import Open
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.serving import Serving
from krm.server.web import Answer
from krm.store.read import Token
from server.measured_api import (
    BASE,
    answer,
    asked,
    catalog_of,
    nodes_of,
    pods_of,
    refusal,
    turn,
    warned,
)
from server.measurements import measured, pod, state, turn_of
from server.replicas import PODS, head, loaded
from server.replicas import pod as object_of


@pytest.mark.parametrize(("beat", "expected"), [(5.0, "7.000"), (11.5, "2.000")])
def test_an_answer_is_as_old_as_the_older_of_turn_and_replica(beat: float, expected: str) -> None:
    """It is 12.0 by the Redis clock; the replica was proven current at 10.0."""
    found = answer(catalog_of(turn(beat=beat), age=4.0), f"{BASE}/nodes")
    headers = dict(found.headers)
    assert (headers["Krm-State"], headers["Krm-Age-Seconds"], headers["Krm-Version"]) == ("live", expected, "n:1")
    assert warned(found) == ""


def test_a_large_list_is_compressed_for_who_takes_that() -> None:
    keys = [f"shop/web-{number}" for number in range(1000)]
    replica = loaded(*[object_of(key, number, "app=web") for number, key in enumerate(keys, 5)])
    replica.told(head(100, facts=pack_facts(PODS, {"major": "1"})))
    pods = [pod(key[5:], {"app": [measured(1.0, 1.0)]}) for key in keys]
    api = KubernetesApi(
        Serving(catalog_of(turn_of({"shop": pods}), replica), Kept(1 << 22), lambda _: 12.0), Open()
    )
    plain, packed = asked(f"{BASE}/pods"), asked(f"{BASE}/pods")
    packed.headers["accept-encoding"] = "gzip"

    async def both() -> Tuple[Any, Any]:
        return await api.answer(plain), await api.answer(packed)

    one, other = asyncio.run(both())
    assert len(json.loads(one.body)["items"]) == 1000
    assert ("Content-Encoding", "gzip") in other.headers
    assert gzip.decompress(other.body) == one.body


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
