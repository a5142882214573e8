"""The columns of what runs pods: deployments, replicasets, statefulsets, daemonsets, jobs."""

from __future__ import annotations

from typing import Any, Dict, List

from krm.model import times
from krm.model.cells import Cell, Object, Printer, age, condition, layout, name_of, pairs, parts, selector, since
from krm.model.reading import integer, mapping, rows, text


def _containers(spec: Object) -> List[Object]:
    return rows(mapping(mapping(spec.get("template")).get("spec")).get("containers"))


def _template(obj: Object) -> List[Cell]:
    """Containers, images and selector."""
    spec, _ = parts(obj)
    found = _containers(spec)
    named = ",".join([text(one.get("name")) for one in found]), ",".join([text(one.get("image")) for one in found])
    return [*named, selector(mapping(spec.get("selector")))]


def _deployment(obj: Object, now: float) -> List[Cell]:
    facts = _typed_deployment(obj)
    return [
        name_of(obj),
        "%d/%d" % (facts["ready"], facts["replicas"]),
        facts["updated"],
        facts["available"],
        age(obj, now),
        *_template(obj),
    ]


def _typed_deployment(obj: Object) -> Dict[str, Any]:
    spec, status = parts(obj)
    containers = _containers(spec)
    return {
        "ready": integer(status.get("readyReplicas")),
        "replicas": integer(spec.get("replicas")),
        "updated": integer(status.get("updatedReplicas")),
        "available": integer(status.get("availableReplicas")),
        "containers": [text(one.get("name")) for one in containers],
        "images": [text(one.get("image")) for one in containers],
    }


def _replicaset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    counts = [integer(spec.get("replicas")), integer(status.get("replicas")), integer(status.get("readyReplicas"))]
    return [name_of(obj), *counts, age(obj, now), *_template(obj)]


def _statefulset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    ready = "%d/%d" % (integer(status.get("readyReplicas")), integer(spec.get("replicas")))
    return [name_of(obj), ready, age(obj, now), *_template(obj)[:2]]


_NUMBERS = (
    "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
)  # fmt: skip


def _daemonset(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    nodes = pairs(mapping(mapping(spec.get("template")).get("spec")).get("nodeSelector"))
    counts = [integer(status.get(name)) for name in _NUMBERS]
    return [name_of(obj), *counts, nodes, age(obj, now), *_template(obj)]


def _job(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    began, ended = times.known(status.get("startTime")), times.known(status.get("completionTime"))
    took = "" if began is None else since(began, now if ended is None else ended)
    state, done = _job_status(obj, status), _completions(spec, status)
    return [name_of(obj), state, done, took, age(obj, now), *_template(obj)]


def _job_status(obj: Object, status: Object) -> str:
    for word in ("Complete", "Failed"):
        if condition(status, word):
            return word
    if mapping(obj.get("metadata")).get("deletionTimestamp") is not None:
        return "Terminating"
    for word in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if condition(status, word):
            return word
    return "Running"


def _completions(spec: Object, status: Object) -> str:
    done, beside = integer(status.get("succeeded")), integer(spec.get("parallelism"))
    if spec.get("completions") is not None:
        return "%d/%d" % (done, integer(spec["completions"]))
    return "%d/1 of %d" % (done, beside) if beside > 1 else "%d/1" % done


_TEMPLATE = "*Containers|*Images|*Selector"
PRINTERS: Dict[str, Printer] = {
    "deployments.apps": Printer(
        layout("Name|Ready|Up-to-date|Available|Age|" + _TEMPLATE), _deployment, _typed_deployment
    ),
    "replicasets.apps": Printer(
        layout("Name|Desired:integer|Current:integer|Ready:integer|Age|" + _TEMPLATE), _replicaset
    ),
    "statefulsets.apps": Printer(layout("Name|Ready|Age|*Containers|*Images"), _statefulset),
    "daemonsets.apps": Printer(
        layout(
            "Name|Desired:integer|Current:integer|Ready:integer|Up-to-date:integer|Available:integer"
            "|Node Selector|Age|" + _TEMPLATE
        ),
        _daemonset,
    ),
    "jobs.batch": Printer(layout("Name|Status|Completions|Duration|Age|" + _TEMPLATE), _job),
}
