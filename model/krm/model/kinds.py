"""Kinds: which resources krm keeps, and what discovery says of one.

A kind is written as kubectl writes it: `pods`, `deployments.apps`, `widgets.example.com`
(resource.group; the core group is empty). The served version is never part of a kind.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional, Tuple

# RFC 1123 labels, as the API server demands of resources and groups.
_GRAMMAR = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?)?$")


class BadKind(ValueError):
    """A name that is no kind, or one that krm refuses to keep."""


class Kind(NamedTuple):
    """One resource of one group. `str()` gives the name that keys and flags use."""

    resource: str
    group: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


def parse_kind(name: str) -> Kind:
    """`deployments.apps` -> Kind("deployments", "apps"). Raises BadKind; secrets are refused by name."""
    if not _GRAMMAR.match(name):
        raise BadKind(f"{name!r} is no kind: write RESOURCE or RESOURCE.GROUP in lower case, e.g. deployments.apps")
    resource, _, group = name.partition(".")
    if resource == "secrets" and not group:
        raise BadKind("secrets are never cached: krm refuses that kind by name")
    return Kind(resource, group)


# The six of the original system, then what analysis needs.
ORIGINAL_KINDS: Tuple[Kind, ...] = (
    Kind("pods", ""),
    Kind("deployments", "apps"),
    Kind("persistentvolumeclaims", ""),
    Kind("services", ""),
    Kind("ingresses", "networking.k8s.io"),
    Kind("nodes", ""),
)
DEFAULT_KINDS: Tuple[Kind, ...] = (
    *ORIGINAL_KINDS,
    Kind("namespaces", ""),
    Kind("replicasets", "apps"),
    Kind("statefulsets", "apps"),
    Kind("daemonsets", "apps"),
    Kind("jobs", "batch"),
    Kind("events", ""),
    Kind("resourcequotas", ""),
    Kind("limitranges", ""),
    Kind("horizontalpodautoscalers", "autoscaling"),
    Kind("priorityclasses", "scheduling.k8s.io"),
    Kind("endpointslices", "discovery.k8s.io"),
)

# Kinds that the API server keeps no watch cache for: lists go to etcd and no bookmarks come.
UNCACHED_KINDS = frozenset({Kind("events", ""), Kind("events", "events.k8s.io")})


class Resource(NamedTuple):
    """What discovery says of a kind: how to ask for it and what its objects call themselves."""

    kind: Kind
    version: str  # served version, e.g. "v1"
    object_kind: str  # e.g. "Pod"
    namespaced: bool
    singular: str = ""
    short_names: Tuple[str, ...] = ()
    categories: Tuple[str, ...] = ()  # `all`: what `kubectl get all` lists

    @property
    def api_version(self) -> str:
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version

    def path(self, namespace: Optional[str] = None, name: Optional[str] = None) -> str:
        """The URL path of the collection (or of one object), below the server's root."""
        root = f"/apis/{self.kind.group}/{self.version}" if self.kind.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{place}/{self.kind.resource}" + (f"/{name}" if name else "")


def split_key(key: str) -> Tuple[str, str]:
    """`namespace/name` -> (namespace, name); the namespace of a cluster-scoped object is ''."""
    namespace, _, name = key.partition("/")
    return namespace, name
