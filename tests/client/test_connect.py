"""`K8sResourceMonitor.connect`: it joins a krm, or runs one for as long as it is used and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Dict, Iterator, List, Set

import psutil
import pytest
from kept_cluster import KeptCluster, pod, wait_until
from krm.client.errors import BadRequest, KrmError
from krm.client.locate import running_here
from krm.monitor import K8sResourceMonitor
from krm.monitor.started import NotStarted, Started, Wanted
from krm.simulator.kubeconfig import write_kubeconfig

KINDS = ("nodes", "namespaces")


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where what runs here announces itself: of this test alone."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    for name in [name for name in os.environ if name.startswith(("KRM_", "KUBE"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A kubeconfig of a small cluster on paper."""
    kubeconfig = tmp_path_factory.mktemp("simulated") / "kubeconfig"
    arguments = ("--port", "0", "--nodes", "2", "--pods", "6", "--churn", "1", "--kubeconfig-out", str(kubeconfig))
    with open(str(kubeconfig.parent / "log"), "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "krm.simulator", *arguments], stdout=log, stderr=log)
    try:
        wait_until(lambda: kubeconfig.exists() or process.poll() is not None, 20)
        assert kubeconfig.exists(), (kubeconfig.parent / "log").read_text()
        yield kubeconfig
    finally:
        process.terminate()
        process.wait(10)


def descendants(pid: int) -> Set[psutil.Process]:
    return set(psutil.Process(pid).children(recursive=True))


def gone(processes: Set[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_it_runs_a_krm_until_it_is_closed(private: Path, simulated: Path) -> None:
    before = descendants(os.getpid())
    monitor = K8sResourceMonitor()
    with monitor:
        monitor.connect(kubeconfig=str(simulated), kinds=KINDS)
        children = descendants(os.getpid()) - before
        assert [status.verified for status in monitor.client.status()] == [True, True]
        assert len(monitor.client.snapshot("nodes")) == 2
        assert len(children) >= 4  # krm up, three stages
        with pytest.raises(BadRequest, match="connected already"):
            monitor.connect(kubeconfig=str(simulated))
    assert gone(children)
    assert list((private / "krm").glob("up-*.json")) == []
    monitor.close()
    with pytest.raises(BadRequest, match=r"not connected: call connect\(\) first"):
        monitor.detect_limit_breaches()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux'")
def test_it_ends_with_a_process_that_was_killed(private: Path, simulated: Path) -> None:
    text = """
        import sys, threading, time
        from krm.monitor import K8sResourceMonitor
        monitor = K8sResourceMonitor()
        # By a thread that ends: its end is not the process's.
        thread = threading.Thread(target=lambda: monitor.connect(kubeconfig=sys.argv[1], kinds=["nodes"]))
        thread.start()
        thread.join()
        time.sleep(1.5)
        print(len(monitor.client.snapshot("nodes")), flush=True)
        time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(text), str(simulated)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        children = descendants(process.pid)
        assert len(children) >= 4
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    wait_until(lambda: gone(children), 60)


def test_what_cannot_be_verified_in_time_is_named_with_its_reason(private: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    write_kubeconfig(kubeconfig, "https://127.0.0.1:1")
    before = descendants(os.getpid())
    started = Started(Wanted(str(kubeconfig), kinds=KINDS))
    try:
        wait_until(running_here, 60)
        with pytest.raises(NotStarted, match=r"waited in vain: not verified: n\w+ \(.+\).*, n\w+ \(") as told:
            started.client(time.monotonic() + 1.0)
        assert "check that the API server runs" in str(told.value)
    finally:
        started.close()
    assert gone(descendants(os.getpid()) - before)
    began = time.monotonic()
    with pytest.raises(NotStarted, match="waited in vain"):
        K8sResourceMonitor().connect(kubeconfig=str(kubeconfig), kinds=KINDS, timeout=0.5)
    assert time.monotonic() - began < 35  # its end is waited for
    assert gone(descendants(os.getpid()) - before)


def test_a_kubeconfig_that_is_not_there_is_told(private: Path, tmp_path: Path) -> None:
    before = descendants(os.getpid())
    with pytest.raises(NotStarted, match="no-such"):
        K8sResourceMonitor().connect(kubeconfig=str(tmp_path / "no-such"))
    assert gone(descendants(os.getpid()) - before)


def test_without_arguments_the_usual_places_are_asked(
    private: Path, tmp_path: Path, simulated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod its service account; then what KUBECONFIG names; then ~/.kube/config."""
    assert Wanted().flags() == ["--no-server"]
    token = tmp_path / "token"
    token.write_text("t")
    monkeypatch.setattr("krm.monitor.started._SERVICE_ACCOUNT", str(token))
    assert "--in-cluster" not in Wanted().flags()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert Wanted().flags() == ["--no-server", "--in-cluster"]
    assert Wanted(kubeconfig="f").flags() == ["--kubeconfig", "f", "--no-server"]
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    monkeypatch.setenv("KUBECONFIG", str(simulated))
    with K8sResourceMonitor() as monitor:
        monitor.connect(kinds=["nodes"])
        assert len(monitor.client.snapshot("nodes")) == 2


def test_a_krm_that_runs_is_joined_by_its_url(kept: KeptCluster) -> None:
    kept.kind("pods", {"a/x": pod()})
    with K8sResourceMonitor() as monitor:
        monitor.connect(url=kept.url, cluster=kept.name)
        assert [one.key for one in monitor.client.snapshot("pods").items()] == ["a/x"]


WRONG: List[Dict[str, object]] = [
    {"url": "redis://127.0.0.1:1", "kubeconfig": "f"},
    {"url": "redis://127.0.0.1:1", "context": "c"},
    {"url": "https://127.0.0.1:1", "kinds": ["pods"]},
    {"url": "ftp://127.0.0.1:1"},
    {"kubeconfig": "f", "token": "t"},
    {"ca": "f"},
]


@pytest.mark.parametrize("arguments", WRONG, ids=str)
def test_words_that_do_not_go_together_are_refused(arguments: Dict[str, object], private: Path) -> None:
    monitor = K8sResourceMonitor()
    with pytest.raises(KrmError) as told:
        monitor.connect(**arguments)  # type: ignore[arg-type]
    assert isinstance(told.value, ValueError), repr(told.value)
    with pytest.raises(BadRequest, match="not connected"):
        monitor.client  # noqa: B018
