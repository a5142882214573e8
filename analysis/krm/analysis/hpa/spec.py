"""What a HorizontalPodAutoscaler (autoscaling/v2) asks for, with the defaults that the API server fills in. Pure.

Values of metrics are integers in thousandths of their unit, rounded up, as the controller reckons with.
"""

from __future__ import annotations

from math import ceil
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.model import quantities
from krm.model.reading import mapping, rows, text

RESOURCE, CONTAINER_RESOURCE, PODS, OBJECT, EXTERNAL = TYPES = (
    "Resource", "ContainerResource", "Pods", "Object", "External",
)  # fmt: skip
# type -> the field of spec.metrics[] that holds it
FIELDS: Mapping[str, str] = {
    RESOURCE: "resource", CONTAINER_RESOURCE: "containerResource", PODS: "pods", OBJECT: "object",
    EXTERNAL: "external",
}  # fmt: skip
MAX, MIN, DISABLED = "Max", "Min", "Disabled"
_DEFAULT_UTILISATION = 80  # per cent of the request; where spec.metrics is empty (autoscaling/v2 defaults)


class Settings(NamedTuple):
    """Flags of kube-controller-manager, with its defaults."""

    tolerance: float = 0.1  # --horizontal-pod-autoscaler-tolerance, a share
    down_window: float = 300.0  # seconds: --horizontal-pod-autoscaler-downscale-stabilization
    cpu_initialization: float = 300.0  # seconds: --horizontal-pod-autoscaler-cpu-initialization-period
    readiness_delay: float = 30.0  # seconds: --horizontal-pod-autoscaler-initial-readiness-delay
    sync: float = 15.0  # seconds: --horizontal-pod-autoscaler-sync-period


USUAL = Settings()


class MetricSpec(NamedTuple):
    """One of spec.metrics. The targets that are not set are None."""

    type: str
    name: str  # of the resource or the metric
    container: str = ""
    selector: Mapping[str, Any] = {}  # of the metric's own labels
    object_kind: str = ""  # of an object metric
    object_api_version: str = ""
    object_name: str = ""
    target_type: str = ""
    utilization: Optional[int] = None  # per cent of the request
    average: Optional[int] = None  # thousandths, a pod
    value: Optional[int] = None  # thousandths, of all

    @property
    def label(self) -> str:
        """As people name it: `cpu of container app`, `requests_per_second`."""
        return f"{self.name} of container {self.container}" if self.container else self.name


class Policy(NamedTuple):
    """How much may change within a period."""

    type: str  # Pods, Percent
    value: int
    period: float  # seconds


class Rules(NamedTuple):
    """Of one direction."""

    policies: Tuple[Policy, ...]
    select: str  # MAX, MIN, DISABLED
    window: Optional[float]  # seconds; None = the controller's flag
    tolerance: Optional[float]  # a share; None = the controller's flag


class Spec(NamedTuple):
    """Of one HPA."""

    namespace: str
    name: str
    target_kind: str
    target_name: str
    least: int
    most: int
    metrics: Tuple[MetricSpec, ...]
    up: Optional[Rules]  # None for both where spec.behavior is absent: the older rules count
    down: Optional[Rules]
    troubles: Tuple[str, ...] = ()  # what could not be read, a sentence each

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


_UP = Rules((Policy("Pods", 4, 15.0), Policy("Percent", 100, 15.0)), MAX, 0.0, None)
_DOWN = Rules((Policy("Percent", 100, 15.0),), MAX, None, None)


def milli(value: Any) -> int:
    """A quantity in thousandths, rounded up away from 0, as Quantity.MilliValue. Raises BadQuantity."""
    exact = quantities.parse(value if isinstance(value, str) else str(value)) * 1000
    return ceil(exact) if exact >= 0 else -ceil(-exact)


def read_spec(hpa: Mapping[str, Any]) -> Spec:
    """`hpa`: the decoded object, whatever is in it."""
    metadata, spec = mapping(hpa.get("metadata")), mapping(hpa.get("spec"))
    target, behavior = mapping(spec.get("scaleTargetRef")), spec.get("behavior")
    troubles: List[str] = []
    metrics: List[MetricSpec] = []
    for one in rows(spec.get("metrics")):
        metrics.append(_metric(one, troubles))
    if not metrics:
        metrics = [MetricSpec(RESOURCE, "cpu", target_type="Utilization", utilization=_DEFAULT_UTILISATION)]
    has_rules = isinstance(behavior, dict)
    rules = mapping(behavior)
    return Spec(
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        text(target.get("kind")),
        text(target.get("name")),
        _whole(spec.get("minReplicas"), 1),
        _whole(spec.get("maxReplicas"), 0),
        tuple(metrics),
        _rules(rules.get("scaleUp"), _UP, troubles) if has_rules else None,
        _rules(rules.get("scaleDown"), _DOWN, troubles) if has_rules else None,
        tuple(troubles),
    )


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _metric(one: Dict[str, Any], troubles: List[str]) -> MetricSpec:
    type_ = text(one.get("type"))
    body = mapping(one.get(FIELDS.get(type_, "")))
    target, metric, described = (mapping(body.get(name)) for name in ("target", "metric", "describedObject"))
    name = text(body.get("name")) or text(metric.get("name"))
    utilization = target.get("averageUtilization")
    return MetricSpec(
        type_,
        name,
        text(body.get("container")),
        mapping(metric.get("selector")),
        text(described.get("kind")),
        text(described.get("apiVersion")),
        text(described.get("name")),
        text(target.get("type")),
        utilization if isinstance(utilization, int) and utilization > 0 else None,
        _target(target.get("averageValue"), name, troubles),
        _target(target.get("value"), name, troubles),
    )


def _target(value: Any, name: str, troubles: List[str]) -> Optional[int]:
    if value is None:
        return None
    try:
        found = milli(value)
    except quantities.BadQuantity as error:
        troubles.append(f"the target of {name}: {error}")
        return None
    return found if found > 0 else None  # the API server takes no other


def _rules(value: Any, default: Rules, troubles: List[str]) -> Rules:
    body = mapping(value)
    window, tolerance = body.get("stabilizationWindowSeconds"), body.get("tolerance")
    policies = tuple(
        Policy(text(one.get("type")), _whole(one.get("value"), 0), float(_whole(one.get("periodSeconds"), 0)))
        for one in rows(body.get("policies"))
    )
    share: Optional[float] = None
    if tolerance is not None:
        try:
            share = float(quantities.parse(tolerance if isinstance(tolerance, str) else str(tolerance)))
        except quantities.BadQuantity as error:
            troubles.append(f"a tolerance: {error}")
    return Rules(
        policies if isinstance(body.get("policies"), list) else default.policies,
        text(body.get("selectPolicy")) or default.select,
        float(window) if isinstance(window, int) else default.window,
        share,
    )
