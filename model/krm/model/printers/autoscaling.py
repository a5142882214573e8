"""The columns of horizontalpodautoscalers, as autoscaling/v2 writes them."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model.cells import NONE, UNKNOWN, UNSET, Cell, Object, Printer, age, layout, more, name_of, parts
from krm.model.reading import integer, mapping, rows, text

_MOST = 2  # metrics that one cell shows
# Metric type -> its field.
_FIELDS = {
    "External": "external", "Pods": "pods", "Object": "object", "Resource": "resource",
    "ContainerResource": "containerResource",
}  # fmt: skip


def _autoscaler(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    about, least = mapping(spec.get("scaleTargetRef")), spec.get("minReplicas")
    return [
        name_of(obj),
        "%s/%s" % (text(about.get("kind")), text(about.get("name"))),
        _targets(rows(spec.get("metrics")), rows(status.get("currentMetrics"))),
        UNSET if least is None else str(integer(least)),
        integer(spec.get("maxReplicas")),
        integer(status.get("currentReplicas")),
        age(obj, now),
    ]


def _targets(metrics: List[Object], found: List[Object]) -> str:
    """The found ones stand in the order of the wanted ones."""
    shown = []
    for number, metric in enumerate(metrics):
        field = _FIELDS.get(text(metric.get("type")))
        if field is None:
            shown.append("<unknown type>")
            continue
        current = mapping(found[number].get(field)) if number < len(found) else {}
        shown.append(_target(field, mapping(metric.get(field)), mapping(current.get("current"))))
    return more(", ".join(shown[:_MOST]) or NONE, len(shown) - _MOST)


def _target(field: str, metric: Object, current: Object) -> str:
    target = mapping(metric.get("target"))
    averaged = target.get("averageValue") is not None
    kind = "averageValue" if averaged or field == "pods" else "value"
    plain = "%s/%s" % (current.get(kind, UNKNOWN), target.get(kind, ""))
    if field in ("resource", "containerResource"):
        plain = plain if averaged else "%s/%s" % (_percent(current, UNKNOWN), _percent(target, "<auto>"))
        return "%s: %s" % (text(metric.get("name")), plain)
    return plain + " (avg)" if averaged and field != "pods" else plain


def _percent(values: Object, absent: str) -> str:
    share: Any = values.get("averageUtilization")
    return absent if share is None else "%d%%" % integer(share)


PRINTERS: Dict[str, Printer] = {
    "horizontalpodautoscalers.autoscaling": Printer(
        layout("Name|Reference|Targets|MinPods|MaxPods|Replicas|Age"), _autoscaler
    ),
}
