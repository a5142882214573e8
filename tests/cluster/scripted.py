"""A server that says exactly the bytes it is told, and kubeconfigs that lead to it."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Union

from krm.cluster.credentials import connect
from krm.cluster.requests import Cluster
from krm.model.kinds import Kind, Resource

PODS = Resource(Kind("pods", ""), "v1", "Pod", True, "pod", ("po",))
EVENTS = Resource(Kind("events", ""), "v1", "Event", True)
DEADLINE = 10.0  # seconds, for whatever a test waits for

HOLD = "hold"  # keep the connection open until the server stops
RESET = "reset"  # RST instead of FIN
# What a script may hold: bytes to send, seconds to pause, HOLD or RESET, a function to wait for.
Step = Union[bytes, float, str, Callable[[], Any]]


class ScriptedServer:
    """Answers the n-th request with the n-th script, the last one for ever. Loopback only."""

    def __init__(self, *scripts: Sequence[Step], close: bool = True, tls: Optional[ssl.SSLContext] = None) -> None:
        """`close`: hang up after each answer; else the connection takes the next request."""
        self.scripts, self.close_after, self.tls = list(scripts), close, tls
        self.requests: List[bytes] = []  # heads and bodies as received
        self.connections = 0
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: List[threading.Thread] = []
        self._open: List[socket.socket] = []
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ScriptedServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)

    def cluster(self, folder: Path, **user: Any) -> Cluster:
        return connect(str(kubeconfig(folder, self.url, **user)), stage="test")

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client may hang up, which is its right
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)  # it took the socket over
            with connection:
                while self._exchange(connection) and not self.close_after:
                    pass

    def _exchange(self, connection: socket.socket) -> bool:
        request = _read_request(connection)
        if not request:
            return False
        with self._lock:
            script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
            self.requests.append(request)
        for step in script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif isinstance(step, float):
                self._stopped.wait(step)
            elif step == HOLD:
                self._stopped.wait(60)
            elif step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            elif callable(step):
                step()
        return True


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return b""
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0].split(b":")[1]) if lengths else 0) - len(body)
    while missing > 0:
        received = connection.recv(65536)
        data, missing = data + received, missing - len(received)
    return data


def head(status: int = 200, keep: bool = False, **headers: str) -> bytes:
    """A status line and headers, `Content_Length=` and the like; `keep`: the connection takes another request."""
    lines = [f"HTTP/1.1 {status} Any", "Content-Type: application/json", *([] if keep else ["Connection: close"])]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
WATCH_HEAD = head(Transfer_Encoding="chunked")


def answer(body: bytes, status: int = 200, keep: bool = False, **headers: str) -> bytes:
    """A whole answer with its length."""
    return head(status, keep, Content_Length=str(len(body)), **headers) + body


def status_body(code: int, reason: str, message: str = "", **details: Any) -> bytes:
    content: Dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message}
    content.update(reason=reason, code=code, details=details)
    return json.dumps(content).encode()


def event(rv: int, size: int = 0, type: str = "MODIFIED") -> bytes:
    """One line of a watch, with its newline."""
    metadata = {"name": f"pod-{rv}", "namespace": "default", "resourceVersion": str(rv), "note": "x" * size}
    text = json.dumps({"type": type, "object": {"kind": "Pod", "metadata": metadata}}, separators=(",", ":"))
    return text.encode() + b"\n"


def kubeconfig(folder: Path, url: str, name: str = "config", cluster: str = "paper", **user: Any) -> Path:
    """A kubeconfig (JSON is YAML) with one context called like its cluster."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": url}}],
        "users": [{"name": f"{cluster}-user", "user": user}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": f"{cluster}-user"}}],
        "current-context": cluster,
    }
    path = folder / name
    path.write_text(json.dumps(content))
    return path


def header(request: bytes, name: str) -> Optional[str]:
    for line in request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.lower() == name.lower():
            return value.strip()
    return None


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The condition's value once it is true; the test fails after DEADLINE."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {DEADLINE} s: {what}")


def flatten(parts: Iterable[Iterable[bytes]]) -> List[bytes]:
    return [one for part in parts for one in part]
