"""Whom a request asks to be taken for (`kubectl --as`), and the rights that this needs. Pure.

As the API server reads Impersonate-*: the right to impersonate each name, group, uid and extra, asked for one by
one. A request that names somebody is never answered as if it had not: a login proxy that impersonates its users
would show all of them what it may read itself.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from krm.model.kinds import Kind
from krm.server.credentials import UNAUTHENTICATED, header_values, with_group
from krm.server.identity import ANONYMOUS, Attributes, User
from krm.server.statuses import bad_request
from krm.server.web import Request

_PREFIX = "impersonate-"
_USER, _UID, _GROUP, _EXTRA = (_PREFIX + part for part in ("user", "uid", "group", "extra-"))
_ACCOUNT, _ACCOUNTS = "system:serviceaccount:", "system:serviceaccounts"
_AUTHENTICATION = "authentication.k8s.io"


class Impersonated(NamedTuple):
    """Somebody else, and what whoever asks must be allowed to be taken for them."""

    user: User
    rights: Tuple[Attributes, ...]


def impersonated(request: Request, cluster: str) -> Optional[Impersonated]:
    """None where nobody is named. Raises ApiError 400 for what would belong to nobody, 401 for no UTF-8."""
    if not any(name.startswith(_PREFIX) for name in request.headers):
        return None
    name, uid = _first(request, _USER), _first(request, _UID)
    groups = header_values(request, _GROUP)
    extra = [
        (unquote(header[len(_EXTRA) :], errors="replace"), header_values(request, header))
        for header in sorted(request.headers)
        if header.startswith(_EXTRA)
    ]
    if not name:
        if groups or uid or extra:
            raise bad_request("a group, a uid or an extra is to be impersonated without a user's name")
        return None
    rights = [_of_user(cluster, name), *(_right(cluster, Kind("groups", ""), group) for group in groups)]
    for key, values in extra:
        rights += [_right(cluster, Kind("userextras", _AUTHENTICATION), value, key) for value in values]
    rights += [_right(cluster, Kind("uids", _AUTHENTICATION), uid)] if uid else []
    user = User(name, uid, tuple(groups or _groups(name)), tuple((key, tuple(values)) for key, values in extra))
    if name == ANONYMOUS and UNAUTHENTICATED not in user.groups:
        user = user._replace(groups=(*user.groups, UNAUTHENTICATED))
    return Impersonated(with_group(user), tuple(rights))


def _first(request: Request, header: str) -> str:
    return next(iter(header_values(request, header)), "")


def _account(name: str) -> Optional[Tuple[str, str]]:
    """(namespace, name) of a service account's user name."""
    parts = name[len(_ACCOUNT) :].split(":") if name.startswith(_ACCOUNT) else []
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def _groups(name: str) -> List[str]:
    """Of whoever is named without any: a service account has its own."""
    account = _account(name)
    return [] if account is None else [_ACCOUNTS, f"{_ACCOUNTS}:{account[0]}"]


def _of_user(cluster: str, name: str) -> Attributes:
    account = _account(name)
    if account is None:
        return _right(cluster, Kind("users", ""), name)
    return _right(cluster, Kind("serviceaccounts", ""), account[1])._replace(namespace=account[0])


def _right(cluster: str, kind: Kind, name: str, subresource: str = "") -> Attributes:
    return Attributes(cluster, "impersonate", kind, "v1", name=name, subresource=subresource)
