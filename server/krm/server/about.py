"""What /krm/v1/ says of the kinds: which are kept, what each is worth, what lists had to repair."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, List, Mapping, Optional

from krm.client.names import resolve
from krm.model.gojson import written
from krm.model.kinds import parse_kind
from krm.model.messages import EVENT_TYPES, Bad
from krm.server.attributes import of_path
from krm.server.identity import Attributes
from krm.server.own import OwnApi, Target
from krm.server.replica import Replica
from krm.server.routes import Call, Routes
from krm.server.statuses import ApiError
from krm.server.trusted import warning_header
from krm.server.web import Answer

_UNKNOWN = "krm: whether you may see further clusters of this server cannot be found out now: ask again"


class About:
    """The handlers. They belong to the event loop."""

    def __init__(self, api: OwnApi, clusters: Callable[[], Mapping[str, Routes]]) -> None:
        """`clusters`: the routes of every cluster of this server."""
        self._api, self._clusters = api, clusters

    async def kinds(self, call: Call) -> Answer:
        """GET /krm/v1/kinds: for whoever may see what the API server serves."""
        api = self._api
        call.request.asked = of_path(call.cluster, call.request.method, call.request.path)
        await self._sees(call)
        rows = []
        for replica in _sorted(api):
            # A namespace's name is told to whoever may read in it.
            if not replica.namespace or await api.may(call.user, "list", replica.kind, replica.namespace):
                rows.append({"kind": replica.kind, "namespace": replica.namespace})
        return _json({"cluster": call.cluster, "kinds": rows})

    async def status(self, call: Call) -> Answer:
        """GET /krm/v1/status."""
        targets = await self._targets(call)
        return _json({"cluster": call.cluster, "kinds": [self._status(target) for target in targets]})

    async def drift(self, call: Call) -> Answer:
        """GET /krm/v1/drift: of the kinds that the caller may list in whole."""
        targets = [target for target in await self._targets(call) if target.whole]
        return _json({"cluster": call.cluster, "kinds": [self._drift(target.replica) for target in targets]})

    async def clusters(self, call: Call) -> Answer:
        """GET /krm/v1/clusters: those whose API the caller may see, as far as finding out gives no token away.

        A cluster that cannot be asked now keeps nobody from the others. It is not named, for its callers may be
        strangers to it; that there is such a one is told."""
        await self._sees(call)
        found, unknown = [], False
        for name, routes in self._clusters().items():
            try:
                if name == call.cluster or await routes.lets_in(call.request, call.cluster):
                    found.append({"name": name})
            except ApiError as error:
                if error.code != 503:
                    raise
                unknown = True
        answer = _json({"clusters": found, "unknown": unknown, "default": call.cluster})
        return answer._replace(headers=[("Warning", warning_header(_UNKNOWN))]) if unknown else answer

    async def _targets(self, call: Call) -> List[Target]:
        """Each pipeline that is asked for and may be listed; a kind that was named is refused aloud."""
        api, asked = self._api, call.query.get("namespace")
        call.request.asked = of_path(call.cluster, call.request.method, call.request.path)
        word = call.text("kind")
        kind = resolve(word, [str(one) for one in api.catalog.kinds()]) if word else ""
        replicas = [
            replica
            for replica in _sorted(api)
            if kind in ("", replica.kind) and (asked is None or replica.namespace in ("", asked))
        ]
        if kind and not replicas:
            attributes = Attributes(call.cluster, "list", parse_kind(kind), namespace=asked or "")
            await api.gate.check(call.user, attributes)
            raise api.not_kept(parse_kind(kind), asked)
        found = await asyncio.gather(*[self._target(call, replica, asked) for replica in replicas])
        targets = [target for target in found if target is not None]
        if kind and replicas and not targets:
            attributes = Attributes(call.cluster, "list", parse_kind(kind), namespace=asked or "")
            await api.gate.check(call.user, attributes)
        if not targets:  # whom the cluster tells nothing at all is refused: "none" would be an answer
            await self._sees(call)
        return targets

    async def _sees(self, call: Call) -> None:
        """Whether the caller may see what the API server serves. Raises ApiError 403, 503."""
        await self._api.gate.check(call.user, Attributes(call.cluster, "get", path="/apis"))

    async def _target(self, call: Call, replica: Replica, asked: Optional[str]) -> Optional[Target]:
        namespace = replica.namespace or asked or ""
        if not await self._api.may(call.user, "list", replica.kind, namespace):
            return None
        attributes = Attributes(call.cluster, "list", parse_kind(replica.kind), namespace=namespace)
        whole = namespace == replica.namespace or await self._api.may(
            call.user, "list", replica.kind, replica.namespace
        )
        return Target(replica, asked, whole, attributes)

    def _status(self, target: Target) -> Dict[str, Any]:
        api, replica = self._api, target.replica
        head, now = api.head(replica), api.serving.now(replica)
        row = api.facts(target, head, now)
        if target.whole:
            known = head is not None and bool(head.rv)
            objects = None
            if known and head is not None:
                objects = head.truncated if head.truncated is not None else head.count
            row["objects"] = objects
            row["bad"] = [Bad(*one)._asdict() for one in (head.bad if head is not None else ())]
            row["damaged"] = replica.corrupt
        return row

    def _drift(self, replica: Replica) -> Dict[str, Any]:
        head = self._api.head(replica)
        known = head is not None
        return {
            "kind": replica.kind,
            "namespace": replica.namespace,
            "drift": head.drift if known and head else None,
            "upstream_drift": head.upstream_drift if known and head else None,
            "gaps": head.gaps if known and head else None,
            "gap_open": head.gap_open if known and head else None,
            "verified_at": head.verified_at if known and head else None,
            "verified_by": head.verified_by if known and head else "",
            "repairs": [{**one._asdict(), "type": EVENT_TYPES[one.type]} for one in replica.recent.repairs],
        }


def _sorted(api: OwnApi) -> List[Replica]:
    return sorted(api.catalog.all(), key=lambda replica: (replica.kind, replica.namespace))


def _json(value: Any) -> Answer:
    return Answer(written(value) + b"\n")
