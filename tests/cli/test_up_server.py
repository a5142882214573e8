"""The server of `krm up`: kubectl reads through the kubeconfig that it writes, and nobody without."""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import psutil
import pytest
from controlplane.build import DEFAULT_VERSION, find_binary
from kept_cluster import wait_until
from krm.cli.authority import Authority
from krm.cli.kubeconfig_out import MARK, Entry, require_free, server_url, text
from krm.cli.own_server import missing
from krm.client.errors import BadRequest

KUBECTL = find_binary("kubectl", DEFAULT_VERSION)
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="no kubectl is built: make control-plane")


@contextlib.contextmanager
def up(environment: Dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "krm.cli.main", "up", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


def written(path: Path, process: subprocess.Popen[str]) -> Path:
    wait_until(lambda: path.exists() or process.poll() is not None, 60)
    assert path.exists(), process.communicate()[0]
    return path


def kubectl(kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(KUBECTL), "--kubeconfig", str(kubeconfig), *arguments], capture_output=True, text=True, timeout=60,
        env={"PATH": os.environ["PATH"], "HOME": str(kubeconfig.parent)},
    )  # fmt: skip


def parts(kubeconfig: Path) -> Dict[str, Tuple[str, str, str]]:
    """context -> (server, CA as PEM, token)."""
    mark, _, plain = kubeconfig.read_text().partition("\n")
    assert mark + "\n" == MARK
    found = json.loads(plain)
    pem = base64.b64decode(found["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    return {
        cluster["name"]: (cluster["cluster"]["server"], pem, user["user"]["token"])
        for cluster, user in zip(found["clusters"], found["users"])
    }


def status(server: str, pem: str, token: str, path: str = "/api/v1/nodes") -> int:
    address, _, prefix = server[len("https://") :].partition("/")
    context = ssl.create_default_context(cadata=pem)
    connection = http.client.HTTPSConnection(address, timeout=10, context=context)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", (f"/{prefix}" if prefix else "") + path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def servers_of(process: subprocess.Popen[str]) -> List[psutil.Process]:
    found = []
    for one in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if "krm.server" in one.cmdline():
                found.append(one)
    return found


@needs_kubectl
def test_kubectl_reads_at_once_and_only_with_that_kubeconfig(environment: Dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "out" / "config"
    path.parent.mkdir()
    with up(environment, "--demo", "--kinds", "nodes,pods", "--kubeconfig-out", str(path)) as process:
        written(path, process)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [found.name for found in path.parent.iterdir()] == ["config"]
        done = kubectl(path, "get", "nodes", "-o", "name")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 10
        assert "app-" in kubectl(path, "get", "pods", "-A").stdout
        ((server, pem, token),) = parts(path).values()
        assert [status(server, pem, one) for one in (token, "", "x" * 43, token[:-1])] == [200, 401, 401, 401]
        with pytest.raises(ssl.SSLCertVerificationError):
            status(server, Authority("another").pem.decode(), token)
        folder = Path(environment["XDG_RUNTIME_DIR"], "krm", f"up-{process.pid}")
        open_to_others = [found.name for found in folder.iterdir() if found.stat().st_mode & 0o077]
        assert "server-0.tokens" in [found.name for found in folder.iterdir()]
        assert not [name for name in open_to_others if "server" in name or "kubeconfig" in name]
        # A server that dies comes back where the kubeconfig says.
        (victim,) = servers_of(process)
        assert token not in " ".join(victim.cmdline())
        victim.kill()
        wait_until(lambda: [one for one in servers_of(process) if one.pid != victim.pid], 20)
        wait_until(lambda: kubectl(path, "get", "nodes", "-o", "name").returncode == 0, 30)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=40)
    assert f"Serving at {server}. Next: kubectl --kubeconfig {path} get pods -A" in out
    assert "server died (SIGKILL); starting it again in 0.5 s" in out
    assert token not in out
    assert not path.exists()  # it would be worth nothing
    assert process.returncode == 143


@pytest.fixture
def two_clusters(tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig with contexts a and b/2, a simulator each: of 2 and of 3 nodes."""
    processes, content = [], {}
    try:
        for name, nodes in (("a", 2), ("b/2", 3)):
            path = tmp_path / f"{nodes}.simulated"
            arguments = ["--port", "0", "--nodes", str(nodes), "--pods", "3", "--kubeconfig-out", str(path)]
            processes.append(subprocess.Popen([sys.executable, "-m", "krm.simulator", *arguments]))
            wait_until(path.exists, 30)
            content[name] = json.loads(path.read_text())
        merged: Dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "a"}
        for name, one in content.items():
            for field in ("clusters", "users", "contexts"):
                merged.setdefault(field, []).append({**one[field][0], "name": name})
            merged["contexts"][-1]["context"] = {"cluster": name, "user": name}
        path = tmp_path / "two"
        path.write_text(json.dumps(merged))
        yield path
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
@needs_kubectl
def test_several_clusters_have_one_server_and_a_context_each(
    environment: Dict[str, str], two_clusters: Path, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    several = ["--kubeconfig", str(two_clusters), "--context", "a", "--context", "b/2", "--kinds", "nodes,pods"]
    with up(environment, *several, "--kubeconfig-out", str(path)) as process:
        written(path, process)
        assert len(servers_of(process)) == 1
        for context, nodes in (("krm-a", 2), ("krm-b/2", 3)):
            wait_until(lambda c=context: not kubectl(path, "--context", c, "get", "nodes").returncode, 30)
            done = kubectl(path, "--context", context, "get", "nodes", "-o", "name")
            assert len(done.stdout.splitlines()) == nodes, done.stderr
        assert len(kubectl(path, "get", "nodes", "-o", "name").stdout.splitlines()) == 2
        (first, pem, of_first), (second, _, of_second) = parts(path).values()
        assert second == f"{first}/clusters/b/2"
        assert of_first != of_second
        assert [status(first, pem, of_first), status(second, pem, of_second)] == [200, 200]
        assert [status(first, pem, of_second), status(second, pem, of_first)] == [401, 401]
        read = [sys.executable, "-m", "krm.cli.main", "get", "nodes", "--stale-ok", "-o", "name"]
        done = subprocess.run(
            [*read, "--cluster", "b/2"], capture_output=True, text=True, env=environment, timeout=60
        )
        assert len(done.stdout.splitlines()) == 3, done.stderr
        neither = subprocess.run(read, capture_output=True, text=True, env=environment, timeout=60)
        assert "several clusters are kept here (a, b/2): choose with --cluster" in neither.stderr
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=40)
    assert "Keeping 2 kinds of a in " in out
    assert "Keeping 2 kinds of b/2 in " in out
    assert re.search(r"^b/2/nodes +live +3 ", out, re.M)
    assert "; --context krm-b/2 for the others" in out
    assert "get pods -A --cluster a; " in out
    assert re.search(r"^Summary: \d of 4 kinds verified", out, re.M)
    assert not list(Path(environment["XDG_RUNTIME_DIR"], "krm").glob("*.json"))


def test_a_file_of_somebodys_own_is_never_written_over(environment: Dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "config"
    mine.write_text("apiVersion: v1\n")
    with up(environment, "--demo", "--kubeconfig-out", str(mine)) as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == f"krm: --kubeconfig-out {mine} is there and was not written by krm up: name another file\n"
    assert mine.read_text() == "apiVersion: v1\n"
    os.mkfifo(str(tmp_path / "fifo"))
    for path in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(BadRequest, match="was not written by krm up"):
            require_free(path)
    with pytest.raises(BadRequest, match="there is no folder"):
        require_free(tmp_path / "no" / "config")
    for content in ("", MARK + "more"):
        mine.write_text(content)
        require_free(mine)
    require_free(tmp_path / "new")


def test_a_port_that_is_taken_is_told_before_anything_is_served(environment: Dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        with up(environment, "--demo", "--kinds", "nodes", "--server-port", str(port)) as process:
            out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"krm: --server-port {port} cannot be used: Address already in use" in out


def test_without_a_server_none_is_started(environment: Dict[str, str]) -> None:
    with up(environment, "--demo", "--kinds", "nodes", "--no-server", "--for", "6s") as process:
        out, _ = process.communicate(timeout=60)
    assert "Serving" not in out
    assert re.search(r"^Summary: ", out, re.M)
    with up(environment, "--demo", "--no-server", "--kubeconfig-out", "x") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--no-server starts nothing" in out


def test_what_a_server_lacks_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing() == ""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    assert missing() == "without a server: it needs uvicorn: pip install 'krm[server]'"


def test_the_kubeconfig_quotes_what_names_may_hold() -> None:
    """As a YAML reader sees it."""
    yaml = pytest.importorskip("yaml")
    names = ['a: "b" # c', "arn:aws:eks:eu:1:cluster/x", "true", "ü \n"]
    url = "https://127.0.0.1:1"
    entries = [Entry(name, server_url(url, name, not number), f"t{number}") for number, name in enumerate(names)]
    read = yaml.safe_load(text(entries, b"CA"))
    assert [one["name"] for one in read["contexts"]] == [f"krm-{name}" for name in names]
    assert [one["cluster"]["server"] for one in read["clusters"]] == [
        url,
        f"{url}/clusters/arn:aws:eks:eu:1:cluster/x",
        f"{url}/clusters/true",
        f"{url}/clusters/%C3%BC%20%0A",
    ]
    assert read["current-context"] == f"krm-{names[0]}"


def test_a_renewed_certificate_is_of_the_same_ca() -> None:
    from cryptography import x509

    authority = Authority("krm up")
    ca = x509.load_pem_x509_certificate(authority.pem)
    first, second = (x509.load_pem_x509_certificate(authority.serving()[0]) for _ in range(2))
    for one in (first, second):
        one.verify_directly_issued_by(ca)
    assert first.serial_number != second.serial_number
    assert b"PRIVATE" not in authority.pem
