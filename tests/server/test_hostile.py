"""Hostile inputs over real sockets, with httptools' parser and with h11's: each is answered with 4xx and a
Status, or cut, within five seconds; others are served meanwhile; and the memory comes back."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import psutil
import pytest
import redis_servers
from kept_cluster import KeptCluster, pod, wait_until
from server_process import Server, running, tell_facts

pytest.importorskip("uvicorn")

TOKEN = "a-token-of-sixteen-characters"
AUTH = f"Authorization: Bearer {TOKEN}"
WITHIN = 5.0  # seconds
# Bytes that memory may have grown by afterwards. Pythons before 3.12, which no image has, give back less.
RESIDENT = (20 if sys.version_info >= (3, 12) else 60) * 1024 * 1024
PODS = "/api/v1/namespaces/a/pods"


class Target(NamedTuple):
    server: Server
    kept: KeptCluster

    @property
    def resident(self) -> int:
        """Bytes."""
        return int(psutil.Process(self.server.process.pid).memory_info().rss)

    def healthy(self) -> None:
        """Somebody else is served, at once."""
        begun = time.monotonic()
        assert self.server.get(f"{PODS}/x", {"Authorization": f"Bearer {TOKEN}"}).status == 200
        assert time.monotonic() - begun < WITHIN

    def figure(self, name: str) -> float:
        """-1 = not told in time."""
        try:
            text = self.server.get("/metrics", {"Authorization": f"Bearer {TOKEN}"}).body.decode()
        except OSError:
            return -1
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    @contextlib.contextmanager
    def forgets(self) -> Iterator[None]:
        """What is done inside leaves no memory behind."""
        before = self.resident
        yield
        self.healthy()
        wait_until(lambda: self.resident - before < RESIDENT, 20)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ("httptools", "h11")],
)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with a token file, over a cluster of some pods, with the one parser or the other."""
    folder = Path(tmp_path_factory.mktemp(request.param))
    environment = {}
    if request.param == "h11":
        (folder / "httptools.py").write_text("raise ImportError('not here')\n")
        environment["PYTHONPATH"] = str(folder)
    else:
        pytest.importorskip("httptools")
    tokens = folder / "tokens"
    tokens.write_text(f'{TOKEN},someone,1,"system:masters","*/*"\n')
    tokens.chmod(0o600)
    with redis_servers.one(folder / "redis") as redis:
        kept = KeptCluster(redis.url)
        with kept.alive():
            blob = {"annotations": {"blob": "x" * 3000}}
            kept.kind("pods", {"a/x": pod(), **{f"b/p-{n:04}": {**pod(), **blob} for n in range(1000)}})
            odd = [
                ("1e400", "<script>alert(1)</script>"),
                ("-5Mi", "\x1b[31mred"),
                ("\uff11", "=cmd()|x"),
                ("x" * 9999, "\r\n"),
            ]
            claims = {
                f"a/c-{n}": {"annotations": {"odd": text}, "status": {"capacity": {"storage": size}}, "spec": {}}
                for n, (size, text) in enumerate(odd)
            }
            kept.kind("persistentvolumeclaims", claims)
            tell_facts(kept)
            with running(
                kept, "--auth", "token-file", "--token-file", str(tokens), environment=environment
            ) as server:
                server.ready()
                found = Target(server, kept)
                for _ in range(3):  # what a first request loads stays, and what a first crowd leaves half used
                    found.healthy()
                    found.figure("krm_")
                crowd(found)
                yield found


def crowd(target: Target) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", target.server.port)))
            link.sendall(get("/api/v1/namespaces/b/pods?watch=true"))
        wait_until(lambda: target.figure("krm_server_watches") == 300, 30)
    wait_until(lambda: target.figure("krm_server_watches") == 0, 30)


def said(target: Target, data: bytes, within: float = WITHIN) -> bytes:
    """What is answered until the connection is closed, or an answer is whole; b"" = it was cut."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", target.server.port), timeout=within) as link:
        with contextlib.suppress(OSError):  # it may be cut while we still write
            link.sendall(data)
        found = b""
        with contextlib.suppress(ConnectionError):
            while not whole(found):
                piece = link.recv(65536)
                if not piece:
                    break
                found += piece
    assert time.monotonic() - begun < within
    return found


def whole(found: bytes) -> bool:
    head, end, body = found.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(end) and len(body) >= int(line.split(b":")[1])
    return False


def status(found: bytes) -> int:
    return int(found.split(b" ", 2)[1]) if found else 0


def refused(found: bytes, *codes: int) -> None:
    """Cut, or one of these codes (any 4xx) with a Status."""
    code = status(found)
    assert code == 0 or 400 <= code < 500, found[:300]
    assert code in (0, *codes) or not codes, found[:300]
    if code:
        head, _, rest = found.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = json.loads(rest[: int(length[0].split(b":")[1])])
        assert (body["kind"], body["code"]) == ("Status", code)


def get(path: str, *headers: str, method: str = "GET", auth: bool = True) -> bytes:
    rows = [f"{method} {path} HTTP/1.1", "Host: krm", *([AUTH] if auth else []), *headers, "", ""]
    return "\r\n".join(rows).encode("utf-8", "surrogateescape")


def token_of(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


DEEP = b"[" * 3000
MANY = ",".join(f"!k{n}" for n in range(5000))
REQUESTS: Dict[str, Tuple[str, Tuple[int, ...]]] = {
    "dots": ("/api/v1/namespaces/%2e%2e/pods", (400,)),
    "dots as a name": (f"{PODS}/%2e%2e", (400, 404)),
    "an encoded slash": ("/api/v1/namespaces/a%2Fb/pods", (404,)),
    "an encoded slash in a name": (f"{PODS}/x%2Fy", (403, 404)),
    "twice encoded": ("/api/v1/namespaces/%252e%252e/pods", (400,)),
    "nothing between two slashes": ("/api/v1//pods", (403, 404)),
    "NUL": (f"{PODS}/a%00b", (404,)),
    "a lone surrogate": (f"{PODS}/%ed%a0%80", (404,)),
    "bidi": (f"{PODS}/%e2%80%aex", (404,)),
    "a new line": (f"{PODS}/x%0a2026-01-01 server INFO forged".replace(" ", "%20"), (404,)),
    "a script": (f"{PODS}/%3Cscript%3Ealert(1)%3C%2Fscript%3E", (403, 404)),
    "hexadecimal": (f"{PODS}?limit=0x10", (400,)),
    "an exponent": (f"{PODS}?limit=1e9", (400,)),
    "not a number": (f"{PODS}?limit=NaN", (400,)),
    "infinity": (f"{PODS}?timeoutSeconds=Infinity", (400,)),
    "5,000 digits": (f"{PODS}?limit={'9' * 5000}", (400,)),
    "full-width digits": (f"{PODS}?limit=%EF%BC%91", (400,)),
    "a forged token": (f"{PODS}?continue=abc", (400,)),
    "a deep token": (f"{PODS}?continue={token_of(DEEP)}", (400,)),
    "a token with a path": (
        f"{PODS}?continue={token_of({'v': 'meta.k8s.io/v1', 'rv': 1, 'start': '../b/x'})}", (400,)
    ),
    "an expired token": (f"{PODS}?continue={token_of({'v': 'meta.k8s.io/v1', 'rv': 1, 'start': '/x'})}", (410,)),
    "a token with a long number": (
        f"{PODS}?continue={token_of(b'{%s: 1}' % (b'9' * 3000))}", (400,)
    ),
    "rv None": (f"{PODS}?resourceVersion=None", (400,)),
    "rv -1": (f"{PODS}?resourceVersion=-1", (400,)),
    "rv of 60 digits": (f"{PODS}?resourceVersion={'9' * 60}", (400,)),
    "a label selector of 1 MB": (f"{PODS}?labelSelector={'a' * 1_000_000}", (414, 431)),
    "10,000 clauses": (f"{PODS}?labelSelector={','.join(['a'] * 10_000)}", (400,)),
    "5,000 clauses": (f"{PODS}?labelSelector={MANY}", (400,)),
    "unbalanced": (f"{PODS}?labelSelector=a%20in%20((((b", (400,)),
    "an unknown field": (f"{PODS}?fieldSelector=spec.secret=x", (400,)),
    "too many parameters": (f"{PODS}?{'&'.join(f'a{n}=1' for n in range(2000))}", (400,)),
    "a query that is no text": (f"{PODS}?labelSelector=%ff%fe", (400,)),
    "1 MB of path": (f"/{'a/' * 500_000}", (414, 431)),
    "another cluster": ("/clusters/..%2f..%2f/api/v1/pods", (404,)),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_asked_for_wrongly_is_told(target: Target, name: str) -> None:
    path, codes = REQUESTS[name]
    with target.forgets():
        found = said(target, get(path))
        refused(found, *codes)
        assert b"<script>" not in found
    assert not any(line.startswith("2026-01-01 server INFO forged") for line in target.server.lines)


@pytest.mark.parametrize("query", ["limit=-1", "limit=1000000000", "resourceVersion=007", "resourceVersion=0"])
def test_what_the_api_server_takes_is_taken(target: Target, query: str) -> None:
    found = said(target, get(f"{PODS}?{query}"))
    assert status(found) == 200
    assert len(json.loads(found.partition(b"\r\n\r\n")[2])["items"]) == 1


BODY = 4 * 1024 * 1024
RAW: Dict[str, Tuple[bytes, Tuple[int, ...]]] = {
    "two Authorization headers": (get(PODS, AUTH), (401,)),
    "forged identity headers": (
        get(PODS, "X-Remote-User: admin", "X-Remote-Group: system:masters", "Impersonate-User: admin", auth=False),
        (401, 403),
    ),
    "a length and chunks": (get(PODS, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", (400,)),
    "chunks and a length": (get(PODS, "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n", (400,)),
    "two lengths": (get(PODS, "Content-Length: 0", "Content-Length: 5"), (400,)),
    "a length below zero": (get(PODS, "Content-Length: -1"), (400,)),
    "a length of 5,000 digits": (get(PODS, f"Content-Length: {'9' * 5000}"), (400, 413)),
    "a coding that is none": (get(PODS, "Transfer-Encoding: gzip, cow"), ()),
    "4 MiB announced": (get(PODS, f"Content-Length: {BODY}", method="POST"), (413,)),
    "4 MiB sent": (get(PODS, f"Content-Length: {BODY}", method="POST") + bytes(BODY), (413,)),
    "a bomb": (
        get(PODS, "Content-Encoding: gzip", "Content-Length: 60000", method="POST")
        + gzip.compress(bytes(50_000_000))[:60000],
        (415,),
    ),
    "100 KB of one header": (get(PODS, f"X-Long: {'a' * 100_000}"), (431,)),
    "1 MB of headers": (get(PODS, *[f"X-{n}: {'a' * 1000}" for n in range(1000)]), (431,)),
    "1,000 headers": (get(PODS, *[f"X-{n}: a" for n in range(1000)]), (431,)),
    "a header without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000, (431,)),
    "a path without end": (b"GET /" + b"a" * 300_000, (431,)),
    "a header with NUL": (get(PODS, "X: a\0b"), (400,)),
    "spaces before the colon": (get(PODS, "Content-Length : 5"), (400,)),
    "HTTP/0.9": (b"GET /\r\n\r\n", (400, 401)),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(200), (400, 401, 405)),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), (400,)),
    "a tunnel": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", ()),
    "an asterisk": (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", ()),
    "a method that is none": (get(PODS, method="G\x00T"), (400,)),
    "nothing that is known": (bytes(range(256)) * 50, (400,)),
    "JSON nested 100,000 deep": (
        get(PODS, "Content-Length: 200000", "Content-Type: application/json", method="POST") + b"[" * 200_000,
        (403, 405),
    ),
    "an Accept of 60 KB": (get(PODS, "Accept: " + "a/b;q=1," * 7500), (406,)),
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_sound_request_is_told_or_cut(target: Target, name: str) -> None:
    data, codes = RAW[name]
    with target.forgets():
        refused(said(target, data), *codes)


def test_objects_with_odd_values_are_shown_as_they_are(target: Target) -> None:
    path = "/api/v1/namespaces/a/persistentvolumeclaims"
    table = "Accept: application/json;as=Table;g=meta.k8s.io;v=v1"
    for headers in ((), (table,)):
        found = said(target, get(path, *headers))
        assert status(found) == 200
        rows = json.loads(found.partition(b"\r\n\r\n")[2])
        assert len(rows.get("items", rows.get("rows"))) == 4
        assert b"\x1b" not in found
    assert b"application/json" in said(target, get("/pvcs?namespace=a"))


def test_a_body_that_goes_on_is_not_taken(target: Target) -> None:
    with target.forgets():
        head = get(PODS, "Transfer-Encoding: chunked", method="POST")
        chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
        with socket.create_connection(("127.0.0.1", target.server.port), timeout=WITHIN) as link:
            link.sendall(head)
            assert not all(sent(link, chunk) for _ in range(2000))


def test_whoever_is_slow_to_ask_is_cut(target: Target) -> None:
    """Slowloris: 200 that send nothing, or a byte now and then; and 50 that come to their second request so."""
    with target.forgets(), contextlib.ExitStack() as stack:
        begun = time.monotonic()
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", target.server.port))) for _ in range(250)
        ]
        for link in slow[200:]:
            link.sendall(get(f"{PODS}/x"))
        time.sleep(0.5)
        open_ = set(slow)
        while open_ and time.monotonic() - begun < WITHIN + 1:
            for number, link in enumerate(slow):
                if link in open_ and (number % 2 or number >= 200) and not sent(link, b"GET /"[:1]):
                    open_.discard(link)
            time.sleep(0.2)
            open_ -= {link for link in open_ if ended(link)}
            target.healthy()
        assert not open_, len(open_)


def sent(link: socket.socket, data: bytes) -> bool:
    try:
        link.sendall(data)
    except OSError:
        return False
    return True


def ended(link: socket.socket) -> bool:
    link.setblocking(False)
    try:
        while True:
            if not link.recv(65536):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_connection_answers_one_request_after_the_other_each_at_once(target: Target) -> None:
    """The head of an answer is held until its body comes: to HEAD there is none."""
    with socket.create_connection(("127.0.0.1", target.server.port), timeout=WITHIN) as link:
        for method in ("HEAD", "GET", "HEAD", "GET"):
            link.sendall(get("/api", method=method))
            found = b""
            while b"\r\n\r\n" not in found or (method == "GET" and not whole(found)):
                found += link.recv(65536)
            assert status(found) == 200, found
            assert found.endswith(b"\r\n\r\n") == (method == "HEAD")


def test_many_requests_at_once_on_one_connection_are_not_all_kept(target: Target) -> None:
    with target.forgets():
        said(target, get(f"{PODS}/x") * 20_000, 30)


def test_watches_that_never_read_are_bounded_and_end_with_their_connections(target: Target) -> None:
    """What 1,000 watches took once the allocator may keep for the next thousand; it takes no more for them."""
    watch_and_never_read(target)
    with target.forgets():
        watch_and_never_read(target)


def watch_and_never_read(target: Target) -> None:
    before = target.resident
    links: List[socket.socket] = []
    watching = get("/api/v1/namespaces/b/pods?watch=true")
    try:
        for _ in range(1300):
            link = socket.create_connection(("127.0.0.1", target.server.port), timeout=WITHIN)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            links.append(link)
            link.sendall(watching)
        wait_until(lambda: target.figure('krm_server_watches{cluster="paper",kind="pods"}') >= 900, 60)
        refusals = [first(link) for link in links[-200:]]
        assert {status(found) for found in refusals} == {429}
        assert b'"kind":"Status"' in refusals[0]
        assert target.resident - before < 400 * 1024 * 1024
        target.healthy()
    finally:
        for link in links:
            link.close()
    wait_until(lambda: target.figure("krm_server_watches") == 0, 20)


def first(link: socket.socket) -> bytes:
    link.settimeout(WITHIN)
    return link.recv(65536)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_whoever_takes_nothing_of_an_answer_is_cut(target: Target) -> None:
    """50 lists and 50 watches of 4 MB each, not read."""
    with target.forgets(), contextlib.ExitStack() as stack:
        before = target.resident
        links = []
        for path in ("/api/v1/pods", "/api/v1/pods?watch=1"):
            for _ in range(50):
                link = stack.enter_context(socket.socket())
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                link.connect(("127.0.0.1", target.server.port))
                link.sendall(get(path, "Accept-Encoding: identity"))
                links.append(link)
        wait_until(lambda: target.figure("krm_server_watches") >= 50, 20)
        assert target.resident - before < 150 * 1024 * 1024
        connections = lambda: len(  # noqa: E731
            [
                one
                for one in psutil.Process(target.server.process.pid).net_connections()
                if one.status == "ESTABLISHED"
            ]
        )
        wait_until(lambda: connections() < 20, 60)
        wait_until(lambda: target.figure("krm_server_watches") == 0, 60)


def test_the_log_tells_no_error_of_all_this(target: Target) -> None:
    assert [line for line in target.server.lines if "Traceback" in line or "ERROR" in line] == []
