"""Records what a real containerd and a real dockerd answer to each call of the agent, for tests without them.

    cd tests && python -m node.record_runtimes agent/recorded        # as root

cri.json: method -> the message, base64; ContainerStatus of container `killed`. docker.json: path -> the answer.
Pod web-0 of namespace shop has `web` (0.2 CPU), `holding` (20 MiB), `killed` (ended by an OOM kill), and `child`
(a child of it was OOM-killed, then it ended with 3); Docker has four containers of the same names and no pod.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

from controlplane.processes import wait_until
from krm.agent.runtime import docker
from krm.agent.runtime.cri import CALLS, STATUS
from krm.agent.runtime.http2 import Connection
from krm.agent.runtime.protobuf import written
from krm.agent.runtime.unix_socket import connect
from node import runtimes
from node.runtimes import Runtimes

UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
SECONDS = 10.0
_UNUSED = ("HostConfig", "NetworkSettings", "Config", "GraphDriver", "networks", "Components", "storage_stats")
_UNUSED += ("HostnamePath", "HostsPath", "LogPath", "ResolvConfPath")


def record(running: Runtimes, folder: Path) -> None:
    pod = running.pods.sandbox("shop", "web-0", UID)
    ids = {name: running.pods.container(pod, name, *run) for name, run in runtimes.LOADS.items()}
    for name, (script, memory, cpu) in runtimes.LOADS.items():
        running.dockerd.run(name, script, *([f"--memory={memory}"] if memory else []), f"--cpus={cpu or 1}")
    wait_until(lambda: len(_exited(running)) == 2, SECONDS, "two containers ended", pause=0.2)
    (folder / "cri.json").write_text(_json(_of_cri(running, ids["killed"], ids["child"])))
    (folder / "docker.json").write_text(_json(_of_docker(running)))


def _exited(running: Runtimes) -> List[str]:
    return running.dockerd.docker("ps", "--all", "--quiet", "--filter=status=exited").split()


def _of_cri(running: Runtimes, killed: str, child: str) -> Dict[str, str]:
    found: Dict[str, str] = {}
    deadline = time.monotonic() + SECONDS
    connection = Connection(connect(str(running.containerd.socket), deadline))
    for method in CALLS:
        for name in (killed, child) if method == STATUS else ("",):
            request = written([(1, name)]) if name else b""
            answer = connection.unary(f"/runtime.v1.RuntimeService/{method}", request, deadline)
            found[f"{method} {name}".strip()] = base64.b64encode(answer).decode()
    connection.close()
    return found


def _of_docker(running: Runtimes) -> Dict[str, Any]:
    found = {docker.VERSION: _get(running, docker.VERSION)}
    found[docker.CONTAINERS] = _get(running, f"{docker.CONTAINERS}?all=true")
    for row in found[docker.CONTAINERS]:
        for call in (docker.STATS, docker.STATUS):
            path = call.replace("ID", row["Id"])
            found[path] = _get(running, f"{path}?stream=false&one-shot=true")
    return found


def _get(running: Runtimes, path: str) -> Any:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connect(str(running.dockerd.socket), time.monotonic() + SECONDS)
    connection.request("GET", path)
    return _shortened(json.loads(connection.getresponse().read()))


def _shortened(value: Any) -> Any:
    """Without what nobody reads, and without what this machine alone has."""
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if isinstance(value, dict):
        return {name: _shortened(one) for name, one in value.items() if name not in _UNUSED}
    return value


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    with runtimes.running() as everything:
        record(everything, Path(sys.argv[1]))
