"""Beside the lists, on a connection of its own: the probe of freshness, and the reports.

each 10 s   a consistent read of one key: its resourceVersion proves how new the snapshot is
each 2 s    a report: the class of the last error, and whether the kind is served at all
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Dict, Optional

from krm.cluster.errors import ClusterError
from krm.cluster.listing import freshness_probe
from krm.cluster.requests import Cluster
from krm.model.head import Head
from krm.model.messages import Probe, VerifierReport
from krm.store.connect import Clock
from krm.store.errors import StoreError
from krm.store.keys import Keys
from krm.store.streams import LISTS, REPORTS_UNREAD, Appender
from krm.verifier.health import PROBE, Health

REPORT_EVERY = 2.0  # seconds
# Seconds until a probe is given up: below the 25 s after which trust calls a kind stale.
PROBE_TIMEOUT = 8.0

log = logging.getLogger("krm.verifier")


class Prober:
    """One pipeline's probes and reports. `run` returns when `stop` is set."""

    def __init__(
        self,
        cluster: Cluster,
        appender: Appender,
        keys: Keys,
        clock: Clock,
        health: Health,
        probe_every: float,
        stop: threading.Event,
    ) -> None:
        self._cluster, self._appender, self._keys, self._clock = cluster, appender, keys, clock
        self._health, self._probe_every, self._stop = health, probe_every, stop
        self._probed = float("-inf")

    def run(self) -> None:
        """A turn each report interval."""
        while not self._stop.is_set():
            self.turn()
            self._stop.wait(REPORT_EVERY)

    def figures(self) -> Dict[str, Optional[float]]:
        """Nothing that the lists' loop does not tell."""
        return {}

    def turn(self) -> None:
        """One report, with a probe where one is due."""
        try:
            head = self._appender.read_head()
            if head is not None:
                self._health.begin(head)
            probe = self._probe(head) if head is not None else None
            report = VerifierReport(
                incarnation="",  # errors are facts about the kind; a probe is bound by its f0
                at=self._clock.now(),
                error=self._health.error,
                unserved=self._health.unserved,
                probe=probe,
                facts=self._health.facts if head is not None and head.facts != self._health.facts else "",
            )
            if head is not None and self._appender.unread(LISTS, head.lists_id).entries < REPORTS_UNREAD:
                self._appender.append_list(report, head.lists_id)
        except StoreError as error:
            log.warning("%s: %s", self._keys.kind, error)

    def _probe(self, head: Head) -> Optional[Probe]:
        resource = self._health.resource
        due = time.monotonic() - self._probed >= self._probe_every
        if resource is None or not head.rv or head.next or not due:
            return None
        self._probed = time.monotonic()
        sent_at = self._clock.now()
        try:
            rv = freshness_probe(self._cluster, resource, self._keys.namespace or None, PROBE_TIMEOUT)
        except ClusterError as error:
            self._health.failed(PROBE, error)
            log.warning("%s: %s", self._keys.kind, error)
            return None
        self._health.succeeded(PROBE)
        return Probe(head.rv, rv, sent_at)
