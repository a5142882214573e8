"""The ASGI application: one path prefix a cluster, health, and errors as the API server words them."""

from __future__ import annotations

import logging
import time
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from krm.server import classic
from krm.server.audit import Audit
from krm.server.classic import Classic
from krm.server.identity import Gate
from krm.server.kubernetes import KubernetesApi
from krm.server.limits import refusal
from krm.server.nowhere import Nowhere
from krm.server.people import for_people
from krm.server.routes import Route, Routes
from krm.server.serving import Serving
from krm.server.statuses import ApiError, page_not_found
from krm.server.streams import Streams
from krm.server.web import SLOW_AFTER, Answer, Receive, Reply, Request, Scope, Send, SlowReader, of_error, send

PREFIX = "/clusters/"
_TEXT = "text/plain; charset=utf-8"

log = logging.getLogger("krm.server")


class App:
    """Every request comes in here."""

    def __init__(self, default: str, ready: Callable[[], str]) -> None:
        """`default`: the cluster at `/`. `ready`: why this process cannot serve yet, '' = it can."""
        self.apis: Dict[str, KubernetesApi] = {}
        self.routes: Dict[str, Routes] = {}  # cluster -> its routes beside the Kubernetes API
        self._nowhere: Tuple[KubernetesApi, Routes]  # of paths below no cluster of ours
        # Told of each request, the code of its answer, and the seconds until that was ready.
        self.seen: List[Callable[[Request, int, float], None]] = []
        self.audit: Optional[Audit] = None  # where each request is written down
        self.classic: Optional[Classic] = None  # the POST API; None = there is none
        # Whether the Kubernetes API of the first cluster stands at the root too, and not only below its name.
        self.kubernetes_root = True
        self._default, self._ready = default, ready

    def add(
        self, serving: Serving, gate: Gate, routes: Callable[[Gate, Streams], Sequence[Route]]
    ) -> KubernetesApi:
        """One more cluster; `routes`: those beside the Kubernetes API, behind a gate."""
        cluster = serving.catalog.cluster

        def behind(gate: Gate) -> Tuple[KubernetesApi, Routes]:
            api = KubernetesApi(serving, gate)
            return api, Routes(cluster, gate, routes(gate, api.streams))

        self.apis[cluster], self.routes[cluster] = behind(gate)
        if cluster == self._default:
            self._nowhere = behind(Nowhere(gate, lambda: len(self.apis) == 1))
        return self.apis[cluster]

    async def __call__(self, scope: Scope, receive: Receive, send_: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send_)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, scope["path"], receive)
        try:
            await self._answer(request, scope, receive, send_)
        finally:
            while request.ends:
                request.ends.pop()()

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send_: Send) -> None:
        begun = time.monotonic()
        line = None if self.audit is None else self.audit.begin(request, send_)
        reply = refusal(request) or await self._reply(request)
        for tell in self.seen:
            tell(request, reply.status if isinstance(reply, Answer) else 200, time.monotonic() - begun)
        try:
            await send(reply, scope, receive, send_ if line is None else line.send)
        except SlowReader:
            log.info("%s of %s took nothing for %.0f s and was cut off", request.path, request.peer, SLOW_AFTER)
        finally:
            if line is not None:
                line.end(reply)

    async def health(self, scope: Scope, receive: Receive, send_: Send) -> None:
        """The application of a port of its own: /livez and /readyz alone."""
        if scope["type"] == "http":
            page = self._health(scope["path"]) or Answer(b"/livez or /readyz\n", 404, _TEXT)
            await send(page, scope, receive, send_)

    def close(self) -> None:
        """Every watch ends, and no new one begins."""
        for api in self.apis.values():
            api.streams.close()

    async def _reply(self, request: Request) -> Reply:
        try:
            health = self._health(request.path)
            if health is not None:
                return health
            at_root = not request.path.startswith(PREFIX)
            if at_root and self.classic and classic.answers(request.method, request.path, self.kubernetes_root):
                request.cluster = self._default
                return await self.classic.answer(request)
            request.cluster, request.path = cluster, path = self._cluster(request.path)
            api, routes = (self.apis[cluster], self.routes[cluster]) if cluster else self._nowhere
            beside = routes.find(path)
            if beside is not None:
                return await routes.answer(request, *beside)
            if at_root and not self.kubernetes_root:
                raise page_not_found()
            return await self._kubernetes(api, request)
        except ApiError as error:
            return of_error(error)
        except Exception:
            log.exception("%s failed", request.method)
            return of_error(ApiError(500, "InternalError", "krm failed to answer: its log says why"))

    async def _kubernetes(self, api: KubernetesApi, request: Request) -> Reply:
        try:
            reply = await api.answer(request)
        except ApiError as error:
            reply = of_error(error)
        return for_people(request, reply)

    def _health(self, path: str) -> Optional[Answer]:
        if path == "/livez" or path == "/healthz":
            return Answer(b"ok", media=_TEXT)
        if path == "/readyz":
            why = self._ready()
            status = 503 if why else 200
            return Answer((why or "ok").encode(), status, _TEXT)
        return None

    def _cluster(self, path: str) -> Tuple[str, str]:
        """The cluster, '' = none of ours, and what follows its name."""
        if not path.startswith(PREFIX):
            return self._default, path
        rest = path[len(PREFIX) :]
        # A cluster's name may hold slashes itself, as EKS' contexts do: the longest that fits is meant.
        for name in sorted(self.apis, key=len, reverse=True):
            if rest == name or rest.startswith(name + "/"):
                return name, rest[len(name) :] or "/"
        return "", "/" + rest.partition("/")[2]


async def _lifespan(receive: Receive, send_: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send_({"type": "lifespan.startup.complete"})
        else:
            await send_({"type": "lifespan.shutdown.complete"})
            return
