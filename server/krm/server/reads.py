"""Snapshots, single objects, the past and differences of /krm/v1/."""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from krm.client import errors, wire
from krm.client.direct import RedisPipeline
from krm.client.moments import parse_moment
from krm.client.selection import Selection
from krm.client.snapshot import split_tokens
from krm.client.source import Pair
from krm.model.gojson import written
from krm.model.head import Head
from krm.model.kinds import parse_kind
from krm.model.records import Envelope
from krm.server.kept import Body
from krm.server.negotiation import TABLE, Form
from krm.server.own import OwnApi, Target, holds, of_now
from krm.server.paths import check_name
from krm.server.replica import Replica
from krm.server.routes import Call
from krm.server.statuses import bad_request
from krm.server.tables import Tabulator
from krm.server.trusted import Shown
from krm.server.web import Answer
from krm.store.read import SnapshotData, Token

# Seconds since the epoch: the point tells them from a version.
_SECONDS = re.compile(r"[0-9]{1,11}\.[0-9]{1,9}")
_ROWS = Form(TABLE, "v1")


class Read(NamedTuple):
    """Objects at one version, ready to be sent."""

    token: str
    head: Optional[Head]
    now: float
    body: bytes
    lines: int
    damaged: Tuple[str, ...]
    published_at: Optional[float] = None  # of a past version, seconds of the Redis clock; None = unknown
    shown: Optional[Shown] = None  # None = the replica of now


class Reads:
    """The handlers. They belong to the event loop."""

    def __init__(self, api: OwnApi) -> None:
        self._api = api

    async def snapshot(self, call: Call) -> Answer:
        """GET /krm/v1/snapshots/{kind}."""
        api = self._api
        target = await api.target(call, "list")
        selection = api.selection(call, target)
        if call.flag("verified") and "at" in call.query:
            raise bad_request(
                "at and verified exclude one another: verified is the newest state that a list confirmed"
            )
        if call.flag("cells") and (call.flag("verified") or "at" in call.query):
            raise bad_request("cells are of now: leave at and verified out, or read the objects")
        if call.flag("verified") or "at" in call.query:
            read = await self._past(call, target, selection)
        else:
            await api.come_to(call, target.replica)
            read = self._now(target, selection, call.flag("cells"))
        api.judged(call, target, read.head, read.now, bool(read.token))
        first = {
            **api.facts(target, read.head, read.now),
            "token": read.token,
            "damaged": read.damaged,
            "published_at": read.published_at,
        }
        if call.flag("cells"):
            first.update(wire.row_facts(self._tabulator(target.replica).columns, read.body))
        return await api.lines(call, target, first, read.body, read.lines, read.shown)

    async def object(self, call: Call) -> Answer:
        """GET /krm/v1/objects/{kind}: one object, or none."""
        api = self._api
        name = call.text("name")
        check_name(name)
        if not name:
            raise bad_request("name= is missing: the name of the object")
        target = await api.target(call, "get", name)
        replica = target.replica
        await api.come_to(call, replica)
        head, now = api.head(replica), api.serving.now(replica)
        something = holds(head, replica)
        api.judged(call, target, head, now, something)
        key = f"{target.namespace or ''}/{name}"
        if something and key in replica.corrupt:
            raise errors.Damaged(f"{replica.kind} {key}: its bytes in Redis do not fit their digest")
        one = replica.objects.get(key) if something else None
        line = b"" if one is None or head is None else wire.object_line(key, one, head.verified_rv)
        first = {**api.facts(target, head, now), "token": str(replica.token) if something else ""}
        return await api.lines(call, target, first, line, 1 if line else 0)

    async def columns(self, call: Call) -> Answer:
        """GET /krm/v1/columns/{kind}: for whoever makes cells of objects."""
        target = await self._api.target(call, "list")
        kind = target.replica.kind
        served = self._api.catalog.served(parse_kind(kind))
        printed = None if served is None else self._api.serving.printed(served)
        return Answer(written({"kind": kind, "printed": wire.shown_columns(printed)}) + b"\n")

    async def version(self, call: Call) -> Answer:
        """GET /krm/v1/versions/{kind}: which version a moment means, or the oldest one that can be read."""
        api = self._api
        target = await api.target(call, "list")
        at, now = call.query.get("at"), api.serving.now(target.replica)
        moment = None if at is None else parsed(at, target, now)

        def work(pipeline: RedisPipeline) -> Token:
            if moment is None:
                return pipeline.oldest(target.namespace)
            return _resolved(pipeline, moment, target.namespace)

        token = await api.past.read(call.cluster, target.replica, work)
        facts = {"kind": target.replica.kind, "namespace": target.replica.namespace, "token": str(token)}
        return Answer(written(facts) + b"\n")

    async def diff(self, call: Call) -> Answer:
        """GET /krm/v1/diffs/{kind}: what differs between a and b."""
        api = self._api
        target = await api.target(call, "list")
        replica, now = target.replica, api.serving.now(target.replica)
        head = api.head(replica)
        api.judged(call, target, head, now, holds(head, replica))
        if not call.text("a"):
            raise bad_request("a= is missing: the moment that the difference begins at")
        start = parsed(call.text("a"), target, now)
        end = parsed(call.text("b"), target, now) if "b" in call.query else replica.token
        verified_rv = head.verified_rv if head is not None else ""

        def work(pipeline: RedisPipeline) -> Tuple[Token, Token, bytes, int]:
            a, b = (_resolved(pipeline, one, target.namespace) for one in (start, end))
            found = pipeline.diff(a, b, target.namespace)
            lines = _difference_lines(found, verified_rv)
            return a, b, b"".join(lines), len(lines)

        a, b, body, count = await api.past.read(call.cluster, replica, work)
        first = {**api.facts(target, head, now), "a": str(a), "b": str(b)}
        shown = _of_then(b, end) if "b" in call.query else of_now(b, head)
        return await api.lines(call, target, first, body, count, shown)

    def _now(self, target: Target, selection: Selection, cells: bool) -> Read:
        api, replica, namespace = self._api, target.replica, target.namespace
        head, now = api.head(replica), api.serving.now(replica)
        if head is None or not holds(head, replica):
            return Read("", head, now, b"", 0, ())
        keys = replica.keys(namespace or "")
        if namespace == "":
            keys = [key for key in keys if key.startswith("/")]
        objects, rv = replica.objects, head.verified_rv
        if selection.selects:
            keys = [key for key in keys if selection.matches(key, objects[key].labels, objects[key].fields)]
        if cells:
            body = Body(self._row_lines(replica, keys, now))  # not kept: ages change with every second
        elif selection.selects:
            body = Body(_object_lines([(key, objects[key]) for key in keys], rv))
        elif not keys:
            body = Body(b"")  # not kept: a caller could name any number of namespaces
        else:
            body = api.serving.kept.body(
                ("krm/v1", replica, namespace),
                (replica.token, rv),
                lambda: _object_lines([(key, objects[key]) for key in keys], rv),
            )
        damaged = tuple(key for key in replica.corrupt if namespace in (None, key.partition("/")[0]))
        return Read(str(replica.token), head, now, body.plain, len(keys), damaged)

    def _row_lines(self, replica: Replica, keys: List[str], now: float) -> bytes:
        tabulator = self._tabulator(replica)
        row = tabulator.row
        found = [(key, replica.objects[key]) for key in tabulator.ordered(keys, replica.objects)]
        return b"".join([wire.row_line(key, row(_ROWS, one, _body, "None", now)) for key, one in found])

    def _tabulator(self, replica: Replica) -> Tabulator:
        """As the Kubernetes API prints the kind; of one that is not served any more, its name and age."""
        served = self._api.catalog.served(parse_kind(replica.kind))
        return Tabulator(replica.kind) if served is None else self._api.serving.forms(served).tabulator

    async def _past(self, call: Call, target: Target, selection: Selection) -> Read:
        api, replica, namespace = self._api, target.replica, target.namespace
        at = parsed(call.text("at"), target, api.serving.now(replica)) if "at" in call.query else None

        def work(pipeline: RedisPipeline) -> Read:
            data: Optional[SnapshotData]
            if at is None:
                data = pipeline.verified(namespace)
            else:
                data = pipeline.at(_resolved(pipeline, at, namespace), namespace)
            if data is None:
                head, now = pipeline.head()
                return Read("", head, now, b"", 0, ())
            rows = [
                (key, one)
                for key, one in sorted(data.objects.items(), key=lambda row: row[0].encode())
                if selection.matches(key, one.labels, one.fields)
            ]
            damaged = tuple(key for key in data.corrupt if namespace in (None, key.partition("/")[0]))
            body = _object_lines(rows, data.head.verified_rv)
            shown = _verified(data) if at is None else _of_then(data.token, at, data.published_at)
            return Read(str(data.token), data.head, data.time, body, len(rows), damaged, data.published_at, shown)

        return await api.past.read(call.cluster, replica, work)


def _body(one: Envelope) -> bytes:
    return one.body


def parsed(text: str, target: Target, now: float) -> Union[Token, float]:
    """A moment as a caller writes it; of a token of several pipelines, this one's part. Raises BadRequest."""
    tokens = split_tokens(text)
    own = tokens.get(target.replica.namespace, tokens.get("", text))
    return float(own) if _SECONDS.fullmatch(own) else parse_moment(own, now)


def _resolved(pipeline: RedisPipeline, moment: Union[Token, float], namespace: Optional[str]) -> Token:
    return moment if isinstance(moment, Token) else pipeline.version_at(moment, namespace)


def _of_then(token: Token, moment: Union[Token, float], published_at: Optional[float] = None) -> Shown:
    """A version of the past: it was all there was at the moment that was asked for, or when it was published."""
    return Shown(str(token), moment if isinstance(moment, float) else published_at)


def _verified(data: SnapshotData) -> Shown:
    return Shown(str(data.token), data.head.verified_at, data.head.verified_rv, data.head.verified_at)


def _object_lines(rows: List[Tuple[str, Envelope]], verified_rv: str) -> bytes:
    return b"".join([wire.object_line(key, one, verified_rv) for key, one in rows])


def _difference_lines(found: Dict[str, Pair], verified_rv: str) -> List[bytes]:
    """Each side that exists, in the order of the keys."""
    lines = []
    for key in sorted(found, key=str.encode):
        before, after = found[key]
        type_ = "ADDED" if before is None else "DELETED" if after is None else "MODIFIED"
        for side, one in (("before", before), ("after", after)):
            if one is not None:
                lines.append(wire.object_line(key, one, verified_rv, {"type": type_, "side": side}))
    return lines
