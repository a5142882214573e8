"""krm's agent as a process of the machine, and what it serves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from http.client import HTTPConnection
from typing import Any, Optional

import deployed
from inside import cgroup, systemd_path, wait_until

POD_UID, CONTAINER_ID = "0a9e0000-0000-4000-8000-000000000001", "ae" * 32
START_SECONDS = 120.0  # of a Python that is emulated, on a host that has other things to do
PAUSE = 0.2  # seconds between two questions
STOP_SECONDS = 10.0


class Agent:
    """`python -m krm.agent` with these options: as a service of the machine, or as it is deployed, in a pod."""

    def __init__(self, port: int, *options: str, as_pod: bool = False) -> None:
        self._port = port
        command = [sys.executable, "-m", "krm.agent", "--port", str(port), *options]
        folder = cgroup("/system.slice/krm-agent.service")
        if as_pod:
            folder = cgroup(systemd_path("burstable", POD_UID, f"cri-containerd-{CONTAINER_ID}"))
            command += ["--procfs", deployed.PROCFS, "--cgroupfs", deployed.CGROUPFS]
            command = [sys.executable, deployed.__file__, *command]

        def enter() -> None:
            (folder / "cgroup.procs").write_text("0")

        # Its words are the machine's console.
        self._process = subprocess.Popen(command, preexec_fn=enter, env={**os.environ, "NODE_NAME": "vm"})

    def wait_ready(self) -> float:
        """Until its first turn; seconds."""
        return wait_until(lambda: self.document("/v1/node"), "the agent's first turn", START_SECONDS, PAUSE)

    def document(self, path: str) -> Optional[Any]:
        """None: it has none yet."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the agent ended with {self._process.returncode}")
        connection = HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except ConnectionRefusedError:
            return None
        finally:
            connection.close()
        return json.loads(body) if answer.status == 200 else None

    def next_document(self, path: str) -> Any:
        """One of a turn that began after this was called: the second that comes, at the latest."""
        times = {time.time()}
        found: Any = None

        def newer() -> bool:
            nonlocal found
            found = self.document(path)
            if found is not None and found["time"] > max(times):
                times.add(found["time"])
            return len(times) == 3

        wait_until(newer, f"a new {path}", START_SECONDS, PAUSE)
        return found

    def stop(self) -> int:
        """SIGTERM; how it ended."""
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)
