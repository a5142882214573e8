"""The original system's REST contract: six lists of objects, for its published client and for curl.

    GET /pods?namespace=shop&label_selector=app in (web,api)     200 {"items": [{...}, ...]}
    what goes wrong                                              4xx, 5xx {"error": "a sentence", "status": 403}

Every parameter may be left out; one that is not known is refused, because a selector that is misspelt would
answer with everything. Objects are what krm holds: JSON as the official client's sanitize_for_serialization
gives it.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.model.gojson import written
from krm.model.kinds import Kind
from krm.model.reading import mapping, rows
from krm.model.selectors import escaped
from krm.server import lists, options
from krm.server.catalog import Served
from krm.server.identity import Attributes, Gate
from krm.server.kept import Body
from krm.server.options import Options
from krm.server.paths import check_name
from krm.server.replica import Replica
from krm.server.routes import Call, ErrorForm, Parameter, Route, json_content
from krm.server.serving import Serving
from krm.server.statuses import ApiError, bad_request, nothing_found, only_namespaces, unavailable
from krm.server.web import Answer, Reply, of_error


class Listed(NamedTuple):
    """One of the six paths."""

    path: str
    kind: Kind
    parameters: Tuple[str, ...]


_OF_NAMESPACES = ("name", "namespace", "label_selector")
LISTED = (
    Listed("/pods", Kind("pods", ""), ("name", "namespace", "node", "label_selector")),
    Listed("/nodes", Kind("nodes", ""), ("name", "label_selector")),
    Listed("/services", Kind("services", ""), _OF_NAMESPACES),
    Listed("/ingress", Kind("ingresses", "networking.k8s.io"), _OF_NAMESPACES),
    Listed("/pvcs", Kind("persistentvolumeclaims", ""), _OF_NAMESPACES),
    Listed("/deployments", Kind("deployments", "apps"), _OF_NAMESPACES),
)
_PARAMETERS = {
    "name": Parameter("name", "Only the object of this name."),
    "namespace": Parameter("namespace", "Only objects of this namespace."),
    "node": Parameter("node", "Only pods on this node; empty: those that are on none."),
    "label_selector": Parameter("label_selector", "A label selector as kubectl's -l takes it, sets too."),
}
# The field that a parameter selects by.
_FIELDS = {"name": "metadata.name", "node": "spec.nodeName"}


def told(error: ApiError) -> Answer:
    """An error as this contract has it, with the headers that it has anywhere."""
    body = written({"error": error.message, "status": error.code}) + b"\n"
    return of_error(error)._replace(body=body)


ERRORS = ErrorForm(
    told,
    {
        "type": "object",
        "properties": {"error": {"type": "string"}, "status": {"type": "integer"}},
        "required": ["error", "status"],
    },
)
_LIST = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "object"}}},
    "required": ["items"],
}


class Original:
    """The contract of one cluster. It belongs to the event loop."""

    def __init__(self, serving: Serving, gate: Gate) -> None:
        self._serving, self._gate = serving, gate
        self._catalog = serving.catalog

    def routes(self) -> List[Route]:
        """The six."""
        return [self._route(one) for one in LISTED]

    def _route(self, listed: Listed) -> Route:
        async def handle(call: Call) -> Reply:
            return await self._list(listed, call)

        return Route(
            listed.path,
            f"list_{listed.path[1:]}",
            f"All {listed.kind} that the caller may list, or those that are selected.",
            handle,
            json_content("The objects, in the order of namespace/name.", _LIST),
            tuple(_PARAMETERS[name] for name in listed.parameters),
            errors=(404, 429),
            error_form=ERRORS,
        )

    async def _list(self, listed: Listed, call: Call) -> Reply:
        """Raises ApiError: 400, 403, 404, 429, 503."""
        namespace, selectors = _selectors(call.query)
        asked = options.parse(str(listed.kind), selectors)
        served = self._catalog.served(listed.kind)
        version = served.resource.version if served else "v1"
        # As the API server asks for a list with these selectors: who may list one name may do so here too.
        call.request.asked = Attributes(
            call.cluster, "list", listed.kind, version, namespace, call.query.get("name", ""),
            field_selector=selectors["fieldSelector"], label_selector=selectors["labelSelector"],
        )  # fmt: skip
        await self._gate.check(call.user, call.request.asked)
        replica = self._replica(listed.kind, served, namespace)
        self._serving.trust(replica)

        def make() -> bytes:
            return _body(listed, replica, namespace, asked)

        if asked.selects or not replica.keys(namespace):  # a caller could name any number of namespaces
            body = Body(make())
        else:
            body = self._serving.kept.body((listed.path, replica, namespace), replica.token, make)
        return await self._serving.whole(call.request, body, replica)

    def _replica(self, kind: Kind, served: Optional[Served], namespace: str) -> Replica:
        if served is None:
            for replica in self._catalog.find(kind):
                self._serving.trust(replica)  # of one that is not known yet its state says more
                raise unavailable(f"how {kind} are served was not told yet")
            if not self._catalog.kinds():
                raise nothing_found()
            raise ApiError(404, "NotFound", f"krm keeps no {kind} of this cluster: ask the API server")
        found = served.of(namespace)
        if found is None:
            raise only_namespaces(kind, served.namespaces, namespace)
        return found


def _selectors(query: Mapping[str, str]) -> Tuple[str, Dict[str, str]]:
    """(namespace, labelSelector and fieldSelector). Raises ApiError 400."""
    for name in ("name", "namespace"):
        if query.get(name) == "":
            raise bad_request(f"{name} is empty: leave it out to get all")
        check_name(query.get(name, ""))
    fields = [f"{field}={escaped(query[name])}" for name, field in _FIELDS.items() if name in query]
    selectors = {"labelSelector": query.get("label_selector", ""), "fieldSelector": ",".join(fields)}
    return query.get("namespace", ""), selectors


def _body(listed: Listed, replica: Replica, namespace: str, asked: Options) -> bytes:
    chosen = (
        replica.objects[key]
        for key in replica.keys(namespace)
        if not asked.selects or lists.matches(key, replica.objects[key], asked)
    )
    bodies = [one.body for one in chosen]
    if listed.path == "/ingress":
        bodies = [with_former_backends(body) for body in bodies]
    return b'{"items":[%s]}\n' % b",".join(bodies)


# --- Ingresses


def with_former_backends(body: bytes) -> bytes:
    """An Ingress whose backends bear their names of v1beta1 besides: the original's client demands them."""
    try:
        ingress = json.loads(body)
    except (ValueError, RecursionError):
        return body
    spec = ingress.get("spec") if isinstance(ingress, dict) else None
    if not isinstance(spec, dict):
        return body
    if isinstance(spec.get("defaultBackend"), dict):
        spec["backend"] = _former(spec["defaultBackend"])
    for rule in rows(spec.get("rules")):
        for path in rows(mapping(rule.get("http")).get("paths")):
            backend = path.get("backend")
            if isinstance(backend, dict):
                backend.update(_former(backend))
    return written(ingress)


def _former(backend: Mapping[str, Any]) -> Dict[str, Any]:
    """serviceName and servicePort; "" and 0 where it names no service but a resource."""
    service = mapping(backend.get("service"))
    port = mapping(service.get("port"))
    return {"serviceName": service.get("name") or "", "servicePort": port.get("number") or port.get("name") or 0}
