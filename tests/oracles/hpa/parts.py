"""What scenarios are made of: pods, numbers, the specs of HPAs."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

Json = Dict[str, Any]
OLD = 3600.0  # seconds: a pod that started so long ago has left every period of initialisation


class Turns(NamedTuple):
    """Some turns of the controller with the same numbers; what is None stays as it was."""

    numbers: Json
    turns: int = 1
    replicas: Optional[int] = None  # spec.replicas of the target, set before them
    status_replicas: Optional[int] = None
    pods: Optional[Sequence[Json]] = None  # new ones, made before them
    hpa: Optional[Json] = None  # merged into its spec before them


class Scenario(NamedTuple):
    name: str
    hpa: Json  # its spec, without the target
    pods: Sequence[Json]
    phases: Sequence[Turns]
    replicas: int
    status_replicas: int
    settings: str = "default"  # default or short: which flags the controller has
    silent: bool = False  # no metric is asked for
    rivals: int = 0  # other HPAs of the same target


def pod(
    name: str,
    cpu: Optional[str] = "100m",
    memory: Optional[str] = "100Mi",
    phase: str = "Running",
    ready: Optional[bool] = True,
    started: Optional[float] = OLD,
    changed: Optional[float] = None,
    deleted: bool = False,
    more: Optional[Json] = None,
    pod_level: Optional[Json] = None,
    sidecars: Optional[Json] = None,
) -> Json:
    """started, changed: seconds ago. more: requests of further containers by name."""
    requests = {name: value for name, value in (("cpu", cpu), ("memory", memory)) if value is not None}
    return {
        "name": name,
        "containers": {"app": requests, **(more or {})},
        "phase": phase,
        "ready": ready,
        "started": started,
        "changed": started if changed is None else changed,
        "deleted": deleted,
        "pod_level": pod_level,
        "sidecars": sidecars or {},
    }


def many(count: int, first: int = 0, **given: Any) -> List[Json]:
    return [pod(f"p{number}", **given) for number in range(first, first + count)]


def use(values: Sequence[Optional[str]], resource: str = "cpu", **given: Any) -> Json:
    """PodMetrics of p0, p1 ...; None = that pod has none."""
    return {
        "resource": {
            f"p{number}": {"use": {"app": {resource: value}}, **given}
            for number, value in enumerate(values)
            if value is not None
        }
    }


def per_pod(values: Sequence[Optional[str]], name: str = "rps") -> Json:
    return {"pods": {name: {f"p{number}": value for number, value in enumerate(values) if value is not None}}}


def resource(target: int, name: str = "cpu") -> Json:
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": target}},
    }


def raw(target: str, name: str = "cpu") -> Json:
    return {
        "type": "Resource",
        "resource": {"name": name, "target": {"type": "AverageValue", "averageValue": target}},
    }


def container(target: int, name: str = "app", of: str = "cpu") -> Json:
    return {
        "type": "ContainerResource",
        "containerResource": {
            "name": of,
            "container": name,
            "target": {"type": "Utilization", "averageUtilization": target},
        },
    }


def pods_metric(target: str, name: str = "rps") -> Json:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": target}},
    }


def object_metric(target: str, name: str = "hits", average: bool = False) -> Json:
    kind, field = ("AverageValue", "averageValue") if average else ("Value", "value")
    return {
        "type": "Object",
        "object": {
            "describedObject": {"kind": "Service", "apiVersion": "v1", "name": "front"},
            "metric": {"name": name},
            "target": {"type": kind, field: target},
        },
    }


def external(target: str, name: str = "queue", average: bool = False, labels: Optional[Json] = None) -> Json:
    kind, field = ("AverageValue", "averageValue") if average else ("Value", "value")
    metric: Json = {"name": name, **({"selector": {"matchLabels": labels}} if labels else {})}
    return {"type": "External", "external": {"metric": metric, "target": {"type": kind, field: target}}}


def spec(*metrics: Json, least: int = 1, most: int = 100, behavior: Optional[Json] = None) -> Json:
    found: Json = {"minReplicas": least, "maxReplicas": most, "metrics": list(metrics)}
    return {**found, **({"behavior": behavior} if behavior is not None else {})}


def one(
    name: str, hpa: Json, pods: Sequence[Json], numbers: Json, replicas: Optional[int] = None, **more: Any
) -> Scenario:
    """Of a single turn."""
    count = len(pods) if replicas is None else replicas
    status = more.pop("status_replicas", count)
    return Scenario(name, hpa, pods, (Turns(numbers),), count, status, **more)


def rules(
    window: Optional[int] = None, select: str = "", tolerance: str = "", *policies: Tuple[str, int, int]
) -> Json:
    found: Json = {} if window is None else {"stabilizationWindowSeconds": window}
    if select:
        found["selectPolicy"] = select
    if tolerance:
        found["tolerance"] = tolerance
    if policies:
        found["policies"] = [
            {"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies
        ]
    return found


NOW_DOWN = {"scaleDown": {"stabilizationWindowSeconds": 0}}
YOUNG = {"started": 60.0, "changed": 40.0}  # within the initialisation period
FRESH: Dict[str, Any] = {"age": 1, "window": 15}  # a sample that began after that pod became ready
