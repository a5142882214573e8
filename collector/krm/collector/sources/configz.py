"""A kubelet's /configz: by what it evicts, and how many pods it takes. No numbers of use: what it read is `came`.

Right: get on nodes/configz, which kubelets ask for from Kubernetes 1.33 on; before that they ask for nodes/proxy,
which krm never has, and the answer is 403: then analysis goes by the documented defaults, and says so.
"""

from __future__ import annotations

import threading
from typing import Dict, List

from krm.cluster.endpoints import TIMEOUT, Endpoints
from krm.collector.source import NoData, Target
from krm.collector.sources.asking import body_of, decoded
from krm.model.kubelets import NodeKubelet, config_of
from krm.model.measures import Sample

NAME = "kubelet/configz"
PATH = "/configz"
MOST = 1024 * 1024  # bytes; it has about 4 KiB
EVERY = 600.0  # seconds: it changes with a restart of the kubelet


class Configz:
    """A Source that gives no samples. Threads may call it at once."""

    name = NAME

    def __init__(self, door: Endpoints, timeout: float = TIMEOUT) -> None:
        self._door, self._timeout = door, timeout
        self._lock = threading.Lock()
        self._came: Dict[str, NodeKubelet] = {}

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """Raises NoData."""
        config = config_of(decoded(body_of(self._door, target, PATH, MOST, self._timeout)))
        if config is None:
            raise NoData(f"{target.name}: {PATH} has no kubeletconfig: is it a kubelet's address?")
        with self._lock:
            self._came[target.node] = NodeKubelet(target.node, config, now)
        return []

    def came(self) -> Dict[str, NodeKubelet]:
        """What each node's kubelet said since the last call."""
        with self._lock:
            came, self._came = self._came, {}
            return came
