"""The routes beside the Kubernetes API, one table: requests are matched by it, and OpenAPI is written from it.

A route says in one place what it is called, which parameters it takes, what it answers and who handles
it. `Routes` of one cluster authenticates the caller and checks the parameters' names; what a handler
gives of a cluster's data it must have authorised itself (`call.user`, the Gate).
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.server.identity import Attributes, Gate, User
from krm.server.statuses import ApiError, bad_request, quoted
from krm.server.web import JSON_TYPE, Answer, Reply, Request, of_error

JSON_LINES = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
STRING: Mapping[str, Any] = {"type": "string"}
BOOLEAN: Mapping[str, Any] = {"type": "boolean"}


class Parameter(NamedTuple):
    """One parameter of a route. What stands in braces in the route's path needs `where="path"`."""

    name: str
    about: str  # a sentence for whoever reads the OpenAPI document
    schema: Mapping[str, Any] = STRING
    where: str = "query"  # query, path or header
    required: bool = False


class Content(NamedTuple):
    """What a route answers with 200: the schema of each media type."""

    about: str
    media: Mapping[str, Mapping[str, Any]]


class ErrorForm(NamedTuple):
    """How a route tells its errors."""

    write: Callable[[ApiError], Answer]
    schema: Mapping[str, Any]


STATUS = ErrorForm(
    of_error,
    {
        "type": "object",
        "properties": {
            "kind": {"const": "Status"},
            "apiVersion": {"const": "v1"},
            "status": {"const": "Failure"},
            "message": {"type": "string"},
            "reason": {"type": "string"},
            "code": {"type": "integer"},
        },
        "required": ["kind", "apiVersion", "status", "message", "code"],
    },
)


class Call(NamedTuple):
    """One request to one route, its caller known, its parameters' names checked."""

    request: Request
    user: User
    cluster: str
    path: Mapping[str, str]  # what stood in the braces
    query: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        """A parameter as it was written."""
        return self.query.get(name, default)

    def flag(self, name: str) -> bool:
        """A boolean. Raises ApiError 400."""
        found = self.query.get(name, "false").lower()
        if found not in ("true", "false", "1", "0", ""):
            raise bad_request(f"{name} is true or false, not {quoted(found[:40])}")
        return found in ("true", "1", "")

    def number(self, name: str, default: float, most: float) -> float:
        """Not negative, at most `most`: what is larger is cut. Raises ApiError 400."""
        text = self.query.get(name)
        if text is None:
            return default
        whole, _, part = text.partition(".")
        if not (len(text) <= 20 and (whole + part).isascii() and (whole + part).isdigit() and whole):
            raise bad_request(f"{name} is a number of seconds, not {quoted(text[:40])}")
        return min(most, float(text))


Handler = Callable[[Call], Awaitable[Reply]]


class Route(NamedTuple):
    """One path, read by GET and HEAD."""

    path: str  # /krm/v1/snapshots/{kind}
    name: str  # operationId
    summary: str
    handle: Handler
    answer: Content
    parameters: Tuple[Parameter, ...] = ()
    errors: Tuple[int, ...] = ()  # codes beside those that every route may answer
    takes_others: bool = False  # parameters that are not listed are ignored
    error_form: ErrorForm = STATUS


class Routes:
    """One cluster's routes."""

    def __init__(self, cluster: str, gate: Gate, routes: Sequence[Route] = ()) -> None:
        self.cluster = cluster
        self.all: List[Route] = []
        self._gate = gate
        self._patterns: Dict[str, List[Tuple[Any, Route]]] = {}  # by the first segment of the path
        self.add(routes)

    def add(self, routes: Sequence[Route]) -> None:
        """Further routes; the first that matches a path answers."""
        from starlette.routing import compile_path  # `krm server --help` works without the extra `server`

        for route in routes:
            self.all.append(route)
            self._patterns.setdefault(_first(route.path), []).append((compile_path(route.path)[0], route))

    def find(self, path: str) -> Optional[Tuple[Route, Dict[str, str]]]:
        """The route of a path, decoded and without its cluster's prefix; None = it is none of these."""
        for pattern, route in self._patterns.get(_first(path), ()):
            found = pattern.match(path)
            if found is not None:
                return route, found.groupdict()
        return None

    async def lets_in(self, request: Request, cluster: str) -> bool:
        """Whether this cluster knows who asks of `cluster` and shows them what it serves. Raises ApiError 503.

        A caller means their token for the cluster of their path: where this is another, whose gate hands tokens
        on, nobody is asked."""
        if self._gate.hands_on and cluster != self.cluster:
            return False
        try:
            user = await self._gate.user(request, self.cluster)
            await self._gate.check(user, Attributes(self.cluster, "get", path="/apis"))
        except ApiError as error:
            if error.code not in (401, 403):
                raise
            return False
        return True

    async def answer(self, request: Request, route: Route, path: Dict[str, str]) -> Reply:
        """Errors are answers too: 400, 401, 403, 405, 503, and what the handler raises."""
        try:
            return await self._answer(request, route, path)
        except ApiError as error:
            return route.error_form.write(error)

    async def _answer(self, request: Request, route: Route, path: Dict[str, str]) -> Reply:
        user = request.user = await self._gate.user(request, self.cluster)
        if request.method not in ("GET", "HEAD"):
            raise ApiError(405, "MethodNotAllowed", "krm is read-only: GET and HEAD are all that it takes", {})
        query = request.query()
        if not route.takes_others:
            known = sorted(one.name for one in route.parameters if one.where == "query")
            for name in query:
                if name not in known:
                    takes = ", ".join(known) or "none"
                    raise bad_request(f"{quoted(name[:40])} is no parameter of {route.path} (it takes: {takes})")
            if request.twice:
                raise bad_request(f"{quoted(request.twice[:40])} stands there more than once: which one is meant?")
        return await route.handle(Call(request, user, self.cluster, path, query))


def _first(path: str) -> str:
    return path[1:].partition("/")[0]


def json_content(about: str, schema: Mapping[str, Any]) -> Content:
    """An answer that is JSON alone."""
    return Content(about, {JSON_TYPE: schema})
