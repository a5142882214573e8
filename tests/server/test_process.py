"""The server as a process: what it refuses to be, what it tells, and how it ends."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any, List

import pytest
from authorities import Authority
from kept_cluster import KeptCluster, pod, wait_until
from krm.server.__main__ import Settings
from krm.stage.settings import parse_settings
from server_process import command, running, tell_facts


@pytest.fixture
def pods(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"default/a": pod(), "default/b": pod()})
    tell_facts(kept)
    return kept


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_memory_is_no_less_than_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_settings(Settings, ["--memory=-1"], {}, "krm server")
    assert "--memory: '-1' is no number of MiB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--address", "0.0.0.0"], "--auth none serves everyone who reaches 0.0.0.0: use 127.0.0.1"),
        (["--tls-cert", "a.crt"], "--tls-cert and --tls-key go together"),
        (["--client-ca", "ca.crt"], "--client-ca needs TLS"),
        (["--tls-cert", "/no/a.crt", "--tls-key", "/no/a.key"], "/no/a.crt: No such file or directory"),
        (["--address", "192.0.2.1", "--auth", "none"], "--auth none serves everyone who reaches 192.0.2.1"),
        (["--token-file", "t.csv"], "--token-file is of --auth token-file, and this is --auth none"),
        (["--cluster", "paper"], "--cluster names paper more than once"),
        (["--auth", "token-file", "--token-file", "a,a"], "(clusters: 1, files: 2)"),
        (["--audience", "krm"], "--audience is of --auth kubernetes, and this is --auth none"),
    ],
)
def test_what_it_may_not_be_is_refused_with_a_sentence(kept: KeptCluster, arguments: List[str], said: str) -> None:
    done = subprocess.run(command(kept, *arguments), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("krm server: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_told(kept: KeptCluster) -> None:
    with running(kept) as first:
        arguments = command(kept, "--port", str(first.port))
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"krm server: cannot listen on 127.0.0.1:{first.port}: Address already in use" in done.stderr


def test_it_serves_over_tls_and_takes_a_renewed_certificate(pods: KeptCluster, tmp_path: Path) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    pair, renewed = first.server(), second.server("renewed")
    before = ssl.create_default_context(cadata=first.pem.decode())
    after = ssl.create_default_context(cadata=second.pem.decode())
    with running(pods, "--tls-cert", str(pair.cert), "--tls-key", str(pair.key)) as server:
        assert server.scheme == "https"
        server.ready(before)
        assert len(json.loads(server.get("/api/v1/pods", context=before).body)["items"]) == 2
        pair.key.write_bytes(renewed.key.read_bytes())
        wait_until(lambda: any("the earlier certificate is kept" in line for line in server.lines))
        assert server.get("/livez", context=before).status == 200
        pair.cert.write_bytes(renewed.cert.read_bytes())
        wait_until(lambda: any("was read anew" in line for line in server.lines))
        assert server.get("/livez", context=after).status == 200
        assert not any("Traceback" in line for line in server.lines)


def test_health_has_a_port_of_its_own_that_tells_nothing_else(pods: KeptCluster, free_port: int) -> None:
    with running(pods, "--health-port", str(free_port)) as server:
        server.ready()
        for path, status in (("/livez", 200), ("/readyz", 200), ("/api/v1/pods", 404), ("/metrics", 404)):
            assert server.get(path, port=free_port).status == status


def test_a_stop_tells_readyz_first_and_ends_watches_whole(pods: KeptCluster, free_port: int) -> None:
    with running(pods, "--health-port", str(free_port)) as server:
        server.ready()
        watch = server.connection()
        watch.request("GET", "/api/v1/pods?watch=true")
        answer = watch.getresponse()
        first = json.loads(answer.readline())
        assert first["type"] == "ADDED"
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: server.get("/readyz", port=free_port).status == 503, 5)
        assert server.get("/readyz", port=free_port).body == b"this server is stopping"
        rest = answer.read()  # raises IncompleteRead where the last chunk is missing
        assert [json.loads(line)["type"] for line in rest.splitlines()] == ["ADDED"]
        assert server.process.wait(10) == 0
        assert time.monotonic() - began < 5
        watch.close()


def test_a_reader_that_takes_nothing_does_not_keep_it_from_ending(pods: KeptCluster) -> None:
    for start in range(0, 100, 10):  # 20 MB at once are much for a busy Redis
        pods.kinds[0].publish(*[(f"default/{number}", big(number)) for number in range(start, start + 10)])
    with running(pods) as server:
        server.ready()
        deaf = [server.connection() for _ in range(3)]
        for one in deaf:
            one.request("GET", "/api/v1/pods?watch=true")
            one.getresponse()  # and no more: its 20 MB stay unread
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0  # 5 s are promised, where nothing else runs; a reader is given 30
        for one in deaf:
            one.close()


def big(number: int) -> Any:
    return {**pod(), "annotations": {f"a{part}": "x" * 50_000 for part in range(4)}}
