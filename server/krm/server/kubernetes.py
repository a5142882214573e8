"""The Kubernetes read API of one cluster: discovery, get, list and watch of every kind that krm keeps."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional, Sequence

from krm.model.gojson import written
from krm.server import custom_api, discovery, lists, options, trusted
from krm.server.attributes import of_path, of_resource
from krm.server.catalog import Served
from krm.server.custom_api import CustomApi
from krm.server.groups import BUILT_IN
from krm.server.identity import Gate, User
from krm.server.kept import Body
from krm.server.metrics_api import MetricsApi
from krm.server.negotiation import TABLE, Form, clauses, form
from krm.server.options import EXACT, Options
from krm.server.paths import Target, check_name, target
from krm.server.people import indented
from krm.server.replica import Replica, order
from krm.server.resource_metrics import GROUP
from krm.server.serving import Serving
from krm.server.statuses import (
    ApiError,
    method_not_allowed,
    not_found,
    nothing_found,
    only_namespaces,
    page_not_found,
    unavailable,
    unknown_resource,
)
from krm.server.streams import Streams
from krm.server.trusted import UNKNOWN, Shown
from krm.server.watches import Plan
from krm.server.web import Answer, Reply, Request, of_error


class KubernetesApi:
    """Answers requests below one cluster's prefix. It belongs to the event loop."""

    def __init__(self, serving: Serving, gate: Gate) -> None:
        self.streams = Streams(serving)
        self._serving, self._gate = serving, gate
        self._catalog = serving.catalog
        self._metrics, self._custom = MetricsApi(serving), CustomApi(serving)

    async def answer(self, request: Request) -> Reply:
        """Raises ApiError."""
        user = request.user = await self._gate.user(request, self._catalog.cluster)
        found = target(request.path)
        if found is None:
            return await self._document(request, user)
        query = request.query()
        watching = found.watch or options.boolean(query, "watch") is True
        attributes = request.asked = of_resource(self._catalog.cluster, request.method, found, query, watching)
        await self._gate.check(user, attributes)
        if request.method != "GET":
            raise method_not_allowed()
        if found.kind.group == GROUP and self._metrics.served():
            return await self._metrics.answer(request, found, query, watching)
        if found.kind.group in custom_api.GROUPS and self._custom.served():
            return await self._custom.answer(request, found, query)
        served = self._catalog.served(found.kind)
        if found.subresource or served is None or served.resource.version != found.version:
            raise self._not_served(found, served)
        if (found.namespace or found.name) and bool(found.namespace) != served.resource.namespaced:
            raise self._no_path(found.kind.group)
        check_name(found.namespace)
        check_name(found.name)
        replica = served.of(found.namespace)
        if replica is None:
            raise only_namespaces(served.resource.kind, served.namespaces, found.namespace)
        if found.name and not found.watch:
            return await self._get(request, found, served, replica, query)
        if found.name:
            query = options.of_name(query, found.name)
        asked = options.parse(str(found.kind), query, watching)
        wanted = self._form(request, served, True, watching)
        if watching:
            plan = Plan(found.namespace, asked, wanted)

            async def review() -> None:
                await self._gate.still(request, user, attributes)

            return await self.streams.watch(user, review, served, replica, plan)
        return await self._list(request, found, served, replica, asked, wanted)

    # Documents

    async def _document(self, request: Request, user: User) -> Reply:
        request.asked = of_path(self._catalog.cluster, request.method, request.path)
        await self._gate.check(user, request.asked)
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if not self._catalog.kinds():
            raise nothing_found()
        served = [*self._catalog.all_served(), *self._metrics.served(), *self._custom.served()]
        path = request.path.rstrip("/") or "/"
        if path == "/version":
            return Answer(indented(written(self._version(served))))
        if path in ("/api", "/apis"):
            version = discovery.aggregated_version(clauses(request.headers.get("accept", "")))
            if version:
                body = written(discovery.aggregated(path, served, version)) + b"\n"
                return Answer(body, 200, discovery.AGGREGATED % version, [("Vary", "Accept")])
        found = discovery.document(path, served, request.headers.get("host", ""))
        if found is None:
            if path == "/krm" or path.startswith("/krm/"):
                raise ApiError(
                    404, "NotFound", "there is no such path: /krm/v1/openapi.json names those there are", {}
                )
            if path.startswith(("/api/", "/apis/")):
                raise self._no_path(path.split("/")[2] if path.startswith("/apis/") else "")
            raise page_not_found()
        return Answer(indented(written(found)) if path == "/" else written(found) + b"\n")

    def _version(self, served: Sequence[Served]) -> Dict[str, Any]:
        for one in served:
            if one.facts.server:
                return one.facts.server
        raise unavailable("the version of this cluster was not told yet")

    # Resources

    async def _get(
        self, request: Request, found: Target, served: Served, replica: Replica, query: Dict[str, str]
    ) -> Reply:
        wanted = self._form(request, served, False, False)
        asked = options.parse_get(query)
        await self._serving.fresh(replica, asked.version)
        envelope = lists.get(replica, found.namespace, found.name)
        if envelope is None:
            trust = self._serving.trust(replica)
            trusted.check_readable(replica, found.namespace, found.name)
            # In a copy that may be old "not found" is as doubtful as what is found.
            return of_error(not_found(found.kind, found.name), self._serving.headers(replica, trust))
        body = self._serving.forms(served).one(wanted, envelope, asked.include, time.time())
        return await self._serving.whole(request, Body(body), replica)

    async def _list(
        self, request: Request, found: Target, served: Served, replica: Replica, asked: Options, wanted: Form
    ) -> Reply:
        # A later page may come to another server than the first: it must have come as far.
        position = lists.parse_token(asked.continue_token, found.namespace) if asked.continue_token else None
        await self._serving.fresh(replica, position.rv if position else asked.version)
        forms = self._serving.forms(served)

        def make() -> bytes:
            self._serving.trust(replica)  # nothing is made of what may not be shown
            return lists.answer(replica, found.namespace, asked, forms, wanted, time.time())

        once = asked.selects or asked.limit or asked.continue_token or asked.match == EXACT
        if once or not replica.keys(found.namespace):  # a caller could name any number of namespaces
            body = Body(make())
        else:
            question = (replica, found.namespace, wanted, asked.include)
            second = int(time.time()) if wanted.name == TABLE else 0  # ages of a Table are of now
            body = self._serving.kept.body(question, (replica.token, replica.rv, second, forms), make)
        at = position.rv if position else lists.exact(asked)
        past = at not in (0, order(replica.rv))  # nobody wrote down when it was all there was
        return await self._serving.whole(request, body, replica, Shown(UNKNOWN, None, str(at)) if past else None)

    # Parts

    def _form(self, request: Request, served: Served, of_list: bool, watching: bool) -> Form:
        what = f"*core.{served.resource.object_kind}" + ("List" if of_list else "")
        return form(request.headers.get("accept", ""), of_list, watching, what)

    def _not_served(self, found: Target, served: Optional[Served]) -> ApiError:
        """A kind that is not kept is 404, never empty; of one that is warming its trust says more."""
        if not self._catalog.kinds():
            return nothing_found()
        if served is None:
            for replica in self._catalog.find(found.kind):
                self._serving.trust(replica)
                raise unavailable(f"how {found.kind} are served was not told yet")
        return self._no_path(found.kind.group)

    def _no_path(self, group: str) -> ApiError:
        """Below a built-in group that is served the API server says 404 as a Status, of any other path as text."""
        known = group in BUILT_IN and any(kind.group == group for kind in self._catalog.kinds())
        return unknown_resource() if known or not group else page_not_found()
