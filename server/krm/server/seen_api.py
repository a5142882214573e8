"""Processes and OOM kills, over /krm/v1/: what node agents see.

Of pods: for who may list pods in the namespace, or in all. What belongs to no pod (processes of the host, kills of
them), and which nodes have no agent and why: for who may list nodes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Generic, List, Optional, Tuple, TypeVar, Union

from krm.client.seen import Asked, Kills, Processes, Unseen, kills_of, processes_of
from krm.client.usage import ABSENT
from krm.model.gojson import written
from krm.model.kinds import Kind
from krm.model.trust import LIVE
from krm.server.identity import Attributes, Gate
from krm.server.routes import BOOLEAN, Call, Handler, Parameter, Route, json_content
from krm.server.statuses import ApiError, bad_request, unavailable
from krm.server.threads import Full, Threads
from krm.server.web import Answer, Reply
from krm.store import latest_seen_reader as stored
from krm.store.connect import Database
from krm.store.errors import StoreError
from krm.store.latest_seen_reader import SeenReader

T = TypeVar("T")
PODS, NODES, VERSION = Kind("pods", ""), Kind("nodes", ""), "v1"
THREADS, WAITING = 2, 100  # reads at work, and waiting
WITHIN = 20.0  # seconds for an answer
# Seconds for which what was read is given again: however many ask, Redis is read once in them.
HELD = 1.0
HOST_LEFT_OUT = "kills of no pod are left out: they are for who may list nodes"
NODE_NOT_TOLD = "whether the agent of that node answers is told to who may list nodes"
WHY_NOT_TOLD = "why is told to who may list nodes"
_NAMESPACE = Parameter("namespace", "Only this namespace; the caller needs no rights in others then.")
_POD, _NODE = Parameter("pod", "Only this pod."), Parameter("node", "Only this node.")
_STALE_OK = Parameter("stale_ok", "Answer although the collector is away.", BOOLEAN)
_HOST = Parameter("host", "What runs on nodes and belongs to no pod, instead.", BOOLEAN)
_SCHEMA: Dict[str, Any] = {
    "type": "object",
    "required": ["rows", "state", "reasons", "nodes", "gaps", "unseen", "now"],
    "properties": {
        "rows": {"type": "array", "items": {"type": "object"}},
        "state": {"enum": ["live", "stale", "absent"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "nodes": {"type": ["array", "null"]},
        "gaps": {"type": "array", "items": {"type": "object"}},
        "unseen": {"type": "array", "items": {"type": "object"}},
        "now": {"type": "number"},
    },
}
Seen = Union[Processes, Kills]


class _Held(Generic[T]):
    """What one read gave, for a moment. Threads may ask at once: one of them reads, the others wait for it."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._what: Optional[Tuple[float, T]] = None

    def get(self) -> T:
        """Raises StoreError."""
        with self._lock:
            if self._what is None or time.monotonic() - self._what[0] > HELD:
                found = self._read()
                self._what = (time.monotonic(), found)
            return self._what[1]


class SeenReads:
    """What Redis holds of one cluster. Nothing is read before somebody asks."""

    def __init__(self, database: Database, cluster: str) -> None:
        self._database, self._cluster = database, cluster
        self._processes = _Held(lambda: self._once(SeenReader.processes))
        self._kills = _Held(lambda: self._once(SeenReader.kills))

    def processes(self) -> stored.Processes:
        """Raises StoreError."""
        return self._processes.get()

    def kills(self) -> stored.Kills:
        """Raises StoreError."""
        return self._kills.get()

    def _once(self, read: Callable[[SeenReader], T]) -> T:
        reader = SeenReader(self._database, self._cluster)
        try:
            return read(reader)
        finally:
            reader.close()


class SeenApi:
    """One cluster's. It belongs to the event loop; Redis is read by threads."""

    def __init__(self, gate: Gate, reads: SeenReads) -> None:
        self._gate, self._reads = gate, reads
        self._threads = Threads("seen", THREADS, WAITING)

    def routes(self) -> List[Route]:
        """For the table of /krm/v1/."""
        return [
            _route("processes", "What runs in pods, or beside them, as node agents see it.", self._of_processes,
                   (_NAMESPACE, _POD, _NODE, _HOST, _STALE_OK)),
            _route("kills", "OOM kills of the last day, each once; the newest last.", self._of_kills,
                   (_NAMESPACE, _POD, _NODE, _STALE_OK)),
        ]  # fmt: skip

    async def _of_processes(self, call: Call) -> Reply:
        asked = Asked(call.text("namespace") or None, call.text("pod"), call.text("node"), call.flag("host"))
        if asked.host and (asked.namespace or asked.pod):
            raise bad_request("host is what belongs to no pod: it goes with node, and not with namespace or pod")
        await self._check(call, asked)
        found = await self._threaded(lambda: processes_of(self._reads.processes(), asked))
        return await self._told(call, asked, found)

    async def _of_kills(self, call: Call) -> Reply:
        asked = Asked(call.text("namespace") or None, call.text("pod"), call.text("node"))
        await self._check(call, asked)
        found = await self._threaded(lambda: kills_of(self._reads.kills(), asked))
        return await self._told(call, asked, found)

    async def _told(self, call: Call, asked: Asked, found: Seen) -> Reply:
        if not await self._sees_nodes(call):
            found = narrowed(found, asked)
        nobody_tells = found.state == ABSENT and found.nodes is not None  # an answer: the collector is there
        if found.state != LIVE and not nobody_tells and not call.flag("stale_ok"):
            raise unavailable(found.reasons[0])
        body = await self._threaded(lambda: written(found.to_dict()) + b"\n")
        return Answer(body)

    async def _check(self, call: Call, asked: Asked) -> None:
        kind, namespace = (NODES, "") if asked.host else (PODS, asked.namespace or "")
        await self._gate.check(call.user, Attributes(call.cluster, "list", kind, VERSION, namespace))

    async def _sees_nodes(self, call: Call) -> bool:
        try:
            await self._gate.check(call.user, Attributes(call.cluster, "list", NODES, VERSION))
        except ApiError as error:
            if error.code != 403:
                raise
            return False
        return True

    async def _threaded(self, work: Callable[[], T]) -> T:
        try:
            return await self._threads.run(work, WITHIN)
        except Full:
            raise ApiError(429, "TooManyRequests", "too many reads wait: try again", {}, 1) from None
        except asyncio.TimeoutError:
            raise ApiError(504, "Timeout", "Redis did not answer in time: try again", {}, 1) from None
        except StoreError as error:
            raise unavailable(f"processes and kills cannot be read now ({type(error).__name__})") from None


def narrowed(found: Seen, asked: Asked) -> Seen:
    """For who may not list nodes: how many are known, and not which ones; and no kills of no pod."""
    if asked.node and found.nodes is not None and found.state == ABSENT:
        found = replace(found, state=LIVE)  # whether there is such a node, and an agent on it, is not told either
    reasons = list(found.reasons[:1]) if found.state != LIVE else []  # of all nodes; the others name some
    covers = None if asked.node else found.nodes
    if covers is not None and not covers.whole:
        reasons.append(f"agents tell of {covers}")
    if asked.node:
        reasons.append(NODE_NOT_TOLD)
    # The sentences name cgroups and processes of others.
    unseen = tuple(Unseen(what, WHY_NOT_TOLD, ()) for what in dict.fromkeys(one.what for one in found.unseen))
    if isinstance(found, Processes):
        return replace(found, reasons=tuple(reasons), nodes=covers, gaps=(), unseen=unseen)
    rows = tuple(kill for kill in found.rows if kill.namespace)
    if asked.namespace is None:
        reasons.append(HOST_LEFT_OUT)
    return replace(found, rows=rows, reasons=tuple(reasons), nodes=covers, gaps=(), unseen=unseen)


def _route(name: str, summary: str, handle: Handler, parameters: Tuple[Parameter, ...]) -> Route:
    return Route(
        f"/krm/v1/{name}", name, summary, handle, json_content(summary, _SCHEMA), parameters, (429, 503, 504)
    )
