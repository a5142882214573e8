"""What can go wrong between krm and an API server, as one small tree.

    ClusterError
    +- Unauthorized             401, or credentials that could not be made
    +- Forbidden                403: a right is missing
    |  +- OutOfScope            krm itself: a kind without namespaces is asked of a pipeline of one
    +- NotFound                 404: the API server does not serve it (any more)
    +- Expired                  410, HTTP or in the stream, reason Expired or Gone; a page at another rv
    +- TooManyRequests          429, with retry_after
    +- TooLargeResourceVersion  504: its cache is behind the resourceVersion that was asked for
    +- BadRequest               any other 4xx: asking again will not help
    +- ServerError              any other 5xx, with retry_after
    +- Unreachable              no connection, no TLS, reset, silence, or past the deadline
    +- Malformed                an answer that is no Kubernetes answer, or over its size cap

The class names are the values that heads and reports carry (`type(error).__name__`). A message is one
sentence: what happened, to what (verb and path, never a query), what to do. It never holds a token or
a body: of an error body only `reason` is kept, and `message` where the request alone determines it.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Optional, Type

# Characters of the API server's own words that a message may hold.
MAX_QUOTE = 300
# Seconds. A longer Retry-After is a mistake or an attack: client-go's own cap on a backoff is 30 s.
MAX_RETRY_AFTER = 300.0


class ClusterError(Exception):
    """The root of the tree: catch it to catch all."""


class Unauthorized(ClusterError):
    """The API server does not know who asks."""


class Forbidden(ClusterError):
    """The API server knows who asks, and refuses."""


class OutOfScope(Forbidden):
    """A cluster-scoped kind, where krm runs with `--namespaces`: whoever may read those may not read this."""


class NotFound(ClusterError):
    """Not served: a kind that vanished, or an object that is not there."""


class Expired(ClusterError):
    """The resourceVersion or the continue token is too old: list again."""


class TooManyRequests(ClusterError):
    """Asked too often. `retry_after`: seconds that the API server wants to be left alone, None = it did not say."""

    def __init__(self, message: str, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooLargeResourceVersion(ClusterError):
    """The API server's cache has not seen that resourceVersion yet: list consistently instead."""


class BadRequest(ClusterError):
    """The API server does not accept the request as it is."""


class ServerError(ClusterError):
    """The API server, or a proxy before it, failed. `retry_after` as in TooManyRequests."""

    def __init__(self, message: str, retry_after: Optional[float] = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(ClusterError):
    """No answer, or it broke off."""


class Malformed(ClusterError):
    """Bytes that no API server sends."""


_ADVICE: Dict[Type[ClusterError], str] = {
    Unauthorized: "check the token or the certificate in the kubeconfig",
    Forbidden: "grant the right, see `python -m krm.cluster check`",
    NotFound: "check that the kind is installed and its name is RESOURCE.GROUP",
    Expired: "list again",
    TooManyRequests: "wait and ask again",
    TooLargeResourceVersion: "list without a resourceVersion",
    BadRequest: "this is a fault of krm or of a proxy, please report it",
    ServerError: "wait and ask again",
    Malformed: "check that the kubeconfig's server is the API server itself, with no login page before it",
}
_BY_CODE: Dict[int, Type[ClusterError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    410: Expired,
    429: TooManyRequests,
}
# Their messages follow from the request alone (who may not do what, which parameter is wrong).
_QUOTED = (Forbidden, BadRequest)


def from_status(http_status: int, body: bytes, what: str, retry_after: Optional[float] = None) -> ClusterError:
    """The error for an answer that is no success.

    `body` is a Status, or anything at all (`404 page not found`, a 429 in plain text, a login page);
    `what` is verb and path. `retry_after` is the header's value in seconds.
    """
    status = _status_of(body)
    details = status.get("details")
    if retry_after is None and isinstance(details, dict):
        seconds: Any = details.get("retryAfterSeconds")
        sound = isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < 1e9
        retry_after = float(seconds) if sound else None
    cls = _class_of(http_status, status)
    reason = _clean(status.get("reason")) or "no reason given"
    sentence = f"{what} was answered {http_status} ({reason})"
    if cls in _QUOTED and _clean(status.get("message")):
        sentence += f", {_clean(status.get('message'))}"
    sentence += f": {_ADVICE[cls]}"
    if cls is TooManyRequests or cls is ServerError:
        wait = None if retry_after is None else min(retry_after, MAX_RETRY_AFTER)
        return cls(sentence, wait)
    return cls(sentence)


def from_error_event(status: bytes, what: str) -> ClusterError:
    """The error for the object of an ERROR event: HTTP said 200, the Status says what went wrong."""
    code = _status_of(status).get("code")
    if not isinstance(code, int) or isinstance(code, bool) or not 400 <= code <= 599:
        return Malformed(f"{what} sent an ERROR event without a Status: {_ADVICE[Malformed]}")
    return from_status(code, status, what)


def _status_of(body: bytes) -> Dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) and parsed.get("kind") == "Status" else {}


def _class_of(http_status: int, status: Dict[str, Any]) -> Type[ClusterError]:
    if _too_large(http_status, status):
        return TooLargeResourceVersion
    if status.get("reason") in ("Expired", "Gone"):
        return Expired
    if http_status in _BY_CODE:
        return _BY_CODE[http_status]
    if http_status >= 500:
        return ServerError
    return BadRequest if http_status >= 400 else Malformed


def _too_large(http_status: int, status: Dict[str, Any]) -> bool:
    """Three wordings: a cause's reason (1.18.6 on), a cause's message (1.17 to 1.18.5), the message (before)."""
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    rows = [cause for cause in causes if isinstance(cause, dict)] if isinstance(causes, list) else []
    if any(row.get("reason") == "ResourceVersionTooLarge" for row in rows):
        return True
    if http_status != 504 and status.get("reason") != "Timeout":
        return False
    texts = [row.get("message") for row in rows] + [status.get("message")]
    return any("too large resource version" in text.lower() for text in texts if isinstance(text, str))


def _clean(text: Any) -> str:
    """The API server's words without control characters (terminal escapes, newlines into logs), capped."""
    if not isinstance(text, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_QUOTE]).strip()
