"""The columns of scheduling.k8s.io."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import NONE, PLAIN, Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import integer, mapping, rows, text


def _priority(obj: Object, now: float) -> List[Cell]:
    is_default = obj.get("globalDefault") is True
    return [name_of(obj), integer(obj.get("value")), is_default, age(obj, now), text(obj.get("preemptionPolicy"))]


def _pod_group(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    gang = isinstance(mapping(spec.get("schedulingPolicy")).get("gang"), dict)
    made_from = spec.get("podGroupTemplateRef")
    workload = text(mapping(mapping(made_from).get("workload")).get("workloadName"))
    return [
        name_of(obj),
        "Gang" if gang else "Basic",
        workload if isinstance(made_from, dict) else NONE,
        _group_status(status),
        age(obj, now),
    ]


def _group_status(status: Object) -> str:
    found = {one.get("type"): one for one in rows(status.get("conditions"))}
    if "DisruptionTarget" in found:
        return text(found["DisruptionTarget"].get("reason"))
    if "PodGroupScheduled" in found:
        return "Scheduled" if found["PodGroupScheduled"].get("status") == "True" else "Unschedulable"
    return "Pending"


PRINTERS: Dict[str, Printer] = {
    "podgroups.scheduling.k8s.io": Printer(layout("Name|Policy|Workload|Status|Age"), _pod_group),
    "priorityclasses.scheduling.k8s.io": Printer(
        layout("Name|Value:integer|Global-Default:boolean|Age|PreemptionPolicy"), _priority
    ),
    "workloads.scheduling.k8s.io": PLAIN,
}
