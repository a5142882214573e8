"""Applications' own numbers: annotated pods are asked, their pages read, two pages made into rates."""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, FrozenSet, List, Optional, Tuple

from krm.cluster.endpoints import Endpoints
from krm.cluster.errors import ClusterError
from krm.collector.facts import PodFacts
from krm.collector.source import NoData, Target
from krm.collector.sources import app
from krm.collector.sources.annotated import Reach, alive, scrape_url
from krm.collector.sources.scraped import MAX_BYTES, read_page
from krm.model.measures import Sample, Subject

# (url, bytes, seconds of time.monotonic by which it is there) -> body, Content-Type. It follows no redirects,
# sends no credentials, reads no more than it was allowed to, and raises NoData.
Fetch = Callable[[str, int, float], Tuple[bytes, str]]
TIMEOUT = 5.0  # seconds a page
# Series of all pods together that are kept for the next page: about 100 bytes each.
MAX_KEPT = 200_000
_OWN = Reach()
READING = 2  # pages at once: reading waits for nothing but CPU, and the largest takes 40 MiB
FORGOTTEN_AFTER = 120.0  # seconds: a rate over longer than this says little, and who is away needs no place


# Text first: its parser is the faster one.
ACCEPT = "text/plain;version=0.0.4;q=1,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"


def through(door: Endpoints) -> Fetch:
    """`door`: one without an identity, for what pods serve is no place for krm's token."""

    def fetch(url: str, most: int, deadline: float) -> Tuple[bytes, str]:
        try:
            return door.page(url, "", deadline - time.monotonic(), most, ACCEPT)
        except ClusterError as error:
            raise NoData(str(error)) from None
        except ValueError:
            raise NoData("it has no address that can be asked") from None

    return fetch


class Scraper:
    """A Source. One for all pods; threads may call it at once, for different targets."""

    name = "app"

    def __init__(
        self,
        look: Callable[[str, str], Optional[PodFacts]],
        fetch: Fetch,
        nodes: Callable[[], FrozenSet[str]],
        reach: Reach = _OWN,
        names: app.Names = app.USUAL,
    ) -> None:
        """`look`: (namespace, name) -> the pod as it is now. `nodes`: the addresses of all nodes."""
        self._look, self._fetch, self._nodes = look, fetch, nodes
        self._reach, self._names = reach, names
        self._kept: Dict[str, app.Before] = {}  # by the pod's uid
        self._lock = threading.Lock()
        self._reading = threading.Semaphore(READING)

    def __call__(self, target: Target, now: float) -> List[Sample]:
        pod = alive(self._look, target)
        url = scrape_url(pod, self._reach, self._nodes())
        names = app.names_for(pod.annotations, self._names)
        began = time.monotonic()
        body, content_type = self._fetch(url, MAX_BYTES, began + TIMEOUT)
        at = now + time.monotonic() - began
        with self._reading:
            points = read_page(body, content_type, names.series())
            if not points and app.is_told(pod.annotations):
                raise NoData("its page has no series of the names that its annotations krm.io/... tell")
            kept = app.keep(points, at)
            before = self._exchange(target.uid, kept)
            values = app.measured(points, names, before, kept)
        subject = Subject(pod.namespace, pod.name, pod.uid, "", pod.node)
        window = at - before.at if before is not None else 0.0
        return [Sample(subject, at, values, self.name, window, kept.started)] if values else []

    def _exchange(self, uid: str, kept: app.Before) -> Optional[app.Before]:
        """Keeps a page and gives the one before it, where that is not too old."""
        with self._lock:
            oldest = kept.at - FORGOTTEN_AFTER
            for name in [name for name, one in self._kept.items() if one.at < oldest]:
                del self._kept[name]
            before = self._kept.pop(uid, None)
            if sum(len(one.values) for one in self._kept.values()) + len(kept.values) > MAX_KEPT:
                raise NoData(f"pods have more than {MAX_KEPT} series together that are read")
            self._kept[uid] = kept
            return before
