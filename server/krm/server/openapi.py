"""The OpenAPI 3.1 document of a table of routes. Pure.

The Kubernetes API is not in it: that is described by Kubernetes itself.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from krm.model.release import VERSION
from krm.server.routes import Parameter, Route
from krm.server.web import JSON_TYPE

_MEANING = {
    400: "A parameter does not parse, or is none of this path.",
    401: "The server does not know who asks.",
    403: "Whoever asks may not read this; the same for what exists and what does not.",
    404: "krm does not keep the kind, or the API server does not serve it.",
    405: "krm is read-only.",
    409: "Reset: the snapshot began anew since the answer that the caller holds.",
    410: "Expired: that point in time is no longer kept; the message names the oldest that is.",
    413: "The answer would be too large: ask for less.",
    414: "The query is too long.",
    429: "Too many at once: try again later.",
    500: "What krm holds of it is damaged, or krm failed.",
    501: "The server lacks a package that this needs.",
    503: "There is nothing that could be said and be true: the kind's state, or who may read, is unknown.",
    504: "Not read in time.",
}
# What every route may answer.
_ALWAYS = (400, 401, 403, 405, 414, 500, 503)


def document(routes: Sequence[Route]) -> Dict[str, Any]:
    """The document; paths are below the server's root, or below /clusters/NAME."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "krm",
            "version": VERSION,
            "description": "A verified copy of a Kubernetes cluster's state, and what each answer is worth.",
        },
        "security": [{"bearer": []}, {}],
        "paths": {route.path: {"get": _operation(route)} for route in routes},
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(route: Route) -> Dict[str, Any]:
    responses: Dict[str, Any] = {
        "200": {
            "description": route.answer.about,
            "content": {media: {"schema": dict(schema)} for media, schema in route.answer.media.items()},
        }
    }
    for code in sorted({*_ALWAYS, *route.errors}):
        error: Mapping[str, Any] = {JSON_TYPE: {"schema": dict(route.error_form.schema)}}
        responses[str(code)] = {"description": _MEANING[code], "content": error}
    operation: Dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": responses}
    if route.parameters:
        operation["parameters"] = _parameters(route.parameters)
    return operation


def _parameters(parameters: Sequence[Parameter]) -> List[Dict[str, Any]]:
    return [
        {
            "name": one.name,
            "in": one.where,
            "description": one.about,
            "required": one.required or one.where == "path",
            "schema": dict(one.schema),
        }
        for one in parameters
    ]
