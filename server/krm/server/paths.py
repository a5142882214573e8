"""What a path of the Kubernetes API names: a collection, an object, or a document. Pure."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from krm.model.kinds import Kind
from krm.server.statuses import bad_request, quoted

MAX_SEGMENT = 1024  # characters; no name of the API is longer than 253


class Target(NamedTuple):
    """A collection (name '') or one object of it."""

    kind: Kind
    version: str
    namespace: str = ""  # '' = all, or none
    name: str = ""
    subresource: str = ""
    watch: bool = False  # the old form of the path, /api/v1/watch/...

    @property
    def api_version(self) -> str:
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version


def target(path: str) -> Optional[Target]:
    """Of a decoded path; None where it names no resource. As the API server's RequestInfo reads it."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        return _target("", parts[1], parts[2:])
    if parts[0] == "apis" and len(parts) >= 4:
        return _target(parts[1], parts[2], parts[3:])
    return None


def _target(group: str, version: str, rest: List[str]) -> Target:
    watch = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if watch else rest
    namespace = ""
    # `namespaces/NAME` is an object itself, and so are its subresources.
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource, name = rest[0], rest[1] if len(rest) > 1 else ""
    return Target(Kind(resource, group), version, namespace, name, "/".join(rest[2:]), watch)


def check_name(name: str) -> None:
    """Raises ApiError 400 for what no path segment may be."""
    for wrong in (".", ".."):
        if name == wrong:
            raise bad_request(f"Name parameter invalid: {quoted(name)}: may not be '{wrong}'")
    for wrong in ("/", "%"):
        if wrong in name:
            raise bad_request(f"Name parameter invalid: {quoted(name[:MAX_SEGMENT])}: may not contain '{wrong}'")
    if len(name) > MAX_SEGMENT:
        raise bad_request(f"Name parameter invalid: more than {MAX_SEGMENT} characters")
