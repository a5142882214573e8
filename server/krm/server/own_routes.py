"""The table of /krm/v1/: paths, parameters, answers, handlers."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Tuple

from krm.client.errors import KrmError
from krm.model.gojson import written
from krm.server.about import About
from krm.server.followed import WAIT_MOST, Followed
from krm.server.identity import Attributes, Gate
from krm.server.openapi import document
from krm.server.own import OwnApi
from krm.server.past import Past, told
from krm.server.reads import Reads
from krm.server.routes import (
    BOOLEAN,
    EVENT_STREAM,
    JSON_LINES,
    Call,
    Content,
    Handler,
    Parameter,
    Route,
    Routes,
    json_content,
)
from krm.server.serving import Serving
from krm.server.streams import Streams
from krm.server.web import Answer, Reply

_MOMENT = "a token, a version, a time (RFC 3339, or seconds with a point) or a span ago (5m)"
_KIND = Parameter(
    "kind", "As kubectl writes it: pods, po, deployments.apps, widgets.example.com.", where="path", required=True
)
_NAMESPACE = Parameter("namespace", "Only this namespace; the caller needs no rights in others then.")
_LABELS = Parameter("labelSelector", "As kubectl's -l takes it, sets too.")
_FIELDS = Parameter("fieldSelector", "Of the fields that the API server offers for the kind.")
_STALE_OK = Parameter("stale_ok", "Answer in every state but warming; `trust` says what it is worth.", BOOLEAN)
_HELD = Parameter(
    "held",
    "The token of the caller's last answer: an answer from before it is waited over, for 3 s; where it means"
    " nothing any more, 409 Reset.",
)
_UNJUDGED = Parameter(
    "unjudged",
    "Answer in every state, without a token where there is nothing: the reader judges `head` itself.",
    BOOLEAN,
)
_JUDGED = (_STALE_OK, _HELD, _UNJUDGED)
_TRUST: Dict[str, Any] = {
    "type": "object",
    "required": ["state", "reasons"],
    "properties": {
        "state": {"enum": ["warming", "absent", "forbidden", "truncated", "stale", "reset", "live"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
_WORTH: Dict[str, Any] = {
    "kind": {"type": "string"},
    "namespace": {"type": "string"},
    "now": {"type": "number"},
    "trust": _TRUST,
    "head": {"type": ["object", "null"]},
}
_LINES = Content(
    "JSON lines: the first says what the answer is worth and how many lines follow; each of them is one object.",
    {JSON_LINES: {"type": "string"}},
)
_CHANGES = Content(
    "The same, a line a change; or server-sent events, whose ids are tokens.",
    {JSON_LINES: {"type": "string"}, EVENT_STREAM: {"type": "string"}},
)


def own_routes(
    serving: Serving, gate: Gate, past: Past, streams: Streams, clusters: Callable[[], Mapping[str, Routes]]
) -> List[Route]:
    """Those of one cluster. `clusters`: the routes of all, by name."""
    api = OwnApi(serving, gate, past)
    about, reads, followed = About(api, clusters), Reads(api), Followed(api, streams)
    name = serving.catalog.cluster

    async def openapi(call: Call) -> Reply:
        await gate.check(call.user, Attributes(call.cluster, "get", path="/openapi/v3"))
        return Answer(written(document(clusters()[name].all)) + b"\n")

    return [
        _route(
            "kinds",
            "Which kinds krm keeps.",
            about.kinds,
            _rows("kinds", {"kind": {"type": "string"}, "namespace": {"type": "string"}}),
        ),
        _route(
            "status",
            "What each kind is worth now.",
            about.status,
            _rows("kinds", _WORTH),
            (Parameter("kind", "Only this one."), _NAMESPACE),
        ),
        _route(
            "drift",
            "What lists had to repair, by cause, and the newest repairs.",
            about.drift,
            _rows("kinds", {"kind": {"type": "string"}}),
            (Parameter("kind", "Only this one."),),
        ),
        _route(
            "clusters",
            "The clusters of this server that the caller may see; where tokens are reviewed at an API server,"
            " that of the path alone. `unknown`: whether there are others of which it cannot be found out now.",
            about.clusters,
            _rows("clusters", {"name": {"type": "string"}}, unknown=BOOLEAN),
        ),
        _route("openapi.json", "This document.", openapi, {"type": "object"}),
        _of_kind(
            "snapshots",
            "All objects of a kind at one version.",
            reads.snapshot,
            _LINES,
            (
                _NAMESPACE,
                _LABELS,
                _FIELDS,
                Parameter("at", f"As it was: {_MOMENT}."),
                Parameter("cells", "Rows as kubectl prints them, below `columns`, instead of objects.", BOOLEAN),
                Parameter("verified", "Each object at the newest version that a list confirmed.", BOOLEAN),
                *_JUDGED,
            ),
        ),
        _of_kind(
            "objects",
            "One object; no line where there is none.",
            reads.object,
            _LINES,
            (_NAMESPACE, Parameter("name", "Its name.", required=True), *_JUDGED),
        ),
        _of_kind(
            "columns",
            "The columns that a custom resource's CRD defines; `printed` is null of a built-in kind, and where krm"
            " does not keep CRDs.",
            reads.columns,
            json_content(
                "Name, type, priority and JSONPath of each.",
                {"type": "object", "required": ["kind"], "properties": {"printed": {"type": ["array", "null"]}}},
            ),
            (_NAMESPACE,),
        ),
        _of_kind(
            "changes",
            "Changes since a token, each once and in order.",
            followed.changes,
            _CHANGES,
            (
                _NAMESPACE,
                _LABELS,
                _FIELDS,
                Parameter("since", "The place to go on from; without it from now, or from Last-Event-ID."),
                Parameter(
                    "wait",
                    f"Seconds to wait for the first, at most {WAIT_MOST:.0f}.",
                    {"type": "number", "minimum": 0},
                ),
                *_JUDGED,
            ),
        ),
        _of_kind(
            "versions",
            "The version that a moment means.",
            reads.version,
            json_content(
                "Its token.", {"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}
            ),
            (_NAMESPACE, Parameter("at", f"{_MOMENT}; without it the oldest that can be read.")),
        ),
        _of_kind(
            "diffs",
            "What differs between two moments.",
            reads.diff,
            _LINES,
            (
                _NAMESPACE,
                Parameter("a", f"From: {_MOMENT}.", required=True),
                Parameter("b", "To; without it now."),
                *_JUDGED,
            ),
        ),
    ]


def _rows(name: str, properties: Dict[str, Any], **beside: Mapping[str, Any]) -> Dict[str, Any]:
    row = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    whole = {name: {"type": "array", "items": row}, **beside}
    return {"type": "object", "required": list(whole), "properties": whole}


def _route(
    name: str, summary: str, handle: Handler, schema: Dict[str, Any], parameters: Tuple[Parameter, ...] = ()
) -> Route:
    operation = name.partition(".")[0]
    return Route(
        f"/krm/v1/{name}", operation, summary, _guarded(handle), json_content(summary, schema), parameters, (404,)
    )


def _of_kind(
    name: str, summary: str, handle: Handler, content: Content, parameters: Tuple[Parameter, ...]
) -> Route:
    codes = (404, 409, 410, 429, 504)
    return Route(f"/krm/v1/{name}/{{kind}}", name, summary, _guarded(handle), content, (_KIND, *parameters), codes)


def _guarded(handle: Handler) -> Handler:
    """The client's errors, which its parts raise here too, as answers."""

    async def guarded(call: Call) -> Reply:
        try:
            return await handle(call)
        except KrmError as error:
            raise told(error) from None

    return guarded
