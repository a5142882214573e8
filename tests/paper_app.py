"""The server's application over replicas that a test fills itself: no Redis, no port, one call a request."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast
from urllib.parse import unquote

from kept_cluster import _RESOURCES
from krm.model.canonical import Canonicaliser
from krm.model.head import Head
from krm.model.kinds import Resource, parse_kind, split_key
from krm.model.records import Envelope
from krm.model.served import pack_facts
from krm.server.app import App
from krm.server.catalog import Catalog
from krm.server.identity import Attributes, Open, User
from krm.server.kept import Kept
from krm.server.metrics import Metrics
from krm.server.original import Original
from krm.server.own_routes import own_routes
from krm.server.past import Past
from krm.server.replica import Replica
from krm.server.routes import Route
from krm.server.serving import Serving
from krm.server.statuses import forbidden
from krm.server.streams import Streams
from krm.server.web import Request
from krm.store.connect import Database
from krm.store.read import SnapshotData, Token

NOW = 1_000_000.0  # seconds, the Redis clock of all tests


class Got(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Gate(Open):
    """Everyone may do everything but what is refused: (verb, kind, namespace). Keeps what it was asked."""

    def __init__(self) -> None:
        self.refused: List[Tuple[str, str, str]] = []
        self.asked: List[Attributes] = []
        self.known: Callable[[Request], None] = lambda request: None

    async def user(self, request: Request, cluster: str) -> User:
        self.known(request)
        return await super().user(request, cluster)

    async def check(self, user: User, attributes: Attributes) -> None:
        self.asked.append(attributes)
        if (attributes.verb, str(attributes.kind), attributes.namespace) in self.refused:
            raise forbidden(user.name, attributes.verb, attributes.kind, attributes.namespace)


class PaperApp:
    """One cluster of replicas at `now`."""

    def __init__(self, *clusters: str, gate: Optional[Gate] = None) -> None:
        self.gate, self.now = gate or Gate(), NOW
        kept = Kept(1 << 24)
        self.metrics = Metrics(kept)
        self.catalogs: Dict[str, Catalog] = {}
        self.app = App((clusters or ("paper",))[0], lambda: "")
        self.servings: Dict[str, Serving] = {}
        for name in clusters or ("paper",):
            catalog = self.catalogs[name] = Catalog(name)
            serving = self.servings[name] = Serving(catalog, kept, lambda replica: self.now)
            api = self.app.add(serving, self.gate, self._routes(serving))
            self.metrics.add(name, serving, api.streams, self.gate)
        self.app.seen.append(self.metrics.seen)

    def _routes(self, serving: Serving) -> Callable[[Any, Streams], List[Route]]:
        past, name = Past(cast(Database, None)), serving.catalog.cluster  # nothing here is of the past

        def routes(gate: Any, streams: Streams) -> List[Route]:
            beside = [*Original(serving, gate).routes(), self.metrics.route(name, gate)]
            return beside + own_routes(serving, gate, past, streams, lambda: self.app.routes)

        return routes

    def kind(
        self,
        kind: str,
        objects: Optional[Mapping[str, Dict[str, Any]]] = None,
        namespace: str = "",
        cluster: str = "",
        **head: Any,
    ) -> Replica:
        """A kind that is live at NOW; `head` says otherwise. objects: namespace/name -> labels, spec, status."""
        version, object_kind, namespaced = _RESOURCES[kind]
        resource = Resource(parse_kind(kind), version, object_kind, namespaced)
        told = {
            "incarnation": "n", "version": 1, "rv": "100", "beat": NOW, "probed_at": NOW, "streamer_at": NOW,
            "current_as_of": NOW - 1, "observed_at": NOW, "verified_rv": "100", "verified_at": NOW - 2,
            "facts": pack_facts(resource, {"major": "1", "minor": "36"}),
        }  # fmt: skip
        told.update(head)
        replica = Replica(kind, namespace)
        held = {
            key: _envelope(resource, key, 10 + n, parts) for n, (key, parts) in enumerate((objects or {}).items())
        }
        replica.load(SnapshotData(Token("n", 1), Head(**told), NOW, held))
        self.catalogs[cluster or next(iter(self.catalogs))].add(replica)
        return replica

    def warming(self, kind: str) -> Replica:
        """A kind that is announced, and of which nothing was read yet."""
        replica = Replica(kind)
        next(iter(self.catalogs.values())).add(replica)
        return replica

    def ask(
        self,
        target: str,
        method: str = "GET",
        headers: Sequence[Tuple[str, str]] = (),
        body: Sequence[bytes] = (),
        peer: str = "127.0.0.1",
    ) -> Got:
        """One request; `target` as it stands in the request line, `body` in the pieces that come."""
        path, _, query = target.partition("?")
        sent: List[Dict[str, Any]] = []
        pieces = list(body)

        async def send(message: Dict[str, Any]) -> None:
            sent.append(message)

        async def receive() -> Dict[str, Any]:
            if pieces:
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces)}
            return {"type": "http.disconnect"}

        scope = {
            "type": "http", "method": method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "client": (peer, 1), "state": {},
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        }  # fmt: skip
        asyncio.run(self.app(scope, receive, send))
        start, *bodies = sent
        found = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
        return Got(start["status"], found, b"".join(one.get("body", b"") for one in bodies))


def _envelope(resource: Resource, key: str, rv: int, parts: Dict[str, Any]) -> Envelope:
    namespace, name = split_key(key)
    metadata: Dict[str, Any] = {"name": name, "uid": f"uid-{key}", "resourceVersion": str(rv)}
    if namespace:
        metadata["namespace"] = namespace
    metadata["creationTimestamp"] = "2026-01-01T00:00:00Z"
    rest = dict(parts)
    for field in ("labels", "annotations"):
        if field in rest:
            metadata[field] = rest.pop(field)
    item = Canonicaliser(resource).item(json.dumps({"metadata": metadata, **rest}).encode())
    return Envelope(item.rv, item.uid, item.digest, NOW, item.labels, item.fields, item.body)
