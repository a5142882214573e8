"""Which pods count for a metric, and what they request: as kube-controller-manager 1.36's HPA has it. Pure.

A pod that is being deleted or has failed is ignored. One that is pending, or of CPU not ready yet, is unready: its
value is not taken. One without a value is missing. The others count. For CPU a pod is unready while it starts
(--horizontal-pod-autoscaler-cpu-initialization-period) where it is not ready, or its sample began before it became
ready; after that only where it never was ready (--horizontal-pod-autoscaler-initial-readiness-delay).
"""

from __future__ import annotations

from math import ceil
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.reported import PodValue
from krm.analysis.hpa.spec import Settings, milli
from krm.analysis.inputs import Body
from krm.model import times
from krm.model.amounts import MILLI
from krm.model.podresources import REQUESTS, pod_resources
from krm.model.quantities import BadQuantity
from krm.model.reading import mapping, rows, text

_CPU = "cpu"
# Resources that spec.resources of a pod can name (KEP-2837).
_OF_POD = ("cpu", "memory", "hugepages-")
_LONG_AGO = float("-inf")  # Go's zero time: before everything


class Cannot(Exception):
    """There is no proposal; the text says why, in the controller's words."""


class Groups(NamedTuple):
    """The pods of a target, by name."""

    counted: Tuple[str, ...]
    unready: Tuple[str, ...]
    missing: Tuple[str, ...]
    ignored: Tuple[str, ...]


def name_of(pod: Body) -> str:
    return text(mapping(pod.get("metadata")).get("name"))


def group(pods: Sequence[Body], values: Mapping[str, PodValue], resource: str, now: float, by: Settings) -> Groups:
    """resource: cpu, memory; '' for metrics that are no resource."""
    counted: List[str] = []
    unready: List[str] = []
    missing: List[str] = []
    ignored: List[str] = []
    for pod in pods:
        name, phase = name_of(pod), text(mapping(pod.get("status")).get("phase"))
        if mapping(pod.get("metadata")).get("deletionTimestamp") is not None or phase == "Failed":
            ignored.append(name)
        elif phase == "Pending":
            unready.append(name)
        elif name not in values:
            missing.append(name)
        elif resource == _CPU and _starts(pod, values[name], now, by):
            unready.append(name)
        else:
            counted.append(name)
    return Groups(*(tuple(sorted(names)) for names in (counted, unready, missing, ignored)))


def _starts(pod: Body, value: PodValue, now: float, by: Settings) -> bool:
    ready, since = mapping(ready_condition(pod)), times.known(mapping(pod.get("status")).get("startTime"))
    if not ready or since is None:
        return True
    changed = times.known(ready.get("lastTransitionTime"))
    changed = _LONG_AGO if changed is None else changed
    is_false = ready.get("status") == "False"
    if since + by.cpu_initialization > now:
        measured = _LONG_AGO if value.at is None else value.at
        return is_false or measured < changed + value.window
    return is_false and since + by.readiness_delay > changed


def ready_condition(pod: Body) -> Optional[Mapping[str, Any]]:
    """The pod's Ready condition; None = it has none."""
    conditions = rows(mapping(pod.get("status")).get("conditions"))
    return next((one for one in conditions if one.get("type") == "Ready"), None)


def ready_count(pods: Sequence[Body]) -> int:
    """Pods that run and are ready: what object and external metrics are multiplied with."""
    if not pods:
        raise Cannot("unable to calculate ready pods: no pods returned by selector while calculating replica count")
    found = 0
    for pod in pods:
        runs = text(mapping(pod.get("status")).get("phase")) == "Running"
        found += runs and (ready_condition(pod) or {}).get("status") == "True"
    return found


def requests(pods: Sequence[Body], container: str, resource: str) -> Dict[str, int]:
    """Thousandths by pod. Raises Cannot where one of them requests none: there is no percentage then."""
    return {name_of(pod): _request(pod, container, resource) for pod in sorted(pods, key=name_of)}


def _request(pod: Body, container: str, resource: str) -> int:
    spec, name = mapping(pod.get("spec")), name_of(pod)
    of_pod = mapping(mapping(spec.get("resources")).get("requests"))
    if not container and any(one.startswith(_OF_POD) for one in of_pod):
        total = pod_resources({"metadata": pod.get("metadata"), "spec": spec}).totals[REQUESTS].get(resource)
        if total is None:
            raise Cannot(f"missing pod-level request for {resource} in Pod {name}")
        return ceil(total / MILLI)
    sidecars = [one for one in rows(spec.get("initContainers")) if one.get("restartPolicy") == "Always"]
    total = 0
    for one in rows(spec.get("containers")) + sidecars:
        own = text(one.get("name"))
        if container in ("", own):
            asked = mapping(mapping(one.get("resources")).get("requests")).get(resource)
            if asked is None:
                raise Cannot(f"missing request for {resource} in container {own} of Pod {name}")
            try:
                total += milli(asked)
            except BadQuantity as error:
                raise Cannot(f"the request of container {own} of Pod {name}: {error}") from None
        if container == own:
            return total
    if container:
        raise Cannot(f"container {container} not found in Pod {name}")
    return total
