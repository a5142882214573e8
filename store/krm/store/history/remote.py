"""The collector's history over HTTPS: the same questions and answers as its own file gives.

Where it is and which certificate it has stands in Redis; the token that opens it does not. The certificate
is compared with its digest before the token is sent: whoever sits in between gets neither.
"""

from __future__ import annotations

import hmac
import http.client
import ssl
import time
from hashlib import sha256
from typing import BinaryIO, Callable, Optional, Tuple
from urllib.parse import urlsplit

from krm.store.answers import CHUNK, whole_body, within
from krm.store.history import wire
from krm.store.history.asked import NoHistory, Query, Ranged, TooMuch, Totalled

TIMEOUT = 30.0  # seconds for a whole answer: 24 h of a large namespace take one
CONNECT = 5.0  # seconds
AGAIN = 30.0  # seconds for which a collector that let a question wait in vain is not asked: one answer asks ten
COPY = 900.0  # seconds for a backup: 2 GB over 20 Mbit/s
IDLE = 20.0  # seconds for which a connection is kept unused: the collector ends it after 30
_SENTENCE = 500  # bytes of a refusal that are read
# HTTP codes of the endpoint, and what they are here.
TOO_MUCH, BAD = 413, 400


class _Gone(Exception):
    """The connection gave no answer; the text says what kind of error it was."""


class RemoteHistory:
    """Reads through the collector. Threads may share it, unless it keeps its connection."""

    def __init__(self, place: Callable[[], Optional[Tuple[str, str]]], token: str, keeps: bool = False) -> None:
        """`place`: the endpoint's address and its certificate's SHA-256 (hex) now; None = no collector.

        keeps: one connection serves one question after another, until `close`; else each has its own.
        """
        self._place, self._token, self._keeps = place, token, keeps
        self._kept: Optional[http.client.HTTPSConnection] = None
        self._used = 0.0  # monotonic seconds: when an answer came over it
        self._kept_to: Optional[Tuple[str, str]] = None  # the place that it leads to
        # Where nobody answered in time, until when it is not asked again, and what is said meanwhile.
        self._silent: Tuple[Optional[Tuple[str, str]], float, str] = (None, 0.0, "")

    def close(self) -> None:
        """Ends the connection that is kept."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def range(self, query: Query) -> Ranged:
        """Raises NoHistory, BadQuery."""
        return wire.unpack_ranged(self._ask(wire.RANGE, query))

    def totals(self, query: Query) -> Totalled:
        """Raises NoHistory, BadQuery."""
        return wire.unpack_totalled(self._ask(wire.TOTALS, query))

    def _ask(self, path: str, query: Query) -> bytes:
        wire.check(query)
        # Asked each time: a collector that lost its lease may still answer, from a past that grows no more.
        current = self._place()
        if self._kept is not None and self._kept_to == current and time.monotonic() - self._used < IDLE:
            try:
                return self._asked(self._kept, path, query, time.monotonic() + TIMEOUT)
            except _Gone:
                pass  # the collector was started anew, perhaps with another certificate: a new connection tells
        self.close()
        began = time.monotonic()
        place, until, told = self._silent
        if began < until and current == place:
            raise NoHistory(told)
        deadline = began + TIMEOUT
        try:
            connection = self.connect(deadline)
            self._kept_to = current
        except NoHistory as error:
            self._waited(began, str(error))
            raise
        try:
            return self._asked(connection, path, query, deadline)
        except _Gone as error:
            told = f"no history: the collector did not answer ({error})"
            self._waited(began, told)
            raise NoHistory(told) from None

    def _waited(self, began: float, told: str) -> None:
        """Nobody answered; `began`: monotonic seconds. Whoever refuses at once may be asked again at once."""
        if self._keeps and time.monotonic() - began >= CONNECT:
            self._silent = (self._place(), time.monotonic() + AGAIN, told)

    def _asked(self, connection: http.client.HTTPSConnection, path: str, query: Query, deadline: float) -> bytes:
        connection.response_class = within(deadline)  # type: ignore[assignment]
        keep = False
        try:
            connection.request("POST", path, wire.pack_query(query), self._headers())
            answer = connection.getresponse()
            body = whole_body(answer, wire.MAX_ANSWER)
            keep = self._keeps and not answer.will_close
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _Gone(type(error).__name__) from None
        finally:
            self._kept, self._used = (connection, time.monotonic()) if keep else (None, 0.0)
            if not keep:
                connection.close()
        if answer.status != 200:
            raise _refused(answer.status, body)
        return body

    def copy(self, file: BinaryIO) -> None:
        """The whole history as of one moment, into an open file. Raises NoHistory."""
        deadline = time.monotonic() + COPY
        connection = self.connect(deadline)
        try:
            connection.sock.settimeout(COPY)  # the copy is made before the first byte of it comes
            connection.request("GET", wire.BACKUP, headers=self._headers())
            answer = connection.getresponse()
            if answer.status != 200:
                raise _refused(answer.status, answer.read(_SENTENCE))
            size = answer.length
            for chunk in iter(lambda: answer.read(CHUNK), b""):
                file.write(chunk)
            if size is None or answer.length:
                raise NoHistory("no backup: the collector's answer was cut short")
        except (OSError, http.client.HTTPException) as error:
            raise NoHistory(f"no backup: {error or type(error).__name__}") from None
        finally:
            connection.close()

    def connect(self, deadline: float) -> http.client.HTTPSConnection:
        """A connection to the collector whose certificate is the one that it published. Raises NoHistory."""
        place = self._place()
        if place is None or not place[0]:
            raise NoHistory("no history: no collector runs that keeps one")
        if not self._token:
            raise NoHistory("no history: its token is not known here; KRM_HISTORY_TOKEN_FILE names its file")
        address = urlsplit(place[0])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the digest below is the proof
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=CONNECT, context=context
        )
        connection.response_class = within(deadline)  # type: ignore[assignment]
        try:
            connection.connect()
            certificate = connection.sock.getpeercert(True)
        except OSError as error:
            connection.close()
            raise NoHistory(f"no history: the collector cannot be reached ({type(error).__name__})") from None
        if not hmac.compare_digest(sha256(certificate or b"").hexdigest(), place[1]):
            connection.close()
            raise NoHistory("no history: what answers there has another certificate than the collector told")
        return connection

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/msgpack"}


def _refused(status: int, body: bytes) -> Exception:
    sentence = body[:500].decode("utf-8", "replace").strip() or f"the collector answered {status}"
    if status == BAD:
        return wire.BadQuery(sentence)
    return TooMuch(sentence) if status == TOO_MUCH else NoHistory(f"no history: {sentence}")
