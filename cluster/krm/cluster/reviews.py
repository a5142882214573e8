"""Reviews: who somebody is and what somebody may do, as the API server's own authenticators and authorisers
see it.

    allowed(cluster, rights)             what krm itself may do (SelfSubjectAccessReview)
    identify(cluster, token, audiences)  whose a token is (TokenReview)
    decide(cluster, user, attributes)    what somebody may do (SubjectAccessReview)
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.cluster.errors import Malformed
from krm.cluster.requests import Cluster
from krm.model.kinds import Kind

AUTHORIZATION = "authorization.k8s.io/v1"
AUTHENTICATION = "authentication.k8s.io/v1"
SELF = f"/apis/{AUTHORIZATION}/selfsubjectaccessreviews"
ACCESS = f"/apis/{AUTHORIZATION}/subjectaccessreviews"
TOKEN = f"/apis/{AUTHENTICATION}/tokenreviews"
TIMEOUT = 15.0  # seconds


class Right(NamedTuple):
    """One verb on one kind; namespace '' means cluster-wide."""

    verb: str
    kind: Kind
    namespace: str = ""


class User(NamedTuple):
    """As the API server names who asks."""

    name: str
    uid: str = ""
    groups: Tuple[str, ...] = ()
    extra: Tuple[Tuple[str, Tuple[str, ...]], ...] = ()


class Verdict(NamedTuple):
    """Whether something is allowed; `reason`: what the authorisers say of it, often ''."""

    allowed: bool
    reason: str = ""


def allowed(cluster: Cluster, rights: Sequence[Right]) -> List[bool]:
    """For each right whether krm has it. Every user may ask this of itself. Raises ClusterError."""
    return [_allowed(cluster, right) for right in rights]


def identify(
    cluster: Cluster, token: str, audiences: Sequence[str] = (), timeout: float = TIMEOUT
) -> Optional[User]:
    """Whose token it is; None where it is nobody's, or meant for others. Raises ClusterError.

    `audiences`: at least one of these the token must be meant for; () = the API server's own.
    """
    spec: Dict[str, Any] = {"token": token}
    if audiences:
        spec["audiences"] = list(audiences)
    status = _reviewed(cluster, TOKEN, AUTHENTICATION, "TokenReview", spec, timeout)
    if status.get("authenticated") is not True:
        return None
    # An authenticator that knows nothing of audiences names none: then nothing says that it is meant for us.
    if audiences and not set(audiences) & set(_texts(status.get("audiences"))):
        return None
    user = status.get("user")
    if not isinstance(user, dict) or not isinstance(user.get("username"), str) or not user["username"]:
        raise Malformed(f"POST {TOKEN} gave a user without a name: the kubeconfig's server is no API server")
    extra = user.get("extra")
    rows = sorted(extra.items()) if isinstance(extra, dict) else []
    return User(
        user["username"],
        str(user.get("uid") or ""),
        _texts(user.get("groups")),
        tuple((key, _texts(values)) for key, values in rows),
    )


def decide(cluster: Cluster, user: User, attributes: Mapping[str, Any], timeout: float = TIMEOUT) -> Verdict:
    """`attributes`: resourceAttributes or nonResourceAttributes under that name. Raises ClusterError."""
    spec: Dict[str, Any] = {"user": user.name, "groups": list(user.groups), **attributes}
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra}
    status = _reviewed(cluster, ACCESS, AUTHORIZATION, "SubjectAccessReview", spec, timeout)
    return Verdict(_verdict(status, ACCESS), str(status.get("reason") or ""))


def _allowed(cluster: Cluster, right: Right) -> bool:
    attributes = {
        "verb": right.verb,
        "group": right.kind.group,
        "resource": right.kind.resource,
        "namespace": right.namespace,
    }
    spec = {"resourceAttributes": attributes}
    return _verdict(_reviewed(cluster, SELF, AUTHORIZATION, "SelfSubjectAccessReview", spec, TIMEOUT), SELF)


def _reviewed(
    cluster: Cluster, path: str, version: str, kind: str, spec: Mapping[str, Any], timeout: float
) -> Dict[str, Any]:
    """The status of a review."""
    body = json.dumps({"apiVersion": version, "kind": kind, "spec": spec}).encode()
    try:
        status = json.loads(cluster.post(path, body, timeout))["status"]
    except (ValueError, TypeError, KeyError, RecursionError):
        status = None
    if not isinstance(status, dict):
        raise _no_verdict(path)
    return status


def _verdict(status: Mapping[str, Any], path: str) -> bool:
    verdict = status.get("allowed")
    if not isinstance(verdict, bool):
        raise _no_verdict(path)
    return verdict


def _no_verdict(path: str) -> Malformed:
    return Malformed(f"POST {path} gave no verdict: the kubeconfig's server is no API server")


def _texts(found: Any) -> Tuple[str, ...]:
    return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
