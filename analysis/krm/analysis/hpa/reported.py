"""What the metrics APIs told the controller of one metric: from their answers, or from krm's own numbers. Pure."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.hpa.spec import CONTAINER_RESOURCE, EXTERNAL, OBJECT, RESOURCE, MetricSpec, milli
from krm.model import durations, times
from krm.model.reading import mapping, rows, text

_WINDOW = 60.0  # seconds: what the controller takes where a custom metric tells of none


class PodValue(NamedTuple):
    """Of one pod."""

    value: int  # thousandths
    at: Optional[float] = None  # Unix seconds; None = the API told of none
    window: float = _WINDOW  # seconds


class Reported(NamedTuple):
    """One of the three, or an error."""

    pods: Optional[Mapping[str, PodValue]] = None  # Resource, ContainerResource, Pods: by the pod's name
    value: Optional[int] = None  # Object: thousandths
    values: Optional[Tuple[int, ...]] = None  # External: thousandths
    error: str = ""  # the API's own words


def from_api(spec: MetricSpec, code: int, body: Mapping[str, Any]) -> Reported:
    """An answer of metrics.k8s.io, custom.metrics.k8s.io or external.metrics.k8s.io, as the controller takes it."""
    api = {RESOURCE: "resource", CONTAINER_RESOURCE: "resource", EXTERNAL: "external"}.get(spec.type, "custom")
    if code >= 400:
        return Reported(error=f"unable to fetch metrics from {api} metrics API: {text(body.get('message'))}")
    items = rows(body.get("items"))
    if not items:
        return Reported(error=f"no metrics returned from {api} metrics API")
    try:
        if spec.type == EXTERNAL:
            return Reported(values=tuple(milli(one.get("value")) for one in items))
        if spec.type == OBJECT and len(items) != 1:
            return Reported(error=f"the custom metrics API server returned {len(items)} results, not exactly one")
        if spec.type == OBJECT:
            return Reported(value=milli(items[0].get("value")))
        if spec.type in (RESOURCE, CONTAINER_RESOURCE):
            return Reported(pods=_of_containers(items, spec))
        return Reported(pods=_of_pods(items))
    except ValueError as error:
        return Reported(error=f"unable to fetch metrics from {api} metrics API: {error}")


def _of_containers(items: Any, spec: MetricSpec) -> Dict[str, PodValue]:
    """A pod of which one container lacks the value is not in it."""
    found: Dict[str, PodValue] = {}
    for one in items:
        wanted = [
            mapping(each.get("usage")).get(spec.name)
            for each in rows(one.get("containers"))
            if not spec.container or each.get("name") == spec.container
        ]
        if wanted and None not in wanted:
            name = text(mapping(one.get("metadata")).get("name"))
            window = durations.parse_duration(text(one.get("window")) or "0s")
            found[name] = PodValue(sum(map(milli, wanted)), times.known(one.get("timestamp")), window)
    return found


def _of_pods(items: Any) -> Dict[str, PodValue]:
    found: Dict[str, PodValue] = {}
    for one in items:
        name = text(mapping(one.get("describedObject")).get("name"))
        seconds = one.get("windowSeconds", one.get("window"))
        window = float(seconds) if isinstance(seconds, int) else _WINDOW
        found[name] = PodValue(milli(one.get("value")), times.known(one.get("timestamp")), window)
    return found
