"""Discovery: what an API server serves now, asked anew each time, for a kind may vanish and return."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, NamedTuple, Optional

from krm.cluster.errors import Forbidden, Malformed, NotFound, OutOfScope
from krm.cluster.requests import Cluster
from krm.model.kinds import Kind, Resource

# What krm does with a kind.
VERBS = ("list", "watch")
IDENTITY_NAMESPACE = "kube-system"
TIMEOUT = 15.0  # seconds; these answers are small
_NUMBER = re.compile(r"\d+")
_VERSION = re.compile(r"v[0-9a-z]{1,30}")


class ServerVersion(NamedTuple):
    """Of `/version`. Vendors write minors like `34+`."""

    major: int
    minor: int
    git: str  # "v1.34.4-eks-1234"
    document: Dict[str, Any]  # the whole answer


def discover(cluster: Cluster, kind: Kind, namespace: str = "") -> Resource:
    """How the API server serves `kind`, at the version it prefers among those that have it.

    `namespace`: that of the pipeline, '' = the whole cluster. Raises NotFound where it serves the kind
    not at all, or without list or watch; OutOfScope where the pipeline has a namespace and the kind has
    none; ClusterError else.
    """
    lacking: List[str] = []
    for version in _versions(cluster, kind):
        row = _row(cluster, kind, version)
        if row is None:
            continue
        lacking = [verb for verb in VERBS if verb not in row.get("verbs", ())]
        if not lacking:
            resource = _resource(kind, version, row)
            if namespace and not resource.namespaced:
                raise OutOfScope(f"{kind} are of no namespace: leave them out, or run krm without --namespaces")
            return resource
    if lacking:
        raise NotFound(f"{kind} is served without {' and '.join(lacking)}: krm cannot keep that kind")
    raise NotFound(
        f"{kind} is not served: write RESOURCE.GROUP as `kubectl api-resources` shows it, "
        "or install what defines it"
    )


def server_version(cluster: Cluster) -> ServerVersion:
    """The API server's version. Raises ClusterError."""
    answer = _ask(cluster, "/version")
    major, minor = (_NUMBER.match(str(answer.get(name, ""))) for name in ("major", "minor"))
    if major is None or minor is None:
        raise Malformed("GET /version gave no version: the kubeconfig's server is no API server")
    return ServerVersion(int(major.group()), int(minor.group()), str(answer.get("gitVersion", "")), answer)


def cluster_uid(cluster: Cluster) -> str:
    """The uid of namespace kube-system, which tells one cluster from another; '' where it may not be read."""
    try:
        answer = _ask(cluster, f"/api/v1/namespaces/{IDENTITY_NAMESPACE}")
    except (Forbidden, NotFound):
        return ""
    metadata = answer.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) else ""


def _versions(cluster: Cluster, kind: Kind) -> List[str]:
    """Versions of the kind's group, the preferred one first; [] where the group is not served."""
    path = f"/apis/{kind.group}" if kind.group else "/api"
    try:
        answer = _ask(cluster, path)
    except NotFound:
        return []
    if not kind.group:
        listed = answer.get("versions")
        return _sound(listed if isinstance(listed, list) else [])
    rows = answer.get("versions")
    preferred = answer.get("preferredVersion")
    entries = [preferred, *(rows if isinstance(rows, list) else [])]
    return _sound([entry.get("version") for entry in entries if isinstance(entry, dict)])


def _sound(versions: List[Any]) -> List[str]:
    """Without twins, and without what could not stand in a path."""
    return [v for v in dict.fromkeys(map(str, versions)) if _VERSION.fullmatch(v)]


def _row(cluster: Cluster, kind: Kind, version: str) -> Optional[Dict[str, Any]]:
    """The kind's row in one version's list. Subresources have a '/' in their name, so none matches."""
    path = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    try:
        rows = _ask(cluster, path).get("resources")
    except NotFound:
        return None
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row.get("name") == kind.resource:
            return row
    return None


def _resource(kind: Kind, version: str, row: Dict[str, Any]) -> Resource:
    names, categories = row.get("shortNames"), row.get("categories")
    return Resource(
        kind=kind,
        version=version,
        object_kind=str(row.get("kind", "")),
        namespaced=row.get("namespaced") is True,
        singular=str(row.get("singularName", "")),
        short_names=tuple(map(str, names)) if isinstance(names, list) else (),
        categories=tuple(map(str, categories)) if isinstance(categories, list) else (),
    )


def _ask(cluster: Cluster, path: str) -> Dict[str, Any]:
    try:
        answer = json.loads(cluster.get(path, timeout=TIMEOUT))
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Malformed(f"GET {path} gave no JSON object: the kubeconfig's server is no API server")
    return answer
