"""Which certificates a cluster knows: its CAs, and the headers of its proxy, as its API server publishes them.

Read at the start, on each change and at least each minute, by a thread. What was read last counts while the
API server is away (nothing is shown without its reviews anyway); what it no longer publishes, or no longer
lets krm read, counts no more.
"""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import json
import logging
import threading
import time
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from cryptography.x509 import Certificate
from krm.cluster import authentication
from krm.cluster.discovery import cluster_uid
from krm.cluster.errors import ClusterError, Forbidden, NotFound
from krm.cluster.requests import Cluster
from krm.server import peers
from krm.server.credentials import ProxyHeaders
from krm.server.peers import Cas, Peer
from krm.server.statuses import unavailable

# Seconds that a watch for changes lasts: a read follows each.
READ_EVERY = 50
AGAIN_AFTER = 5.0  # seconds after a failure
# Seconds for which a certificate's verdict is kept: one check of a signature takes 0.1 to 0.3 ms.
KEPT_FOR = 5.0
MOST = 1_000  # verdicts
CHANGE_WITHIN = 0.2  # seconds between two reads at most, however often it changes

log = logging.getLogger("krm.server")


class Trusted(NamedTuple):
    """What the ConfigMap says."""

    cas: Cas = Cas()
    headers: ProxyHeaders = ProxyHeaders()
    pem: str = ""  # all CAs, for the TLS handshake


def parse(data: Mapping[str, str]) -> Trusted:
    """Of the ConfigMap's data. A part that is no certificate or no list of names counts as absent: it lets
    nobody in. Names without a list would let every name in, so then there is no proxy at all."""
    pem: List[str] = []
    clients = _bundle(data, "client-ca-file", pem)
    proxies = _bundle(data, "requestheader-client-ca-file", pem)
    names = _texts(data, "requestheader-allowed-names")
    users = _texts(data, "requestheader-username-headers")
    if names is None or not users:
        proxies, names = (), ()
    headers = ProxyHeaders(
        _lower(users),
        _lower(_texts(data, "requestheader-uid-headers")),
        _lower(_texts(data, "requestheader-group-headers")),
        _lower(_texts(data, "requestheader-extra-headers-prefix")),
    )
    return Trusted(Cas(clients, proxies, names), headers, "\n".join(pem))


class Authorities:
    """One cluster's, kept as they are published. `peer` and `headers` belong to the event loop."""

    def __init__(
        self, name: str, cluster: Cluster, changed: Callable[[str], None], loop: asyncio.AbstractEventLoop
    ) -> None:
        """`changed` is told all CAs as PEM, on the loop."""
        self._name, self._cluster, self._changed, self._loop = name, cluster, changed, loop
        self.uid: Optional[str] = None  # of the cluster that is asked; None = not read yet, '' = it may not be
        self._trusted: Optional[Trusted] = None  # None = not known yet
        self._verdicts: Dict[bytes, Tuple[float, Peer]] = {}  # the oldest first
        self._stopped = threading.Event()
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=f"krm authorities {name}", daemon=True)

    def start(self) -> None:
        """The thread begins."""
        self._thread.start()

    def stop(self) -> None:
        """It ends within a second."""
        self._stopped.set()

    @property
    def headers(self) -> ProxyHeaders:
        """Which name the user, on a proxy's connection."""
        return self._trusted.headers if self._trusted else ProxyHeaders()

    def peer(self, der: bytes) -> Peer:
        """Whose certificate it is. Raises ApiError 503 where the CAs are not known yet."""
        if self._trusted is None:
            raise unavailable("krm has not yet read which client certificates this cluster knows: try again")
        key, now = hashlib.sha256(der).digest(), time.monotonic()
        kept = self._verdicts.get(key)
        if kept is not None and kept[0] > now:
            return kept[1]
        found = peers.peer(der, self._trusted.cas, datetime.datetime.now(datetime.timezone.utc))
        self._verdicts.pop(key, None)
        while len(self._verdicts) >= MOST:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[key] = (now + KEPT_FOR, found)
        return found

    def take(self, trusted: Trusted) -> None:
        """What is published now. On the loop."""
        if trusted == self._trusted:
            return
        self._trusted = trusted
        self._verdicts.clear()
        self._changed(trusted.pem)

    def _run(self) -> None:
        while not self._stopped.is_set():
            version = self._read()
            if version:
                self._wait(version)
            else:
                self._stopped.wait(AGAIN_AFTER)

    def _read(self) -> str:
        """The ConfigMap's version; '' where it could not be read."""
        try:
            self.uid = cluster_uid(self._cluster) or self.uid or ""
            published = authentication.read(self._cluster)
        except (Forbidden, NotFound) as error:
            self._tell(Trusted())
            self._say(f"no client certificate counts: {error}")
            return ""
        except ClusterError as error:
            self._say(f"the CAs of client certificates could not be read: {error}")
            return ""
        self._tell(parse(published.data))
        self._say("")
        return published.rv

    def _wait(self, version: str) -> None:
        try:
            authentication.wait_for_change(self._cluster, version, READ_EVERY, self._stopped.is_set)
        except ClusterError as error:  # without the right to watch it is read each AGAIN_AFTER instead
            log.debug("cluster %s: %s", self._name, error)
            self._stopped.wait(AGAIN_AFTER)
        self._stopped.wait(CHANGE_WITHIN)

    def _tell(self, trusted: Trusted) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.take, trusted)

    def _say(self, sentence: str) -> None:
        if sentence and sentence != self._said:
            log.warning("cluster %s: %s", self._name, sentence)
        self._said = sentence


def _bundle(data: Mapping[str, str], key: str, pem: List[str]) -> Tuple[Certificate, ...]:
    text = data.get(key, "")
    try:
        found = peers.bundle(text)
    except ValueError:
        log.warning("%s of %s holds no certificates: none of its clients is known", key, authentication.NAME)
        return ()
    if found:
        pem.append(text)
    return found


def _texts(data: Mapping[str, str], key: str) -> Optional[Tuple[str, ...]]:
    """A JSON list of texts; None where it is none."""
    try:
        found = json.loads(data.get(key, "null"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        return None
    return tuple(found)


def _lower(found: Optional[Tuple[str, ...]]) -> Tuple[str, ...]:
    return tuple(one.strip().lower() for one in found or () if one.strip())
