"""TLS: client certificates, and that the reader below urllib3 reads TLS records as well as plain bytes."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from cluster.scripted import (
    HOLD,
    LAST_CHUNK,
    PODS,
    WATCH_HEAD,
    ScriptedServer,
    answer,
    chunk,
    event,
    kubeconfig,
    wait_for,
)
from krm.cluster.credentials import connect
from krm.cluster.errors import Unreachable
from krm.cluster.requests import Cluster
from krm.cluster.watching import Watch, WatchClosed

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")
BODY = b"x" * 100_000


def certificate(folder: Path, name: str) -> List[Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    paths = [folder / f"{name}.crt", folder / f"{name}.key"]
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} "
        f"-addext subjectAltName=IP:127.0.0.1 -out {paths[0]} -keyout {paths[1]}".split(),
        check=True,
        capture_output=True,
        timeout=30,
    )
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Dict[str, List[Path]]:
    folder = tmp_path_factory.mktemp("tls")
    return {name: certificate(folder, name) for name in ("server", "client", "stranger")}


@pytest.fixture
def tls(files) -> ssl.SSLContext:
    """The server's side, which lets in only who shows the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*map(str, files["server"]))
    context.load_verify_locations(str(files["client"][0]))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def enter(folder: Path, server: ScriptedServer, files: Dict[str, List[Path]], **user: Any) -> Cluster:
    path = kubeconfig(folder, server.url, **user)
    content = json.loads(path.read_text())
    content["clusters"][0]["cluster"]["certificate-authority"] = str(files["server"][0])
    path.write_text(json.dumps(content))
    return connect(str(path), stage="test")


def by_file(paths: List[Path]) -> Dict[str, str]:
    return {"client-certificate": str(paths[0]), "client-key": str(paths[1])}


def test_a_client_certificate_from_files_and_from_data(tmp_path, tls, files) -> None:
    data = {
        f"{name}-data": base64.b64encode(Path(path).read_bytes()).decode()
        for name, path in by_file(files["client"]).items()
    }
    with ScriptedServer([answer(BODY)], tls=tls) as server:
        for user in (by_file(files["client"]), data):
            assert enter(tmp_path, server, files, **user).get("/version") == BODY


def test_a_stranger_s_certificate_and_none_are_unreachable(tmp_path, tls, files) -> None:
    with ScriptedServer([answer(BODY)], tls=tls) as server:
        for user in (by_file(files["stranger"]), {}):
            with pytest.raises(Unreachable):
                enter(tmp_path, server, files, **user).get("/version")
        assert server.requests == []


def test_a_server_of_another_authority_is_not_believed(tmp_path, tls, files) -> None:
    with ScriptedServer([answer(BODY)], tls=tls) as server:
        others = {**files, "server": files["stranger"]}
        with pytest.raises(Unreachable, match="certificate-authority"):
            enter(tmp_path, server, others, **by_file(files["client"])).get("/version")


def test_connections_are_used_again(tmp_path, tls, files) -> None:
    with ScriptedServer([answer(BODY, keep=True)], close=False, tls=tls) as server:
        cluster = enter(tmp_path, server, files, **by_file(files["client"]))
        assert [cluster.get("/version") for _ in range(3)] == [BODY] * 3
        assert server.connections == 1


@pytest.mark.parametrize("size", [7, 1000, 20_000])
def test_a_watch_gives_its_lines_whatever_the_records(tmp_path, tls, files, size: int) -> None:
    """A TLS record that was received but not handed over yet does not make the socket readable."""
    rest = b"".join(chunk(event(n, 3000)) for n in range(20)) + LAST_CHUNK
    steps = [WATCH_HEAD] + [rest[at : at + size] for at in range(0, len(rest), size)]
    with ScriptedServer(steps, tls=tls) as server:
        watch = Watch(enter(tmp_path, server, files, **by_file(files["client"])), PODS, None, "5")
        lines: List[bytes] = []
        end = time.monotonic() + 10
        while len(lines) < 20 and time.monotonic() < end:
            lines += watch.poll(1.0)
        assert lines == [event(n, 3000)[:-1] for n in range(20)]
        with pytest.raises(WatchClosed):
            watch.poll(5.0)


def test_close_from_another_thread_ends_a_waiting_poll_at_once(tmp_path, tls, files) -> None:
    with ScriptedServer([WATCH_HEAD, chunk(event(1)), HOLD], tls=tls) as server:
        watch = Watch(enter(tmp_path, server, files, **by_file(files["client"])), PODS, None, "5")
        assert watch.poll(5.0) == [event(1)[:-1]]
        ends: List[float] = []

        def read() -> None:
            with pytest.raises(WatchClosed):
                watch.poll(60.0)
            ends.append(time.monotonic())

        reader = threading.Thread(target=read)
        reader.start()
        wait_for(watch._body._reading.locked, "the reader waits")
        closed = time.monotonic()
        watch.close()
        reader.join(5)
        assert ends[0] - closed < 0.5
