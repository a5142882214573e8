"""One answer's body, read from its socket without blocking past what the caller allows.

urllib3 and http.client are good at connecting, TLS, proxies and headers. Their ways to read a body
block for as long as bytes trickle, hold a partial chunk back, or cost tens of microseconds an event.
So once the headers are read, krm reads the socket itself; when a body was read whole, the
connection goes back into urllib3's pool.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from typing import Any, List, Optional

from krm.cluster.errors import Unreachable
from krm.cluster.framing import UntilClose, framing_of

# Bytes asked of one recv. Larger ones are mapped and unmapped by malloc at each call.
RECEIVE = 64 * 1024
# Bytes after which read() hands over what it has, though more is waiting.
MOST = 256 * 1024


class Body:
    """The body behind an urllib3 response of `preload_content=False`.

    One thread reads; any thread may close(), which ends a read that waits, at once.
    """

    def __init__(self, response: Any, what: str) -> None:
        self.what = what
        self.ended = False  # nothing more will come
        self.complete = False  # ... and the framing says that nothing is missing
        self._response = response
        self._reading = threading.Lock()
        self._closing = False
        self._released = False
        headers = response.headers
        self._framing = framing_of(headers.get("Transfer-Encoding", ""), headers.get("Content-Length"))
        fp = response._fp.fp  # the BufferedReader of http.client
        self._sock: Any = fp.raw._sock
        self._sock.settimeout(0)  # urllib3 sets its own again before it sends the next request
        self._poller = select.poll()
        self._poller.register(self._sock, select.POLLIN)
        self._early = _buffered(fp)  # what came in one packet with the headers
        self.ended = self.complete = self._framing.ended

    def read(self, timeout: float, most: int = MOST) -> List[bytes]:
        """Pieces of the body: all that is there, up to about `most` bytes.

        Waits up to `timeout` seconds for the first; [] when none came, or when the body has `ended`.
        Raises Unreachable (reset, TLS failure), Malformed (framing).
        """
        with self._reading:
            pieces = self._read(time.monotonic() + timeout, most)
            if self._closing:
                self._release()
        return pieces

    def close(self) -> None:
        """Ends the body, from any thread. The connection goes back to the pool only if it is fit for it."""
        self._closing = True
        if not self._released and not self._reusable():
            try:
                # Of the TCP socket, below TLS: SSLSocket.shutdown() would take the TLS object from
                # under a reader in another thread, which would then get ciphertext.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            except (OSError, TypeError):
                pass  # not connected any more, or TLS within TLS, where the release below must do
        if self._reading.acquire(blocking=False):  # else the reader releases, it sees _closing
            try:
                self._release()
            finally:
                self._reading.release()

    @property
    def until_close(self) -> bool:
        """The headers gave no length: only the close says that the body is over."""
        return isinstance(self._framing, UntilClose)

    @property
    def closing(self) -> bool:
        """close() was called here: an end is no surprise."""
        return self._closing

    def _read(self, deadline: float, most: int) -> List[bytes]:
        pieces: List[bytes] = []
        received = 0
        while received < most and not (self.ended or self._closing):
            data = self._receive()
            if data is None:
                if pieces or not self._wait(deadline):
                    break
                continue
            received += len(data)
            if data:
                pieces += self._framing.feed(data)
                self.complete = self._framing.ended
            self.ended = self.complete or not data
        return pieces

    def _receive(self) -> Optional[bytes]:
        """Bytes of the connection; b"" = the other side closed it; None = none yet."""
        if self._early:
            early, self._early = self._early, b""
            return early
        try:
            received: bytes = self._sock.recv(RECEIVE)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except (OSError, ValueError) as error:
            if self._closing:
                return b""
            raise Unreachable(
                f"{self.what} broke off ({type(error).__name__}): the connection is lost, ask again"
            ) from None
        return received

    def _wait(self, deadline: float) -> bool:
        """True when bytes (or an end) are there to be received."""
        left = deadline - time.monotonic()
        # A TLS record that is received but not handed over would not wake poll(): recv() is always asked first.
        return left > 0 and bool(self._poller.poll(left * 1000))

    def _reusable(self) -> bool:
        return self.complete and not self._framing.excess and not self._early

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        if not self._reusable():
            self._response.close()
            return
        # http.client believes the answer unread; closing its reader (not the socket) frees the connection.
        self._response._fp.close()
        self._response.release_conn()


def _buffered(fp: Any) -> bytes:
    """What http.client's reader took from the socket beyond the headers; the socket does not block."""
    try:
        held: bytes = fp.peek()
    except (BlockingIOError, ssl.SSLError):
        return b""
    return held
