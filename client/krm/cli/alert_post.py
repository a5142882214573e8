"""Posts messages to Alertmanager or a webhook: in order, with bounded retries, and no word of the URL's secrets.

TLS is verified; no redirect is followed and no proxy is asked. What is not taken after ATTEMPTS is dropped and
told.
A message whose answer was lost is sent a second time.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections import deque
from typing import Any, Deque, List, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from krm.client.errors import BadRequest
from krm.client.http import is_loopback, tls_context
from krm.store.answers import whole_body, within

TIMEOUT = 5.0  # seconds an attempt
# A message is sent at most so often; seconds before the second attempt, doubled for each later one.
ATTEMPTS, PAUSE = 5, 1.0
MOST_WAITING = 1000  # messages; the oldest goes first where a target is away for long
_MOST_ANSWER = 1 << 20  # bytes
_PASSING = (408, 425, 429)


class NotTaken(Exception):
    """A message was not taken; the sentence names the target without its secrets."""

    def __init__(self, sentence: str, again: bool) -> None:
        super().__init__(sentence)
        self.again = again  # the same may be taken later


class Post:
    """One URL."""

    def __init__(self, url: str, option: str, path: str = "", token: str = "", ca: str = "") -> None:
        """option: as people gave it, for errors. path: that follows the URL's own. Raises BadRequest."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise BadRequest(f"{option}: that URL does not parse") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise BadRequest(f"{option}: a URL that begins with https:// or http:// and names a host is meant")
        secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port or (443 if secure else 80)
        # The path and the query of a webhook are its secret as often as not.
        self.name = f"{parts.scheme}://{self._host}:{self._port}"
        self._target = (parts.path.rstrip("/") + path or "/") + (f"?{parts.query}" if parts.query else "")
        if not (self._target.isascii() and self._target.isprintable()) or " " in self._target:
            raise BadRequest(f"{option}: the URL's path holds characters that no URL has")
        self._headers = {"Content-Type": "application/json", "User-Agent": "krm", "Connection": "close"}
        authority = _authorization(parts.username, parts.password, token, option)
        if authority:
            if not secure and not is_loopback(self._host):
                raise BadRequest(f"{option}: credentials are not sent to {self.name} in the clear: use https")
            self._headers["Authorization"] = authority
        self._context = tls_context(ca) if secure else None

    def __call__(self, body: bytes) -> None:
        """One attempt. Raises NotTaken."""
        deadline = time.monotonic() + TIMEOUT
        connection = self._connection()
        connection.response_class = within(deadline)  # type: ignore[assignment]
        try:
            connection.request("POST", self._target, body, self._headers)
            answer = connection.getresponse()
            whole_body(answer, _MOST_ANSWER)
        except ssl.SSLError as error:
            raise NotTaken(f"{self.name}: no trusted TLS connection: {error}", True) from None
        except (OSError, http.client.HTTPException) as error:
            raise NotTaken(f"{self.name} does not answer: {str(error) or type(error).__name__}", True) from None
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            again = answer.status >= 500 or answer.status in _PASSING
            raise NotTaken(f"{self.name} answered {answer.status}", again)

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT, context=self._context)


def _authorization(user: Optional[str], password: Optional[str], token: str, option: str) -> str:
    if token:
        if user is not None:
            raise BadRequest(f"{option}: a token, or a user in the URL, not both")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise BadRequest("the token holds characters that no token has: a line end, perhaps")
        return f"Bearer {token}"
    if user is None:
        return ""
    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return "Basic " + base64.b64encode(pair).decode("ascii")


class Waiting(NamedTuple):
    """A message on its way."""

    body: bytes
    attempts: int = 0
    at: float = 0.0  # by whichever clock `send` is given: not before


class Outbox:
    """Messages to one target, in the order in which they happened: the first one holds up the others."""

    def __init__(self, post: Any) -> None:
        """post: a callable that takes a body and raises NotTaken, with a `name`."""
        self._post = post
        self._waiting: Deque[Waiting] = deque()

    def add(self, message: Any) -> List[str]:
        """What there was no room for, as sentences."""
        self._waiting.append(Waiting(json.dumps(message, separators=(",", ":")).encode("ascii")))
        if len(self._waiting) <= MOST_WAITING:
            return []
        self._waiting.popleft()
        return [f"{self._post.name}: more than {MOST_WAITING} messages wait: the oldest is dropped"]

    @property
    def empty(self) -> bool:
        """Nothing waits."""
        return not self._waiting

    @property
    def next_at(self) -> Optional[float]:
        """When the first may be sent; None = nothing waits."""
        return self._waiting[0].at if self._waiting else None

    def send(self, now: float) -> List[str]:
        """Everything that is due, until one is not taken. What was dropped or will be tried again, as sentences."""
        told: List[str] = []
        while self._waiting and self._waiting[0].at <= now:
            one = self._waiting[0]
            try:
                self._post(one.body)
            except NotTaken as error:
                attempts = one.attempts + 1
                if error.again and attempts < ATTEMPTS:
                    self._waiting[0] = one._replace(attempts=attempts, at=now + PAUSE * 2 ** (attempts - 1))
                    return [*told, f"{error}: attempt {attempts} of {ATTEMPTS}"] if attempts == 1 else told
                told.append(f"{error}: a message is dropped after {attempts} attempts")
                self._waiting.popleft()
                if error.again:
                    return told  # the next turn tries the next one: a dead target does not hold up the watch
            else:
                self._waiting.popleft()
        return told
