"""The POST API of the classic kube_monitoring application: `POST /api/<metric>`, names and passwords in headers.

It has accounts of its own: whom a cluster knows, and what they may read there, means nothing here. It stands at
the server's root alone and reads the first cluster's history. Every answer but rows is {"code", "message"}.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from krm.model import times
from krm.model.gojson import written
from krm.model.metrics import TABLE
from krm.server import classic_rows
from krm.server.accounts import Account, Accounts, TooBusy, Unreadable
from krm.server.attributes import of_path
from krm.server.classic_asked import MAX_BODY, POINTS, Asked, BadBody, asked, body
from krm.server.classic_rows import Found
from krm.server.identity import User
from krm.server.kept import GZIP_FROM, Body, Kept
from krm.server.limits import CLOSE
from krm.server.negotiation import accepts_gzip
from krm.server.rates import Buckets, network
from krm.server.statuses import ApiError
from krm.server.threads import Full, Threads
from krm.server.trusted import warning_header
from krm.server.web import Answer, Header, Request
from krm.store.history.asked import History, NoHistory, TooMuch

ROOT = "/api/"
# Threads that read history, and requests that may wait for one; a month of a large cluster takes seconds.
THREADS, WAITING = 4, 16
# Seconds for a body to come, and for an answer to be read, its waiting included.
BODY_WITHIN, READ_WITHIN = 10.0, 60.0
# A peer's wrong passwords, and an account's requests: how many at once, and seconds until one more.
GUESSES, GUESS_EVERY = 30, 2.0
REQUESTS, REQUEST_EVERY = 200, 0.1
# Sentences in `Warning`, at most.
MOST_WARNINGS = 5

log = logging.getLogger("krm.server")


def answers(method: str, path: str, kubernetes_root: bool) -> bool:
    """Whether the POST API answers this, and not the Kubernetes read API. `path`: below no /clusters/NAME."""
    if not kubernetes_root:
        return path == "/api" or path.startswith(ROOT)
    if path == ROOT:
        return method not in ("GET", "HEAD")
    return path.startswith(ROOT) and path != "/api/v1" and not path.startswith("/api/v1/")


class _Refused(Exception):
    """An answer that is no rows."""

    def __init__(self, code: int, message: str, headers: Tuple[Header, ...] = ()) -> None:
        super().__init__(message)
        self.answer = told(code, message, headers)


def told(code: int, message: str, headers: Tuple[Header, ...] = ()) -> Answer:
    """As the classic application told errors."""
    return Answer(written({"code": code, "message": message}) + b"\n", code, headers=headers)


def _later(seconds: float) -> _Refused:
    whole = max(1, math.ceil(seconds))
    return _Refused(429, f"Too many requests: try again in {whole} s", (("Retry-After", str(whole)),))


class _Read(NamedTuple):
    """What the thread brings back."""

    found: Found
    text: bytes


class Classic:
    """It belongs to the event loop; what it reads of the history, threads do."""

    def __init__(
        self,
        history: History,
        accounts: Accounts,
        kept: Kept,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kept`: whose bounds large answers are taken within. `clock`: Unix seconds, what `now` means."""
        self._history, self._accounts, self._kept, self._clock = history, accounts, kept, clock
        self._guesses = Buckets(GUESSES, GUESS_EVERY, monotonic)
        self._requests = Buckets(REQUESTS, REQUEST_EVERY, monotonic)
        self._threads = Threads("classic", THREADS, WAITING)
        self._trouble = ""  # the newest reason why there was no history

    def close(self) -> None:
        """Takes no more."""
        self._accounts.close()

    async def answer(self, request: Request) -> Answer:
        """Errors are answers too."""
        try:
            return await self._answer(request)
        except _Refused as refused:
            return refused.answer
        except Exception:
            log.exception("POST of %s failed", request.path[:200])
            return told(500, "krm failed to answer: its log says why")

    async def _answer(self, request: Request) -> Answer:
        request.asked = of_path(request.cluster, request.method, request.path)
        if request.method != "POST":
            raise _Refused(400, "Bad request")
        account = await self._account(request)
        request.user = User(f"api:{account.name}")
        wait = self._requests.take(account.name)
        if wait:
            raise _later(wait)
        metric = TABLE.get(request.path[len(ROOT) :])
        if metric is None:
            raise _Refused(404, "Request not found")
        try:
            question = asked(metric, body(await _body(request)), self._clock())
        except BadBody as error:
            raise _Refused(400, str(error)) from None
        _check(account, question)
        request.asked = request.asked._replace(namespace=question.namespace)
        read = await self._read(question, account.namespaces)
        unit = ("Krm-Unit", metric.unit) if question.agg == POINTS else ("Krm-Sum-Unit", metric.sum_unit)
        headers = [unit, *_worth(read.found)]
        if not read.found.rows:
            return told(200, "Query returns empty set", tuple(headers))
        return await self._whole(request, read.text, headers)

    async def _whole(self, request: Request, body: bytes, headers: List[Header]) -> Answer:
        """Rows, compressed where that was asked for and pays. Raises _Refused."""
        try:
            self._kept.flight.take(request, body)
            if len(body) >= GZIP_FROM and accepts_gzip(request.headers.get("accept-encoding", "")):
                body = await self._kept.compressed(Body(body))
                self._kept.flight.take(request, body)
                headers += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
        except ApiError as error:  # too many large answers are being taken
            raise _Refused(error.code, error.message, (("Retry-After", str(error.retry_after or 1)),)) from None
        return Answer(body, headers=headers)

    async def _account(self, request: Request) -> Account:
        """Who asks. Raises _Refused."""
        shown = [request.headers.get(name, "").encode("latin-1") for name in ("x-username", "x-password")]
        if not all(shown):
            raise _Refused(401, "You are not authorized")
        peer = network(request.peer)
        wait = self._guesses.take(peer)  # before the password is looked at: else guessing went on
        if wait:
            raise _later(wait)
        twice = [name for name in ("x-username", "x-password") if name in request.repeated]
        try:
            found = None if twice else await self._accounts.find(*shown)
        except Unreadable:
            raise _Refused(503, "krm cannot read its accounts: its log says why", (("Retry-After", "5"),)) from None
        except TooBusy:
            raise _later(1.0) from None
        if found is None:
            raise _Refused(401, "Username and password is not recognized")
        self._guesses.give(peer)
        return found

    async def _read(self, question: Asked, allowed: Optional[Tuple[str, ...]]) -> _Read:
        def run() -> _Read:
            found = classic_rows.read(self._history, question, allowed)
            return _Read(found, classic_rows.text(found))

        try:
            read = await self._threads.run(run, READ_WITHIN)
        except Full:
            raise _later(1.0) from None
        except TooMuch as error:
            raise _Refused(400, str(error)) from None
        except (NoHistory, asyncio.TimeoutError) as error:
            self._tell(str(error) or f"the history did not answer within {READ_WITHIN:.0f} s")
            raise _Refused(500, "Can't connect to influxdb") from None
        self._trouble = ""
        return read

    def _tell(self, why: str) -> None:
        """Once a reason: whoever asks each second must not fill the log."""
        if why != self._trouble:
            log.warning("the POST API has no history to read: %s", why)
        self._trouble = why


def _check(account: Account, question: Asked) -> None:
    """Raises _Refused 403, the same for namespaces that exist and for those that do not."""
    asks = question.namespace
    if asks and account.namespaces is not None and asks not in account.namespaces:
        raise _Refused(403, f"This account may not read the namespace {asks}")


def _worth(found: Found) -> List[Header]:
    """How new the answer is, how much it covers, and what its reader must know."""
    as_of = [] if found.as_of is None else [("Krm-As-Of", times.write(found.as_of))]
    covers = [] if found.covers is None else [("Krm-Covers", str(found.covers))]
    return [*as_of, *covers, *[("Warning", warning_header(f"krm: {note}")) for note in found.notes[:MOST_WARNINGS]]]


async def _body(request: Request) -> bytes:
    """Of a request whose caller is known. Raises _Refused."""
    pieces: List[bytes] = []
    size = 0

    async def read() -> None:
        nonlocal size
        more = True
        while more:
            message: Dict[str, Any] = await request.receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "the body ended too early", tuple(CLOSE))
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > MAX_BODY:
                raise _Refused(413, f"a body has at most {MAX_BODY} bytes", tuple(CLOSE))
            pieces.append(piece)
            more = bool(message.get("more_body"))

    try:
        await asyncio.wait_for(read(), BODY_WITHIN)
    except asyncio.TimeoutError:
        raise _Refused(408, f"the body did not come within {BODY_WITHIN:.0f} s", tuple(CLOSE)) from None
    return b"".join(pieces)
