"""Pods, and what each holds, worked out by hand: requests and limits that are in force."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

Body = Dict[str, Any]


def lists(requests: Optional[Body] = None, limits: Optional[Body] = None) -> Body:
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


def container(name: str, requests: Optional[Body] = None, limits: Optional[Body] = None, **fields: Any) -> Body:
    return {"name": name, "resources": lists(requests, limits), **fields}


def pod(name: str = "web-0", phase: str = "Running", status: Optional[Body] = None, **spec: Any) -> Body:
    metadata = {"namespace": "shop", "name": name, "uid": f"uid-{name}", "resourceVersion": "7"}
    return {
        "metadata": metadata,
        "spec": {"nodeName": "node-1", **spec},
        "status": {"phase": phase, **(status or {})},
    }


WEB = container("web", {"cpu": "100m", "memory": "64Mi"}, {"cpu": "200m", "memory": "128Mi"})
LOG = container("log", {"cpu": "50m", "memory": "32Mi"})
SIDE = {"restartPolicy": "Always"}
BURST = {"type": "PodResizePending", "status": "True"}


def resized(spec: str, actual: str, allocated: str, **status: Any) -> Body:
    """A pod whose one container was given another CPU request; its limit is the double."""
    cpu = int(spec[:-1])
    return pod(
        containers=[container("web", {"cpu": spec, "memory": "64Mi"}, {"cpu": f"{cpu * 2}m"})],
        status={
            "containerStatuses": [
                {
                    "name": "web",
                    "allocatedResources": {"cpu": allocated, "memory": "64Mi"},
                    "resources": {
                        "requests": {"cpu": actual, "memory": "64Mi"},
                        "limits": {"cpu": f"{int(actual[:-1]) * 2}m"},
                    },
                }
            ],
            **status,
        },
    )


# what it shows, the pod, then millicores and MiB: requests of CPU, memory; limits of CPU, memory (None = no limit)
TABLE_OF_PODS: List[Tuple[str, Body, Tuple[float, float, Optional[float], Optional[float]]]] = [
    ("one container", pod(containers=[WEB]), (100, 64, 200, 128)),
    ("two: limits are those that there are", pod(containers=[WEB, LOG]), (150, 96, 200, 128)),
    ("nothing asked for is 0, no limit is none", pod(containers=[container("bare")]), (0, 0, None, None)),
    (
        "an init container that asks for more",
        pod(containers=[WEB, LOG], initContainers=[container("wait", {"cpu": "1", "memory": "16Mi"})]),
        (1000, 96, 200, 128),
    ),
    (
        "init containers run one after the other: the largest counts, not the sum",
        pod(containers=[LOG], initContainers=[container("a", {"cpu": "300m"}), container("b", {"cpu": "200m"})]),
        (300, 32, None, None),
    ),
    (
        "a sidecar runs beside the containers",
        pod(containers=[WEB], initContainers=[container("mesh", {"cpu": "20m", "memory": "10Mi"}, **SIDE)]),
        (120, 74, 200, 128),
    ),
    (
        "an init container after a sidecar runs beside it: 20m + 500m > 20m + 100m",
        pod(
            containers=[WEB],
            initContainers=[
                container("mesh", {"cpu": "20m", "memory": "10Mi"}, {"memory": "20Mi"}, **SIDE),
                container("load", {"cpu": "500m"}, {"memory": "200Mi"}),
            ],
        ),
        (520, 74, 200, 220),
    ),
    (
        "an init container before a sidecar runs alone: 500m > 20m + 100m",
        pod(
            containers=[WEB],
            initContainers=[container("load", {"cpu": "500m"}), container("mesh", {"cpu": "20m"}, **SIDE)],
        ),
        (500, 64, 200, 128),
    ),
    (
        "overhead is added to requests, and to limits where there are some",
        pod(containers=[WEB, LOG], overhead={"cpu": "250m", "memory": "120Mi"}),
        (400, 216, 450, 248),
    ),
    (
        "overhead makes no limit of its own",
        pod(containers=[LOG], overhead={"cpu": "250m", "memory": "120Mi"}),
        (300, 152, None, None),
    ),
    (
        "the pod as a whole asks instead of its containers, for what it names",
        pod(containers=[WEB, LOG], resources=lists({"cpu": "1"}, {"cpu": "2", "memory": "1Gi"})),
        (1000, 96, 2000, 1024),
    ),
    (
        "... and its overhead comes on top",
        pod(containers=[WEB], resources=lists({"cpu": "1"}), overhead={"cpu": "5m"}),
        (1005, 64, 205, 128),
    ),
    ("a resize up is reserved at once", resized("500m", "100m", "100m"), (500, 64, 1000, None)),
    ("a resize down is held until it is done", resized("100m", "500m", "500m"), (500, 64, 1000, None)),
    ("what was allocated counts too", resized("100m", "100m", "300m"), (300, 64, 200, None)),
    (
        "a resize that the node cannot give is not reserved",
        resized("4000m", "100m", "100m", conditions=[{**BURST, "reason": "Infeasible"}]),
        (100, 64, 200, None),
    ),
    (
        "one that waits is",
        resized("4000m", "100m", "100m", conditions=[{**BURST, "reason": "Deferred"}]),
        (4000, 64, 8000, None),
    ),
]
