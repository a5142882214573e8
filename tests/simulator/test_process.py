"""The simulator as a child process: its kubeconfig, its levers over HTTP, and its end."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from contract.api import Api
from simulator.listen import until


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "krm.simulator", "--pods", "10", "--churn", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("listening on http"), line
    return line.split()[-1]


@pytest.fixture
def child() -> Iterator[Api]:
    process = start()
    try:
        yield Api("simulator", url_of(process), namespace="default")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def post(api: Api, name: str, **body: Any) -> Dict[str, Any]:
    reply = api.ask("POST", "/simulator/" + name, body)
    assert reply.status == 200, reply.body
    return reply.json


def history(api: Api, kind: str, **query: object) -> List[Dict[str, Any]]:
    return api.get("/simulator/history", kind=kind, **query).lines


def test_the_truth_over_http(child: Api) -> None:
    begin = child.get("/simulator").json["revision"]
    child.put_map("a")
    child.label("a", x="y")
    child.remove("a")
    rows = history(child, "configmaps", after=begin)
    assert [(row["type"], row["key"]) for row in rows] == [
        ("ADDED", "default/a"),
        ("MODIFIED", "default/a"),
        ("DELETED", "default/a"),
    ]
    watched = child.watch("/api/v1/configmaps", str(begin)).body.splitlines()
    for row, line in zip(rows, watched):
        body = base64.b64decode(row["bytes"])
        assert line == b'{"type":"%s","object":%s}' % (row["type"].encode(), body)
    hashed = history(child, "configmaps", after=begin, bytes="sha256")
    assert [row["sha256"] for row in hashed] == [
        hashlib.sha256(base64.b64decode(row["bytes"])).hexdigest() for row in rows
    ]
    state = child.get("/simulator/state", kind="configmaps", revision=rows[1]["revision"]).json
    assert base64.b64decode(state["objects"]["default/a"]) == base64.b64decode(rows[1]["bytes"])
    assert child.get("/simulator/state", kind="configmaps").json["objects"] == {}


def test_the_levers_over_http(child: Api) -> None:
    assert post(child, "churn", turn=50)["revision"] > 100_050
    post(
        child,
        "mutate",
        action="create",
        kind="configmaps",
        object={"metadata": {"name": "a", "namespace": "default"}},
    )
    post(
        child,
        "mutate",
        action="inject",
        kind="configmaps",
        key="default/evil",
        bytes=base64.b64encode(b'{"x":NaN}').decode(),
    )
    assert b'{"x":NaN}' in child.get(child.maps).body
    marker = child.get("/simulator").json["revision"]
    assert post(child, "mutate", action="burst", kind="pods", count=1000)["revision"] == marker + 1000
    assert len(history(child, "pods", after=marker, bytes="none")) == 1000
    assert post(child, "mutate", action="rollback", revision=marker)["epoch"] == 1
    assert post(child, "mutate", action="compact")["compacted"] == marker
    faults = post(child, "fault", fault="http_429", kind="pods", seconds=60, value=2)["faults"]
    assert [(row["fault"], row["kind"]) for row in faults] == [("http_429", "pods")]
    assert child.get("/api/v1/pods").status == 429
    assert post(child, "heal")["faults"] == []
    assert child.get("/api/v1/pods").status == 200
    assert "widgets.example.com" in post(child, "kinds", add="widgets.example.com")["kinds"]
    assert child.get("/apis/example.com/v1/widgets").status == 200
    assert "widgets.example.com" not in post(child, "kinds", remove="widgets.example.com")["kinds"]
    rows = child.get("/simulator/requests").json["requests"]
    assert {"method": "GET", "path": "/api/v1/pods", "count": 2} in rows


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fault", {"fault": "none"}),
        ("mutate", {"action": "delete", "kind": "pods", "key": "x"}),
        ("fault", {}),
        ("mutate", {"action": "rollback", "revision": 10**9}),
        ("access", {"revoke": "x"}),
    ],
)
def test_wrong_levers_are_told(child: Api, name: str, body: Dict[str, Any]) -> None:
    reply = child.ask("POST", "/simulator/" + name, body)
    assert reply.status == 400
    assert reply.json["error"]


def test_it_churns_at_its_rate_and_a_burst_can_be_paced(child: Api) -> None:
    before = child.get("/simulator").json["kinds"]["nodes"]["events"]
    post(child, "churn", rate=500, weights={"nodes": 1})
    until(lambda: child.get("/simulator").json["kinds"]["nodes"]["events"] > before + 50, "churn")
    post(child, "churn", rate=0)
    post(child, "mutate", action="burst", kind="pods", rate=5000, seconds=0.5)
    until(lambda: child.get("/simulator").json["kinds"]["pods"]["events"] > 1000, "a paced burst")


def test_pausing_refuses_connections_for_a_while(child: Api) -> None:
    def refused() -> bool:
        try:
            return child.get("/readyz").status == 0
        except ConnectionError:
            return True

    post(child, "pause", seconds=0.5)
    until(refused, "refused")
    until(lambda: not refused(), "back")


def test_its_kubeconfig_with_tls_and_a_token(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command")
    path = tmp_path / "config"
    process = start("--tls", "--token", "random", "--kubeconfig-out", str(path))
    try:
        url = url_of(process)
        config = json.loads(path.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        assert (cluster["server"], path.stat().st_mode & 0o777) == (url, 0o600)
        ca = tmp_path / "ca.crt"
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        good = Api("simulator", url, user["token"], ca, namespace="default")
        assert len(good.get("/api/v1/pods").json["items"]) == 10
        start_at = good.get("/api/v1/pods").version
        good.put_map("a")
        assert len(good.watch("/api/v1/configmaps", start_at).lines) == 1
        assert Api("simulator", url, "wrong", ca).get("/api/v1/pods").status == 401
        assert good.ask("POST", "/simulator/access", {"token": "other", "user": "v", "rules": []}).status == 200
        assert Api("simulator", url, "other", ca).get("/api/v1/pods").status == 403
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_it_ends_when_its_time_is_over() -> None:
    process = start("--for", "0.3")
    assert process.wait(15) == 0


def test_it_ends_with_its_parent() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'krm.simulator', '--pods', '1'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "sys.stdin.readline()\n"
    )
    pipe = subprocess.PIPE
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: not _alive(pid), "the orphan is gone")


def _alive(pid: int) -> bool:
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return os.path.exists("/proc/%d" % pid)


def test_its_help_states_defaults() -> None:
    command = [sys.executable, "-m", "krm.simulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for flag in ("--port", "--nodes", "--pods", "--churn", "--seed", "--namespaces", "--kubeconfig-out", "--for"):
        assert flag in text
    assert "(default: 50)" in text
