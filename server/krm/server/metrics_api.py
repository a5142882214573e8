"""metrics.k8s.io/v1beta1 of one cluster: what its nodes and pods use, answered as metrics-server does.

It is served where a collector has written. Which pods there are, and their labels, the replicas know; what they
use, the newest turn of the collector. An answer is worth no more than the older one of the two.
"""

from __future__ import annotations

import asyncio
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from krm.model import trust as states
from krm.model.gojson import written
from krm.model.kinds import Kind, split_key
from krm.model.records import Envelope
from krm.model.selectable import SELECTABLE
from krm.model.served import Facts
from krm.server import newest, options, trusted
from krm.server.catalog import Served
from krm.server.kept import Body
from krm.server.lists import matches
from krm.server.negotiation import JSON, METADATA, Form, form
from krm.server.newest import Worth
from krm.server.options import Options
from krm.server.paths import Target, check_name
from krm.server.replica import Replica
from krm.server.resource_metrics import (
    API_VERSION,
    GROUP,
    LACKS,
    NODES,
    OBJECT_KINDS,
    PODS,
    VERSION,
    Item,
    View,
    column_definitions,
)
from krm.server.serving import Serving
from krm.server.statuses import (
    ApiError,
    not_found,
    nothing_found,
    only_namespaces,
    page_not_found,
    unavailable,
    unknown_resource,
    watch_not_supported,
)
from krm.server.web import Answer, Reply, Request, of_error
from krm.store.latest import CollectorState

_PHASE = SELECTABLE["pods"].index("status.phase")
_RUNNING = "Running"


class Read(NamedTuple):
    """One turn, and one replica at the same moment."""

    resource: str  # nodes, pods
    view: View
    collector: CollectorState
    replica: Replica
    namespace: str  # '' = all


class MetricsApi:
    """It belongs to the event loop."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._view: Optional[View] = None
        self._making: Dict[Tuple[str, str], asyncio.Future[None]] = {}  # resource, namespace -> all of its items

    def served(self) -> List[Served]:
        """What discovery tells; [] where no collector has written."""
        if self._serving.catalog.newest.collector is None:
            return []
        return [_served(one) for one in (self._of(NODES), self._of(PODS)) if one is not None]

    async def answer(self, request: Request, found: Target, query: Dict[str, str], watching: bool) -> Reply:
        """Of a caller who may read it. Raises ApiError."""
        if found.version != VERSION:
            raise page_not_found()
        resource = found.kind.resource
        kept = self._of(resource) if resource in OBJECT_KINDS else None
        if kept is None or found.subresource or found.watch:
            raise unknown_resource()
        if (found.namespace or found.name) and bool(found.namespace) != kept.resource.namespaced:
            raise unknown_resource()
        check_name(found.namespace)
        check_name(found.name)
        replica = kept.of(found.namespace)
        if replica is None:
            raise only_namespaces(kept.resource.kind, kept.namespaces, found.namespace)
        what = f"*metrics.{OBJECT_KINDS[resource]}" + ("" if found.name else "List")
        wanted = form(request.headers.get("accept", ""), not found.name, watching, what)
        asked = options.parse(str(found.kind), _taken(query, bool(found.name)), watching and not found.name)
        if asked.watch:
            raise watch_not_supported(found.kind)
        read = self._read(resource, replica, found.namespace)
        if found.name:
            return await self._get(request, read, found.name, asked, wanted)
        await self._make(read)
        return await self._list(request, read, asked, wanted)

    def _read(self, resource: str, replica: Replica, namespace: str) -> Read:
        """The newest turn. Raises ApiError 503."""
        packed = self._serving.catalog.newest.packed
        if packed is None or packed.collector is None:
            raise unavailable("nothing was measured of this cluster yet")
        if self._view is None or self._view.packed is not packed:
            self._view, self._making = View(packed, self._view), {}
        return Read(resource, self._view, packed.collector, replica, namespace)

    async def _make(self, read: Read) -> None:
        """All that a list may show, once a turn, beside the event loop: 5,000 pods take .3 s."""
        if read.resource == PODS and read.namespace and read.namespace not in read.view.packed.pods:
            return  # a caller could name any number of namespaces
        key, making = (read.resource, read.namespace), self._making
        if key not in making:
            loop = asyncio.get_running_loop()
            making[key] = asyncio.ensure_future(loop.run_in_executor(None, read.view.make, *key))
        await asyncio.shield(making[key])

    async def _get(self, request: Request, read: Read, name: str, asked: Options, wanted: Form) -> Reply:
        serving, replica, key = self._serving, read.replica, f"{read.namespace}/{name}"
        trusted.check_readable(replica, read.namespace, name)
        envelope = replica.objects.get(key)
        item = read.view.item(read.resource, read.namespace, name)
        if item is not None and envelope is not None and _is_measured(read.resource, envelope, item):
            body = _written(read.resource, wanted, asked.include, [(item, envelope)], False)
            shown = self._shown(read, _lacking(read.resource, item))
            return await serving.whole(request, Body(body), replica, shown)
        trust = serving.trust(replica)
        shown = self._shown(read, _silence(read, name))
        error = _not_there(read, name, envelope)
        return of_error(error, shown.headers(serving.headers(replica, trust), serving.now(replica)))

    async def _list(self, request: Request, read: Read, asked: Options, wanted: Form) -> Answer:
        serving, replica = self._serving, read.replica
        serving.trust(replica)  # nothing is made of what may not be shown

        def make() -> bytes:
            return _written(read.resource, wanted, asked.include, list(_chosen(read, asked)), True)

        if asked.selects or not replica.keys(read.namespace):  # a caller could name any number of namespaces
            body = Body(make())
        else:
            question = (GROUP, read.resource, replica, read.namespace, wanted, asked.include)
            turn = (read.collector.turn, read.collector.beat, replica.token, replica.rv)
            body = serving.kept.body(question, turn, make)
        return await serving.whole(request, body, replica, self._shown(read, _left_out(read, asked)))

    def _shown(self, read: Read, more: Tuple[str, ...]) -> trusted.Shown:
        return worth_shown(self._serving, read.collector, read.replica, more)

    def _of(self, resource: str) -> Optional[Served]:
        """The kind whose objects are measured; None where krm does not keep it."""
        if not self._serving.catalog.kinds():
            raise nothing_found()
        return self._serving.catalog.served(Kind(resource, ""))


def worth_shown(
    serving: Serving, collector: CollectorState, replica: Replica, more: Tuple[str, ...] = ()
) -> trusted.Shown:
    """What an answer of a turn and a replica is worth, for its headers. Raises ApiError 503 where it is too old."""
    worth: Worth = newest.judged(collector, serving.catalog.newest.now())
    trust = serving.trust(replica)
    behind = None if trust.age is None else serving.now(replica) - trust.age
    at = None if behind is None else min(behind, worth.at)
    state = "" if worth.is_fresh else states.STALE
    return trusted.Shown(str(replica.token), at, replica.rv, trust.verified_at, state, (*worth.warnings, *more))


def _served(kept: Served) -> Served:
    object_kind = OBJECT_KINDS[kept.resource.kind.resource]
    facts = Facts(VERSION, object_kind, kept.resource.namespaced, "", (), (), {})
    return Served(facts.resource(Kind(kept.resource.kind.resource, GROUP)), facts, ())


def _taken(query: Mapping[str, str], of_one: bool) -> Dict[str, str]:
    """The query as metrics-server minds it: there are no versions, and so no pages."""
    if of_one:
        return {"includeObject": query["includeObject"]} if "includeObject" in query else {}
    taken = dict(query)
    if taken.get("resourceVersion", "") not in ("", "0"):
        taken["resourceVersion"] = "1"
    if "resourceVersionMatch" not in taken:
        taken.pop("continue", None)
    return taken


def _is_measured(resource: str, envelope: Envelope, item: Item) -> bool:
    """Whether this is what was measured: a pod that runs, and not the one that had its name before."""
    if resource == NODES:
        return True
    runs = len(envelope.fields) > _PHASE and envelope.fields[_PHASE] == _RUNNING
    return runs and item.uid in ("", envelope.uid)


def _chosen(read: Read, asked: Options) -> Iterator[Tuple[Item, Envelope]]:
    resource, objects = read.resource, read.replica.objects
    for key in read.replica.keys(read.namespace):
        item = read.view.item(resource, *split_key(key))
        if item is None or not _is_measured(resource, objects[key], item):
            continue
        if not asked.selects or matches(key, objects[key], asked):
            yield item, objects[key]


# What is missing -------------------------------------------------------------------------------


def _not_there(read: Read, name: str, envelope: Optional[Envelope]) -> ApiError:
    """404 in metrics-server's words: of an object that is not there, or one that was not measured."""
    if read.resource == NODES:
        return not_found(Kind("nodemetrics", GROUP) if envelope is not None else Kind("node", ""), name)
    if envelope is None or len(envelope.fields) <= _PHASE or envelope.fields[_PHASE] != _RUNNING:
        return not_found(Kind("pods", ""), name)
    return not_found(Kind("podmetrics", GROUP), f"{read.namespace}/{name}")


def _silence(read: Read, name: str) -> Tuple[str, ...]:
    """Why a node that is asked for by name has no values."""
    if read.resource != NODES:
        return ()
    target = f"node {name}"
    return tuple(f"krm: {target}: {one.reason}" for one in read.collector.silences if one.target == target)[:1]


def _lacking(resource: str, item: Item) -> Tuple[str, ...]:
    if resource != PODS or not item.lacks:
        return ()
    return (f"krm: not all is known of: {', '.join(item.lacks)}; what is not known is no 0",)


def _left_out(read: Read, asked: Options) -> Tuple[str, ...]:
    """Sentences about a list that its reader must see. How many nodes there are is for who reads all of them."""
    found = []
    if not read.collector.nodes.whole:
        covers = str(read.collector.nodes) if not read.namespace else "not all nodes"
        found.append(f"krm: measured are {covers}: the others, and their pods, are left out")
    objects = read.replica.objects
    lacking = [key for key in read.view.lacking(read.namespace) if key in objects] if read.resource == PODS else []
    if any(not asked.selects or matches(key, objects[key], asked) for key in lacking):
        found.append(f"krm: some containers lack values, which are no 0: the annotation {LACKS} names them")
    return tuple(found)


# Bytes -----------------------------------------------------------------------------------------


def _written(
    resource: str, wanted: Form, include: str, chosen: List[Tuple[Item, Envelope]], is_list: bool
) -> bytes:
    """The whole body."""
    if wanted.name not in (JSON, METADATA):
        return _table(resource, wanted, include, chosen)
    object_kind = OBJECT_KINDS[resource]
    if not is_list:
        item, envelope = chosen[0]
        if wanted.name == METADATA:
            return _partial(wanted, item, envelope) + b"\n"
        return _whole(object_kind, item, envelope) + b"\n"
    if wanted.name == METADATA:
        head = b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%s"' % wanted.version.encode()
        rows = [_partial(wanted, *one) for one in chosen]
    else:
        head = b'{"kind":"%sList","apiVersion":"%s"' % (object_kind.encode(), API_VERSION.encode())
        rows = [item.written(envelope.labels) for item, envelope in chosen]
    return b'%s,"metadata":{},"items":[%s]}\n' % (head, b",".join(rows))


def _whole(object_kind: str, item: Item, envelope: Envelope) -> bytes:
    head = b'{"kind":"%s","apiVersion":"%s",' % (object_kind.encode(), API_VERSION.encode())
    return head + item.written(envelope.labels)[1:]


def _partial(wanted: Form, item: Item, envelope: Envelope) -> bytes:
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s",' % (wanted.version or "v1").encode()
    return head + item.metadata(envelope.labels)[1:] + b"}"


def _table(resource: str, wanted: Form, include: str, chosen: List[Tuple[Item, Envelope]]) -> bytes:
    """Without rows it has no columns either: metrics-server takes them from the first."""
    rows = [
        b'{"cells":%s,"object":%s}' % (item.cells, _object(resource, wanted, include, item, envelope))
        for item, envelope in chosen
    ]
    definitions = written(column_definitions()) if rows else b"null"
    shown = b"[%s]" % b",".join(rows) if rows else b"null"
    head = b'{"kind":"Table","apiVersion":"meta.k8s.io/%s","metadata":{}' % wanted.version.encode()
    return b'%s,"columnDefinitions":%s,"rows":%s}\n' % (head, definitions, shown)


def _object(resource: str, wanted: Form, include: str, item: Item, envelope: Envelope) -> bytes:
    if include == "None":
        return b"null"
    return (
        _whole(OBJECT_KINDS[resource], item, envelope) if include == "Object" else _partial(wanted, item, envelope)
    )
