"""What one simulated kubelet answers, and the connections over which it does (asyncio, HTTP/1.1)."""

from __future__ import annotations

import asyncio
import gzip
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from .access import ANONYMOUS, Access
from .kinds import Kind
from .kubelet_cadvisor import cadvisor_form, cadvisor_values
from .kubelet_forms import Form
from .kubelet_nodes import Node, NodeSeen
from .kubelet_resource import resource_form, resource_values
from .kubelet_summary import summary_form, summary_values
from .messages import JSON, PLAIN, Request
from .wire import Refusal

TEXT = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
MAX_HEAD = 64 * 1024  # bytes of request line and headers
FAULTS = ("status", "hang", "slow", "cut", "body")


class Fault(NamedTuple):
    """What is wrong with an endpoint until it is healed.

    kind: `status` answers the code `value`, `hang` never answers, `slow` waits `value` seconds first, `cut` sends
    that share (0..1) of the body it promised and hangs up, `body` answers 200 with `body` instead.
    """

    kind: str
    value: float = 0.0
    body: bytes = b""


class Page(NamedTuple):
    """How a page is made: a form for a shape, and values for each look."""

    form: Callable[[NodeSeen], Form]
    values: Callable[[NodeSeen], List[str]]
    content_type: str
    right: str  # the subresource of nodes that one must be allowed to get


PAGES: Dict[str, Page] = {
    "/metrics/resource": Page(resource_form, resource_values, TEXT, "metrics"),
    "/metrics/cadvisor": Page(cadvisor_form, cadvisor_values, TEXT, "metrics"),
    "/stats/summary": Page(summary_form, summary_values, JSON, "stats"),
}


class Reply(NamedTuple):
    """An answer, `after` seconds. sent: how much of the body goes out before the line is cut, None = all."""

    head: bytes
    body: bytes
    after: float = 0.0
    sent: Optional[int] = None


class Kubelet:
    """One node's kubelet without its socket. Called from one thread at a time."""

    def __init__(self, node: Node, clock: Callable[[], float], access: Optional[Access] = None) -> None:
        self.node, self.clock, self.access = node, clock, access
        self.faults: Dict[str, Fault] = {}  # path -> what is wrong with it
        self.requests: Dict[str, int] = {}  # path -> how often it was asked
        self._forms: Dict[str, Tuple[object, Form]] = {}

    def answer(self, request: Request) -> Optional[Reply]:
        """None: never."""
        path = request.target.partition("?")[0]
        self.requests[path] = self.requests.get(path, 0) + 1
        refused = self._refusal(request, path)
        if refused is not None:
            return _reply(*refused)
        fault = self.faults.get(path, Fault(""))
        if fault.kind == "hang":
            return None
        if fault.kind == "status":
            return _reply(int(fault.value), b"Internal Error: as a test asked for\n")
        page = PAGES.get(path)
        if page is None:
            return _reply(200, b"ok") if path == "/healthz" else _reply(404, b"404 page not found\n")
        body = fault.body if fault.kind == "body" else self.page(path)
        headers: Dict[str, str] = {}
        if page.right == "metrics" and "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"], body = "gzip", gzip.compress(body, 1)
        reply = _reply(200, body, page.content_type, headers)
        if fault.kind == "cut":
            return reply._replace(sent=int(len(body) * fault.value))
        return reply._replace(after=fault.value) if fault.kind == "slow" else reply

    def page(self, path: str) -> bytes:
        """A page as it is now. KeyError where there is none of that path."""
        page, seen = PAGES[path], self.node.look(self.clock())
        shape, form = self._forms.get(path, (None, None))
        if form is None or shape != seen.shape:
            form = page.form(seen)
            self._forms[path] = (seen.shape, form)
        return form.fill(page.values(seen))

    def forget(self) -> None:
        """What its pages always say has changed."""
        self._forms.clear()

    def _refusal(self, request: Request, path: str) -> Optional[Tuple[int, bytes]]:
        """Status and text for who is not known, or may not."""
        if request.method not in ("GET", "HEAD"):
            return 405, b"405: Method Not Allowed"
        if self.access is None or path == "/healthz":
            return None
        page = PAGES.get(path)
        right = page.right if page else "proxy"
        user = ""
        try:
            user = self.access.user(request.headers)
            if user == ANONYMOUS:
                return 401, b"Unauthorized"
            self.access.check(user, "get", Kind("nodes/" + right, "", "v1", "Node"), "", self.node.name)
        except Refusal as refusal:
            if refusal.code == 401:
                return 401, b"Unauthorized"
            text = "Forbidden (user=%s, verb=get, resource=nodes, subresource(s)=[%s])\n" % (user, right)
            return 403, text.encode()
        return None


class Connection(asyncio.Protocol):
    """Requests one after the other, each answered before the next."""

    def __init__(self, answer: Callable[[Request], Optional[Reply]], all_of_them: Set[Connection]) -> None:
        self._answer, self._all = answer, all_of_them
        self._waiting, self._busy = b"", False
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._all.add(self)

    def connection_lost(self, exc: Optional[Exception]) -> None:  # noqa: ARG002
        self._all.discard(self)

    def abort(self) -> None:
        """Hang up at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        self._next()

    def _next(self) -> None:
        while not self._busy and not self._transport.is_closing():
            head, found, rest = self._waiting.partition(b"\r\n\r\n")
            if not found:
                if len(self._waiting) > MAX_HEAD:
                    self.abort()
                return
            self._waiting = rest
            try:
                request = _request(head)
            except ValueError:
                self.abort()
                return
            self._busy = True
            reply = self._answer(request)
            if reply is None:
                return
            if reply.after:
                asyncio.get_event_loop().call_later(reply.after, self._send_late, request, reply)
            else:
                self._send(request, reply)

    def _send(self, request: Request, reply: Reply) -> None:
        body = b"" if request.method == "HEAD" else reply.body
        self._transport.write(reply.head + (body if reply.sent is None else body[: reply.sent]))
        if reply.sent is not None or request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        self._busy = False

    def _send_late(self, request: Request, reply: Reply) -> None:
        self._send(request, reply)
        self._next()


def _request(head: bytes) -> Request:
    """Raises ValueError for what is no HTTP."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers: Dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-length", "0") != "0":
        raise ValueError("a kubelet's pages are asked for without a body")
    return Request(method, target, headers)


def _reply(code: int, body: bytes, content_type: str = PLAIN, headers: Optional[Mapping[str, str]] = None) -> Reply:
    lines = ["HTTP/1.1 %d %s" % (code, HTTPStatus(code).phrase), "Content-Type: " + content_type]
    lines += ["%s: %s" % pair for pair in (headers or {}).items()]
    lines += ["Date: " + formatdate(usegmt=True), "Content-Length: %d" % len(body), "", ""]
    return Reply("\r\n".join(lines).encode("latin-1"), body)
