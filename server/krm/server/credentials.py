"""What a request says of who sends it: a bearer token, or the names a trusted proxy gives. Pure.

A header decides nothing by itself: a token is worth what a gate finds it worth, and a proxy's headers are
read only where its certificate was verified (see authorities.py).
"""

from __future__ import annotations

import re
from typing import List, NamedTuple, Optional, Tuple
from urllib.parse import unquote

from krm.server.identity import User
from krm.server.statuses import unauthorized
from krm.server.web import Request

# Bytes of a token. A JWT of somebody in 200 groups has about 16 KB.
MAX_TOKEN = 32 * 1024
_VISIBLE = re.compile("[!-~]+").fullmatch  # a hundredth of what a look at each character costs
AUTHENTICATED, UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"


class ProxyHeaders(NamedTuple):
    """Which headers name the user, in lower case: as the cluster's API server tells its aggregated ones."""

    names: Tuple[str, ...] = ()
    uids: Tuple[str, ...] = ()
    groups: Tuple[str, ...] = ()
    extra: Tuple[str, ...] = ()  # prefixes


def bearer(request: Request) -> Optional[str]:
    """The token; None where none is presented (another scheme is nothing, as at the API server).

    Raises ApiError 401 for what cannot be read one way only: two Authorization headers, a bearer token
    that is missing, has a space in it, or is no visible ASCII.
    """
    if "authorization" in request.repeated:
        raise unauthorized()
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() != "bearer":
        return None
    if len(token) > MAX_TOKEN or not _VISIBLE(token):
        raise unauthorized()
    return token


def proxied(request: Request, headers: ProxyHeaders) -> Optional[User]:
    """Whom a proxy names; None where it names nobody. Raises ApiError 401 for names that are no UTF-8.

    Only to be asked of a connection whose certificate was verified.
    """
    name = _first(request, headers.names)
    if not name:
        return None
    groups = [value for header in headers.groups for value in header_values(request, header) if value]
    extra = []
    for prefix in headers.extra:
        for header in sorted(request.headers):
            if prefix and header.startswith(prefix) and header != prefix:
                key = unquote(header[len(prefix) :], errors="replace")
                extra.append((key, tuple(header_values(request, header))))
    return with_group(User(name, _first(request, headers.uids), tuple(groups), tuple(extra)))


def with_group(user: User) -> User:
    """Everyone who is known belongs to system:authenticated, as the API server adds it."""
    if user.name == "system:anonymous" or {AUTHENTICATED, UNAUTHENTICATED} & set(user.groups):
        return user
    return user._replace(groups=(*user.groups, AUTHENTICATED))


def _first(request: Request, headers: Tuple[str, ...]) -> str:
    for header in headers:
        for value in header_values(request, header)[:1]:
            if value:
                return value
    return ""


def header_values(request: Request, header: str) -> List[str]:
    """All values of a header, as UTF-8: Go takes header bytes as they are."""
    if header not in request.headers:
        return []
    raw = request.repeated.get(header) or [request.headers[header]]
    try:
        return [value.encode("latin-1").decode("utf-8") for value in raw]
    except UnicodeDecodeError:
        raise unauthorized() from None
