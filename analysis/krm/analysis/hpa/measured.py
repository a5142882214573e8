"""What the metrics APIs would tell of one metric now: made of krm's own numbers, else of the HPA's status. Pure."""

from __future__ import annotations

from math import ceil
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.names import Named, named
from krm.analysis.hpa.pods import name_of
from krm.analysis.hpa.reported import PodValue, Reported
from krm.analysis.hpa.spec import CONTAINER_RESOURCE, EXTERNAL, FIELDS, OBJECT, PODS, RESOURCE, MetricSpec, milli
from krm.analysis.inputs import Body, Newest, Reading
from krm.model.measures import CONTAINER, POD
from krm.model.quantities import BadQuantity
from krm.model.reading import mapping, rows, text

# Resource -> series, and thousandths of the resource's unit in one of the series'.
RESOURCES: Mapping[str, Tuple[str, int]] = {"cpu": ("cpu/usage_rate", 1), "memory": ("memory/working_set", 1000)}
OWN, STATUS, NONE = "krm's own measurements", "the HPA's own status", ""


class Source(NamedTuple):
    """What was told, and by whom."""

    reported: Reported
    source: str  # OWN, STATUS, NONE


def series_of(metrics: Sequence[MetricSpec]) -> List[str]:
    """The series that these metrics are, of those that krm has."""
    found = []
    for one in metrics:
        if one.type in (RESOURCE, CONTAINER_RESOURCE):
            found += [RESOURCES[one.name][0]] if one.name in RESOURCES else []
        else:
            known = named(one.name)
            found += [known.source] if known is not None else []
    return sorted(set(found))


def told(
    spec: MetricSpec, pods: Sequence[Body], newest: Newest, status: Mapping[str, Any], replicas: int
) -> Source:
    """status: the HPA's. replicas: status.replicas of the target's scale."""
    own = _own(spec, pods, newest)
    if own is not None:
        return Source(own, OWN)
    found = _of_status(spec, pods, status, replicas)
    if found is not None:
        return Source(found, STATUS)
    return Source(Reported(error=f"krm does not know {spec.label}, and the HPA tells of no value"), NONE)


def _own(spec: MetricSpec, pods: Sequence[Body], newest: Newest) -> Optional[Reported]:
    if spec.type in (RESOURCE, CONTAINER_RESOURCE):
        values = _resource(spec, pods, newest.readings.get(CONTAINER, ()))
    elif spec.type == PODS:
        values = _series(named(spec.name), pods, newest.readings.get(POD, ()))
    else:
        return None  # whose pods an object's or external metric is of, its adapter knows
    return Reported(pods=values) if values else None


def _resource(spec: MetricSpec, pods: Sequence[Body], readings: Sequence[Reading]) -> Dict[str, PodValue]:
    """Of pods of which each container that runs has a value."""
    series, scale = RESOURCES.get(spec.name, ("", 0))
    by_pod: Dict[Tuple[str, str], Dict[str, Reading]] = {}
    for one in readings:
        by_pod.setdefault((one.subject.namespace, one.subject.pod), {})[one.subject.container] = one
    found: Dict[str, PodValue] = {}
    for pod in pods:
        key = (text(mapping(pod.get("metadata")).get("namespace")), name_of(pod))
        held = by_pod.get(key, {})
        wanted = [spec.container] if spec.container else sorted({*_running(pod), *held})
        parts = [held[name] for name in wanted if name in held and series in held[name].values]
        if parts and len(parts) == len(wanted):
            # The API has billionths of a core, which are rounded up one by one.
            total = sum(ceil(round(one.values[series] * scale * 1e6) / 1e6) for one in parts)
            earliest = min(parts, key=lambda one: one.at or 0.0)
            found[key[1]] = PodValue(total, earliest.at, earliest.window or 0.0)
    return found


def _running(pod: Body) -> List[str]:
    status = mapping(pod.get("status"))
    told_of = rows(status.get("containerStatuses")) + rows(status.get("initContainerStatuses"))
    return [text(one.get("name")) for one in told_of if "running" in mapping(one.get("state"))]


def _series(known: Optional[Named], pods: Sequence[Body], readings: Sequence[Reading]) -> Dict[str, PodValue]:
    names = {(text(mapping(pod.get("metadata")).get("namespace")), name_of(pod)) for pod in pods}
    found: Dict[str, PodValue] = {}
    for one in readings if known is not None else ():
        if known is not None and (one.subject.namespace, one.subject.pod) in names and known.source in one.values:
            value = one.values[known.source] * known.scale
            found[one.subject.pod] = PodValue(ceil(round(value * 1e6) / 1e3), one.at)
    return found


def _of_status(
    spec: MetricSpec, pods: Sequence[Body], status: Mapping[str, Any], replicas: int
) -> Optional[Reported]:
    """As if every pod had the average that the HPA tells of."""
    current = current_of(spec, status)
    try:
        average, value = (current.get(name) for name in ("averageValue", "value"))
        if spec.type == EXTERNAL and value is not None:
            return Reported(values=(milli(value),))
        if spec.type == OBJECT and value is not None:
            return Reported(value=milli(value))
        if average is None:
            return None
        if spec.type == EXTERNAL:
            return Reported(values=(milli(average) * replicas,))
        if spec.type == OBJECT:
            return Reported(value=milli(average) * replicas)
        return Reported(pods={name_of(pod): PodValue(milli(average)) for pod in pods})
    except BadQuantity:
        return None


def current_of(spec: MetricSpec, status: Mapping[str, Any]) -> Mapping[str, Any]:
    """What status.currentMetrics tells of this metric; {} = nothing."""
    field = FIELDS.get(spec.type, "")
    for one in rows(status.get("currentMetrics")):
        body = mapping(one.get(field))
        name = text(body.get("name")) or text(mapping(body.get("metric")).get("name"))
        if one.get("type") == spec.type and name == spec.name and text(body.get("container")) == spec.container:
            return mapping(body.get("current"))
    return {}
