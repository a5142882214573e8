"""A small client of the Kubernetes API for tests: keep-alive, thread-safe, no retries but one."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping, NamedTuple, Optional, Tuple, Union

Json = Dict[str, Any]
Query = Mapping[str, Union[str, int, bool]]

MERGE_PATCH = "application/merge-patch+json"


class Response(NamedTuple):
    """A whole answer; header names are in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes

    def json(self) -> Json:
        parsed: Json = json.loads(self.body)
        return parsed


class ApiError(Exception):
    """The server answered 400 or more; `body` is its Status object, or {} if it sent no JSON object."""

    def __init__(self, method: str, path: str, response: Response) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body: Json = {}
        with contextlib.suppress(ValueError):
            parsed = json.loads(response.body)
            if isinstance(parsed, dict):
                self.body = parsed
        text = self.body.get("message") or response.body[:500].decode("utf-8", "replace")
        super().__init__(f"{method} {path}: {response.status} {text}")


class KubeClient:
    """One identity at one API server. Each thread that uses it has a connection of its own.

    `timeout` is in seconds, for a connection and for each read; an answer that does not come raises
    TimeoutError (socket.timeout before Python 3.10).
    """

    def __init__(
        self,
        url: str,
        ca_file: Optional[Path] = None,
        token: Optional[str] = None,
        client_certificate: Optional[Tuple[Path, Path]] = None,
        timeout: float = 30.0,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self.token = token
        self.timeout = timeout
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        if client_certificate:
            self._context.load_cert_chain(str(client_certificate[0]), str(client_certificate[1]))
        self._local = threading.local()

    def get(self, path: str, query: Optional[Query] = None) -> Json:
        return self._call("GET", path, None, query)

    def create(self, path: str, body: Json, query: Optional[Query] = None) -> Json:
        return self._call("POST", path, body, query)

    def replace(self, path: str, body: Json, query: Optional[Query] = None) -> Json:
        return self._call("PUT", path, body, query)

    def delete(self, path: str, body: Optional[Json] = None, query: Optional[Query] = None) -> Json:
        return self._call("DELETE", path, body, query)

    def patch(self, path: str, body: Any, query: Optional[Query] = None, content_type: str = MERGE_PATCH) -> Json:
        return self._call("PATCH", path, body, query, content_type)

    def request(
        self,
        method: str,
        path: str,
        body: Optional[bytes] = None,
        query: Optional[Query] = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> Response:
        """The raw answer, whatever its status. `headers` replace the client's own."""
        connection, used = self._connection(timeout)
        try:
            return self._exchange(connection, method, target(path, query), body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()
            if not used:
                raise
        except BaseException:
            self.close()  # half an answer may be left on the connection
            raise
        # A kept connection that the server closed meanwhile, as after a restart: once, on a new one.
        connection, _ = self._connection(timeout)
        return self._exchange(connection, method, target(path, query), body, headers)

    def watch(self, path: str, query: Optional[Query] = None, timeout: Optional[float] = None) -> Iterator[Json]:
        """The events of a watch as they come, on a connection of its own; ApiError if it is refused.

        The request is sent before this returns. Ends when the server ends it; close the iterator to
        end it here. `timeout` in seconds is the longest silence.
        """
        connection = self._connect(self.timeout if timeout is None else timeout)
        try:
            connection.request("GET", target(path, {**(query or {}), "watch": "true"}), headers=self._headers())
            answer = connection.getresponse()
            if answer.status >= 400:
                headers = {name.lower(): value for name, value in answer.getheaders()}
                raise ApiError("WATCH", path, Response(answer.status, headers, answer.read()))
        except BaseException:
            connection.close()
            raise
        return _events(connection, answer)

    def close(self) -> None:
        """Close this thread's connection; the next request opens another."""
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def _call(
        self, method: str, path: str, body: Any, query: Optional[Query], content_type: str = "application/json"
    ) -> Json:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        response = self.request(method, path, data, query, {"Content-Type": content_type})
        if response.status >= 400:
            raise ApiError(method, path, response)
        return response.json()

    def _exchange(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: Optional[bytes],
        headers: Optional[Mapping[str, str]],
    ) -> Response:
        connection.request(method, path, body=body, headers=self._headers(headers))
        answer = connection.getresponse()
        content = answer.read()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def _headers(self, more: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
        # The server indents JSON for curl, Wget and browsers, so the agent is named for what it is.
        headers = {"Accept": "application/json", "User-Agent": "krm-tests"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        headers.update(more or {})
        return headers

    def _connection(self, timeout: Optional[float]) -> Tuple[http.client.HTTPSConnection, bool]:
        """This thread's connection, and whether it was used before."""
        seconds = self.timeout if timeout is None else timeout
        kept: Optional[http.client.HTTPSConnection] = getattr(self._local, "connection", None)
        if kept is not None and kept.sock is not None:
            kept.sock.settimeout(seconds)
            return kept, True
        self._local.connection = self._connect(seconds)
        return self._local.connection, False

    def _connect(self, seconds: float) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=seconds, context=self._context)
        connection.connect()
        # http.client sends head and body apart; with Nagle's algorithm the body waits for an ACK.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _events(connection: http.client.HTTPSConnection, answer: http.client.HTTPResponse) -> Iterator[Json]:
    try:
        for line in iter(answer.readline, b""):
            yield json.loads(line)
    finally:
        answer.close()
        connection.close()


def target(path: str, query: Optional[Query]) -> str:
    """`path` with `query`; booleans as Kubernetes writes them."""
    if not query:
        return path
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return f"{path}?{urllib.parse.urlencode(pairs)}"
