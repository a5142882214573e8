"""All clusters of one server: which pipelines Redis holds, a feed for each, and the replicas they fill."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Callable, Dict, List, Tuple

from krm.client.directory import Directory
from krm.client.errors import KrmError
from krm.server.catalog import Catalog
from krm.server.feeds import Feed
from krm.server.measured import Measured
from krm.server.replica import Replica
from krm.store.connect import Database
from krm.store.keys import Keys

# Seconds between two looks for kinds that were announced since; at the start the stages are announcing theirs.
LOOK_EVERY, LOOK_FIRST = 5.0, 0.3
# Seconds that the start waits for the first look.
LOOK_WITHIN = 5.0
# Seconds after the start for which a kind without its first list keeps this server from being called ready.
WARM_WITHIN = 15.0
_KINDS, _MEASUREMENTS = "kinds", "measurements"

log = logging.getLogger("krm.server")


class Hub:
    """One cluster's feeds. Made on the event loop; its threads change replicas on that loop alone."""

    def __init__(self, database: Database, cluster: str, loop: asyncio.AbstractEventLoop) -> None:
        self.catalog = Catalog(cluster)
        self.changed: Callable[[Replica], None] = _nobody
        self._database, self._loop = database, loop
        self._feeds: Dict[Tuple[str, str], Feed] = {}
        self._offsets: Dict[Replica, float] = {}  # the Redis clock less our monotonic one
        self._stop = threading.Event()
        self._looked: asyncio.Future[None] = loop.create_future()
        self._looks = {_KINDS, _MEASUREMENTS}  # what was not looked for yet
        self._measured = Measured(
            database, cluster, self.catalog.newest, self._on_loop, lambda: self._has_looked(_MEASUREMENTS)
        )
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._look, name=f"kinds of {cluster}", daemon=True)

    def start(self) -> None:
        """Feeds begin as their kinds are found."""
        self._thread.start()
        self._measured.start()

    async def looked(self) -> None:
        """Until it was seen once which kinds there are, and whether a collector, or Redis takes long: before that
        none would look kept."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._looked), LOOK_WITHIN)

    def _has_looked(self, what: str) -> None:
        self._looks.discard(what)
        if not self._looks and not self._looked.done():
            self._looked.set_result(None)

    def stop(self) -> None:
        """Ends all threads; waits a second for them."""
        self._stop.set()
        self._measured.stop()
        feeds = list(self._feeds.values())
        for feed in feeds:
            feed.stop()

    def now(self, replica: Replica) -> float:
        """The Redis clock in seconds: as of the newest read, and what has passed since by our own."""
        return time.monotonic() + self._offsets.get(replica, 0.0)

    def waiting(self) -> List[str]:
        """Kinds that nobody could be answered about yet. One that stays without a list keeps the others of a
        server that has just begun waiting for some seconds, and later nobody: it alone is answered with 503."""
        known = is_answerable if self._is_young else is_read
        return [replica.kind for replica in self.catalog.all() if not known(replica)]

    @property
    def found(self) -> bool:
        """Whether any kind was found."""
        return any(True for _ in self.catalog.all())

    @property
    def _is_young(self) -> bool:
        return time.monotonic() - self._began < WARM_WITHIN

    def _look(self) -> None:
        directory, told = None, False
        while not self._stop.is_set():
            try:
                directory = directory or Directory(self._database, self.catalog.cluster)
                found = directory.pipelines(anew=True)
                if not found and not told:
                    told = True
                    log.warning(
                        "nothing of %s is in this Redis yet: do its stages run, and is that its name (--cluster)?",
                        self.catalog.cluster,
                    )
                self._add([one for one in found if one not in self._feeds])
                self._loop.call_soon_threadsafe(self._has_looked, _KINDS)
            except KrmError as error:
                log.warning("kinds of %s: %s", self.catalog.cluster, error)
            except RuntimeError:  # the event loop has ended
                if not self._stop.is_set():
                    raise
            self._stop.wait(LOOK_EVERY if self._feeds and not self._is_young else LOOK_FIRST)
        if directory is not None:
            directory.close()

    def _add(self, pipelines: List[Tuple[str, str]]) -> None:
        """All at once: as soon as one kind is found, those that are not there are denied."""
        replicas = [Replica(kind, namespace) for kind, namespace in pipelines]

        def add() -> None:
            for replica in replicas:
                self.catalog.add(replica)

        self._on_loop(add)
        for replica in replicas:
            keys = Keys(self.catalog.cluster, replica.kind, replica.namespace)
            feed = Feed(self._database, keys, replica, self._on_loop, self._told)
            self._feeds[replica.kind, replica.namespace] = feed
            feed.start()

    def _told(self, replica: Replica, offset: float) -> None:
        self._offsets[replica] = offset
        self.changed(replica)

    def _on_loop(self, work: Callable[[], Any]) -> Any:
        """What `work` gives there. Raises what it raises, and RuntimeError where the loop has ended."""
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:  # noqa: BLE001 - the caller raises it
                done.set_exception(error)

        # No coroutine: on a loop that has ended nobody would await it, and Python would say so on stderr.
        self._loop.call_soon_threadsafe(run)
        while not wait((done,), 1.0).done:
            if self._loop.is_closed():
                raise RuntimeError("the event loop ended before it came to this")
        return done.result()


def is_read(replica: Replica) -> bool:
    """Whether its head was seen."""
    return replica.head is not None


def is_answerable(replica: Replica) -> bool:
    """Whether it was listed, with what discovery says of it, or the API server has refused that."""
    head = replica.head
    return head is not None and bool((head.rv and head.facts) or head.list_error or head.watch_error)


def _nobody(_: Replica) -> None:
    """Nobody waits for news yet."""
