"""Real stores of measurements for tests: InfluxDB 1.x, VictoriaMetrics, Prometheus, from Debian's packages.

Each listens on the loopback alone, keeps its files in the folder it is given, keeps its port over a
restart, and ends with its context.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest
from redis_servers import free_port, until

_PACKAGES = {"influxd": "influxdb", "victoria-metrics": "victoria-metrics", "prometheus": "prometheus"}
_INFLUX = """reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = {auth}
{tls}
"""


class Server:
    """One process. `port` is where it answers HTTP."""

    def __init__(self, command: List[str], port: int, healthy: str, folder: Path) -> None:
        binary = shutil.which(command[0])
        if binary is None:
            message = f"no {command[0]} on PATH: run `apt-get install {_PACKAGES[command[0]]}`"
            if os.environ.get("CI") == "true":
                pytest.fail(message, pytrace=False)
            pytest.skip(message)
        self.port, self.healthy = port, healthy
        self._command = [binary, *command[1:]]
        self._log = folder / "log"
        self.process: Optional[subprocess.Popen[bytes]] = None

    def start(self, wait: bool = True) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        if wait:
            until(f"{self._command[0]} answers", self.answers)

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text(errors="replace")[-2000:]
        try:
            return ask(self.port, "GET", self.healthy)[0] in (200, 204)
        except OSError:
            return False

    def flush(self) -> None:
        """What VictoriaMetrics got is seen now. Before its first point is, a question costs 10 s: that nothing
        was found is remembered for so long."""
        ask(self.port, "GET", "/internal/force_flush")

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(how)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
            self.process = None


def ask(port: int, method: str, path: str, body: Any = None, headers: Any = None) -> Any:
    """(status, body) of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextlib.contextmanager
def influx(folder: Path, auth: bool = False, tls: str = "") -> Iterator[Server]:
    """InfluxDB 1.x. tls: lines of its [http] section; it is then not waited for."""
    port = free_port()
    config = folder / "influx.conf"
    config.write_text(
        _INFLUX.format(rpc=free_port(), port=port, folder=folder, auth="true" if auth else "false", tls=tls)
    )
    yield from _running(Server(["influxd", "-config", str(config)], port, "/ping", folder), not tls)


@contextlib.contextmanager
def victoria(folder: Path, *options: str) -> Iterator[Server]:
    """VictoriaMetrics, one node. Points are seen at once, and kept for 14 months."""
    port = free_port()
    command = [
        "victoria-metrics", f"-storageDataPath={folder}/data", f"-httpListenAddr=127.0.0.1:{port}",
        "-search.latencyOffset=0s", "-retentionPeriod=14", *options,
    ]  # fmt: skip
    yield from _running(Server(command, port, "/health", folder))


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[Server]:
    """Prometheus that takes remote writes."""
    port = free_port()
    config = folder / "prometheus.yml"
    config.write_text("{}\n")
    command = [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver",
    ]  # fmt: skip
    yield from _running(Server(command, port, "/-/ready", folder))


def _running(server: Server, wait: bool = True) -> Iterator[Server]:
    try:
        server.start(wait)
        yield server
    finally:
        server.stop()
