"""The columns of the core group's smaller kinds: what they hold and how much, and templates of pods."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import (
    CREATED,
    PLAIN,
    Cell,
    Object,
    Printer,
    age,
    images,
    layout,
    name_of,
    pairs,
    parts,
    template,
)
from krm.model.reading import integer, mapping, text


def _namespace(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), text(mapping(obj.get("status")).get("phase")), age(obj, now)]


def _config_map(obj: Object, now: float) -> List[Cell]:
    return [name_of(obj), len(mapping(obj.get("data"))) + len(mapping(obj.get("binaryData"))), age(obj, now)]


def _quota(obj: Object, now: float) -> List[Cell]:
    _, status = parts(obj)
    hard, used = mapping(status.get("hard")), mapping(status.get("used"))
    terms: Dict[bool, List[str]] = {False: [], True: []}  # by whether it is a limit
    for name in sorted(hard):
        terms[name.startswith("limits.")].append("%s: %s/%s" % (name, used.get(name, "0"), hard[name]))
    return [name_of(obj), ", ".join(terms[False]), ", ".join(terms[True]), age(obj, now)]


def _pod_template(obj: Object, _now: float) -> List[Cell]:
    labels = mapping(mapping(obj.get("template")).get("metadata")).get("labels")
    return [name_of(obj), *images(template(obj)), pairs(labels)]


def _replication_controller(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    counts = [integer(spec.get("replicas")), integer(status.get("replicas")), integer(status.get("readyReplicas"))]
    return [name_of(obj), *counts, age(obj, now), *images(template(spec)), pairs(spec.get("selector"))]


PRINTERS: Dict[str, Printer] = {
    "configmaps": Printer(layout("Name|Data|Age"), _config_map),
    "limitranges": CREATED,
    "namespaces": Printer(layout("Name|Status|Age"), _namespace),
    "podtemplates": Printer(layout("Name|Containers|Images|Pod Labels"), _pod_template),
    "replicationcontrollers": Printer(
        layout("Name|Desired:integer|Current:integer|Ready:integer|Age|*Containers|*Images|*Selector"),
        _replication_controller,
    ),
    "resourcequotas": Printer(layout("Name|Request|Limit|Age"), _quota),
    "serviceaccounts": PLAIN,
}
