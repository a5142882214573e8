"""The columns of batch."""

from __future__ import annotations

from typing import Dict, List

from krm.model import times
from krm.model.cells import (
    NONE,
    UNSET,
    Cell,
    Object,
    Printer,
    age,
    condition,
    given,
    images,
    layout,
    name_of,
    parts,
    selector,
    since,
    template,
)
from krm.model.reading import integer, mapping, rows, text


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


def _cron_job(obj: Object, now: float) -> List[Cell]:
    spec, status = parts(obj)
    last, suspended = status.get("lastScheduleTime"), spec.get("suspend")
    job = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return [
        name_of(obj),
        text(spec.get("schedule")),
        given(spec.get("timeZone"), NONE),
        str(suspended) if isinstance(suspended, bool) else UNSET,
        len(rows(status.get("active"))),
        NONE if last is None else since(times.known(last), now),
        age(obj, now),
        *images(template(job)),
        selector(mapping(job.get("selector"))),
    ]


_TEMPLATE = "*Containers|*Images|*Selector"
PRINTERS: Dict[str, Printer] = {
    "cronjobs.batch": Printer(
        layout("Name|Schedule|Timezone|Suspend:boolean|Active:integer|Last Schedule|Age|" + _TEMPLATE), _cron_job
    ),
    "jobs.batch": Printer(layout("Name|Status|Completions|Duration|Age|" + _TEMPLATE), _job),
}
