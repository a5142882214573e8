"""A namespace on paper: a Deployment whose pods used something for a day, on one node."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

from krm.analysis.inputs import Inputs, Track
from krm.analysis.owners import Owner
from paper_inputs import CPU, MEMORY, MIB, NOW, a_pod, container, inputs, owned, track

DAY = 24 * 240  # points
HASH = "5d4f8c7b9"
WEB = Owner("deployment.apps", "web")


def deployment(*containers: Dict[str, Any], replicas: int = 2, **spec: Any) -> Dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": list(containers)}}, **spec},
    }


def replica_set() -> Dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": f"web-{HASH}", "ownerReferences": owned("Deployment", "web")},
    }


def web_pods(*containers: Dict[str, Any], count: int = 2) -> List[Dict[str, Any]]:
    references = owned("ReplicaSet", f"web-{HASH}")
    return [
        a_pod(f"web-{HASH}-{number:05d}", *containers, age=86400.0, ownerReferences=references)
        for number in range(count)
    ]


def node(cpu: str = "4", memory: str = "8Gi", name: str = "n1") -> Dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "pods": "110"}},
    }


def tracks_of(metric: str, values: Sequence[float], count: int = 2) -> Dict[Any, List[Track]]:
    return {(metric, "container"): [track(values, f"web-{HASH}-{number:05d}") for number in range(count)]}


APP = container("app", {"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"})


def web(
    cpu: Sequence[float], memory: Sequence[float], app: Dict[str, Any] = APP, count: int = 2, **more: Any
) -> Inputs:
    """cpu: millicores; memory: MiB; of each pod. more: kinds, with __ for a dot."""
    kinds: Dict[str, Any] = {
        "deployments__apps": [deployment(app, replicas=count)],
        "replicasets__apps": [replica_set()],
        "nodes": [node()],
        "limitranges": [],
        "resourcequotas": [],
        "horizontalpodautoscalers__autoscaling": [],
        **more,
    }
    tracks = {**tracks_of(CPU, cpu, count), **tracks_of(MEMORY, [one * MIB for one in memory], count)}
    window, since, kills = 86400.0, NOW - 86400, kinds.pop("kills", ())
    return inputs(web_pods(app, count=count), tracks, window=window, since=since, kills=kills, **kinds)
