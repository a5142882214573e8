"""One request to an API server: built, sent, interpreted. Raw bytes out, typed errors else.

Redirects are never followed (a token must not reach another host), nothing is sent again but once
after a 401 with credentials made anew, and every answer has a deadline and a size cap.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional
from urllib.parse import urlencode

from krm.cluster.body import Body
from krm.cluster.errors import ClusterError, Malformed, Unauthorized, Unreachable, from_status
from krm.model.release import VERSION

JSON = "application/json"
# Of a list: identity of its objects alone, about 1 KB each.
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
CONNECT_TIMEOUT = 5.0  # seconds
# Seconds for a whole answer: the API server's own limit on a request that is no watch is 60 s.
ANSWER_TIMEOUT = 65.0
# Bytes. An unpaged list of 100,000 objects' metadata is about 100 MB.
MAX_ANSWER = 256 * 1024 * 1024
MAX_ERROR_BODY = 64 * 1024  # bytes
# Seconds between two credentials made anew because of a 401, so that a wrong token is no exec storm.
RENEW_INTERVAL = 10.0

_SAFE_PATH = re.compile(r"(/[A-Za-z0-9_:~-][A-Za-z0-9._:~-]*)+")


class Request(NamedTuple):
    """All that goes out but the credentials."""

    method: str
    url: str
    headers: Dict[str, str]
    body: Optional[bytes]
    what: str  # verb and path, for errors


class Answer(NamedTuple):
    """A success."""

    body: bytes
    date: str  # the Date header, '' = none


class TLS(NamedTuple):
    """Paths of PEM files; '' = none."""

    ca_file: str = ""  # whom to believe; none: the machine's own store
    cert_file: str = ""  # who krm is
    key_file: str = ""


class Cluster:
    """One API server and who krm is to it. Threads may share it."""

    def __init__(self, name: str, server: str, make_client: Callable[[], Any], stage: str = "cluster") -> None:
        """`make_client` makes an ApiClient of the kubernetes package with fresh credentials.

        `stage` names the caller in the API server's audit log.
        """
        self.name = name
        self.server = server.rstrip("/")
        self.user_agent = f"krm/{VERSION} ({stage})"
        self._make_client = make_client
        self._client = make_client()
        self._lock = threading.Lock()
        self._renewed_at = time.monotonic()

    def get(
        self,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        accept: str = JSON,
        timeout: float = ANSWER_TIMEOUT,
    ) -> bytes:
        """The whole body, at most MAX_ANSWER bytes, within `timeout` seconds. Raises ClusterError."""
        return self.exchange("GET", path, query, accept, timeout).body

    def post(self, path: str, body: bytes, timeout: float = ANSWER_TIMEOUT) -> bytes:
        """Sends a JSON body (reviews; krm changes nothing in a cluster). Raises ClusterError."""
        return self.exchange("POST", path, None, JSON, timeout, body).body

    def exchange(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]],
        accept: str,
        timeout: float,
        body: Optional[bytes] = None,
    ) -> Answer:
        """`get` and `post` with the headers that matter. Raises ClusterError."""
        deadline = time.monotonic() + timeout
        request = build(self.server, self.user_agent, method, path, query, accept, body)
        response = self._send(request, timeout)
        return interpret(response, request.what, deadline)

    def stream(self, path: str, query: Mapping[str, str], timeout: float = 30.0) -> Body:
        """The body of an answer that goes on, once the API server said 200 within `timeout` seconds."""
        request = build(self.server, self.user_agent, "WATCH", path, query, JSON, None)
        response = self._send(request, timeout)
        encoding = response.headers.get("Content-Encoding", "")
        if response.status == 200 and encoding.strip().lower() not in ("", "identity"):
            response.close()
            raise Malformed(
                f"{request.what} was compressed though krm refused that, and a compressed stream is cut into "
                "members that lose events: switch compression off in the proxy before the API server"
            )
        if response.status != 200:
            raise _failure(response, request.what, time.monotonic() + CONNECT_TIMEOUT)
        return Body(response, request.what)

    def authorization(self, refused: str = "") -> str:
        """The Authorization header as it would be sent now; '' = this user has none.

        `refused`: one that was answered 401; where it is still this one, credentials are made anew when due.
        Raises Unauthorized.
        """
        request = Request("GET", self.server, {}, None, f"a request with the credentials of {self.name}")
        client = self._client
        header = _authorization(self._authorise(client, request))
        if refused and header == refused:
            header = _authorization(self._authorise(self._renew(client), request))
        return header

    @property
    def tls(self) -> TLS:
        """The files of the kubeconfig or the service account; '' = none."""
        settings = self._client.configuration
        return TLS(settings.ssl_ca_cert or "", settings.cert_file or "", settings.key_file or "")

    def _send(self, request: Request, timeout: float) -> Any:
        client = self._client
        response = send(client, self._authorise(client, request), timeout)
        if response.status == 401:
            renewed = self._renew(client)
            if renewed is not client:
                response.close()
                response = send(renewed, self._authorise(renewed, request), timeout)
        return response

    def _authorise(self, client: Any, request: Request) -> Request:
        """The request with credentials as they are now: tokens rotate, exec plugins expire."""
        headers = dict(request.headers)
        settings = ["BearerToken"]
        with self._lock:  # a refresh rewrites the package's configuration
            try:
                try:
                    client.update_params_for_auth(headers, [], settings)
                except TypeError:  # kubernetes 36 and later wants path, method and body as well
                    client.update_params_for_auth(headers, [], settings, None, None, None)
            except ClusterError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a plugin or a file raises; its text may hold a token
                raise Unauthorized(
                    f"{request.what} was not sent, its credentials could not be read ({type(error).__name__}): "
                    "check the token file or the exec plugin of the kubeconfig"
                ) from None
        # Token files end with a newline as often as not, which no header may hold.
        return request._replace(headers={name: value.strip() for name, value in headers.items()})

    def _renew(self, refused: Any) -> Any:
        """Credentials from their source again (a token file, a plugin), at most each RENEW_INTERVAL."""
        with self._lock:
            if self._client is not refused:
                return self._client
            now = time.monotonic()
            if now - self._renewed_at >= RENEW_INTERVAL:
                self._renewed_at = now
                self._client = self._make_client()
            return self._client


def _authorization(request: Request) -> str:
    return next((value for name, value in request.headers.items() if name.lower() == "authorization"), "")


def build(
    server: str,
    user_agent: str,
    method: str,
    path: str,
    query: Optional[Mapping[str, str]],
    accept: str,
    body: Optional[bytes],
) -> Request:
    """The request. `method` WATCH is a GET that errors call by its name. Raises ValueError for an unsafe path."""
    if not _SAFE_PATH.fullmatch(path):
        raise ValueError(f"{path!r} is no path of an API server")
    # No gzip: on a page of 500 pods (4 MB) it saved krm 3 ms of 16 ms CPU on TLS and took 5 ms longer in all,
    # the API server's own CPU being what it costs; on a watch it may cut the stream into members.
    headers = {"Accept": accept, "Accept-Encoding": "identity", "User-Agent": user_agent}
    if body is not None:
        headers["Content-Type"] = JSON
    url = f"{server}{path}" + (f"?{urlencode(query)}" if query else "")
    return Request("GET" if method == "WATCH" else method, url, headers, body, f"{method} {path}")


def send(client: Any, request: Request, timeout: float) -> Any:
    """urllib3's response with its headers read and its body not. Raises Unreachable."""
    import urllib3

    try:
        return client.rest_client.pool_manager.request(
            request.method,
            request.url,
            headers=request.headers,
            body=request.body,
            preload_content=False,
            redirect=False,
            retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
        )
    except urllib3.exceptions.HTTPError as error:
        raise Unreachable(f"{request.what} got no answer ({_cause(error)}): {_remedy(error)}") from None
    except (OSError, ValueError) as error:  # a certificate file that vanished, a URL without a host
        raise Unreachable(
            f"{request.what} was not sent ({type(error).__name__}): check server and certificates in the kubeconfig"
        ) from None


def interpret(response: Any, what: str, deadline: float) -> Answer:
    """The whole answer. Raises ClusterError; the status is looked at before the body."""
    if not 200 <= response.status < 300:
        raise _failure(response, what, deadline)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    body = Body(response, what)
    try:
        raw = _read_all(body, deadline, MAX_ANSWER)
    finally:
        body.close()
    if raw is None:
        raise Malformed(f"{what} was answered with more than {MAX_ANSWER} bytes: keep this kind with --namespaces")
    if encoding == "gzip":  # a proxy did it unasked
        raw = _gunzip(raw, what)
    elif encoding not in ("", "identity"):
        raise Malformed(
            f"{what} was answered in an encoding krm did not ask for: check the proxy before the server"
        )
    return Answer(raw, response.headers.get("Date", ""))


def _failure(response: Any, what: str, deadline: float) -> ClusterError:
    if 300 <= response.status < 400:
        response.close()
        return Malformed(
            f"{what} was answered with a redirect, which krm does not follow: "
            "the kubeconfig's server must be the API server itself"
        )
    header = response.headers.get("Retry-After", "").strip()
    retry_after = float(header) if header.isdigit() and len(header) < 9 else None  # an HTTP date: as if unsaid
    body = Body(response, what)
    try:
        raw = _read_all(body, deadline, MAX_ERROR_BODY) or b""
    except ClusterError:
        raw = b""  # the status says enough
    finally:
        body.close()
    return from_status(response.status, raw, what, retry_after)


def _read_all(body: Body, deadline: float, cap: int) -> Optional[bytes]:
    """The whole body; None where it is over the cap. Raises Unreachable when it breaks off or takes too long."""
    pieces: List[bytes] = []
    size = 0
    while not body.ended:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unreachable(
                f"{body.what} was not answered whole in time: the API server is overloaded or far away"
            )
        fresh = body.read(left)
        size += sum(map(len, fresh))
        if size > cap:
            return None
        pieces += fresh
    if not (body.complete or body.until_close):
        raise Unreachable(f"{body.what} broke off within the answer: ask again")
    return b"".join(pieces)


def _gunzip(raw: bytes, what: str) -> bytes:
    unzip = zlib.decompressobj(wbits=31)
    try:
        plain = unzip.decompress(raw, MAX_ANSWER)
    except zlib.error:
        raise Malformed(
            f"{what} was answered with bytes that are no gzip: check the proxy before the server"
        ) from None
    if not unzip.eof:
        raise Malformed(f"{what} was answered with gzip that is cut off or over {MAX_ANSWER} bytes: ask again")
    return plain


def _cause(error: BaseException) -> str:
    """Class names alone: an error's text may hold a URL with a query, or a proxy's credentials."""
    reason = getattr(error, "reason", None)
    inner = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__
    names = [type(error).__name__] + ([type(inner).__name__] if inner is not None else [])
    return " of ".join(reversed(list(dict.fromkeys(names))))


def _remedy(error: BaseException) -> str:
    chain = f"{type(error).__name__} {error!r}"
    if "SSL" in chain or "certificate" in chain.lower():
        return "check the kubeconfig's certificate-authority and that the server's name is in its certificate"
    return "check that the API server runs and that the kubeconfig's server can be reached from here"
