"""The door to what is no API server: kubelets, node agents, pods' /metrics. GET alone, bounded in time and bytes.

Redirects are never followed. A token goes only to a target whose certificate was verified, unless the caller
says otherwise in so many words; to pods nobody brings one: `Endpoints(Trust())` has no identity to give away.
Connections stay open between two looks at a target and are closed when nobody looks any more.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
import zlib
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple, Type
from urllib.parse import urlsplit

from krm.cluster.connection import Connection, Lost, Reply, open_connection
from krm.cluster.errors import (
    BadRequest,
    ClusterError,
    Forbidden,
    Malformed,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from krm.cluster.requests import CONNECT_TIMEOUT, TLS, Cluster
from krm.model.release import VERSION

TIMEOUT = 8.0  # seconds for a whole answer: within a turn of ten
MOST = 16 * 1024 * 1024  # bytes of an answer, inflated: /metrics/cadvisor of 250 pods has about 12 MiB
IDLE = 120.0  # seconds after which a connection that nobody used is closed
MAX_KEPT = 4  # idle connections a target; more come of looks that overlap
RECHECK = 30.0  # seconds between two looks whether a certificate file was replaced
TEXT = "text/plain;version=0.0.4;q=1,*/*;q=0.1"

_SAFE_PATH = re.compile(r"/[!$&'()*+,;=:@%A-Za-z0-9._~/?-]*")
_ERRORS: Dict[int, Tuple[Type[ClusterError], str]] = {
    401: (Unauthorized, "it does not know who krm is; a kubelet needs webhook authentication or krm's client CA"),
    403: (
        Forbidden,
        "krm's account lacks the right; a kubelet wants get on nodes/metrics, nodes/stats, nodes/configz",
    ),
    404: (NotFound, "it does not serve that path"),
}

Key = Tuple[str, str, int, str]  # scheme, host, port, server name


class Trust(NamedTuple):
    """Whom to believe, and how far."""

    ca_file: str = ""  # PEM; '' = the machine's own store
    verify: bool = True
    token_unverified: bool = False  # send the token over connections whose other end was not verified


class Identity(NamedTuple):
    """Who krm is to the targets."""

    # The Authorization header as it is now; it is given the one that was answered 401, '' = none was.
    authorization: Callable[[str], str]
    tls: TLS = TLS()


class Endpoints:
    """Many targets of one sort. Threads may share it."""

    def __init__(self, trust: Trust, identity: Optional[Identity] = None, stage: str = "collector") -> None:
        self._trust, self._identity = trust, identity
        self._agent = f"krm/{VERSION} ({stage})"
        self._lock = threading.Lock()
        self._idle: Dict[Key, List[Tuple[float, Connection]]] = {}
        self._swept = time.monotonic()
        self._tls: Optional[ssl.SSLContext] = None
        self._stamp: Tuple[object, ...] = ()
        self._checked = 0.0

    def get(
        self,
        url: str,
        server_name: str = "",
        timeout: float = TIMEOUT,
        most: int = MOST,
        accept: str = TEXT,
        gzip: bool = False,
    ) -> bytes:
        """The body of a 200, whole and plain, at most `most` bytes, within `timeout` seconds.

        `server_name`: whom the certificate must name, '' = the host of the URL. `gzip`: let it be compressed
        on its way (large pages over a slow network). Raises ClusterError; ValueError for an unsafe URL.
        """
        return self.page(url, server_name, timeout, most, accept, gzip)[0]

    def page(
        self,
        url: str,
        server_name: str = "",
        timeout: float = TIMEOUT,
        most: int = MOST,
        accept: str = TEXT,
        gzip: bool = False,
    ) -> Tuple[bytes, str]:
        """The same, and its Content-Type, '' = none is told."""
        deadline = time.monotonic() + timeout
        key, path, what = _split(url, server_name)
        authorization = self._authorization(key, "")
        reply = self._ask(key, path, what, deadline, most, self._headers(accept, gzip, authorization))
        if reply.status == 401 and authorization:
            renewed = self._authorization(key, authorization)
            if renewed != authorization:
                reply = self._ask(key, path, what, deadline, most, self._headers(accept, gzip, renewed))
        return _interpreted(reply, what, most), reply.headers.get("content-type", "")

    def close(self) -> None:
        """Closes what is idle."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for kept in idle.values():
            for _, connection in kept:
                connection.close()

    def _authorization(self, key: Key, refused: str) -> str:
        verified = key[0] == "https" and self._trust.verify
        if self._identity is None or not (verified or self._trust.token_unverified):
            return ""
        header = self._identity.authorization(refused)
        if not header.isprintable() or not header.isascii():
            raise Unauthorized("a token holds characters that no header may hold: check the token file")
        return header

    def _headers(self, accept: str, gzip: bool, authorization: str) -> str:
        lines = f"User-Agent: {self._agent}\r\nAccept: {accept}\r\n"
        lines += f"Accept-Encoding: {'gzip' if gzip else 'identity'}\r\n"
        return lines + (f"Authorization: {authorization}\r\n" if authorization else "")

    def _ask(self, key: Key, path: str, what: str, deadline: float, most: int, headers: str) -> Reply:
        host = f"[{key[1]}]" if ":" in key[1] else key[1]
        request = f"GET {path} HTTP/1.1\r\nHost: {host}:{key[2]}\r\n{headers}\r\n".encode("ascii")
        tls = self._context() if key[0] == "https" else None
        connection = self._taken(key)
        if connection is not None:
            try:
                return self._exchanged(key, connection, request, what, deadline, most)
            except Lost:
                pass  # closed while it was idle: that says nothing of the target
        soon = min(deadline, time.monotonic() + CONNECT_TIMEOUT)
        connection = open_connection(key[1], key[2], tls, key[3], what, soon)
        return self._exchanged(key, connection, request, what, deadline, most)

    def _exchanged(
        self, key: Key, connection: Connection, request: bytes, what: str, deadline: float, most: int
    ) -> Reply:
        try:
            return connection.exchange(request, what, deadline, most)
        except Malformed as error:
            # What cannot be framed is told by krm.cluster.framing, which knows no names.
            raise error if what in str(error) else Malformed(f"{what}: {error}") from None
        finally:
            self._put(key, connection)

    def _taken(self, key: Key) -> Optional[Connection]:
        with self._lock:
            kept = self._idle.get(key, [])
            while kept:
                _, connection = kept.pop()
                if not connection.stale:
                    return connection
                connection.close()
        return None

    def _put(self, key: Key, connection: Connection) -> None:
        now = time.monotonic()
        surplus = [] if connection.fit else [connection]
        with self._lock:
            if connection.fit:
                kept = self._idle.setdefault(key, [])
                kept.append((now, connection))
                surplus += [kept.pop(0)[1]] if len(kept) > MAX_KEPT else []
            if now - self._swept > IDLE / 4:
                self._swept = now
                surplus += self._forgotten(now)
        for one in surplus:
            one.close()

    def _forgotten(self, now: float) -> List[Connection]:
        gone: List[Connection] = []
        for key, kept in list(self._idle.items()):
            gone += [connection for since, connection in kept if now - since > IDLE]
            kept[:] = [pair for pair in kept if now - pair[0] <= IDLE]
            if not kept:
                del self._idle[key]
        return gone

    def _context(self) -> ssl.SSLContext:
        """Made anew when a file of it was replaced; connections that are open then are closed."""
        now = time.monotonic()
        with self._lock:
            if self._tls is not None and now - self._checked < RECHECK:
                return self._tls
            self._checked = now
            mine = self._identity.tls if self._identity is not None else TLS()
            stamp = tuple(map(_stamp, (self._trust.ca_file, mine.cert_file, mine.key_file)))
            if self._tls is not None and stamp == self._stamp:
                return self._tls
            made = _context_of(self._trust, mine)
            fresh = self._tls is None
            self._tls, self._stamp = made, stamp
        if not fresh:
            self.close()
        return made


def kubelets(cluster: Cluster, ca_file: str = "", verify: bool = True, token_unverified: bool = False) -> Endpoints:
    """To the kubelets of `cluster`, as whom krm is to its API server.

    `ca_file`: who signs the kubelets' serving certificates, '' = the cluster's own CA.
    """
    trust = Trust(ca_file or cluster.tls.ca_file, verify, token_unverified)
    return Endpoints(trust, Identity(cluster.authorization, cluster.tls))


def _split(url: str, server_name: str) -> Tuple[Key, str, str]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not port or not parts.hostname or parts.username or not _SAFE_PATH.fullmatch(path):
        raise ValueError("a target's URL must be http:// or https://, with a host and a path of plain characters")
    shown = f"GET {parts.scheme}://{parts.netloc}{parts.path or '/'}"
    return (parts.scheme, parts.hostname, port, server_name or parts.hostname), path, shown


def _stamp(path: str) -> Optional[Tuple[int, int]]:
    try:
        found = os.stat(path) if path else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None


def _context_of(trust: Trust, mine: TLS) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=trust.ca_file or None)
        if not trust.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if mine.cert_file:
            context.load_cert_chain(mine.cert_file, mine.key_file or None)
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"the certificates for kubelets could not be read ({type(error).__name__}): check the CA file and "
            "the kubeconfig's client certificate"
        ) from None
    return context


def _interpreted(reply: Reply, what: str, most: int) -> bytes:
    if 300 <= reply.status < 400:
        raise Malformed(f"{what} was answered with a redirect, which krm does not follow: give the place itself")
    if reply.status != 200:
        raise _failure(reply, what)
    encoding = reply.headers.get("content-encoding", "").lower()
    if reply.body is None:
        raise Malformed(f"{what} was answered with more than {most} bytes: it was not read")
    if encoding == "gzip":
        return _inflated(reply.body, what, most)
    if encoding not in ("", "identity"):
        raise Malformed(f"{what} was answered in an encoding krm did not ask for: check what stands before it")
    return reply.body


def _failure(reply: Reply, what: str) -> ClusterError:
    """Of the body nothing is said: a pod writes there what it likes."""
    sentence = f"{what} was answered {reply.status}"
    if reply.status in _ERRORS:
        cls, advice = _ERRORS[reply.status]
        return cls(f"{sentence}: {advice}")
    wait = reply.headers.get("retry-after", "")
    seconds = float(wait) if wait.isdigit() and len(wait) < 4 else None
    if reply.status == 429:
        return TooManyRequests(f"{sentence}: it is asked too often", seconds)
    if reply.status >= 500:
        return ServerError(
            f"{sentence}: it could not read its own numbers, which are unknown then; its log says why", seconds
        )
    return (BadRequest if reply.status >= 400 else Malformed)(f"{sentence}: that is no page of numbers")


def _inflated(raw: bytes, what: str, most: int) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(raw, most + 1)
    except zlib.error:
        raise Malformed(f"{what} was answered with bytes that are no gzip: check what stands before it") from None
    if len(plain) > most:
        raise Malformed(f"{what} was answered with more than {most} bytes: it was not read")
    if not unzip.eof:
        raise Malformed(f"{what} was answered with gzip that is cut off: ask again")
    return plain
