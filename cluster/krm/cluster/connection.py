"""One HTTP/1.1 connection to somebody who is not trusted to be quick: every wait ends at one deadline.

urllib3's timeouts begin anew with each byte, so a server that sends its headers one a second holds a thread
for minutes. A node or a pod may do that to whoever measures it, by fault or on purpose; here connecting, the
handshake, the headers and the body share one deadline, and all of them are capped.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Dict, NamedTuple, Optional, Tuple

from krm.cluster.errors import Malformed, Unreachable
from krm.cluster.framing import Counted, UntilClose, framing_of

RECEIVE = 64 * 1024  # bytes asked of one recv
MAX_HEAD = 64 * 1024  # bytes of a status line and headers; kubelets send under 1 KiB
HEAD_END = b"\r\n\r\n"
MAX_HEADERS = 100  # as http.client
MAX_INTERIM = 8  # 1xx answers before the one that counts


class Reply(NamedTuple):
    """What came. Header names are lower case."""

    status: int
    headers: Dict[str, str]
    body: Optional[bytes]  # None = more than was allowed


class _Head(NamedTuple):
    status: int
    headers: Dict[str, str]
    early: bytes  # of the body, what came with the headers


class Lost(Unreachable):
    """The connection ended before the first byte of an answer: one that was idle may have been closed by then."""


class Connection:
    """Not for two threads at once."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fit = False  # another request may follow

    @property
    def stale(self) -> bool:
        """Something came unasked: most likely the other side's goodbye."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        return bool(poller.poll(0))

    def close(self) -> None:
        self.fit = False
        self._sock.close()

    def exchange(self, request: bytes, what: str, deadline: float, most: int) -> Reply:
        """One request and its whole answer by `deadline` (monotonic), at most `most` bytes of body as sent.

        Raises Unreachable (Lost among it) and Malformed.
        """
        self.fit = False
        try:
            self._sock.settimeout(_left(deadline, what))
            self._sock.sendall(request)
        except socket.timeout:
            raise _late(what) from None
        except OSError as error:
            raise Lost(_broken(what, error)) from None
        status, headers, early = self._head(what, deadline)
        framing = framing_of(headers.get("transfer-encoding", ""), headers.get("content-length"))
        if status in (204, 304):
            framing = framing_of("", "0")
        if isinstance(framing, Counted) and int(headers["content-length"]) > most:
            return Reply(status, headers, None)
        body = bytearray().join(framing.feed(early)) if early else bytearray()
        while not framing.ended and len(body) <= most:
            data = self._receive(what, deadline)
            if not data:
                if not isinstance(framing, UntilClose):
                    raise Unreachable(f"{what} broke off within the answer: ask again")
                break
            for piece in framing.feed(data):
                body += piece
        if len(body) > most:
            return Reply(status, headers, None)
        closing = "close" in headers.get("connection", "").lower()
        self.fit = framing.ended and not framing.excess and not closing
        return Reply(status, headers, bytes(body))

    def _head(self, what: str, deadline: float) -> _Head:
        data = b""
        for _ in range(MAX_INTERIM):
            at = data.find(HEAD_END)
            while at < 0:
                if len(data) > MAX_HEAD:
                    raise Malformed(
                        f"{what} was answered with headers over {MAX_HEAD} bytes: this is no HTTP answer"
                    )
                fresh = self._receive(what, deadline, first=not data)
                if not fresh:
                    raise Unreachable(f"{what} broke off within the headers: ask again")
                data += fresh
                at = data.find(HEAD_END, max(0, len(data) - len(fresh) - len(HEAD_END)))
            status, headers = _parse(data[:at], what)
            data = data[at + len(HEAD_END) :]
            if status >= 200:
                return _Head(status, headers, data)
        raise Malformed(f"{what} was answered with nothing but interim answers: this is no HTTP answer")

    def _receive(self, what: str, deadline: float, first: bool = False) -> bytes:
        """Bytes of the connection; b"" = the other side closed it. `first`: nothing of an answer came yet."""
        try:
            self._sock.settimeout(_left(deadline, what))
            data = self._sock.recv(RECEIVE)
        except socket.timeout:
            raise _late(what) from None
        except OSError as error:
            raise (Lost if first else Unreachable)(_broken(what, error)) from None
        if first and not data:
            raise Lost(f"{what} got no answer: the connection was closed, ask again")
        return data


def open_connection(
    host: str, port: int, tls: Optional[ssl.SSLContext], server_name: str, what: str, deadline: float
) -> Connection:
    """Connected, and greeted where `tls` is given; `server_name`: whom the certificate must name.

    A name is looked up without a deadline (the resolver has its own). Raises Unreachable.
    """
    sock: Optional[socket.socket] = None
    try:
        sock = _dialled(host, port, what, deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock.settimeout(_left(deadline, what))
            sock = tls.wrap_socket(sock, server_hostname=server_name)
    except ssl.SSLCertVerificationError as error:
        _shut(sock)
        raise Unreachable(
            f"{what} was not sent, the certificate of {server_name} is not believed ({error.verify_message}): "
            "give the CA that signs it, and the name that is in it"
        ) from None
    except socket.timeout:
        _shut(sock)
        raise _late(what) from None
    except OSError as error:  # ssl.SSLError is one
        _shut(sock)
        raise Unreachable(
            f"{what} got no connection ({type(error).__name__}): check address, port and what is between"
        ) from None
    except BaseException:
        _shut(sock)
        raise
    return Connection(sock)


def _dialled(host: str, port: int, what: str, deadline: float) -> socket.socket:
    refused: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(_left(deadline, what))
            sock.connect(address)
        except OSError as error:
            sock.close()
            refused = error
            continue
        return sock
    raise refused


def _shut(sock: Optional[socket.socket]) -> None:
    if sock is not None:
        sock.close()


def _left(deadline: float, what: str) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise _late(what)
    return left


def _late(what: str) -> Unreachable:
    return Unreachable(f"{what} was not answered whole in time: it is overloaded, far away or not there")


def _broken(what: str, error: OSError) -> str:
    return f"{what} broke off ({type(error).__name__}): the connection is lost, ask again"


def _parse(head: bytes, what: str) -> Tuple[int, Dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    sound = len(parts) >= 2 and parts[0] in ("HTTP/1.1", "HTTP/1.0") and len(parts[1]) == 3 and parts[1].isdigit()
    if not sound or len(lines) > MAX_HEADERS:
        raise Malformed(f"{what} was answered with something that is no HTTP: check the address and the port")
    headers: Dict[str, str] = {}
    if parts[0] == "HTTP/1.0":
        headers["connection"] = "close"
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        if not colon or not name or name != name.strip():
            raise Malformed(f"{what} was answered with a header that is none: check the address and the port")
        if name in ("content-length", "transfer-encoding") and headers.get(name, value) != value:
            raise Malformed(f"{what} was answered with two lengths: check what stands before it")
        headers[name] = value
    return int(parts[1]), headers
