"""What a request may cost before anybody looks at it: head, body, encodings. Pure.

Those bodies that clients send with a write (up to the API server's own limit) are let through to be told that
krm is read-only; nobody keeps or unpacks them. The POST API alone reads a body, and bounds it itself.
"""

from __future__ import annotations

from typing import List, Optional

from krm.server.statuses import ApiError
from krm.server.web import MAX_TARGET, Answer, Header, Request, of_error

# Bytes of a request's head, and headers in it: kubectl's have about 1 KB and 10.
MAX_HEADER = 64 * 1024
MAX_HEADERS = 100
# Bytes of a request's body: the API server's own limit.
MAX_BODY = 3 * 1024 * 1024
_ONCE = ("host", "content-length", "transfer-encoding", "content-encoding")


def refusal(request: Request) -> Optional[Answer]:
    """The answer to a request that goes no further, None = it may. Its connection is closed."""
    error = _refused(request)
    return None if error is None else of_error(error, CLOSE)


CLOSE: List[Header] = [("Connection", "close")]


def _refused(request: Request) -> Optional[ApiError]:
    if request.header_count > MAX_HEADERS or request.header_size > MAX_HEADER:
        return head_too_large()
    if request.target_size > MAX_TARGET:
        return ApiError(414, "RequestURITooLong", f"the path and its query are longer than {MAX_TARGET} bytes")
    headers = request.headers
    for name in _ONCE:
        if name in request.repeated:
            return ApiError(400, "BadRequest", f"the header {name} stands there more than once")
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers and "content-length" in headers:
        return ApiError(400, "BadRequest", "a body has a Content-Length or a Transfer-Encoding, never both")
    if not (length.isascii() and length.isdigit()):
        return ApiError(400, "BadRequest", "Content-Length is no number")
    if len(length) > 15 or int(length) > MAX_BODY:
        return body_too_large()
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        return ApiError(415, "UnsupportedMediaType", "krm unpacks no bodies")
    return None


def head_too_large() -> ApiError:
    """431."""
    sentence = f"a request's head may have {MAX_HEADERS} headers and {MAX_HEADER} bytes"
    return ApiError(431, "RequestHeaderFieldsTooLarge", sentence)


def body_too_large() -> ApiError:
    """413, in the API server's words."""
    return ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY}", {})
