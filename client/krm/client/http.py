"""Reading from krm's server over HTTP: one deadline a call, bounded retries, checked answers.

Only GET is sent, so a call may be repeated. No redirect is followed and no proxy is asked: a token goes
to the server that was named, over TLS, or in the clear to this machine alone.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import socket
import ssl
import time
import zlib
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Type
from urllib.parse import quote, urlencode, urlsplit

from krm.client.errors import BadRequest, Expired, KrmError, Refused, UnknownKind, Unreachable
from krm.store.answers import whole_body, within

# Seconds that a call may take, its retries included.
TIMEOUT = 30.0
# A call is sent at most so often; seconds before the second attempt, doubled for each later one.
ATTEMPTS, PAUSE = 3, 0.2
# Bytes of an answer once decompressed: 50,000 pods are about 300 MiB.
MOST = 1 << 30
# Connections kept for the next call.
IDLE_MOST = 8
# What passes by itself: too many requests, nothing to show yet, waited in vain.
PASSING = (429, 503, 504)
_MAX_SAID = 500  # characters of a server's own words in an error

Query = Mapping[str, Optional[str]]


class Response(NamedTuple):
    """An answer, whole and decompressed. Header names are in lower case, repeated ones joined by ", "."""

    status: int
    headers: Dict[str, str]
    body: bytes


class Http:
    """One server, below one path. For several threads."""

    def __init__(
        self, url: str, token: str = "", context: Optional[ssl.SSLContext] = None, timeout: float = TIMEOUT
    ) -> None:
        """url: http or https, host, port, and a path that stands before all others.

        context: as `tls_context` makes it; None = the system's authorities. timeout: seconds a call.
        Raises BadRequest.
        """
        self.secure, self._host, self._port, self._base = _parsed(url)
        self.name = f"http{'s' if self.secure else ''}://{_bracketed(self._host)}:{self._port}{self._base}"
        self._headers = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        if token:
            if not (token.isascii() and token.isprintable()) or " " in token:
                raise BadRequest("the token holds characters that no token has: a line end, perhaps")
            if not self.secure and not is_loopback(self._host):
                raise BadRequest(f"a token is not sent to {self.name} in the clear: use https")
            self._headers["Authorization"] = f"Bearer {token}"
        self._context = (context or tls_context()) if self.secure else None
        self._timeout = timeout
        self._idle: List[http.client.HTTPConnection] = []

    def get(self, path: str, query: Optional[Query] = None) -> Response:
        """A successful answer. Parameters that are None are not sent.

        Raises BadRequest, Refused, UnknownKind, Expired, and Unreachable once nothing helped in time.
        """
        return checked(self.name, self.ask(path, query))

    def ask(self, path: str, query: Optional[Query] = None) -> Response:
        """An answer of any status, repeated while it is one that passes by itself. Raises Unreachable."""
        target = self._base + quote(path) + _query(query or {})
        deadline = time.monotonic() + self._timeout
        for attempt in range(1, ATTEMPTS + 1):
            last = attempt == ATTEMPTS
            try:
                response = self._once(target, deadline)
            except ssl.SSLError as error:  # the same again would end the same
                raise Unreachable(f"{self.name}: no trusted TLS connection: {error}") from None
            except (OSError, http.client.HTTPException, zlib.error) as error:
                if last or time.monotonic() >= deadline:
                    raise Unreachable(f"{self.name} does not answer: {_said(error)}") from None
                pause = 0.0 if attempt == 1 else _pause(attempt - 1)
            else:
                pause = max(_pause(attempt), _retry_after(response))
                if response.status not in PASSING or last or time.monotonic() + pause >= deadline:
                    return response
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def close(self) -> None:
        """Ends the connections that are kept."""
        while self._idle:
            self._idle.pop().close()

    def _once(self, target: str, deadline: float) -> Response:
        connection = self._connection(deadline)
        try:
            connection.request("GET", target, headers=self._headers)
            answer = connection.getresponse()
            body = whole_body(answer, MOST)
        except BaseException:
            connection.close()
            self.close()  # what was kept beside it is as old
            raise
        if answer.will_close or len(self._idle) >= IDLE_MOST:
            connection.close()
        else:
            self._idle.append(connection)
        headers: Dict[str, str] = {}
        for name, value in answer.getheaders():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return Response(answer.status, headers, body)

    def _connection(self, deadline: float) -> http.client.HTTPConnection:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("no time was left")
        connection: http.client.HTTPConnection
        try:
            connection = self._idle.pop()
        except IndexError:
            if self._context is None:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=left)
            else:
                connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=left, context=self._context
                )
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
        connection.response_class = within(deadline)  # type: ignore[assignment]
        return connection


def tls_context(ca: str = "") -> ssl.SSLContext:
    """Checks the server's certificate and name. ca: a PEM file, "" = the system's own. Raises BadRequest."""
    try:
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ValueError) as error:
        raise BadRequest(f"{ca} holds no certificates of an authority: {error}") from None


def checked(name: str, response: Response) -> Response:
    """The response where it is a success. `name`: of the server, for errors."""
    if response.status == 200:
        return response
    if response.status == 404 and not _told(response):
        raise Unreachable(f"{name} answered 404, and not in krm's words: is it krm's server?")
    raise error_of(response.status)(f"{name} answered {response.status}: {message(response)}")


def error_of(status: int) -> Type[KrmError]:
    """The class of error that a status stands for."""
    if status in (401, 403):
        return Refused
    if status in (404, 410):
        return UnknownKind if status == 404 else Expired
    return BadRequest if 400 <= status < 500 and status not in PASSING else Unreachable


def message(response: Response) -> str:
    """What the server says of it: of a Status, of the original contract's errors, of anything else."""
    text = response.body[: 4 * _MAX_SAID].decode("utf-8", "replace")
    found = _told(response)
    text = str(found.get("message") or found.get("error") or text)
    said = "".join(char if char.isprintable() else " " for char in text)
    return said.strip()[:_MAX_SAID] or "no word of why"


# --- parts


def _told(response: Response) -> Dict[str, Any]:
    """An error's JSON object; {} where it is none."""
    try:
        found: Any = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _parsed(url: str) -> Tuple[bool, str, int, str]:
    """(TLS, host, port, path without a slash at its end)."""
    try:
        parts = urlsplit(url)
        secure, port = parts.scheme == "https", parts.port
    except ValueError as error:
        raise BadRequest(f"that URL of krm's server does not parse: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRequest("the URL of krm's server begins with https:// or http:// and names a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise BadRequest("the URL of krm's server holds no user, query or fragment: give the token as token=")
    return secure, parts.hostname, port or (443 if secure else 80), quote(parts.path.rstrip("/"), safe="/%")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """What is sent to it stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _query(query: Query) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return "?" + urlencode(given) if given else ""


def _pause(attempt: int) -> float:
    return PAUSE * (1 << (attempt - 1)) * random.uniform(0.5, 1.0)


def _retry_after(response: Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
