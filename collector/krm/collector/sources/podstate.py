"""What one pod holds, as samples of source `state`. Pure: krm.model.podresources works it out."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Tuple

from krm.model.amounts import CPU, MEMORY, MILLI, NANO, STORAGE, Amounts
from krm.model.measures import Sample, Subject
from krm.model.podresources import LIMITS, REQUESTS, Held, has_ended, pod_resources
from krm.model.reading import mapping, text

SOURCE = "state"
# resource -> metrics, and how many amounts are one of their unit
_METRICS = {
    CPU: ("cpu/request", "cpu/limit", MILLI),
    MEMORY: ("memory/request", "memory/limit", NANO),
    STORAGE: ("ephemeral_storage/request", "ephemeral_storage/limit", NANO),
}
EXTENDED_REQUEST = "extended/request"


class Found(NamedTuple):
    """What one object says, without a time: it holds until the object changes."""

    values: Tuple[Tuple[Subject, Mapping[str, float]], ...]
    troubles: Tuple[str, ...] = ()  # sentences: what could not be read, and is therefore not known

    def samples(self, now: float) -> List[Sample]:
        """The same as samples at `now`, Unix seconds."""
        return [Sample(subject, now, values, SOURCE) for subject, values in self.values]


def pod_subject(pod: Dict[str, Any]) -> Subject:
    """Whom the pod's own numbers are about."""
    metadata, spec = mapping(pod.get("metadata")), mapping(pod.get("spec"))
    name, uid = text(metadata.get("name")), text(metadata.get("uid"))
    return Subject(text(metadata.get("namespace")), name, uid, "", text(spec.get("nodeName")))


def pod_state(pod: Dict[str, Any]) -> Found:
    """`pod`: the decoded object. It depends on nothing else: keep it as long as uid and resourceVersion stand."""
    if has_ended(pod):
        return Found(())
    subject, held = pod_subject(pod), pod_resources(pod)
    values = _values(subject, held.totals)
    values[0][1].update(_overhead(held.overhead))
    for one in held.containers:
        if not one.is_init or one.restartable or one.runs:
            values += _values(subject._replace(container=one.name), one.in_force)
    return Found(tuple(values), held.troubles)


def _overhead(amounts: Amounts) -> Dict[str, float]:
    """What the pod's RuntimeClass declares beyond its containers; nothing where it has none."""
    wanted = ((CPU, "overhead/cpu_request", MILLI), (MEMORY, "overhead/memory_request", NANO))
    known = ((metric, amounts.get(name), unit) for name, metric, unit in wanted)
    return {metric: amount / unit for metric, amount, unit in known if amount is not None}


def _values(subject: Subject, held: Held) -> List[Tuple[Subject, Dict[str, float]]]:
    """The subject's own values, and one more subject for each extended resource."""
    own: Dict[str, float] = {}
    requests, limits = held[REQUESTS], held[LIMITS]
    for name, (of_request, of_limit, unit) in _METRICS.items():
        request, limit = requests.get(name, 0), limits.get(name)
        if request is not None:
            own[of_request] = request / unit
        if limit is not None:
            own[of_limit] = limit / unit
    found = [(subject, own)]
    for name, amount in requests.items():
        if name not in _METRICS and amount is not None:
            found.append((subject._replace(resource_id=name), {EXTENDED_REQUEST: amount / NANO}))
    return found
