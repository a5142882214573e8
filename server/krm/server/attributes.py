"""What a request asks for, in the words that the API server's authorisers are asked with. Pure.

As the API server's own RequestInfo reads it, so that its answer to the same words is the answer to give.
"""

from __future__ import annotations

from typing import Dict, List, Mapping

from krm.server.identity import Attributes
from krm.server.paths import Target

_VERBS: Mapping[str, str] = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
}  # fmt: skip


def of_path(cluster: str, method: str, path: str) -> Attributes:
    """Of a path that is no resource: the verb is the method."""
    return Attributes(cluster, method.lower(), path=path)


def of_resource(cluster: str, method: str, found: Target, query: Dict[str, str], watching: bool) -> Attributes:
    """Of a resource. `watching`: the query or the path asks for a watch.

    A field selector of exactly one name makes a list of it a request for that name: who may read one
    object may list and watch it so.
    """
    verb, name = _VERBS.get(method, ""), found.name
    fields = labels = ""
    if found.watch:
        verb = "watch"
    elif verb == "get" and not name:
        verb = "watch" if watching else "list"
        fields, labels = query.get("fieldSelector", ""), query.get("labelSelector", "")
        name = one_name(fields)
    elif verb == "delete" and not name:
        verb = "deletecollection"
    return Attributes(
        cluster, verb, found.kind, found.version, _namespace(found), name, found.subresource.partition("/")[0],
        "", fields, labels,
    )  # fmt: skip


def _namespace(found: Target) -> str:
    """A namespace's own object lies in that namespace, for the authorisers."""
    if found.kind.resource == "namespaces" and found.name and not found.namespace:
        return found.name
    return found.namespace


def one_name(fields: str) -> str:
    """The name that a field selector requires; '' = none, or none that a path could hold."""
    names: List[str] = []
    for clause in fields.split(","):
        field, equals, value = clause.partition("=")
        if equals and field == "metadata.name":
            names.append(value[1:] if value.startswith("=") else value)
    if not names or names[0] in (".", "..") or any(char in names[0] for char in "/%"):
        return ""
    return names[0]
