"""HTTP to a remote history: one deadline a request, capped answers, no redirects, no proxies.

The credentials go in a header and stand in no message. Each request has a connection of its own, so one
`Web` serves several threads.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
import zlib
from typing import Any, Dict, Mapping, NamedTuple, Optional
from urllib.parse import urlencode

from krm.store.answers import whole_body, within
from krm.store.errors import BadUrl
from krm.store.history.place import INFLUX2, Place

TIMEOUT = 30.0  # seconds a request
MOST = 256 * 1024 * 1024  # bytes of an answer
_MAX_SAID = 300  # characters of a server's own words in an error


class Answer(NamedTuple):
    """Of any status but a redirect."""

    status: int
    body: bytes

    @property
    def said(self) -> str:
        """The server's own words: of its JSON where it has any."""
        text = self.body[: 8 * _MAX_SAID].decode("utf-8", "replace")
        try:
            found: Any = json.loads(self.body) if len(self.body) <= 8 * _MAX_SAID else None
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict):
            text = str(found.get("error") or found.get("message") or text)
        return "".join(char if char.isprintable() else " " for char in text).strip()[:_MAX_SAID] or "no word of why"


class NoAnswer(Exception):
    """The server was not reached, or its answer was none. Words without a secret, that follow its name."""


class Web:
    """One server."""

    def __init__(self, place: Place, timeout: float = TIMEOUT) -> None:
        """Raises BadUrl where the certificates that the place names cannot be read."""
        self._place, self._timeout = place, timeout
        self._context = _context(place) if place.tls else None
        self._headers = {"Accept-Encoding": "gzip", "User-Agent": "krm"}
        if place.how == INFLUX2:
            self._headers["Authorization"] = f"Token {place.token}"
        elif place.user or place.password:
            pair = f"{place.user}:{place.password}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode("ascii")

    def get(self, path: str, query: Mapping[str, str]) -> Answer:
        """Raises NoAnswer."""
        return self._ask("GET", f"{path}?{urlencode(query)}", None, {})

    def form(self, path: str, fields: Mapping[str, str]) -> Answer:
        """A POST of form fields. Raises NoAnswer."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields).encode("ascii"), headers)

    def zipped(self, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        """A POST of bytes that are compressed already, by gzip. Raises NoAnswer."""
        headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"}
        return self._ask("POST", f"{path}?{urlencode(query)}" if query else path, body, headers)

    def _ask(self, method: str, target: str, body: Optional[bytes], headers: Dict[str, str]) -> Answer:
        deadline = time.monotonic() + self._timeout
        connection = self._connection()
        connection.response_class = within(deadline)  # type: ignore[assignment]
        try:
            connection.request(method, target, body, {**self._headers, **headers})
            connection.sock.settimeout(max(0.001, deadline - time.monotonic()))
            answer = connection.getresponse()
            found = Answer(answer.status, whole_body(answer, MOST))
        except ssl.SSLError as error:
            raise NoAnswer(f"no trusted TLS connection: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"it does not answer: {str(error) or type(error).__name__}") from None
        except (zlib.error, ValueError):  # the latter of http.client, for a header that it will not send
            raise NoAnswer("its answer cannot be decompressed, or the request cannot be sent") from None
        finally:
            connection.close()
        if 300 <= found.status < 400:
            raise NoAnswer("it redirects elsewhere, and krm does not follow: give its own address")
        return found

    def _connection(self) -> http.client.HTTPConnection:
        place = self._place
        if self._context is None:
            return http.client.HTTPConnection(place.host, place.port, timeout=self._timeout)
        return http.client.HTTPSConnection(place.host, place.port, timeout=self._timeout, context=self._context)


def _context(place: Place) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=place.ca or None)
    except (OSError, ValueError) as error:
        raise BadUrl(f"{place.ca} holds no certificates of an authority: {error}") from None
    if not place.checked:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
