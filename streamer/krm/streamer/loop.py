"""One kind's streamer: it never lists, and it does not decide what is true.

state       on                                               to
waiting     head has a resourceVersion and no other doubt    connecting
connecting  kind discovered, watch opened at session.rv      streaming
            410                                              waiting, after End(expired)
            404, 403, 429, no connection ...                 waiting, after a backoff
streaming   lines                                            streaming: batches, acknowledged one by one
            the server closes the watch                      connecting, within the session
            410 in the stream                                waiting, after End(expired)
            a complete line that does not parse              waiting, after End(unparsable)
            head names another incarnation, or another       waiting, after End(incarnation)
            session once this one was accepted
any         stop                                             ended, after End(shutdown)
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Dict, List, Optional

from krm.cluster.backoff import Backoff
from krm.cluster.discovery import cluster_uid, discover
from krm.cluster.errors import ClusterError, Expired, Forbidden, NotFound, OutOfScope, ServerError
from krm.cluster.requests import Cluster
from krm.cluster.watching import Watch, WatchClosed
from krm.model.canonical import Canonicaliser, Status
from krm.model.head import Head
from krm.model.kinds import Resource, parse_kind
from krm.model.messages import Bad, Batch, End, Message, StreamerReport
from krm.store.connect import Clock
from krm.store.errors import OutOfMemory, StoreError, Unavailable
from krm.store.keys import Keys
from krm.store.streams import EVENTS, REPORTS_UNREAD, Appender, order_of
from krm.streamer.session import Session, read_lines, split

# Seconds between two looks at head, and between two reports.
HEAD_EVERY, REPORT_EVERY = 0.5, 2.0
# Seconds that a first event waits for others, so that a batch holds more than one.
LINGER = 0.005
# Bytes not yet consumed by the aggregator at which the socket is left unread: the API server then
# closes a slow watch, and the session resumes.
UNREAD_MOST = 64 * 1024 * 1024
# Seconds after which a consumed but unaccepted session gives up: F was not where head said, or the session
# was broken before head was looked at. Head tells cursor and session in one write; this is one look more.
ACCEPT_WITHIN = 1.0
# Seconds between attempts while Redis is away.
RETRY = 0.3
# Seconds that a watch must live, or bring an event, to be no failure.
WATCH_LEAST = 1.0

# Errors that only a watch which opens takes back.
REFUSALS = (Forbidden.__name__, OutOfScope.__name__)

log = logging.getLogger("krm.streamer")


@dataclass(frozen=True)
class Options:
    """What an operator may set for a pipeline."""

    keep_env: bool = False
    fresh_within: Optional[int] = None  # seconds of a watch's life: a bookmark comes 2 s before its end


class SessionOver(Exception):
    """The session cannot go on. `cause` as in messages.End; '' = nothing is to be told."""

    def __init__(self, cause: str, why: str) -> None:
        super().__init__(why)
        self.cause = cause


class Streamer:
    """One pipeline's loop. `run` returns when `stop` is set."""

    def __init__(
        self,
        cluster: Cluster,
        appender: Appender,
        keys: Keys,
        clock: Clock,
        options: Options,
        stop: threading.Event,
    ) -> None:
        self._cluster, self._appender, self._keys, self._clock = cluster, appender, keys, clock
        self._options, self._stop = options, stop
        self._backoff = Backoff()
        self._head: Optional[Head] = None
        self._looked = self._reported = float("-inf")
        self._error: Optional[str] = None  # None = no answer yet: what a former process was told stands
        self._connected_since = self._last_byte = 0.0
        self._bad: Optional[Bad] = None
        self._session: Optional[Session] = None
        self._accepted = False
        self._first: Optional[str] = None  # stream id of batch 0
        self._began = 0.0
        self._events = self._sessions = 0

    def run(self) -> None:
        """A session after the other, each from head.rv."""
        while not self._stop.is_set():
            head = self._wait_for_start()
            if head is None:
                return
            try:
                self._run_session(head)
            except SessionOver as over:
                self._end(over)
            except ClusterError as error:
                self._failed(error)
            if not self._stop.is_set():
                self._pause()

    def figures(self) -> Dict[str, Optional[float]]:
        """For /metrics."""
        age = self._clock.now() - self._last_byte if self._connected_since else None
        return {
            "krm_stream_age_seconds": age,
            "krm_stream_events_total": self._events,
            "krm_stream_sessions_total": self._sessions,
        }

    # waiting -------------------------------------------------------------------------------------

    def _wait_for_start(self) -> Optional[Head]:
        while not self._stop.is_set():
            self._look()
            head = self._head
            if head is not None and head.incarnation and head.rv and not head.next:
                return head
            self._report()
            self._stop.wait(HEAD_EVERY)
        return None

    def _look(self) -> None:
        """Head, at most each half second; what was seen last stands while Redis is away."""
        if time.monotonic() - self._looked < HEAD_EVERY:
            return
        self._looked = time.monotonic()
        try:
            self._head = self._appender.read_head()
        except StoreError as error:
            log.warning("%s: %s", self._keys.kind, error)

    def _pause(self) -> None:
        until = time.monotonic() + self._backoff.wait(time.monotonic(), random.random())
        while time.monotonic() < until and not self._stop.wait(
            min(REPORT_EVERY, max(0.0, until - time.monotonic()))
        ):
            self._report()

    # a session -----------------------------------------------------------------------------------

    def _run_session(self, head: Head) -> None:
        resource = self._resource(head)
        canonicaliser = Canonicaliser(resource, self._options.keep_env)
        if head.canon and canonicaliser.canon != head.canon:
            raise SessionOver("", f"the snapshot's canonical form is {head.canon}, mine is {canonicaliser.canon}")
        self._session = Session(
            str(uuid.uuid4()), head.incarnation, head.rv, canonicaliser.canon, cluster_uid(self._cluster)
        )
        self._accepted, self._first = False, None
        self._sessions += 1
        log.info("%s: session %s from %s", self._keys.kind, self._session.name, head.rv)
        try:
            while not self._stop.is_set():
                self._run_watch(self._session, resource, canonicaliser)
            raise SessionOver("shutdown", "told to stop")
        finally:
            self._connected_since = 0.0

    def _resource(self, head: Head) -> Resource:
        """As discovered, at the version that the snapshot's bytes were read in."""
        resource = discover(self._cluster, parse_kind(self._keys.kind), self._keys.namespace)
        api_version = head.canon.rpartition(" ")[2]
        return resource._replace(version=api_version.rpartition("/")[2]) if api_version else resource

    def _run_watch(self, session: Session, resource: Resource, canonicaliser: Canonicaliser) -> None:
        """One connection, until the server closes it. Raises SessionOver, ClusterError."""
        life = self._options.fresh_within
        try:
            watch = Watch(self._cluster, resource, self._keys.namespace or None, session.rv, life)
        except Expired as error:
            raise SessionOver("expired", str(error)) from None
        self._error, self._connected_since, self._last_byte = "", self._clock.now(), self._clock.now()
        try:
            if self._first is None:
                self._send(session.batch(()))
                self._began = time.monotonic()
            self._report(now=True)
            while not self._stop.is_set():
                self._turn(session, watch, canonicaliser)
        except WatchClosed as closed:
            if closed.lived < WATCH_LEAST and not closed.lines:
                raise ServerError(f"the watch was closed after {closed.lived:.2f} s without an event") from None
        finally:
            watch.close()

    def _turn(self, session: Session, watch: Watch, canonicaliser: Canonicaliser) -> None:
        lines = [] if self._full() else _gather(watch)
        if lines:
            self._last_byte = self._clock.now()
            read = read_lines(canonicaliser, lines, self._last_byte)
            for items in split(read.items):
                self._send(session.batch(items))
            if read.bad is not None:
                self._bad = read.bad
                raise SessionOver("unparsable", read.bad.error)
            if read.status is not None:
                raise _error_event(read.status)
        self._look()
        self._check_head(session)
        self._report()

    def _full(self) -> bool:
        cursor = self._head.events_id if self._head else ""
        if self._appender.unread(EVENTS, cursor).size < UNREAD_MOST:
            return False
        self._stop.wait(HEAD_EVERY)
        return True

    def _check_head(self, session: Session) -> None:
        head = self._head
        if head is None or head.incarnation != session.incarnation:
            raise SessionOver("incarnation", "the snapshot is another one now")
        if head.session == session.name:
            self._accepted = True
        elif self._accepted:
            raise SessionOver("incarnation", "another session was accepted, or this one was broken")
        elif self._first and order_of(head.events_id) >= order_of(self._first) and self._waited():
            raise SessionOver("incarnation", "the aggregator did not accept the session")

    def _waited(self) -> bool:
        return time.monotonic() - self._began > ACCEPT_WITHIN

    def _send(self, batch: Batch) -> None:
        """Until Redis acknowledges it; a copy is known by its number."""
        session = self._session
        assert session is not None  # noqa: S101 - batches exist only within a session
        entry = self._append(batch)
        if entry is None:
            raise SessionOver("shutdown", "told to stop")
        session.acknowledged(batch)
        self._events += len(batch.items)
        if batch.seq == 0:
            self._first = entry

    def _append(self, message: Message) -> Optional[str]:
        cursor = self._head.events_id if self._head else ""
        while True:
            try:
                return self._appender.append_event(message, cursor).id
            except (Unavailable, OutOfMemory) as error:
                log.warning("%s: a batch waits: %s", self._keys.kind, error)
            if self._stop.wait(RETRY):
                return None

    # ends and reports ----------------------------------------------------------------------------

    def _end(self, over: SessionOver) -> None:
        session, self._session = self._session, None
        log.info("%s: session over: %s", self._keys.kind, over)
        if session is None or not over.cause:
            return
        self._report(now=True)
        try:
            self._appender.append_event(End(session.incarnation, session.name, over.cause), "")
        except StoreError as error:
            log.warning("%s: the end of a session could not be told: %s", self._keys.kind, error)

    def _failed(self, error: ClusterError) -> None:
        """The connection is gone; F did not move, so the next session replays from it."""
        if self._error not in REFUSALS or isinstance(error, (Forbidden, NotFound)):
            self._error = type(error).__name__  # an API server that is away gives no rights back
        log.warning("%s: %s", self._keys.kind, error)
        if self._session is not None:
            self._end(SessionOver("error", str(error)))
        if not isinstance(error, NotFound):
            wait = getattr(error, "retry_after", None)
            if wait:
                self._stop.wait(min(float(wait), 300.0))

    def _silenced(self, head: Head) -> bool:
        """Whether nobody reads the reports, as far as can be known."""
        try:
            return self._appender.unread(EVENTS, head.events_id).entries >= REPORTS_UNREAD
        except StoreError as error:
            log.warning("%s: %s", self._keys.kind, error)
            return True

    def _report(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._reported < REPORT_EVERY:
            return
        self._reported = time.monotonic()
        head, session = self._head, self._session
        if head is None or self._silenced(head):
            return
        report = StreamerReport(
            incarnation=session.incarnation if session else head.incarnation,
            session=session.name if session else "",
            at=self._clock.now(),
            connected_since=self._connected_since,
            last_byte=self._last_byte,
            error=head.watch_error if self._error is None else self._error,
            bad=(self._bad,) if self._bad else (),
        )
        self._bad = None
        try:
            self._appender.append_event(report, head.events_id)
        except StoreError as error:
            log.warning("%s: a report could not be told: %s", self._keys.kind, error)


def _gather(watch: Watch) -> List[bytes]:
    """Some lines, or [] when none came for a while. Raises WatchClosed, ClusterError."""
    lines = watch.poll(HEAD_EVERY)
    try:
        while lines and len(lines) < 100 and (more := watch.poll(LINGER)):
            lines += more
    except WatchClosed:
        pass  # a 410 is the last line before the close: it is heard first, the next poll tells of the close
    return lines


def _error_event(status: Status) -> Exception:
    """What an ERROR line in the stream means."""
    if status.code == 410 or status.reason in ("Expired", "Gone"):
        return SessionOver("expired", f"410 in the stream: {status.reason}")
    return ServerError(f"the watch gave an error: {status.code} {status.reason}")
