"""/version, /api, /apis and the resource lists, plain and aggregated (v2)."""

from __future__ import annotations

from typing import Dict, List

from .kinds import Kind
from .wire import Object

VERSION: Object = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.3",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2025-11-11T19:03:48Z",
    "goVersion": "go1.26.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> bool:
    """Whether the client offers aggregated discovery v2 before plain JSON."""
    return "g=apidiscovery.k8s.io" in accept and "v=v2" in accept.replace("v=v2beta1", "")


def api_versions() -> Object:
    """/api."""
    address = [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": address}


def groups(kinds: List[Kind]) -> Dict[str, List[Kind]]:
    """The named groups in the order they were first seen."""
    found: Dict[str, List[Kind]] = {}
    for kind in kinds:
        if kind.group:
            found.setdefault(kind.group, []).append(kind)
    return found


def api_groups(kinds: List[Kind]) -> Object:
    """/apis."""
    listed = [_group(name, members) for name, members in groups(kinds).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def api_group(name: str, members: List[Kind]) -> Object:
    """/apis/GROUP."""
    return dict({"kind": "APIGroup", "apiVersion": "v1"}, **_group(name, members))


def _group(name: str, members: List[Kind]) -> Object:
    versions: List[Object] = []
    for kind in members:
        entry = {"groupVersion": kind.api_version, "version": kind.version}
        if entry not in versions:
            versions.append(entry)
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(group_version: str, kinds: List[Kind]) -> Object:
    """/api/v1 or /apis/GROUP/VERSION."""
    resources: List[Object] = []
    for kind in sorted(kinds, key=lambda each: each.resource):
        resources.append(_resource(kind))
        if kind.status:
            resources.append(
                {
                    "name": kind.resource + "/status",
                    "singularName": "",
                    "namespaced": kind.namespaced,
                    "kind": kind.kind,
                    "verbs": ["get", "patch", "update"],
                }
            )
    answer: Object = {"kind": "APIResourceList"}
    if group_version != "v1":
        answer["apiVersion"] = "v1"
    return dict(answer, groupVersion=group_version, resources=resources)


def _resource(kind: Kind) -> Object:
    entry: Object = {
        "name": kind.resource,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs) or VERBS,
    }
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return entry


def aggregated(kinds: List[Kind], core: bool) -> Object:
    """/api (core) or /apis as APIGroupDiscoveryList."""
    chosen = {"": [kind for kind in kinds if not kind.group]} if core else groups(kinds)
    items = [_aggregated_group(name, members) for name, members in chosen.items()]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_group(name: str, members: List[Kind]) -> Object:
    versions: Dict[str, List[Object]] = {}
    for kind in sorted(members, key=lambda each: each.resource):
        versions.setdefault(kind.version, []).append(_aggregated_resource(kind))
    metadata: Object = {"name": name} if name else {}
    listed = [{"version": v, "resources": found, "freshness": "Current"} for v, found in versions.items()]
    return {"metadata": metadata, "versions": listed}


def _aggregated_resource(kind: Kind) -> Object:
    # Built-in kinds leave these two empty, which means: as the group says.
    where = (kind.group, kind.version) if kind.custom else ("", "")
    response = {"group": where[0], "version": where[1], "kind": kind.kind}
    entry: Object = {
        "resource": kind.resource,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs) or VERBS,
    }
    if kind.short:
        entry["shortNames"] = list(kind.short)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if kind.status:
        status = {"subresource": "status", "responseKind": response, "verbs": ["get", "patch", "update"]}
        entry["subresources"] = [status]
    return entry
