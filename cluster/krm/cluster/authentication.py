"""How an API server knows certificates: the ConfigMap that it publishes for servers that stand beside it.

`kube-system/extension-apiserver-authentication` holds the CA of client certificates, and the CA, the names
and the headers of the proxy that speaks for others. The role extension-apiserver-authentication-reader of
kube-system may read it.
"""

from __future__ import annotations

import json
import time
from typing import Callable, Dict, NamedTuple

from krm.cluster.errors import Malformed
from krm.cluster.requests import Cluster

NAME = "extension-apiserver-authentication"
COLLECTION = "/api/v1/namespaces/kube-system/configmaps"
TIMEOUT = 5.0  # seconds
_SLICE = 0.5  # seconds between two looks whether to stop


class Published(NamedTuple):
    """The ConfigMap's data, and its version to watch from."""

    data: Dict[str, str]
    rv: str


def read(cluster: Cluster) -> Published:
    """As it is. Raises ClusterError: Forbidden without the right, NotFound where there is none."""
    path = f"{COLLECTION}/{NAME}"
    try:
        found = json.loads(cluster.get(path, timeout=TIMEOUT))
        data, rv = found.get("data") or {}, found["metadata"]["resourceVersion"]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        data, rv = None, ""
    if not isinstance(data, dict) or not isinstance(rv, str) or not rv:
        raise Malformed(f"GET {path} gave no ConfigMap: the kubeconfig's server is no API server")
    return Published({str(key): value for key, value in data.items() if isinstance(value, str)}, rv)


def wait_for_change(cluster: Cluster, rv: str, seconds: int, stopped: Callable[[], bool]) -> None:
    """Returns when it has changed since `rv`, after `seconds`, or soon after `stopped`. Raises ClusterError."""
    query = {
        "watch": "true",
        "fieldSelector": f"metadata.name={NAME}",
        "resourceVersion": rv,
        "timeoutSeconds": str(seconds),
    }
    until = time.monotonic() + seconds
    body = cluster.stream(COLLECTION, query, TIMEOUT)
    try:
        while not body.ended and not stopped() and time.monotonic() < until:
            if body.read(_SLICE):
                return  # whatever it is, a look tells
    finally:
        body.close()
