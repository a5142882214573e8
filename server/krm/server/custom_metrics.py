"""Values of custom.metrics.k8s.io and external.metrics.k8s.io, of the newest measurements. Pure.

A value that is not known, or too old to say what is now, is not there: an HPA then does nothing, which is better
than what it does with an old number.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.names import Named
from krm.model import times
from krm.model.quantities import DECIMAL, Quantity, write
from krm.store.latest import Measured, Pod

CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"
VERSIONS: Mapping[str, Tuple[str, ...]] = {CUSTOM: ("v1beta2", "v1beta1"), EXTERNAL: ("v1beta1",)}
LIST_KINDS: Mapping[str, str] = {CUSTOM: "MetricValueList", EXTERNAL: "ExternalMetricValueList"}
_MOST = 2**63 / 1000  # what an int64 of thousandths holds


class Value(NamedTuple):
    """In the name's unit."""

    value: float
    at: float  # Unix seconds, by the source's clock; of several the oldest
    window: float  # seconds; 0 = an instant


def of_pod(pod: Pod, named: Named, oldest: float) -> Optional[Value]:
    """Of one pod. None: not known, or nothing newer than `oldest` (Unix seconds)."""
    own = _best(pod.measured, named)
    if own is not None:
        return _fresh([own], named, oldest)
    if not pod.containers or pod.lacks:
        return None
    parts = [_best(rows, named) for rows in pod.containers.values()]
    known = [one for one in parts if one is not None]
    # Of a sum over containers each is needed; the pause container and the like tell nothing and are not listed.
    return _fresh(known, named, oldest) if known and len(known) == len(parts) else None


def together(values: Sequence[Value], named: Named) -> Optional[Value]:
    """The sum of several, or their largest where a sum says nothing; None of none."""
    if not values:
        return None
    numbers = [one.value for one in values]
    total = sum(numbers) if named.metric.adds_up else max(numbers)
    oldest = min(values, key=lambda one: one.at)
    return Value(total, oldest.at, oldest.window)


def _best(rows: Sequence[Measured], named: Named) -> Optional[Measured]:
    """From the first of the metric's sources that has it."""
    found = [row for row in rows if named.source in row.values and not row.resource_id]
    sources = {source: place for place, source in enumerate(named.metric.sources)}
    return min(found, key=lambda row: sources.get(row.source, len(sources)), default=None)


def _fresh(rows: Sequence[Measured], named: Named, oldest: float) -> Optional[Value]:
    values = [Value(row.values[named.source] * named.scale, row.at, row.window) for row in rows]
    if any(not math.isfinite(one.value) or abs(one.value) > _MOST or not one.at >= oldest for one in values):
        return None
    return together(values, named)


def quantity(value: float) -> str:
    """As Kubernetes writes it: `12500m`; not finer than 1u, which no HPA sees."""
    return write(Quantity(Fraction(round(value * 10**6), 10**6), DECIMAL))


def metric_value(version: str, described: Mapping[str, str], named: Named, found: Value) -> Dict[str, Any]:
    """A MetricValue of custom.metrics.k8s.io."""
    head: Dict[str, Any] = {"describedObject": described}
    window = max(0, round(found.window))
    if version == "v1beta1":
        head["metricName"] = named.name
    else:
        head["metric"] = {"name": named.name, "selector": None}
    head["timestamp"] = times.write(math.floor(found.at))
    head["window" if version == "v1beta1" else "windowSeconds"] = window
    head["value"] = quantity(found.value)
    return {**head, "selector": None} if version == "v1beta1" else head


def external_value(named: Named, found: Value) -> Dict[str, Any]:
    """An ExternalMetricValue."""
    return {
        "metricName": named.name, "metricLabels": {}, "timestamp": times.write(math.floor(found.at)),
        "window": max(0, round(found.window)), "value": quantity(found.value),
    }  # fmt: skip


def value_list(group: str, version: str, items: List[Dict[str, Any]]) -> Dict[str, Any]:
    return {"kind": LIST_KINDS[group], "apiVersion": f"{group}/{version}", "metadata": {}, "items": items}
