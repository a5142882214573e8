"""A port: its socket, uvicorn upon it, and a peer's certificate in each request's scope."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import ssl
from typing import Any, Coroutine, Iterator, List, Optional

import uvicorn
from krm.server.guarded import CONNECTIONS, HEAD_WITHIN, IDLE, Guarded
from krm.server.limits import MAX_HEADER

LOOPBACK = ("127.0.0.1", "::1", "localhost")
# Seconds that what is under way is given at a stop: with the pause before it the whole takes below five.
DRAIN = 2
BACKLOG = 1024  # connections that the kernel holds until they are taken
# Bytes that the kernel takes of a connection before they go out. What is on its way is not bounded by it, so it
# costs no throughput; a reader who never reads would fill some 2 MB else.
UNSENT = 64 * 1024
OTHER_FILES = 200  # that are no connections: one to Redis a kind, the API server, files of TLS, logs


class CannotListen(OSError):
    """The text says where, and why."""


class WithPeer(Guarded):
    """HTTP/1.1 as uvicorn speaks it. `scope["state"]["peer_certificate"]` is the DER of a certificate that
    TLS has verified against the CAs of this moment; absent where there is none. `abort` beside it ends the
    connection at once."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.app_state = {**self.app_state, "abort": transport.abort}
        tls: Optional[ssl.SSLObject] = transport.get_extra_info("ssl_object")
        # OpenSSL resumes sessions of TLS 1.2 without looking at the certificate again, whose CA may be gone.
        if tls is None or tls.session_reused:
            return
        certificate = tls.getpeercert(binary_form=True)
        if certificate:
            self.app_state = {**self.app_state, "peer_certificate": certificate}


class _Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn's own would end the process before its watches, and by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        """As uvicorn's, but that a TLS handshake is given as long as a request's head."""
        await self.lifespan.startup()
        loop, config = asyncio.get_running_loop(), self.config
        limit = HEAD_WITHIN if config.ssl else None

        protocol: Any = config.http_protocol_class

        def connection() -> Any:
            return protocol(config=config, server_state=self.server_state, app_state=self.lifespan.state)

        self.servers = [
            await loop.create_server(
                connection, sock=one, ssl=config.ssl, backlog=BACKLOG, ssl_handshake_timeout=limit
            )
            for one in sockets or []
        ]
        self.started = True


class Port:
    """One address that answers."""

    def __init__(self, app: Any, address: str, port: int, context: Optional[ssl.SSLContext] = None) -> None:
        """`port` 0: a free one. `context`: None = plain HTTP. Raises CannotListen."""
        self._socket = _bound(address, port)
        self.number: int = self._socket.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://{_host(address)}:{self.number}"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", interface="asgi3", http=WithPeer, ws="none",
            proxy_headers=False, server_header=False, timeout_graceful_shutdown=DRAIN,
            h11_max_incomplete_event_size=MAX_HEADER, timeout_keep_alive=IDLE,
        )  # fmt: skip
        config.load()
        config.ssl = context
        self._server = _Server(config)

    async def serve(self) -> None:
        """Until `stop`, and then until what was under way is done, or `DRAIN` seconds."""
        await self._server.serve([self._socket])

    def stop(self) -> None:
        """No new connection is taken; those that are open end with their answer."""
        self._server.should_exit = True


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    return address in LOOPBACK


def run(work: Coroutine[Any, Any, int]) -> int:
    """On uvloop's loop where that is installed, else on asyncio's."""
    Guarded.most = min(CONNECTIONS, _open_files() - OTHER_FILES)
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(work)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        asyncio.set_event_loop(None)
        loop.close()


def _open_files() -> int:
    """How many files this process may hold open: as many as it is allowed to allow itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else soft


def _bound(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        made = socket.create_server((address, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise CannotListen(f"cannot listen on {_host(address)}:{port}: {why}") from None
    made.setblocking(False)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # each connection inherits it
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return made


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
