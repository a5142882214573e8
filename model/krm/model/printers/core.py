"""The columns of the core group's smaller kinds, and of some of others."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import CREATED, Cell, Object, Printer, age, layout, name_of, parts
from krm.model.reading import integer, mapping, text


def _namespace(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), text(mapping(obj.get("status")).get("phase")), age(obj, now)]


def _quota(obj: Object, now: float) -> List[Cell]:
    _, status = parts(obj)
    hard, used = mapping(status.get("hard")), mapping(status.get("used"))
    terms: Dict[bool, List[str]] = {False: [], True: []}  # by whether it is a limit
    for name in sorted(hard):
        terms[name.startswith("limits")].append("%s: %s/%s" % (name, used.get(name, "0"), hard[name]))
    return [name_of(obj), ", ".join(terms[False]), ", ".join(terms[True]), age(obj, now)]


def _priority(obj: Object, now: float) -> List[Cell]:
    is_default = obj.get("globalDefault") is True
    return [name_of(obj), integer(obj.get("value")), is_default, age(obj, now), text(obj.get("preemptionPolicy"))]


def _config_map(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), len(mapping(obj.get("data"))) + len(mapping(obj.get("binaryData"))), age(obj, now)]


def _lease(obj: Object, now: float) -> List[Cell]:
    spec, _ = parts(obj)
    return [name_of(obj), text(spec.get("holderIdentity")), age(obj, now)]


PRINTERS: Dict[str, Printer] = {
    "namespaces": Printer(layout("Name|Status|Age"), _namespace),
    "configmaps": Printer(layout("Name|Data|Age"), _config_map),
    "leases.coordination.k8s.io": Printer(layout("Name|Holder|Age"), _lease),
    "roles.rbac.authorization.k8s.io": CREATED,
    "clusterroles.rbac.authorization.k8s.io": CREATED,
    "resourcequotas": Printer(layout("Name|Request|Limit|Age"), _quota),
    "limitranges": CREATED,
    "customresourcedefinitions.apiextensions.k8s.io": CREATED,
    "priorityclasses.scheduling.k8s.io": Printer(
        layout("Name|Value:integer|Global-Default:boolean|Age|PreemptionPolicy"), _priority
    ),
}
