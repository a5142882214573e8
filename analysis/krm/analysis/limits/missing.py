"""Containers without requests or limits, and the LimitRange that would have given them one. Pure.

Containers and sidecars; init containers end. What a pod asks for as a whole (spec.resources) holds for each of its
containers. A LimitRange gives its defaults to pods that are made after it: one that is younger than a pod, or was
changed since, gives it nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.finding import HIGH, INFO, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import State
from krm.analysis.limits.pods import Holder
from krm.model import times
from krm.model.amounts import CPU, MEMORY, Amounts, Troubles, read
from krm.model.podresources import LIMITS, REQUESTS, Container
from krm.model.reading import mapping, rows, text

RULE = "missing-resources"
CPU_REQUEST, MEMORY_REQUEST, CPU_LIMIT, MEMORY_LIMIT = WANTED = (
    "cpu request", "memory request", "cpu limit", "memory limit",
)  # fmt: skip
_WHERE = {
    CPU_REQUEST: (REQUESTS, CPU), MEMORY_REQUEST: (REQUESTS, MEMORY),
    CPU_LIMIT: (LIMITS, CPU), MEMORY_LIMIT: (LIMITS, MEMORY),
}  # fmt: skip
_MOST_NAMED = 3  # pods in a sentence


@dataclass(frozen=True)
class Missing:
    """One container."""

    namespace: str
    pod: str
    container: str
    owner: str  # deployment.apps/web
    lacks: Tuple[str, ...]  # of WANTED
    would_be_given: Tuple[str, ...]  # of `lacks`: by a LimitRange of its namespace, were the pod made now
    given_by: Tuple[str, ...]  # those LimitRanges
    younger: Optional[bool]  # than the pod, all of these; None = some are, or it is not known, or there are none


class _Defaults(NamedTuple):
    name: str
    made: Optional[float]  # Unix seconds
    amounts: Dict[str, Amounts]  # by field


def missing(held: Sequence[Holder], state: State) -> List[Missing]:
    """A row a container that lacks anything, in order of names."""
    ranges = _ranges(state)
    found = []
    for holder in held:
        for container in holder.lasting():
            lacks = tuple(word for word in WANTED if not _has(holder, container, word))
            if lacks:
                found.append(_row(holder, container, lacks, ranges.get(holder.namespace, ())))
    return found


def findings(held: Sequence[Holder], state: State) -> List[Finding]:
    """One a container of a workload, however many pods it has: they are made from one template."""
    groups: Dict[Tuple[str, str, str, Tuple[str, ...]], List[Missing]] = {}
    for row in missing(held, state):
        groups.setdefault((row.namespace, row.owner, row.container, row.lacks), []).append(row)
    known = state.maybe("limitranges") is not None
    return [_finding(members, known) for _, members in sorted(groups.items())]


def _has(holder: Holder, container: Container, word: str) -> bool:
    """One that cannot be read is there: what is unknown is not missing."""
    field, resource = _WHERE[word]
    return resource in container.in_force[field] or resource in holder.whole[field]


def _ranges(state: State) -> Dict[str, List[_Defaults]]:
    found: Dict[str, List[_Defaults]] = {}
    for body in state.maybe("limitranges") or ():
        metadata = mapping(body.get("metadata"))
        name = text(metadata.get("name"))
        troubles = Troubles(f"limitrange {name}")
        amounts: Dict[str, Amounts] = {REQUESTS: {}, LIMITS: {}}
        for item in rows(mapping(body.get("spec")).get("limits")):
            if item.get("type") == "Container":
                amounts[LIMITS].update(read(item.get("default"), troubles, "default"))
                amounts[REQUESTS].update(read(item.get("defaultRequest"), troubles, "defaultRequest"))
        made = times.known(metadata.get("creationTimestamp"))
        found.setdefault(text(metadata.get("namespace")), []).append(_Defaults(name, made, amounts))
    return {namespace: sorted(each, key=lambda one: one.name) for namespace, each in found.items()}


def _row(holder: Holder, container: Container, lacks: Tuple[str, ...], ranges: Sequence[_Defaults]) -> Missing:
    givers = [one for one in ranges if any(_gives(one, word) for word in lacks)]
    ages = {one.made > holder.created for one in givers if one.made is not None and holder.created is not None}
    younger = ages.pop() if len(ages) == 1 and all(one.made is not None for one in givers) else None
    return Missing(
        holder.namespace, holder.name, container.name, str(holder.owner), lacks,
        tuple(word for word in lacks if any(_gives(one, word) for one in givers)),
        tuple(one.name for one in givers), younger,
    )  # fmt: skip


def _gives(one: _Defaults, word: str) -> bool:
    field, resource = _WHERE[word]
    return resource in one.amounts[field]


def _finding(members: Sequence[Missing], ranges_known: bool) -> Finding:
    first = members[0]
    kind, _, name = first.owner.partition("/")
    names = sorted(row.pod for row in members)
    pods = ", ".join(names[:_MOST_NAMED]) + (" and others" if len(names) > _MOST_NAMED else "")
    whom = f"{first.namespace}/{name} container {first.container}"
    count = "" if kind == "pod" else f" (pods: {len(names)}; {pods})"
    sentence = f"{whom}{count}: no {', no '.join(first.lacks)}"
    would = f"set them in {kind} {name}: without a request it counts as nothing, without a limit it may take all"
    given = next((row for row in members if row.would_be_given), None)
    if given is not None:
        why = {
            True: "it is younger than the pod",
            False: "it was there before the pod: its defaults were changed since",
            None: "which is older, it or the pod, is not known of all",
        }[given.younger]
        sentence += (
            f"; limitrange {', '.join(given.given_by)} has a default {', '.join(given.would_be_given)}, but {why}"
        )
        would = f"pods that are made now get the default: restart {kind} {name}, or {would}"
    only_cpu_limit = first.lacks == (CPU_LIMIT,)
    return Finding(
        RULE, INFO if only_cpu_limit else WARNING,
        About(kind, first.namespace, name, first.container, ", ".join(first.lacks)),
        sentence,
        (Evidence("pods whose container lacks it", float(len(names)), "count", "pod"),),
        HIGH if ranges_known else MEDIUM,
        () if ranges_known else ("LimitRanges are not known: a default may be there",),
        would,
    )  # fmt: skip
