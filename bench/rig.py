"""What the benchmarks stand on: a Redis, the stages, a simulated cluster; CPU and memory of processes.

Figures are ratios of what ran side by side in one run: the machines are shared, and seconds drift.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import psutil
from krm.model.head import Head
from krm.simulator.populate import populate
from krm.simulator.server import Server
from krm.simulator.world import World
from krm.store.connect import connect
from krm.store.keys import Keys
from krm.store.streams import read_head

CLUSTER = "bench"
DEADLINE = 120.0  # seconds that any one condition is waited for


class Row(NamedTuple):
    """One line of the table."""

    what: str
    figure: str
    beside: str  # the peer or floor it is held against, and the ratio
    wanted: str
    reached: Optional[bool]  # None = no goal was set


def until(condition: Callable[[], Any], what: str, deadline: float = DEADLINE) -> Any:
    """The first true value; RuntimeError after the deadline."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise RuntimeError(f"not within {deadline:.0f} s: {what}")


def cpu(process: psutil.Process) -> float:
    """Seconds of user and system time so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def spent(work: Callable[[], Any]) -> float:
    """Seconds of CPU that this process spends on `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


@contextmanager
def redis_server() -> Iterator[tuple[str, psutil.Process]]:
    """(URL, process) of a Redis on a unix socket, without persistence."""
    with tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        socket = f"{folder}/redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no"]
        process = subprocess.Popen(
            [*command, "--maxmemory-policy", "noeviction"], stdout=subprocess.DEVNULL, cwd=folder
        )
        try:
            until(lambda: Path(socket).exists(), "redis-server listens")
            yield f"unix://{socket}", psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


@contextmanager
def simulated(pods: int, namespaces: int = 20, nodes: int = 50) -> Iterator[tuple[World, str]]:
    """(world, kubeconfig) of a cluster on paper with realistic pods, served from this process."""
    world = World()
    populate(world, nodes, pods, namespaces)
    with Server(world) as server, tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        path = Path(folder, "kubeconfig")
        path.write_text(json.dumps(_kubeconfig(server.url)))
        yield world, str(path)


@contextmanager
def simulated_apart(pods: int) -> Iterator[str]:
    """The kubeconfig of such a cluster in a process of its own: its CPU is nobody else's."""
    with tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        path = Path(folder, "kubeconfig")
        command = [sys.executable, "-m", "krm.simulator", "--churn", "0", "--nodes", "50", "--namespaces", "20"]
        child = subprocess.Popen(
            [*command, "--pods", str(pods), "--kubeconfig-out", str(path)], stdout=subprocess.DEVNULL
        )
        try:
            until(path.exists, "the simulator listens")
            yield str(path)
        finally:
            child.terminate()
            child.wait(20)


def _kubeconfig(url: str) -> Dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }


class Pipeline:
    """The three stages of some kinds, as child processes."""

    def __init__(self, url: str, kubeconfigs: Dict[str, str], kinds: Sequence[str], prelude: str = "") -> None:
        """`prelude`: Python that runs in each stage before it starts, to set a constant."""
        self.url = url
        self._link = connect(url, name="krm-bench").link()
        self.processes: Dict[str, psutil.Process] = {}
        self._children: List[subprocess.Popen[bytes]] = []
        for stage in ("aggregator", "verifier", "streamer"):
            arguments = [*kinds, "--redis", url, "--cluster", CLUSTER, "--log-level", "ERROR"]
            if stage in kubeconfigs:
                arguments += ["--kubeconfig", kubeconfigs[stage]]
            code = f"import runpy, sys; {prelude or 'pass'}; runpy.run_module('krm.{stage}', run_name='__main__')"
            child = subprocess.Popen([sys.executable, "-c", code, *arguments])
            self._children.append(child)
            self.processes[stage] = psutil.Process(child.pid)

    def head(self, kind: str) -> Optional[Head]:
        """The kind's head now."""
        return read_head(self._link, Keys(CLUSTER, kind))

    def wait_live(self, kind: str) -> Head:
        """Until a session was accepted on the first list."""

        def live() -> Optional[Head]:
            head = self.head(kind)
            return head if head and head.rv and head.session else None

        found: Head = until(live, f"{kind} is streamed")
        return found

    def stop(self) -> None:
        """Ends the stages."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(20)


@contextmanager
def pipeline(url: str, kubeconfig: str, kinds: Sequence[str] = ("pods",), prelude: str = "") -> Iterator[Pipeline]:
    """Stages that all read with one kubeconfig; they end with the block."""
    stages = Pipeline(url, {"streamer": kubeconfig, "verifier": kubeconfig}, kinds, prelude)
    try:
        yield stages
    finally:
        stages.stop()
