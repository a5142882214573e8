"""Nodes on paper for findings: objects, what is measured of them now, and their past hour."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from krm.analysis.inputs import History, Inputs, Newest, Reading, State, Track, Which
from krm.analysis.nodes.signals import POINTS
from krm.model import times
from krm.model.kubelets import KubeletConfig, NodeKubelet
from krm.model.measures import Subject
from krm.model.trust import LIVE
from paper_findings import NOW, STEP, trust

MI, GI = 2.0**20, 2.0**30
HOUR = 3600.0
OWN = KubeletConfig({"memory.available": "100Mi"}, pressure_transition="5m0s", max_pods=110, enforced=())


def node(
    name: str,
    ready: str = "True",
    cordoned: bool = False,
    taints: Sequence[Mapping[str, str]] = (),
    pressure: Sequence[str] = (),
    **allocatable: str,
) -> Dict[str, Any]:
    """16 cores and 64 GiB, of which 15 and 60 GiB may be requested, but for what `allocatable` says."""
    capacity = {"cpu": "16", "memory": "64Gi", "ephemeral-storage": "100Gi", "pods": "110"}
    may = {"cpu": "15", "memory": "60Gi", "ephemeral-storage": "90Gi", "pods": "110"}
    conditions = [
        {"type": "Ready", "status": ready, "lastTransitionTime": times.write(NOW - 600), "reason": "Kubelet"}
    ]
    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure"):
        status = "Unknown" if ready == "Unknown" else str(kind in pressure)
        conditions.append({"type": kind, "status": status, "lastTransitionTime": times.write(NOW - 300)})
    spec: Dict[str, Any] = {"unschedulable": True} if cordoned else {}
    if taints:
        spec["taints"] = [dict(taint) for taint in taints]
    named = {key.replace("__", "/").replace("_", "-"): value for key, value in allocatable.items()}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": spec,
        "status": {"capacity": {**capacity, **named}, "allocatable": {**may, **named}, "conditions": conditions},
    }


def pod(
    name: str, on: str, memory: str = "", cpu: str = "", priority: int = 0, phase: str = "Running", **more: Any
) -> Dict[str, Any]:
    requests = {key: value for key, value in (("memory", memory), ("cpu", cpu)) if value}
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", **more},
        "spec": {
            "nodeName": on,
            "priority": priority,
            "containers": [{"name": "app", "resources": {"requests": requests}}],
        },
        "status": {"phase": phase},
    }


def reads_node(name: str, working_set: float, cpu: float = 1000.0, at: float = NOW - 5, **more: float) -> Reading:
    values = {"memory/working_set": working_set, "cpu/usage_rate": cpu}
    values.update({key.replace("__", "/"): value for key, value in more.items()})
    return Reading(Subject(node=name), values, at, 10.0, "kubelet/resource", "")


def reads_pod(
    name: str, node: str, working_set: float, at: float = NOW - 5, covers: str = "", **more: float
) -> Reading:
    values = {"memory/working_set": working_set}
    values.update({key.replace("__", "/"): value for key, value in more.items()})
    return Reading(Subject("shop", name, "", "", node), values, at, 10.0, "kubelet/resource", covers)


def past(
    name: str,
    metric: str,
    last: float,
    per_second: float = 0.0,
    filesystem: str = "",
    window: float = HOUR,
    gaps: Sequence[int] = (),
    end: float = NOW,
) -> Tuple[Which, Track]:
    """A straight line that ends with `last`; gaps: numbers of points, counted back from the end."""
    count = int(window // STEP)
    moments = [end - STEP * back for back in range(count - 1, -1, -1)]
    values = [last - per_second * (end - at) for at in moments]
    for back in gaps:
        values[count - 1 - back] = math.nan
    return (metric, "node"), Track(Subject(node=name, resource_id=filesystem), moments, values)


def cluster(
    nodes: Sequence[Mapping[str, Any]],
    pods: Sequence[Mapping[str, Any]],
    readings: Sequence[Reading] = (),
    tracks: Sequence[Tuple[Which, Track]] = (),
    kubelets: Optional[Mapping[str, KubeletConfig]] = None,
    states: Optional[Mapping[str, str]] = None,
    now: float = NOW,
    lacks: Sequence[str] = (),
    newest: str = LIVE,
) -> Inputs:
    kinds = {"nodes": list(nodes), "pods": list(pods)}
    by_which: Dict[Which, List[Track]] = {which: [] for which in POINTS}
    for which, track in tracks:
        by_which[which].append(track)
    levels: Dict[str, List[Reading]] = {"node": [], "pod": []}
    for reading in readings:
        levels["pod" if reading.subject.pod else "node"].append(reading)
    told = {name: NodeKubelet(name, config, now - 60) for name, config in (kubelets or {}).items()}
    return Inputs(
        now,
        "paper",
        State(kinds, {kind: trust((states or {}).get(kind, LIVE)) for kind in kinds}, {}),
        History(now - HOUR, now, by_which, None, now - 24 * HOUR, lacks),
        Newest(levels, newest),
        kubelets=told,
    )
