"""The audit log: one line a request that says who read what, holds nothing secret, and never waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
from kept_cluster import KeptCluster, pod, wait_until
from krm.server import audit as audits
from krm.server.audit import Audit, CannotWrite, written
from server_process import command, running, tell_facts

TOKEN = "a-token-that-nobody-may-see-4711"
FIELDS = [
    *(
        "time",
        "user",
        "impersonator",
        "peer",
        "cluster",
        "verb",
        "kind",
        "namespace",
        "name",
        "path",
        "code",
        "age",
        "bytes",
    ),
    "milliseconds",
]


@pytest.fixture
def pods(kept: KeptCluster) -> KeptCluster:
    kept.kind("pods", {"team-a/one": pod(), "team-a/two": pod()})
    tell_facts(kept)
    return kept


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f'{TOKEN},alice,,,"team-a/*"\n')
    path.chmod(0o600)
    return path


def lines(path: Path) -> List[Dict[str, Any]]:
    """Those that are whole: the last may be on its way."""
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def asked(path: Path, least: int) -> List[Dict[str, Any]]:
    """All lines but those of probes, once there are so many."""

    def found() -> List[Dict[str, Any]]:
        return [line for line in lines(path) if line["path"] not in ("/readyz", "/livez")]

    wait_until(lambda: len(found()) >= least)
    return found()


def test_a_line_a_request_says_who_read_what_and_no_more(pods: KeptCluster, tokens: Path, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    gate = ["--auth", "token-file", "--token-file", str(tokens)]
    with running(pods, *gate, "--audit-log", str(path)) as server:
        server.ready()
        mine = {"Authorization": f"Bearer {TOKEN}"}
        listed = server.get("/api/v1/namespaces/team-a/pods", mine)
        server.get("/api/v1/namespaces/team-a/pods/one?pretty=secret-query", mine)
        assert server.get("/api/v1/pods", mine).status == 403
        assert server.get("/api/v1/pods", {"Authorization": "Bearer another-token-4711"}).status == 401
        assert server.get("/api", mine).status == 200
        server.get("/api/v1/namespaces/team-a/pods/none", mine)
        found = asked(path, 6)
        text = path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert all(list(line) == FIELDS for line in found)
    rows = [
        [line[name] for name in ("user", "verb", "kind", "namespace", "name", "path", "code")] for line in found
    ]
    assert rows == [
        ["alice", "list", "pods", "team-a", None, None, 200],
        ["alice", "get", "pods", "team-a", "one", None, 200],
        ["alice", "list", "pods", None, None, None, 403],
        [None, "get", None, None, None, "/api/v1/pods", 401],
        ["alice", "get", None, None, None, "/api", 200],
        ["alice", "get", "pods", "team-a", "none", None, 404],
    ]
    assert found[0]["bytes"] == len(listed.body)
    assert abs(found[0]["age"] - float(listed.headers["krm-age-seconds"])) < 0.001
    assert found[2]["age"] is None  # nothing was served
    assert found[0]["cluster"] == pods.name
    assert found[0]["peer"] == "127.0.0.1"
    assert 0 < found[0]["milliseconds"] < 10_000
    for secret in (TOKEN, "another-token-4711", "secret-query", "nginx"):
        assert secret not in text


def test_a_watch_is_a_line_once_it_has_ended(pods: KeptCluster, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with running(pods, "--audit-log", str(path)) as server:
        server.ready()
        answer = server.get("/api/v1/pods?watch=true&timeoutSeconds=1")
        (line,) = asked(path, 1)
        watch = server.connection()
        watch.request("GET", "/api/v1/namespaces/team-a/pods?watch=true")
        watch.getresponse().readline()
        watch.close()  # the reader goes
        (_, second) = asked(path, 2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0
    assert (line["verb"], line["code"], line["bytes"]) == ("watch", 200, len(answer.body))
    assert line["milliseconds"] >= 1000
    assert (second["verb"], second["namespace"]) == ("watch", "team-a")


def test_what_a_caller_names_cannot_forge_a_line(pods: KeptCluster, tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    with running(pods, "--audit-log", str(path)) as server:
        server.ready()
        server.get("/evil%0A%7B%22user%22:%22root%22%7D%1b%5b2J%7f%E2%80%AE")
        server.get("/" + "x" * 20_000)
        forged, long = asked(path, 2)
        raw = path.read_bytes()
    assert forged["path"] == '/evil\n{"user":"root"}\x1b[2J\x7f\u202e'
    assert all(byte == 10 or 32 <= byte < 127 for byte in raw)
    assert len(long["path"]) == audits.LONGEST


def test_a_moved_file_is_begun_anew(pods: KeptCluster, tmp_path: Path) -> None:
    path, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    with running(pods, "--audit-log", str(path)) as server:
        server.ready()
        server.get("/first")
        asked(path, 1)
        path.rename(old)  # as logrotate does; a signal may follow
        server.get("/second")
        assert [line["path"] for line in asked(path, 1)] == ["/second"]
        server.process.send_signal(signal.SIGHUP)
        server.get("/third")
        assert [line["path"] for line in asked(path, 2)] == ["/second", "/third"]
        assert [line["path"] for line in asked(old, 1)] == ["/first"]
        assert server.process.poll() is None


def test_standard_output_takes_it_too(pods: KeptCluster) -> None:
    with running(pods, "--audit-log", "-") as server:
        server.ready()
        assert server.process.stdout is not None
        assert json.loads(server.process.stdout.readline())["path"] == "/readyz"


def test_a_file_that_cannot_be_written_is_told_at_the_start(kept: KeptCluster, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(str(fifo))
    for path, said in (
        (fifo, "cannot be opened"),
        (tmp_path, "cannot be opened"),
        (tmp_path / "no" / "a", "No such"),
    ):
        done = subprocess.run(command(kept, "--audit-log", str(path)), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert f"krm server: the audit log {path}" in done.stderr
        assert said in done.stderr
    with pytest.raises(CannotWrite):
        Audit(str(fifo))


def test_a_log_that_takes_nothing_holds_up_nobody_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a full disk, or a disk that hangs."""
    path = tmp_path / "audit.log"
    audit = Audit(str(path))
    hang, real = threading.Event(), os.write
    stuck = threading.Event()

    def slow(number: int, data: Any) -> int:
        if number == audit._number and not hang.is_set():
            stuck.set()
            hang.wait(20)
            raise OSError(28, "No space left on device")
        return real(number, data)

    monkeypatch.setattr(audits.os, "write", slow)
    audit.put('{"number":-1}')
    assert stuck.wait(10)
    began = time.monotonic()
    for number in range(audits.MOST_WAITING + 500):
        audit.put(json.dumps({"number": number}))
    assert time.monotonic() - began < 5
    hang.set()
    wait_until(lambda: any("dropped" in line for line in lines(path)))
    found = lines(path)
    assert sum(line.get("dropped", 0) for line in found) == 501
    assert sum("number" in line for line in found) == audits.MOST_WAITING
    audit.close()


def test_what_waits_is_written_at_the_end(tmp_path: Path) -> None:
    audit = Audit(str(tmp_path / "audit.log"))
    for number in range(1000):
        audit.put(written({"number": number}))
    audit.close()
    assert [line["number"] for line in lines(tmp_path / "audit.log")] == list(range(1000))
