"""Who asks, and for what: the values that authentication gives and authorisation takes."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Protocol

from krm.cluster.reviews import User
from krm.model.kinds import Kind
from krm.server.statuses import ApiError, forbidden, forbidden_path, unauthorized
from krm.server.web import Request

ANONYMOUS = "system:anonymous"


class Attributes(NamedTuple):
    """What is asked for: a resource, or a path that is none."""

    cluster: str
    verb: str  # get, list or watch; of a path: the method in lower case
    kind: Kind = Kind("", "")
    version: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    path: str = ""  # '' = it is a resource
    field_selector: str = ""
    label_selector: str = ""

    def review(self) -> Dict[str, Any]:
        """As a SubjectAccessReview asks for it."""
        if self.path:
            return {"nonResourceAttributes": {"verb": self.verb, "path": self.path}}
        asked: Dict[str, Any] = {
            "verb": self.verb,
            "group": self.kind.group,
            "version": self.version,
            "resource": self.kind.resource,
            "subresource": self.subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        # Some authorisers look at selectors: a node may list the pods of itself alone.
        if self.field_selector:
            asked["fieldSelector"] = {"rawSelector": self.field_selector}
        if self.label_selector:
            asked["labelSelector"] = {"rawSelector": self.label_selector}
        return {"resourceAttributes": asked}


class Gate(Protocol):
    """Decides who may read what. Every answer that holds a cluster's data passes it."""

    hands_on: bool = False  # whether it shows the caller's token to others, who could use it in the caller's name

    async def user(self, request: Request, cluster: str) -> User:
        """Who asks. Raises ApiError: 401, or 503 where it cannot be found out."""
        ...

    async def check(self, user: User, attributes: Attributes) -> None:
        """Raises ApiError: 403 where it is not allowed, 503 where that cannot be found out."""
        ...

    async def still(self, request: Request, user: User, attributes: Attributes) -> User:
        """For an answer that goes on: who it is and what they may do, over again. Raises ApiError once either is
        over: a token, a certificate and a right all end. Gives them as they are now: of other groups, maybe."""
        again = same(user, await self.user(request, attributes.cluster))
        await self.check(again, attributes)
        return again


def same(user: User, again: User) -> User:
    """Them as they are now, whose rights are to be reviewed. Raises ApiError 401 where it is somebody else."""
    if (again.name, again.uid) != (user.name, user.uid):
        raise unauthorized()
    return again


class Open(Gate):
    """`--auth none`: everyone who reaches the port may read everything. For loopback alone."""

    async def user(self, request: Request, cluster: str) -> User:  # noqa: ARG002
        return User(ANONYMOUS, groups=("system:unauthenticated",))

    async def check(self, user: User, attributes: Attributes) -> None:  # noqa: ARG002
        return None


def refused(user: User, attributes: Attributes, reason: str = "") -> ApiError:
    """403 in the API server's words; `reason`: what its authorisers add."""
    asked = attributes
    if asked.path:
        return forbidden_path(user.name, asked.verb, asked.path, reason)
    return forbidden(user.name, asked.verb, asked.kind, asked.namespace, asked.name, asked.subresource, reason)


__all__ = ["ANONYMOUS", "Attributes", "Gate", "Open", "User", "refused", "same"]
