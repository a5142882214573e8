"""What a namespace holds: its pods with what is in force and used, its quotas, its LimitRanges, its sums. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Inputs, Needs, Reading, of_namespace
from krm.analysis.limits.efficiency import METRICS, WORKLOAD, Efficiency, efficiency, used_now
from krm.analysis.limits.pods import Holder, holders, in_units
from krm.analysis.namespace.rows import Amount, ContainerUse, Limits, NamespaceResources, PodUse, Sums
from krm.analysis.owners import BETWEEN
from krm.analysis.quota import usage
from krm.analysis.worth import worth_of
from krm.model.amounts import CPU, MEMORY, STORAGE, Amounts, add
from krm.model.measures import CONTAINER, NAMESPACE, Covers
from krm.model.podresources import LIMITS, REQUESTS, Container, has_ended
from krm.model.podstatus import pod_status
from krm.model.reading import mapping, rows, text

# Fields of one entry of a LimitRange -> what they are called in its row.
_BOUNDS: Mapping[str, str] = {
    "min": "least", "max": "most", "default": "default_limit", "defaultRequest": "default_request",
    "maxLimitRequestRatio": "most_ratio",
}  # fmt: skip
_FIRST = (CPU, MEMORY, STORAGE)  # then the extended resources, by name
# Resource -> what is used of it, and of how many containers that is known.
Used = Mapping[str, Tuple[Optional[float], Optional[Covers]]]


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: str
    pods: bool = True
    quota: bool = True


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    of_quota = ("resourcequotas", "limitranges") if asked.quota else ()
    return Needs(
        ("pods",),
        ("namespaces", *BETWEEN.values(), *of_quota),
        newest=(CONTAINER,),
        namespace=asked.namespace,
    )


def answer(inputs: Inputs, asked: Asked) -> NamespaceResources:
    """Pure. Raises NotKnown without the pods."""
    held = holders(inputs.state, asked.namespace)
    pods = _Pods(inputs)
    quotas = None
    if asked.quota and inputs.state.maybe("resourcequotas") is not None:
        quotas = usage.answer(inputs, usage.Asked(asked.namespace))
    return NamespaceResources(
        worth_of(inputs, needs(asked)),
        () if quotas is None else quotas.findings,
        tuple(pods.row(one) for one in held) if asked.pods else (),
        asked.namespace,
        _exists(inputs, asked.namespace),
        pods.sums(held, _ended(inputs, asked.namespace)),
        _efficiency(inputs, held),
        None if quotas is None else quotas.rows,
        _limit_ranges(inputs, asked.namespace) if asked.quota else None,
        tuple(sentence for one in held for sentence in one.resources.troubles),
    )


def _exists(inputs: Inputs, namespace: str) -> Optional[bool]:
    """None where namespaces are not known."""
    bodies = inputs.state.maybe("namespaces")
    if bodies is None:
        return None
    return any(text(mapping(one.get("metadata")).get("name")) == namespace for one in bodies)


def _ended(inputs: Inputs, namespace: str) -> int:
    return sum(has_ended(dict(one)) for one in of_namespace(inputs.state.objects("pods"), namespace))


def _efficiency(inputs: Inputs, held: Sequence[Holder]) -> Tuple[Efficiency, ...]:
    """Of the workloads and of the namespace as a whole."""
    return tuple(one for one in efficiency(held, used_now(inputs.newest)) if one.level in (WORKLOAD, NAMESPACE))


class _Pods:
    """Rows of pods, with what is used of them now."""

    def __init__(self, inputs: Inputs) -> None:
        self._readings: Dict[Tuple[str, str, str], Reading] = {}
        for one in inputs.newest.readings.get(CONTAINER, ()):
            self._readings[one.subject.namespace, one.subject.pod, one.subject.container] = one

    def row(self, one: Holder) -> PodUse:
        """One pod's."""
        status = pod_status(dict(one.body))
        totals = one.resources.totals
        return PodUse(
            one.namespace, one.name, str(one.owner), one.node, status.status, status.ready, status.containers,
            status.restarts, *_amounts(totals[REQUESTS], totals[LIMITS], self._used([one])),
            tuple(self._container(one, row) for row in one.resources.containers),
        )  # fmt: skip

    def sums(self, held: Sequence[Holder], ended: int) -> Sums:
        """Of all of them."""
        requests: Amounts = {}
        limits: Amounts = {}
        for one in held:
            add(requests, one.resources.totals[REQUESTS])
            add(limits, one.resources.totals[LIMITS])
        unlimited = [
            (resource, sum(resource not in row.in_force[LIMITS] for one in held for row in _bare(one, resource)))
            for resource in METRICS
        ]
        amounts = _amounts(requests, limits, self._used(held))
        return Sums(len(held), ended, *amounts, tuple(pair for pair in unlimited if pair[1]))

    def _container(self, one: Holder, row: Container) -> ContainerUse:
        reading = self._readings.get((one.namespace, one.name, row.name))
        used = {resource: (_value(reading, metric), None) for resource, metric in METRICS.items()}
        return ContainerUse(
            row.name, row.is_init, row.restartable, row.runs,
            *_amounts(row.in_force[REQUESTS], row.in_force[LIMITS], used),
            None if reading is None else reading.at, "" if reading is None else reading.source,
        )  # fmt: skip

    def _used(self, held: Sequence[Holder]) -> Used:
        """What their containers that run use together: of those that are measured."""
        running = [(one, row.name) for one in held for row in one.resources.containers if row.runs]
        found: Dict[str, Tuple[Optional[float], Optional[Covers]]] = {}
        for resource, metric in METRICS.items():
            values = [_value(self._readings.get((one.namespace, one.name, name)), metric) for one, name in running]
            known = [value for value in values if value is not None]
            covers = Covers(len(known), len(values), "containers")
            found[resource] = (sum(known) if known else None, covers)
        return found


def _bare(one: Holder, resource: str) -> List[Container]:
    """Containers that nothing of the pod as a whole limits."""
    return [] if resource in one.whole[LIMITS] else list(one.lasting())


def _value(reading: Optional[Reading], metric: str) -> Optional[float]:
    value = None if reading is None else reading.values.get(metric)
    return None if value is None or value != value else value


def _amounts(requests: Amounts, limits: Amounts, used: Used) -> Tuple[Amount, Amount, Tuple[Amount, ...]]:
    """CPU, memory, and the others of which anything is asked for."""
    others = sorted({*requests, *limits} - set(_FIRST))
    storage = [STORAGE] if STORAGE in requests or STORAGE in limits else []
    found = []
    for resource in (CPU, MEMORY, *storage, *others):
        request = in_units(requests, resource) if resource in requests else 0.0
        now, covers = used.get(resource, (None, None))
        whole = covers is None or covers.whole  # of a part of them the share would look like less
        part = now / request if now is not None and request and whole else None
        found.append(Amount(resource, request, in_units(limits, resource), now, part, covers))
    return found[0], found[1], tuple(found[2:])


def _limit_ranges(inputs: Inputs, namespace: str) -> Optional[Tuple[Limits, ...]]:
    bodies = inputs.state.maybe("limitranges")
    if bodies is None:
        return None
    found: List[Limits] = []
    for body in of_namespace(bodies, namespace):
        name = text(mapping(body.get("metadata")).get("name"))
        for entry in rows(mapping(body.get("spec")).get("limits")):
            bounds = {called: mapping(entry.get(field)) for field, called in _BOUNDS.items()}
            for resource in sorted({one for each in bounds.values() for one in each}):
                values = {called: _written(each.get(resource)) for called, each in bounds.items()}
                found.append(Limits(name, text(entry.get("type")), resource, **values))
    return tuple(sorted(found, key=lambda one: (one.name, one.of, one.resource)))


def _written(value: Any) -> Optional[str]:
    return None if value is None else str(value)
