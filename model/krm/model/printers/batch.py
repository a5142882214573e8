"""The columns of batch: jobs."""

from __future__ import annotations

from typing import Dict, List

from krm.model import times
from krm.model.cells import (
    Cell,
    Object,
    Printer,
    age,
    condition,
    images,
    layout,
    name_of,
    parts,
    selector,
    since,
    template,
)
from krm.model.reading import integer, mapping


def _job(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    began, ended = times.known(status.get("startTime")), times.known(status.get("completionTime"))
    took = "" if began is None else since(began, now if ended is None else ended)
    state, done = _job_status(obj, status), _completions(spec, status)
    chosen = selector(mapping(spec.get("selector")))
    return [name_of(obj), state, done, took, age(obj, now), *images(template(spec)), chosen]


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


PRINTERS: Dict[str, Printer] = {
    "jobs.batch": Printer(layout("Name|Status|Completions|Duration|Age|*Containers|*Images|*Selector"), _job),
}
