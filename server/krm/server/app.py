"""The ASGI application: one path prefix a cluster, health, and errors as the API server words them."""

from __future__ import annotations

import logging
import time
from typing import Callable, Dict, List, Optional, Tuple

from krm.server.audit import Audit
from krm.server.kubernetes import KubernetesApi
from krm.server.limits import refusal
from krm.server.people import for_people
from krm.server.routes import Routes
from krm.server.statuses import ApiError, unknown_resource
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
        # Told of each request, the code of its answer, and the seconds until that was ready.
        self.seen: List[Callable[[Request, int, float], None]] = []
        self.audit: Optional[Audit] = None  # where each request is written down
        self._default, self._ready = default, ready

    async def __call__(self, scope: Scope, receive: Receive, send_: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send_)
            return
        if scope["type"] != "http":
            return
        request = Request(scope, scope["path"])
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
            request.cluster, request.path = cluster, path = self._cluster(request.path)
            beside = self.routes[cluster].find(path) if cluster in self.routes else None
            if beside is not None:
                return await self.routes[cluster].answer(request, *beside)
            return await self._kubernetes(cluster, request)
        except ApiError as error:
            return of_error(error)
        except Exception:
            log.exception("%s failed", request.method)
            return of_error(ApiError(500, "InternalError", "krm failed to answer: its log says why"))

    async def _kubernetes(self, cluster: str, request: Request) -> Reply:
        try:
            reply = await self.apis[cluster].answer(request)
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
        if not path.startswith(PREFIX):
            return self._default, path
        rest = path[len(PREFIX) :]
        # A cluster's name may hold slashes itself, as EKS' contexts do: the longest that fits is meant.
        for name in sorted(self.apis, key=len, reverse=True):
            if rest == name or rest.startswith(name + "/"):
                return name, rest[len(name) :] or "/"
        raise unknown_resource()


async def _lifespan(receive: Receive, send_: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send_({"type": "lifespan.startup.complete"})
        else:
            await send_({"type": "lifespan.shutdown.complete"})
            return
