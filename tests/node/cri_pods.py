"""Pods made straight at a CRI, as a kubelet makes them: for tests that need a runtime and no control plane.

It changes things, which the agent's own client cannot.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple, Union

from krm.agent.runtime.http2 import Connection
from krm.agent.runtime.protobuf import Message, written
from krm.agent.runtime.unix_socket import connect
from node import image

SECONDS = 60.0  # of one call
POD, CONTAINER, NODE = 0, 1, 2  # NamespaceMode

Fields = Sequence[Tuple[int, Union[int, str, bytes]]]


class CriPods:
    """`parent`: the cgroup that pods lie in, as a kubelet's kubepods."""

    def __init__(self, socket: Path, parent: str) -> None:
        self._socket, self._parent = socket, parent
        self._configs: Dict[str, bytes] = {}

    def sandbox(self, namespace: str, name: str, uid: str) -> str:
        """A pod of the host's network without containers; the sandbox's id."""
        metadata = written([(1, name), (2, uid), (3, namespace)])
        labels = {"io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.name": name}
        labels["io.kubernetes.pod.uid"] = uid
        security = written([(1, written([(1, NODE), (2, CONTAINER)]))])
        linux = written([(1, f"{self._parent}/burstable/pod{uid}"), (2, security)])
        config = written([(1, metadata), *_map(6, labels), (8, linux)])
        sandbox = self._call("RunPodSandbox", [(1, config)]).text(1)
        self._configs[sandbox] = config
        return sandbox

    def container(self, sandbox: str, name: str, script: str, memory: int = 0, cpu: float = 0.0) -> str:
        """A container that runs `script` in a shell; its id. memory: limit in bytes; cpu: in cores; 0 = none."""
        metadata = Message(self._configs[sandbox]).texts(6)
        limits: List[Tuple[int, int]] = [(4, memory)] if memory else []
        limits += [(1, 100_000), (2, int(cpu * 100_000))] if cpu else []
        namespaces = written([(3, written([(1, NODE), (2, CONTAINER)]))])
        config = written(
            [
                (1, written([(1, name)])),
                (2, written([(1, image.NAME)])),
                *((3, word) for word in ("sh", "-c", script)),
                *_map(9, {**metadata, "io.kubernetes.container.name": name}),
                (15, written([(1, written(limits)), (2, namespaces)])),
            ]
        )
        made = self._call("CreateContainer", [(1, sandbox), (2, config), (3, self._configs[sandbox])]).text(1)
        self._call("StartContainer", [(1, made)])
        return made

    def remove(self) -> None:
        """All of them, with their containers."""
        for sandbox in list(self._configs):
            self._call("StopPodSandbox", [(1, sandbox)])
            self._call("RemovePodSandbox", [(1, sandbox)])
            del self._configs[sandbox]

    def _call(self, method: str, request: Fields) -> Message:
        deadline = time.monotonic() + SECONDS
        connection = Connection(connect(str(self._socket), deadline))
        try:
            return Message(connection.unary(f"/runtime.v1.RuntimeService/{method}", written(request), deadline))
        finally:
            connection.close()


def _map(number: int, entries: Mapping[str, str]) -> List[Tuple[int, bytes]]:
    return [(number, written([(1, key), (2, value)])) for key, value in entries.items()]
