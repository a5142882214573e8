"""Discovery as the API server words it, of the kinds that krm keeps: plain and aggregated. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from krm.server import custom_metrics, resource_metrics
from krm.server.catalog import Served
from krm.server.groups import BUILT_IN
from krm.server.negotiation import Clause

VERBS, MEASURED_VERBS = ("get", "list", "watch"), ("get", "list")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList"
_AGGREGATED_VERSIONS = ("v2", "v2beta1")
_MEASURED = frozenset({resource_metrics.GROUP, custom_metrics.CUSTOM, custom_metrics.EXTERNAL})

Document = Dict[str, Any]


def aggregated_version(accepted: Sequence[Clause]) -> str:
    """`v2` or `v2beta1` where the client prefers the aggregated form, else ''."""
    for one in accepted:
        if one.media not in ("application/json", "*/*"):
            continue
        if not one.parameters.get("as"):
            return ""
        version = one.parameters.get("v", "")
        wanted = one.parameters.get("as") == "APIGroupDiscoveryList"
        if wanted and one.parameters.get("g") == "apidiscovery.k8s.io" and version in _AGGREGATED_VERSIONS:
            return version
    return ""


def document(path: str, served: Sequence[Served], address: str) -> Optional[Document]:
    """The plain document at a path; None where there is none. `address`: host:port as clients reach it."""
    parts = path.strip("/").split("/")
    if parts == [""]:
        return _root(served)
    if parts == ["api"]:
        return _api_versions(address)
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*one) for one in groups(served)]}
    if parts[0] == "api" and len(parts) == 2:
        return _resources("", parts[1], served)
    if parts[0] == "apis" and len(parts) == 2:
        found = [one for one in groups(served) if one[0] == parts[1]]
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(*found[0])} if found else None
    if parts[0] == "apis" and len(parts) == 3:
        return _resources(parts[1], parts[2], served)
    return None


def aggregated(path: str, served: Sequence[Served], version: str) -> Document:
    """APIGroupDiscoveryList at /api (the core group) or /apis (all others)."""
    core = path.strip("/") == "api"
    chosen = [one for one in served if bool(one.resource.kind.group) != core]
    items = [
        {
            "metadata": {"name": group} if group else {},
            "versions": [_aggregated_version(group, each, chosen) for each in versions],
        }
        for group, versions in ([("", ["v1"])] if core else groups(chosen))
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def groups(served: Sequence[Served]) -> List[Tuple[str, List[str]]]:
    """(group, its versions) of all named groups, in the order of their names."""
    found: Dict[str, List[str]] = {}
    for one in served:
        versions = found.setdefault(one.resource.kind.group, [])
        if one.resource.version not in versions:
            versions.append(one.resource.version)
    return [(group, found[group]) for group in sorted(found) if group]


def _root(served: Sequence[Served]) -> Document:
    paths = ["/api", "/api/v1", "/apis"]
    for group, versions in groups(served):
        paths += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
    return {"paths": [*paths, "/livez", "/readyz", "/version"]}


def _api_versions(address: str) -> Document:
    place = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [place]}


def _group(name: str, versions: Sequence[str]) -> Document:
    rows = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": rows, "preferredVersion": rows[0]}


def _resources(group: str, version: str, served: Sequence[Served]) -> Optional[Document]:
    rows = [_row(one) for one in _chosen(group, version, served)]
    if not rows and (group or version != "v1"):
        return None
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if group else {})}
    return {**head, "groupVersion": f"{group}/{version}" if group else version, "resources": rows}


def _chosen(group: str, version: str, served: Sequence[Served]) -> List[Served]:
    return [one for one in served if (one.resource.kind.group, one.resource.version) == (group, version)]


def _row(one: Served) -> Document:
    resource, facts = one.resource, one.facts
    row: Document = {
        "name": resource.kind.resource,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.object_kind,
        "verbs": list(_verbs(resource.kind.group)),
        "shortNames": list(resource.short_names),
        "categories": list(facts.categories),
    }
    return {name: value for name, value in row.items() if value not in ([],)}


def _verbs(group: str) -> Tuple[str, ...]:
    """Nobody can watch measurements."""
    return MEASURED_VERBS if group in _MEASURED else VERBS


def _aggregated_version(group: str, version: str, served: Sequence[Served]) -> Document:
    rows = []
    for one in _chosen(group, version, served):
        resource = one.resource
        row: Document = {
            "resource": resource.kind.resource,
            # Of built-in kinds the API server leaves both empty: they are those of the list.
            "responseKind": {
                "group": "" if group in BUILT_IN else group,
                "version": "" if group in BUILT_IN else version,
                "kind": resource.object_kind,
            },
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "singularResource": resource.singular,
            "verbs": list(_verbs(group)),
            "shortNames": list(resource.short_names),
            "categories": list(one.facts.categories),
        }
        rows.append({name: value for name, value in row.items() if value not in ([],)})
    return {"version": version, "resources": rows, "freshness": "Current"}
