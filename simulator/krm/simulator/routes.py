"""From a request to an answer: paths, verbs, parameters, rights, and the faults that strike before any of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Iterator, List, Optional

from . import discovery, writes
from .access import Access
from .kinds import Kind
from .listing import ListQuery, get_bytes, list_bytes, timeout
from .measured import GROUP, KINDS, VERSION, Measured
from .messages import PLAIN, Answer, Request
from .selectors import Selector, parse_fields, parse_labels
from .watching import Watch, WatchQuery
from .wire import Refusal, dumps, invalid_options
from .world import World


@dataclass
class Timing:
    """How patient the API server is, in seconds."""

    too_large_wait: float = 3.0  # a resourceVersion that lies ahead
    hang: float = 60.0  # a request while etcd is stopped
    bookmark: float = 60.0  # between bookmarks
    watch: float = 1800.0  # a watch without timeoutSeconds


@dataclass(frozen=True)
class Target:
    """What a path names."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> str:
        return self.namespace + "/" + self.name if self.kind.namespaced else self.name


class Routes:
    """The API of one world."""

    def __init__(self, world: World, access: Optional[Access] = None, timing: Optional[Timing] = None) -> None:
        self.world, self.access, self.timing = world, access, timing or Timing()
        self.measured: Optional[Measured] = None  # set by whoever serves metrics.k8s.io

    def answer(self, request: Request) -> Answer:
        """Never raises for what a client can send."""
        try:
            return self._dispatch(request)
        except Refusal as refusal:
            return Answer(refusal.code, refusal.body(), headers=dict(refusal.headers))

    def _dispatch(self, request: Request) -> Answer:
        user = self.access.user(request.headers) if self.access is not None else ""
        parts = request.parts
        if self.measured is not None and parts[:3] == ["apis", GROUP, VERSION] and len(parts) > 3:
            return self.measured.answer(request, user, self.access)
        if parts[:1] in (["api"], ["apis"]):
            target = self._target(parts)
            if target is not None:
                return self._resource(request, target, user)
            if len(parts) > (2 if parts[0] == "api" else 3):
                return self._unserved(parts, user)
        if self.access is not None:
            self.access.check_path(user, "/" + "/".join(parts))
        return self._discovery(request, parts)

    # -- discovery

    def _discovery(self, request: Request, parts: List[str]) -> Answer:
        kinds, many = self.world.kinds(), discovery.wants_aggregated(request.accept)
        if self.measured is not None:
            kinds += KINDS
        if parts in (["readyz"], ["livez"], ["healthz"]):
            return Answer(body=b"ok", content_type=PLAIN)
        if parts == ["version"]:
            return Answer(body=dumps(discovery.VERSION) + b"\n")
        if parts in (["api"], ["apis"]) and many:
            body = dumps(discovery.aggregated(kinds, core=parts == ["api"]))
            return Answer(body=body, content_type=discovery.AGGREGATED)
        found = None
        if parts == ["api"]:
            found = discovery.api_versions()
        elif parts == ["apis"]:
            found = discovery.api_groups(kinds)
        elif parts == ["api", "v1"]:
            found = discovery.resource_list("v1", [kind for kind in kinds if not kind.group])
        elif len(parts) in (2, 3) and parts[0] == "apis":
            members = [kind for kind in kinds if kind.group == parts[1]]
            if members and len(parts) == 2:
                found = discovery.api_group(parts[1], members)
            members = [kind for kind in members if kind.version == parts[-1]]
            if members and len(parts) == 3:
                found = discovery.resource_list("/".join(parts[1:]), members)
        if found is None:
            return _no_page()
        return Answer(body=dumps(found) + b"\n")

    # -- resources

    def _unserved(self, parts: List[str], user: str) -> Answer:
        """Rights come first; a built-in group answers with a Status, an unknown one with a plain page."""
        group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
        if self.access is not None:
            resource = parts[2 if parts[0] == "api" else 3]
            self.access.check(user, "list", Kind(resource, group, version, resource), "", "")
        if any(kind.group == group and kind.version == version and not kind.custom for kind in self.world.kinds()):
            raise Refusal(404, "NotFound", "the server could not find the requested resource", {})
        return _no_page()

    def _target(self, parts: List[str]) -> Optional[Target]:
        """The kind and object of a path; None where it names no resource that is served."""
        group, version, rest = (
            ("", parts[1:2], parts[2:]) if parts[0] == "api" else ("".join(parts[1:2]), parts[2:3], parts[3:])
        )
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            found = self._find("", ["v1"], "namespaces") if group else None
            if rest[2] not in ("status", "finalize") or found is not None:
                namespace, rest = rest[1], rest[2:]
        if not rest or len(rest) > 3:
            return None
        kind = self._find(group, version, rest[0])
        if kind is None or (namespace and not kind.namespaced):
            return None
        name, subresource = "".join(rest[1:2]), "".join(rest[2:3])
        if kind.namespaced and name and not namespace:
            return None
        return Target(kind, namespace, name, subresource)

    def _find(self, group: str, version: List[str], resource: str) -> Optional[Kind]:
        for kind in self.world.kinds():
            if kind.resource == resource and kind.group == group and [kind.version] == version:
                return kind
        return None

    def _resource(self, request: Request, target: Target, user: str) -> Answer:
        verb = _verb(request, target)
        if self.access is not None:
            self.access.check(user, verb, target.kind, target.namespace, target.name)
        self._strike(target.kind, verb)
        gzip = self.world.faults.lasting("gzip", target.kind.name) is not None
        try:
            if verb == "list":
                answer = Answer(body=self._list(request, target))
            elif verb == "watch":
                answer = Answer(stream=self._watch(request, target))
            elif verb == "get":
                answer = Answer(body=self._get(request, target))
            else:
                answer = self._write(request, target, verb)
        except KeyError:  # the kind was removed meanwhile
            return _no_page()
        answer.gzip_anyway = gzip
        return answer

    def _strike(self, kind: Kind, verb: str) -> None:
        """The faults that hit a request before it is understood."""
        faults = self.world.faults
        delay = faults.lasting("slow", kind.name)
        if delay is not None:
            time.sleep(delay)
        retry_after = faults.lasting("http_429", kind.name)
        if retry_after is not None:
            seconds = max(1, int(retry_after))
            raise Refusal(
                429,
                "TooManyRequests",
                "Too many requests, please try again later.",
                {"retryAfterSeconds": seconds},
                headers={"Retry-After": str(seconds)},
            )
        if faults.lasting("http_500", kind.name) is not None:
            raise Refusal(500, "InternalError", "Internal error occurred: simulated", {})
        if verb in ("list", "watch") and faults.lasting("http_410", kind.name) is not None:
            raise Refusal(410, "Expired", "too old resource version: 1 (%d)" % self.world.compacted)

    def _selector(self, request: Request, target: Target) -> Selector:
        labels = parse_labels(request.value("labelSelector"))
        fields = parse_fields(target.kind, request.value("fieldSelector"))
        if target.name:  # GET .../pods/x?watch=true is a watch of one
            fields += (("metadata.name", True, target.name),)
        return Selector(target.namespace, labels, fields)

    def _list(self, request: Request, target: Target) -> bytes:
        query = ListQuery(
            target.kind,
            self._selector(request, target),
            request.value("resourceVersion"),
            request.value("resourceVersionMatch"),
            _number(request, "limit"),
            request.value("continue"),
            _partial(request),
        )
        if "sendInitialEvents" in request.query:
            text = "sendInitialEvents is forbidden for list"
            raise invalid_options([("sendInitialEvents", "FieldValueForbidden", text)])
        return list_bytes(self.world, query, self.timing.too_large_wait, self.timing.hang)

    def _get(self, request: Request, target: Target) -> bytes:
        timing = self.timing
        return get_bytes(
            self.world,
            target.kind,
            target.key,
            _partial(request),
            request.value("resourceVersion"),
            timing.too_large_wait,
            timing.hang,
        )

    def _watch(self, request: Request, target: Target) -> Iterator[bytes]:
        initial = request.flag("sendInitialEvents") if "sendInitialEvents" in request.query else None
        query = WatchQuery(
            target.kind,
            self._selector(request, target),
            request.value("resourceVersion"),
            float(_number(request, "timeoutSeconds") or self.timing.watch),
            request.flag("allowWatchBookmarks"),
            initial,
            request.value("resourceVersionMatch"),
            _partial(request),
        )
        return Watch(self.world, query, self.timing.bookmark, self.timing.too_large_wait).chunks()

    def _write(self, request: Request, target: Target, verb: str) -> Answer:
        world, kind = self.world, target.kind
        if not world.faults.wait_healed("etcd_stopped", kind.name, self.timing.hang):
            raise timeout("request did not complete within the allotted duration")
        status = target.subresource == "status"
        if verb == "create":
            return Answer(201, writes.create(world, kind, target.namespace, request.body) + b"\n")
        if verb == "update":
            body = writes.replace(world, kind, target.key, request.body, status)
        elif verb == "patch":
            body = writes.merge(world, kind, target.key, request.body, status)
        else:
            body = writes.delete(world, kind, target.key, request.body, request.value("gracePeriodSeconds"))
        return Answer(body=body + b"\n")


_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def _verb(request: Request, target: Target) -> str:
    if request.method == "GET":
        if request.flag("watch"):
            return "watch"
        return "get" if target.name else "list"
    verb = _VERBS.get(request.method, "")
    if not verb or (verb == "create") == bool(target.name):
        text = "the server does not allow this method on the requested resource"
        raise Refusal(405, "MethodNotAllowed", text, {})
    return verb


def _number(request: Request, name: str) -> int:
    text = request.value(name)
    if not text:
        return 0
    try:
        return max(0, int(text))
    except ValueError:
        message = 'strconv.ParseInt: parsing "%s": invalid syntax' % text
        raise Refusal(400, "BadRequest", message) from None


def _partial(request: Request) -> bool:
    """Whether metadata alone is wanted, by the first offer in Accept that we know."""
    for offer in request.accept.split(","):
        wanted = offer.replace(" ", "")
        if "as=PartialObjectMetadata" in wanted and wanted.startswith("application/json"):
            return True
        if wanted.split(";")[0] in ("application/json", "*/*", "application/*") and ";as=" not in wanted:
            return False
    if request.accept and "json" not in request.accept and "*/*" not in request.accept:
        text = "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch"
        raise Refusal(406, "NotAcceptable", text, {})
    return False


def _no_page() -> Answer:
    return Answer(404, b"404 page not found\n", PLAIN)
