"""One kind's verifier: it owns every LIST, and does not decide what is true.

state     on                                              to
unknown   discovery finds the kind                        idle
          404                                             unknown, `unserved`, after a backoff
idle      head wants a list                               listing (full, consistent)
          the routine is due                              listing (metadata, not older than F0; the first
                                                          after an audit: whole, so that bytes are compared)
          an audit is due and a kept list is old enough   auditing
listing   all pages and the end are handed over           idle
          504, the cache is behind                        listing (the same, consistent)
          410 on continue, a page at another version,     idle, after a backoff
          no room for a minute, another incarnation
          404                                             unknown
auditing  compared and reported                           idle
any       stop                                            ended
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional

from krm.cluster.backoff import Backoff
from krm.cluster.discovery import ServerVersion, cluster_uid, discover, server_version
from krm.cluster.errors import ClusterError, NotFound, TooLargeResourceVersion
from krm.cluster.listing import ListMode, consistent, exact, list_pages, not_older_than
from krm.cluster.requests import Cluster
from krm.model.canonical import Canonicaliser
from krm.model.head import Head
from krm.model.kinds import UNCACHED_KINDS, Resource, parse_kind
from krm.model.messages import FULL, META, Item, VerifierReport
from krm.model.pages import PageBody
from krm.model.refusals import UnparsablePage
from krm.model.served import pack_facts
from krm.store.connect import Clock
from krm.store.errors import StoreError
from krm.store.keys import Keys
from krm.store.streams import Appender
from krm.verifier.audit import Kept, compare, keep
from krm.verifier.health import LIST, Health
from krm.verifier.rounds import Abandoned, Plan, Round, never_expired, plan_of

# Seconds between two looks at head.
HEAD_EVERY = 0.5
# The routine comes each interval, more or less a fifth: many pipelines must not list in step.
JITTER = 0.2
# A kind without a watch cache is listed from etcd, and gets no bookmarks: a quarter as often.
UNCACHED_FACTOR = 4.0
# Seconds after which a want that was served and still stands is served again: the 15 s that the
# aggregator may wait for its watch, and as much for the pages.
SERVE_AGAIN = 30.0
# Seconds between a routine list and the audit that reads its version from etcd: older than the 75 s
# that the cache keeps, younger than the 300 s after which etcd compacts.
AUDIT_AFTER, AUDIT_BEFORE = 120.0, 240.0
# Seconds of a server's Retry-After that are honoured: a word of a day must not silence a kind for a day.
RETRY_AFTER_MOST = 300.0
# From this version on consistent lists come from the watch cache (KEP-2340).
CONSISTENT_FROM_CACHE = (1, 31)

log = logging.getLogger("krm.verifier")


@dataclass(frozen=True)
class Options:
    """What an operator may set for a pipeline; seconds."""

    verify_every: float = 60.0
    audit_every: float = 3600.0
    keep_env: bool = False


class Verifier:
    """One pipeline's lists. `run` returns when `stop` is set."""

    def __init__(
        self,
        cluster: Cluster,
        appender: Appender,
        keys: Keys,
        clock: Clock,
        health: Health,
        options: Options,
        stop: threading.Event,
    ) -> None:
        self._cluster, self._appender, self._keys, self._clock = cluster, appender, keys, clock
        self._health, self._options, self._stop = health, options, stop
        self._kind = parse_kind(keys.kind)
        self._backoff = Backoff()
        self._version: Optional[ServerVersion] = None
        self._uid = ""
        self._next_routine = time.monotonic()
        self._next_audit = time.monotonic() + options.audit_every * random.uniform(0.5, 1.0)
        self._kept: Optional[Kept] = None
        self._whole = False  # the next routine list is a full one
        self._served, self._served_at = "", 0.0
        self._lists = 0
        self._took: Optional[float] = None
        self._listed_at: Optional[float] = None

    def run(self) -> None:
        """Looks at head twice a second, and lists what is due."""
        while not self._stop.is_set():
            try:
                self.turn()
            except NotFound as error:
                self._vanished(error)
            except ClusterError as error:
                self._health.failed(LIST, error)
                self._pause(str(error), getattr(error, "retry_after", None))
            except Abandoned as error:
                self._pause(str(error), None)
            except StoreError as error:
                log.warning("%s: %s", self._keys.kind, error)  # without a backoff: Redis is near, and may be back
            self._stop.wait(HEAD_EVERY)

    def figures(self) -> Dict[str, Optional[float]]:
        """For /metrics."""
        age = None if self._listed_at is None else time.monotonic() - self._listed_at
        return {"krm_lists_total": self._lists, "krm_list_seconds": self._took, "krm_list_age_seconds": age}

    def turn(self) -> None:
        """At most one list."""
        head = self._appender.read_head()
        if head is None or not plan_of(head):
            return
        self._health.begin(head)
        # Health outlives a loop that failed and was begun anew; what else discovery told does not.
        resource = self._health.resource if self._version is not None else None
        resource = resource or self._discover()
        now = time.monotonic()
        if head.want:
            if head.want != self._served or now - self._served_at > SERVE_AGAIN:
                # Whatever asks for a full list may be another cluster at the same address, which says so with it.
                self._uid = cluster_uid(self._cluster)
                self._list(head, resource, FULL, consistent())
                self._served, self._served_at = head.want, time.monotonic()
        elif head.next or not head.rv:
            return
        elif now >= self._next_routine:
            self._routine(head, resource)
            self._next_routine = time.monotonic() + self._interval()
        elif self._kept is not None and now - self._kept.at >= AUDIT_AFTER:
            self._audit(self._kept, resource)

    def _interval(self) -> float:
        every = self._options.verify_every * (UNCACHED_FACTOR if self._kind in UNCACHED_KINDS else 1.0)
        return every * random.uniform(1 - JITTER, 1 + JITTER)

    def _discover(self) -> Resource:
        resource = discover(self._cluster, self._kind, self._keys.namespace)
        self._version = server_version(self._cluster)
        self._uid = cluster_uid(self._cluster)
        self._health.facts = pack_facts(resource, self._version.document)
        self._health.resource, self._health.unserved = resource, False
        return resource

    # lists ---------------------------------------------------------------------------------------

    def _routine(self, head: Head, resource: Resource) -> None:
        version = self._version
        assert version is not None  # noqa: S101 - known since discovery
        mode = FULL if self._whole else META
        try:
            made = self._list(head, resource, mode, not_older_than(head.rv, (version.major, version.minor)))
        except TooLargeResourceVersion:
            made = self._list(head, resource, mode, consistent())
        self._whole = False
        if self._kept is None and time.monotonic() >= self._next_audit:
            self._kept = keep(made.rv, time.monotonic(), made.kept)

    def _list(self, head: Head, resource: Resource, mode: str, list_mode: ListMode) -> Round:
        canonicaliser = Canonicaliser(resource, self._options.keep_env)
        is_consistent = not list_mode.match
        plan = Plan(
            incarnation=plan_of(head),
            answers=head.want,
            mode=mode,
            consistent=is_consistent,
            source=self._source(is_consistent),
            f0="0" if head.next else head.rv,
            t0=self._clock.now(),
            canon=canonicaliser.canon,
            cluster_uid=self._uid,
        )
        one, began = Round(self._appender, plan, self._stop), time.monotonic()
        one.run(never_expired(self._pages(canonicaliser, resource, mode, list_mode)))
        self._lists, self._listed_at = self._lists + 1, time.monotonic()
        self._took = self._listed_at - began
        self._health.succeeded(LIST)
        return one

    def _pages(
        self, canonicaliser: Canonicaliser, resource: Resource, mode: str, list_mode: ListMode
    ) -> Iterator[PageBody]:
        read = canonicaliser.page if mode == FULL else canonicaliser.metadata_page

        def parse(body: bytes) -> PageBody:
            try:
                return read(body, self._clock.now())
            except UnparsablePage as error:
                raise Abandoned(f"a page cannot be read: {error}") from None

        return list_pages(
            self._cluster, resource, list_mode, parse, self._keys.namespace or None, metadata_only=mode == META
        )

    def _source(self, is_consistent: bool) -> str:
        version = self._version
        old = version is not None and (version.major, version.minor) < CONSISTENT_FROM_CACHE
        return "etcd" if self._kind in UNCACHED_KINDS or (is_consistent and old) else "cache"

    # the audit -----------------------------------------------------------------------------------

    def _audit(self, kept: Kept, resource: Resource) -> None:
        self._kept, self._whole = None, True
        self._next_audit = time.monotonic() + self._options.audit_every
        if time.monotonic() - kept.at > AUDIT_BEFORE:
            return
        canonicaliser = Canonicaliser(resource, self._options.keep_env)
        items: List[Item] = []
        for page in never_expired(self._pages(canonicaliser, resource, META, exact(kept.rv))):
            items += page.items
        found = compare(kept, items, self._clock.now())
        if found.differing:
            log.warning("%s: the API server's cache differs from etcd in %d objects", self._kind, found.differing)
        report = VerifierReport("", self._clock.now(), self._health.error, self._health.unserved, audit=found)
        self._appender.append_list(report, "")

    # trouble -------------------------------------------------------------------------------------

    def _vanished(self, error: NotFound) -> None:
        """Only discovery tells an absent kind from a lost page."""
        self._health.failed(LIST, error)
        self._health.resource = None
        try:
            discover(self._cluster, self._kind, self._keys.namespace)
            self._health.unserved = False
        except NotFound:
            self._health.unserved = True
        except ClusterError as other:
            self._health.failed(LIST, other)
        self._pause(str(error), None)

    def _pause(self, why: str, at_least: Optional[float]) -> None:
        log.warning("%s: %s", self._keys.kind, why)
        at_least = min(at_least or 0.0, RETRY_AFTER_MOST)
        self._stop.wait(max(self._backoff.wait(time.monotonic(), random.random()), at_least))
