"""The Kubernetes API of a paper cluster of which a collector has written a turn."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Optional, Sequence, Tuple

from krm.model.kinds import Kind, Resource
from krm.model.records import Envelope
from krm.model.served import pack_facts
from krm.server.catalog import Catalog
from krm.server.identity import Open
from krm.server.kept import Kept
from krm.server.kubernetes import KubernetesApi
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import ApiError
from krm.server.web import Answer, Request
from krm.store.latest_reader import Packed
from krm.store.read import SnapshotData, Token
from server.measurements import measured, pod, state, turn_of
from server.replicas import PODS, head, loaded
from server.replicas import pod as object_of

BASE = "/apis/metrics.k8s.io/v1beta1"
NODES = Resource(Kind("nodes", ""), "v1", "Node", False, "node", ("no",), ())


def pods_of(*more: Envelope) -> Replica:
    running = [object_of(key, number, labels) for number, (key, labels) in enumerate(_PODS, 5)]
    found = loaded(*running, object_of("shop/pending", 50, phase="Pending"), *more)
    found.told(head(100, facts=pack_facts(PODS, {"major": "1"})))
    return found


_PODS = (("kube-system/dns", ""), ("shop/bare", ""), ("shop/web-0", "app=web"), ("shop/web-1", "app=web,z=1"))


def nodes_of() -> Replica:
    replica = Replica("nodes")
    objects = {f"/{name}": Envelope("5", name, b"", 1.0, b'{"zone":"a"}', (), b"{}") for name in ("n-1", "n-2")}
    replica.load(SnapshotData(Token("n", 1), head(100), 10.0, objects))
    replica.told(head(100, facts=pack_facts(NODES, {"major": "1"})))
    return replica


def turn(**more: Any) -> Packed:
    web = pod("web-0", {"app": [measured(250.0, 64.0 * 2**20)], "side": [measured(1.0, 10.0 * 2**20)]})
    pods = {
        "kube-system": [pod("dns", {"dns": [measured(123.4567, 12345678.0)]})],
        "shop": [web, pod("web-1", {"app": [measured(1500.0, 2.0**30)]}), pod("pending", {"c": [measured(1, 1)]})],
    }
    return turn_of(pods, {"n-1": [measured(2000.0, 2.0**33)]}, state(**more))


def catalog_of(found: Optional[Packed], *replicas: Replica, age: float = 0.0) -> Catalog:
    """`age`: seconds since the collector wrote."""
    catalog = Catalog("c")
    for replica in replicas or (pods_of(), nodes_of()):
        catalog.add(replica)
    beat = 10.0 if found is None or found.collector is None else found.collector.beat
    catalog.newest.told(found, beat + age - time.monotonic())
    return catalog


def asked(path: str, method: str = "GET", accept: str = "") -> Request:
    path, _, query = path.partition("?")
    rows = [(b"accept", accept.encode())] if accept else []
    scope = {"method": method, "path": path, "headers": rows, "query_string": query.encode()}
    return Request(scope, path)


def answer(catalog: Catalog, path: str, gate: Optional[Open] = None, accept: str = "") -> Answer:
    api = KubernetesApi(Serving(catalog, Kept(1 << 20), lambda _: 12.0), gate or Open())
    found = asyncio.run(api.answer(asked(path, accept=accept)))
    assert isinstance(found, Answer)
    return found


def get(path: str, accept: str = "") -> Any:
    found = answer(catalog_of(turn()), path, accept=accept)
    assert found.status == 200, found.body
    return json.loads(found.body)


def refusal(path: str, catalog: Optional[Catalog] = None, accept: str = "") -> Tuple[int, str, Any]:
    """Code, message and details."""
    try:
        found = answer(catalog or catalog_of(turn()), path, accept=accept)
    except ApiError as error:
        return error.code, error.message, error.details
    body = json.loads(found.body)
    return found.status, body["message"], body.get("details")


def warned(found: Answer) -> str:
    return "\n".join(value for name, value in found.headers if name == "Warning")


def names(path: str) -> Sequence[str]:
    return [one["metadata"]["name"] for one in get(path)["items"]]
