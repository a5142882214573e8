"""Errors as the API server words them: a Status object with its HTTP code. Pure.

The texts are a real kube-apiserver's (1.36), word for word: clients and people match on them.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from krm.model.gojson import written
from krm.model.kinds import Kind


class Cause(NamedTuple):
    """One cause of an Invalid."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """An answer that is no success. `retry_after`: seconds, told in the header too."""

    media = "application/json"

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Optional[Dict[str, Any]] = None,
        retry_after: Optional[int] = None,
        go_on: str = "",
    ) -> None:
        """`go_on`: a continue token that may be used instead."""
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after, self.go_on = details, retry_after, go_on

    def status(self) -> Dict[str, Any]:
        """The Status object, its fields in the API server's order."""
        found: Dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.go_on} if self.go_on else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            found["reason"] = self.reason
        if self.details is not None:
            found["details"] = self.details
        return {**found, "code": self.code}

    def body(self) -> bytes:
        """The Status as JSON with the newline that the API server ends it with."""
        return written(self.status()) + b"\n"


def bad_request(message: str) -> ApiError:
    """400."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(
    user: str, verb: str, kind: Kind, namespace: str, name: str = "", subresource: str = "", reason: str = ""
) -> ApiError:
    """403, the same for names that exist and for those that do not. `reason`: what the authorisers add."""
    resource = f"{kind.resource}/{subresource}" if subresource else kind.resource
    where = f"in the namespace {quoted(namespace)}" if namespace else "at the cluster scope"
    what = f"{kind} {quoted(name)}" if name else str(kind)
    cannot = (
        f"User {quoted(user)} cannot {verb} resource {quoted(resource)} in API group {quoted(kind.group)} {where}"
    )
    return ApiError(403, "Forbidden", f"{what} is forbidden: {_said(cannot, reason)}", _details(kind, name))


def forbidden_path(user: str, verb: str, path: str, reason: str = "") -> ApiError:
    """403 of a path that is no resource."""
    cannot = f"User {quoted(user)} cannot {verb} path {quoted(path)}"
    return ApiError(403, "Forbidden", f"forbidden: {_said(cannot, reason)}", {})


def _said(cannot: str, reason: str) -> str:
    for plain, shown in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        cannot = cannot.replace(plain, shown)
    return f"{cannot}: {reason}" if reason else cannot


def not_found(kind: Kind, name: str) -> ApiError:
    """404 of an object."""
    return ApiError(404, "NotFound", f"{kind} {quoted(name)} not found", _details(kind, name))


def unknown_resource() -> ApiError:
    """404 of a kind that is not served: never an empty list."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def nothing_found() -> ApiError:
    """503 of a server that has found no kind at all: what it does not know it cannot call absent."""
    return unavailable("nothing of this cluster was found in Redis yet: do its stages run?")


def only_namespaces(kind: Kind, namespaces: Sequence[str], asked: str) -> ApiError:
    """404 of a read of all namespaces, or another one, where krm keeps some alone: never a part of the answer.

    Their names are for whoever may read all of them (`asked` = '').
    """
    sentence = f"krm keeps {kind} of the namespaces {', '.join(namespaces)} alone: ask for one of them"
    if asked:
        sentence = f"krm does not keep {kind} of the namespace {asked}: ask the API server"
    return ApiError(404, "NotFound", sentence, {})


class PageNotFound(ApiError):
    """404 of a path that leads nowhere: text, not a Status."""

    media = "text/plain; charset=utf-8"

    def body(self) -> bytes:
        return b"404 page not found\n"


def page_not_found() -> ApiError:
    """404 of a path that leads nowhere."""
    return PageNotFound(404, "NotFound", "404 page not found")


def method_not_allowed() -> ApiError:
    """405."""
    return ApiError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource: krm is read-only,"
        " write to the API server",
        {},
    )


def watch_not_supported(kind: Kind) -> ApiError:
    """405 of what can be listed alone."""
    details = {"group": kind.group, "kind": kind.resource}
    said = f"watch is not supported on resources of kind {quoted(str(kind))}"
    return ApiError(405, "MethodNotAllowed", said, details)


def not_acceptable(message: str = "") -> ApiError:
    """406: nothing that is offered is accepted."""
    return ApiError(406, "NotAcceptable", message or _NOT_ACCEPTABLE, None if message else {})


_NOT_ACCEPTABLE = (
    "406: Not Acceptable\n\nAvailable representations: application/json, application/json;stream=watch"
)


def expired(message: str) -> ApiError:
    """410: that resourceVersion is no longer kept."""
    return ApiError(410, "Expired", message)


def list_expired() -> ApiError:
    """410 of a list at a resourceVersion."""
    return expired("The resourceVersion for the provided list is too old.")


def continue_expired(token: str) -> ApiError:
    """410 of a page; `token`: of the rest as it is now."""
    return ApiError(410, "Expired", _CONTINUE_EXPIRED, go_on=token)


_CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter, or use the continue token in this response to retrieve the remainder of the"
    " results. Continuing with the provided token results in an inconsistent list - objects that were created,"
    " modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


def too_old(asked: int, oldest: int) -> ApiError:
    """410 as watches word it."""
    return expired(f"too old resource version: {asked} ({oldest})")


def invalid(causes: Sequence[Cause]) -> ApiError:
    """422 of list options."""
    said = [f"{cause.field}: {cause.message}" for cause in causes]
    text = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    rows: List[Dict[str, str]] = [cause._asdict() for cause in causes]
    return ApiError(
        422,
        "Invalid",
        f'ListOptions.meta.k8s.io "" is invalid: {text}',
        {"group": "meta.k8s.io", "kind": "ListOptions", "causes": rows},
    )


def too_many_requests(message: str, retry_after: int = 1) -> ApiError:
    """429."""
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after}, retry_after)


def unavailable(message: str, retry_after: int = 1) -> ApiError:
    """503: nothing can be said that would be true."""
    return ApiError(503, "ServiceUnavailable", message, {"retryAfterSeconds": retry_after}, retry_after)


def too_large_version(asked: int, current: str) -> ApiError:
    """504: a resourceVersion that is not there yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {asked}, current: {current or 0}"
    return ApiError(504, "Timeout", message, details, 1)


def quoted(text: str) -> str:
    """As Go's %q writes it."""
    shown = []
    for char in text:
        if char in '"\\':
            shown.append("\\" + char)
        elif char.isprintable():
            shown.append(char)
        elif char in _SHORT:
            shown.append(_SHORT[char])
        else:
            code = ord(char)
            form = "\\x%02x" if code < 0x80 else "\\u%04x" if code < 0x10000 else "\\U%08x"
            shown.append(form % code)
    return '"%s"' % "".join(shown)


_SHORT = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}


def _details(kind: Kind, name: str) -> Dict[str, Any]:
    details = {"name": name, "group": kind.group, "kind": kind.resource}
    return {key: value for key, value in details.items() if value}
