"""Credentials: what kubectl would use, krm uses; what is wrong is said in a sentence without the secret."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

import pytest
from cluster.scripted import HOLD, PODS, WATCH_HEAD, ScriptedServer, answer, header, kubeconfig
from krm.cluster.credentials import connect
from krm.cluster.errors import Unauthorized
from krm.cluster.watching import Watch

BODY = b"{}"


@pytest.fixture(autouse=True)
def no_kubeconfig_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def plugin(folder: Path, script: str) -> Dict[str, Any]:
    """An exec plugin that runs a shell script."""
    path = folder / "plugin"
    path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(path), "interactiveMode": "Never"}}


def credential(token: str, expires: float) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + expires))
    status = {"token": token, "expirationTimestamp": stamp}
    content = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}
    return f"echo '{json.dumps(content)}'\n"


def test_of_several_files_the_first_context_counts_as_in_kubectl(tmp_path, monkeypatch) -> None:
    first = kubeconfig(tmp_path, "http://127.0.0.1:1", "first", "one")
    second = kubeconfig(tmp_path, "http://127.0.0.1:2", "second", "two")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{second}:{tmp_path}/none")
    cluster = connect()
    assert (cluster.name, cluster.server) == ("one", "http://127.0.0.1:1")
    other = connect(context="two")
    assert (other.name, other.server) == ("two", "http://127.0.0.1:2")
    assert connect(str(second)).name == "two"


def test_without_anything_named_the_home_kubeconfig_counts(tmp_path) -> None:
    (tmp_path / "home" / ".kube").mkdir(parents=True)
    kubeconfig(tmp_path / "home" / ".kube", "http://127.0.0.1:3", "config", "home")
    assert connect().name == "home"


def test_paths_within_a_kubeconfig_are_relative_to_it(tmp_path) -> None:
    (tmp_path / "token").write_text("t0ken")
    with ScriptedServer([answer(BODY)]) as server:
        server.cluster(tmp_path, tokenFile="token").get("/version")
        assert header(server.requests[0], "Authorization") == "Bearer t0ken"


def test_a_path_prefix_of_the_server_is_kept(tmp_path) -> None:
    """Gateways serve many clusters below one host."""
    with ScriptedServer([answer(BODY)]) as server:
        connect(str(kubeconfig(tmp_path, server.url + "/k8s/clusters/c-1/"))).get("/version")
        assert server.requests[0].startswith(b"GET /k8s/clusters/c-1/version ")


def test_a_user_name_and_password_are_sent(tmp_path) -> None:
    with ScriptedServer([answer(BODY)]) as server:
        server.cluster(tmp_path, username="u", password="p").get("/version")
        assert header(server.requests[0], "Authorization") == "Basic dTpw"


def test_a_plugin_runs_again_when_its_token_expires_and_not_before(tmp_path) -> None:
    with ScriptedServer([answer(BODY)]) as server:
        cluster = server.cluster(tmp_path, **plugin(tmp_path, credential("first", 3600)))
        for _ in range(3):
            cluster.get("/version")
        assert (tmp_path / "runs").read_text() == "run\n"
        assert header(server.requests[-1], "Authorization") == "Bearer first"
        (tmp_path / "runs").unlink()
        cluster = server.cluster(tmp_path, **plugin(tmp_path, credential("first", -5)))
        plugin(tmp_path, credential("second", 3600))
        cluster.get("/version")
        assert header(server.requests[-1], "Authorization") == "Bearer second"
        assert (tmp_path / "runs").read_text() == "run\nrun\n"


@pytest.mark.parametrize("script", ["exit 1\n", "echo CANARY\n", "echo '{}'\n"])
def test_a_plugin_that_fails_is_told_and_nothing_is_sent_as_nobody(tmp_path, script: str) -> None:
    with ScriptedServer([answer(BODY)]) as server:
        with pytest.raises(Unauthorized, match="plugin") as caught:
            server.cluster(tmp_path, **plugin(tmp_path, script))
        assert "CANARY" not in str(caught.value)
        assert server.requests == []


def test_a_pod_s_token_is_read_again_when_it_rotates(tmp_path, monkeypatch) -> None:
    from kubernetes.config import incluster_config

    token, authority = tmp_path / "token", tmp_path / "ca.crt"
    token.write_text("before")
    authority.write_text("-----BEGIN CERTIFICATE-----\n")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(authority))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    from krm.cluster.requests import build

    cluster = connect()  # no kubeconfig anywhere, so it is the pod's own
    assert (cluster.name, cluster.server) == ("in-cluster", "https://127.0.0.1:1")
    request = build(cluster.server, "test", "GET", "/version", None, "application/json", None)

    def sent() -> str:
        return cluster._authorise(cluster._client, request).headers["authorization"].lower()

    assert sent() == "bearer before"
    token.write_text("after\n")
    moved = incluster_config.datetime.datetime.now() + incluster_config.datetime.timedelta(seconds=61)

    class Later(incluster_config.datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return moved

    monkeypatch.setattr(incluster_config.datetime, "datetime", Later)
    assert sent() == "bearer after"


def test_outside_a_pod_in_cluster_names_the_remedy() -> None:
    with pytest.raises(Unauthorized, match="--kubeconfig"):
        connect(in_cluster=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no kubeconfig at"),
        ("{}", "no current context"),
        ("- 1", "config is no kubeconfig"),
        ("junk", "config is no kubeconfig"),
        ("", "config is no kubeconfig"),
        ("{CANARY: [", "could not be read"),
        ('{"current-context": "x"}', "not in"),
        ('{"current-context": "x", "contexts": [{"name": "x", "context": {}}]}', "names no cluster"),
        (
            '{"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "CANARY"}}]}',
            "could not be read",
        ),
    ],
)
def test_a_broken_kubeconfig_is_told_in_a_sentence(tmp_path, content, words: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Unauthorized, match=words) as caught:
        connect(str(path))
    assert "CANARY" not in str(caught.value)


def test_a_missing_context_is_named(tmp_path) -> None:
    with pytest.raises(Unauthorized, match="'staging' is not in"):
        connect(str(kubeconfig(tmp_path, "http://127.0.0.1:1")), context="staging")


def test_without_the_package_the_remedy_is_named(tmp_path, monkeypatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(Unauthorized, match=r"pip install 'krm\[cluster\]'"):
        connect(str(kubeconfig(tmp_path, "http://127.0.0.1:1")))


def test_importing_the_room_does_not_import_the_package() -> None:
    """It costs most of a second, and stages say what is missing before they need it."""
    code = (
        "import sys, krm.cluster.credentials, krm.cluster.watching, krm.cluster.listing, krm.cluster.check;"
        "sys.exit(any(name.split('.')[0] in ('kubernetes', 'urllib3', 'yaml') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ}, timeout=30, check=False).returncode == 0


def test_dead_peers_are_found_by_the_kernel(tmp_path) -> None:
    """A watch may be silent for a minute; the kernel asks whether the other side is there at all."""
    with ScriptedServer([WATCH_HEAD, HOLD]) as server:
        watch = Watch(server.cluster(tmp_path), PODS, None, "5")
        connection = watch._body._sock
        tcp = socket.IPPROTO_TCP
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(tcp, socket.TCP_KEEPIDLE) == 30
        assert connection.getsockopt(tcp, socket.TCP_KEEPINTVL) == 10
        assert connection.getsockopt(tcp, socket.TCP_KEEPCNT) == 3
        assert connection.getsockopt(tcp, socket.TCP_USER_TIMEOUT) == 45_000
        assert connection.getsockopt(tcp, socket.TCP_NODELAY) == 1
        watch.close()
