"""What was measured, over /krm/v1/: usage now, points of the last day, totals of up to 400 days.

Who may read what is asked as of metrics.k8s.io: list pods (in a namespace, or in all) for pods, containers and
namespaces; list nodes for nodes and the cluster.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from krm.client.errors import BadRequest
from krm.client.measurements import query_of
from krm.client.usage import level_of, usage_of
from krm.model.gojson import written
from krm.model.kinds import Kind
from krm.model.measures import CLUSTER, NODE
from krm.model.trust import LIVE
from krm.server.identity import Attributes, Gate
from krm.server.routes import BOOLEAN, Call, Handler, Parameter, Route, json_content
from krm.server.serving import Serving
from krm.server.statuses import ApiError, unavailable
from krm.server.threads import Full, Threads
from krm.server.web import Answer, Reply
from krm.store.history.asked import History, NoHistory, Query, Ranged, TooMuch, Totalled
from krm.store.history.wire import BadQuery
from krm.store.latest import Latest
from krm.store.latest_reader import Packed, unpacked

T = TypeVar("T")
GROUP, VERSION = "metrics.k8s.io", "v1beta1"
THREADS, WAITING = 2, 100  # reads of the history at work, and waiting
WITHIN = 35.0  # seconds for an answer: the history's own deadline, and a little
_WHAT = Parameter("what", "pods, containers, namespaces or nodes.", where="path", required=True)
_NAMESPACE = Parameter("namespace", "Only this namespace; the caller needs no rights in others then.")
_QUERY = (
    Parameter("metric", "A name of docs/metrics.md, as cpu/usage_rate.", required=True),
    Parameter("level", "pods (the default), containers, namespaces, nodes."),
    Parameter("begin", "A time (RFC 3339) or a span ago (5m); the default is 1h."),
    Parameter("end", "The same, exclusive; without it now."),
    _NAMESPACE,
    *[Parameter(name, f"Only this {name}.") for name in ("pod", "container", "node")],
)
_SCHEMA: Dict[str, Any] = {"type": "object"}


class UsageApi:
    """One cluster's. It belongs to the event loop; the history is read by threads."""

    def __init__(self, serving: Serving, gate: Gate, history: History) -> None:
        self._serving, self._gate, self._history = serving, gate, history
        self._threads = Threads("usage", THREADS, WAITING)

    def routes(self) -> List[Route]:
        """For the table of /krm/v1/."""
        return [
            _route("usage/{what}", "usage", "What pods, containers, namespaces or nodes use now.", self._usage,
                   (_WHAT, _NAMESPACE, Parameter("name", "Only this one."),
                    Parameter("stale_ok", "Answer although the collector is away.", BOOLEAN))),
            _route("points", "points", "Points of the last day, 15 s each; null is a gap.", self._points, _QUERY),
            _route("totals", "totals", "Sums over the asked time, a subject each.", self._totals, _QUERY),
        ]  # fmt: skip

    async def _usage(self, call: Call) -> Reply:
        level = _guarded(lambda: level_of(call.path["what"]))
        namespace = call.text("namespace")
        await self._check(call, level, namespace)
        newest = self._serving.catalog.newest
        latest = _of(newest.packed, namespace, newest.now())
        found = await self._threaded(lambda: usage_of(latest(), level, call.text("name")))
        if found.state != LIVE and not call.flag("stale_ok"):
            raise unavailable(found.reasons[0])
        return _json(found.to_dict())

    async def _points(self, call: Call) -> Reply:
        query = await self._query(call)
        answer = await self._threaded(lambda: self._history.range(query))
        return await self._written(lambda: _ranged(answer))

    async def _totals(self, call: Call) -> Reply:
        query = await self._query(call)
        answer = await self._threaded(lambda: self._history.totals(query))
        return await self._written(lambda: _totalled(answer))

    async def _query(self, call: Call) -> Query:
        where = {name: call.text(name) for name in ("namespace", "pod", "container", "node")}
        now = self._serving.catalog.newest.now()

        def made() -> Query:
            level, begin, end = call.text("level", "pods"), call.text("begin", "1h"), call.text("end") or None
            return query_of(call.text("metric"), level, begin, end, now, **where)

        query = _guarded(made)
        await self._check(call, query.level, query.namespace)
        return query

    async def _check(self, call: Call, level: str, namespace: str) -> None:
        of_nodes = level in (NODE, CLUSTER)
        kind = Kind("nodes" if of_nodes else "pods", GROUP)
        await self._gate.check(
            call.user, Attributes(call.cluster, "list", kind, VERSION, "" if of_nodes else namespace)
        )

    async def _written(self, work: Callable[[], Dict[str, Any]]) -> Reply:
        body = await self._threaded(lambda: written(work()) + b"\n")
        return Answer(body)

    async def _threaded(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work, WITHIN)
        except Full:
            raise ApiError(429, "TooManyRequests", "too many reads of the history wait: try again", {}, 1) from None
        except asyncio.TimeoutError:
            raise ApiError(504, "Timeout", "the history did not answer in time: ask for less", {}, 1) from None
        except BadQuery as error:
            raise ApiError(400, "BadRequest", str(error)) from None
        except TooMuch as error:
            raise ApiError(413, "RequestEntityTooLarge", str(error)) from None
        except NoHistory as error:
            raise unavailable(str(error)) from None


def _of(packed: Optional[Packed], namespace: str, now: float) -> Callable[[], Latest]:
    """Of one namespace, '' = of all; where nothing was read, that no collector wrote."""
    if packed is None:
        return lambda: Latest({}, {}, [], (), None, now)
    if namespace:
        pods = {space: each for space, each in packed.pods.items() if space == namespace}
        sums = {space: each for space, each in packed.namespaces.items() if space == namespace}
        packed = packed._replace(pods=pods, namespaces=sums)
        if packed.collector is not None:  # what others' pods are called is not for who reads this namespace
            own = tuple(one for one in packed.collector.silences if one.target.startswith(f"pod {namespace}/"))
            snapshots = {name: why for name, why in packed.collector.sources.items() if "@" not in name}
            shown = packed.collector._replace(silences=own, sources=snapshots, history=())
            packed = packed._replace(collector=shown)
    chosen = packed._replace(now=now)
    return lambda: unpacked(chosen)


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except BadRequest as error:
        raise ApiError(400, "BadRequest", str(error)) from None


def _ranged(answer: Ranged) -> Dict[str, Any]:
    rows = [
        {
            "subject": one.subject._asdict(),
            "times": list(one.times),
            "values": [None if math.isnan(value) else value for value in one.values],
        }
        for one in answer.series
    ]
    return {"series": rows, "extent": answer.extent._asdict()}


def _totalled(answer: Totalled) -> Dict[str, Any]:
    rows = [{**one._asdict(), "subject": one.subject._asdict()} for one in answer.totals]
    return {"totals": rows, "extent": answer.extent._asdict()}


def _json(value: Dict[str, Any]) -> Answer:
    return Answer(written(value) + b"\n")


def _route(path: str, name: str, summary: str, handle: Handler, parameters: Tuple[Parameter, ...]) -> Route:
    return Route(
        f"/krm/v1/{path}", name, summary, handle, json_content(summary, _SCHEMA), parameters, (413, 429, 503, 504)
    )
