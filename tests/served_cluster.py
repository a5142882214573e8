"""krm's server within a test's own process, over a kept cluster; and a client that reads what was just written.

A test writes to Redis and reads at once. Through a server it would read what the server has come to, a few
milliseconds ago: so each call of `Settled` waits until the server has seen what Redis holds.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from dataclasses import replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from kept_cluster import KeptCluster, wait_until
from krm.client.client import Client, connect
from krm.model.head import Head
from krm.server import hub as hubs
from krm.server.app import App
from krm.server.hub import Hub
from krm.server.identity import Gate, Open
from krm.server.kept import Kept
from krm.server.listening import Port
from krm.server.metrics import Metrics
from krm.server.original import Original
from krm.server.own_routes import own_routes
from krm.server.past import Past
from krm.server.routes import Route
from krm.server.seen_api import SeenApi, SeenReads
from krm.server.serving import Serving
from krm.server.streams import Streams
from krm.store import connect as store
from krm.store import follow
from krm.store.errors import StoreError
from krm.store.keys import Keys, meta_key
from krm.store.meta import KIND_FIELD
from krm.store.streams import decoded_head, pairs


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def first(self) -> Any:
        """The first of its JSON lines."""
        return json.loads(self.body.split(b"\n")[0])


class Served:
    """A server on a port of its own; `with` ends it."""

    def __init__(self, url: str, clusters: List[str], gates: Optional[Dict[str, Gate]] = None) -> None:
        self._database = store.connect(url, name="test-server")
        self._clusters, self._gates = clusters, gates or {}
        self.hubs: Dict[str, Hub] = {}
        self.past = Past(self._database)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self.port: Any = None

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        for hub in self.hubs.values():
            hub.stop()
            for feed in list(hub._feeds.values()):
                feed.join(10)  # while the loop still takes what they tell
        self._loop.call_soon_threadsafe(self._app.close)
        self._loop.call_soon_threadsafe(self.port.stop)
        self._thread.join(20)
        self.past.close()

    @property
    def url(self) -> str:
        return str(self.port.url)

    def get(self, kept: KeptCluster, path: str, token: str, **headers: str) -> Got:
        """An answer to one request, once the server has seen what Redis holds."""
        self.settle(kept)
        connection = http.client.HTTPConnection("127.0.0.1", self.port.number, timeout=20)
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}", **headers})
        answer = connection.getresponse()
        got = Got(answer.status, answer.headers, answer.read())
        connection.close()
        return got

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = self._app = App(self._clusters[0], lambda: "")
        kept = Kept(1 << 26)
        metrics = Metrics(kept)
        for name in self._clusters:
            hub = self.hubs[name] = Hub(self._database, name, self._loop)
            serving = Serving(hub.catalog, kept, hub.now)
            hub.changed = serving.changed
            gate = self._gates.get(name, Open())
            metrics.add(name, serving, app.add(serving, gate, self._routes(serving, metrics)).streams, gate)
            hub.start()
        self.port = Port(app, "127.0.0.1", 0)
        self._ready.set()
        await self.port.serve()

    def _routes(self, serving: Serving, metrics: Metrics) -> Callable[[Gate, Streams], List[Route]]:
        def routes(gate: Gate, streams: Streams) -> List[Route]:
            own = own_routes(serving, gate, self.past, streams, lambda: self._app.routes)
            cluster = serving.catalog.cluster
            own += SeenApi(gate, SeenReads(self._database, cluster)).routes()
            return [*Original(serving, gate).routes(), metrics.route(cluster, gate), *own]

        return routes

    def settle(self, kept: KeptCluster) -> None:
        """Until the server has seen what Redis holds of each announced kind."""
        wait_until(lambda: self._settled(kept), 10)

    def _settled(self, kept: KeptCluster) -> bool:
        link = kept.database.link()
        try:
            fields = [field.decode() for field in pairs(link.call("HGETALL", meta_key(kept.name)))]
            announced = [
                field[len(KIND_FIELD) :].partition("@") for field in fields if field.startswith(KIND_FIELD)
            ]
            known = [(one.kind, one.namespace) for one in list(self.hubs[kept.name].catalog.all())]
            for kind, namespace in {*known, *[(kind, namespace) for kind, _, namespace in announced]}:
                head = decoded_head(link.call("HGETALL", Keys(kept.name, kind, namespace).head))
                if not self._has_come_to(kept.name, kind, namespace, head):
                    return False
        except StoreError:
            return True
        finally:
            link.close()
        return True

    def _has_come_to(self, cluster: str, kind: str, namespace: str, head: Optional[Head]) -> bool:
        for replica in list(self.hubs[cluster].catalog.all()):
            if (replica.kind, replica.namespace) == (kind, namespace):
                return same(replica.head, head) and (
                    head is None or not head.incarnation or tuple(replica.token) == (head.incarnation, head.version)
                )
        return False


def same(seen: Optional[Head], head: Optional[Head]) -> bool:
    """But for what beats."""
    if seen is None or head is None:
        return seen is head
    if abs((seen.beat or 0) - (head.beat or 0)) > 5:
        return False  # a stalled kind's beat is told too
    quiet: Dict[str, Any] = dict.fromkeys(("beat", "probed_at", "streamer_at", "current_as_of"))
    return replace(seen, **quiet) == replace(head, **quiet)


class Settled:
    """A `Client` over HTTP, made when it is first used, that waits as above before each call."""

    def __init__(self, kept: KeptCluster, made: Callable[[], Served]) -> None:
        self._kept, self._made = kept, made
        self._served: Optional[Served] = None
        self._client: Optional[Client] = None

    def __getattr__(self, name: str) -> Any:
        if self._served is None or self._client is None:
            self._served = self._made()
            self._client = connect(self._served.url)
        self._served.settle(self._kept)
        return getattr(self._client, name)

    def end(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._served is not None:
            self._served.__exit__()


def quick(monkeypatch: Any) -> None:
    """A server that looks for kinds and compares heads often: the tests' kinds come and go."""
    monkeypatch.setattr(hubs, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(follow, "_COMPARE", 0.1)
