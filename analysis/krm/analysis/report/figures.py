"""What pods together request, may use and use: sums that are never of less than they say. Pure."""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Inputs
from krm.analysis.limits.efficiency import METRICS, WORKLOAD, Efficiency, efficiency, used_now
from krm.analysis.limits.pods import Holder, Place, in_units
from krm.analysis.report.rows import Together
from krm.model.measures import CONTAINER, NAMESPACE, Covers
from krm.model.podresources import LIMITS, REQUESTS


class Measured(NamedTuple):
    """Metric -> what each container uses of it; who is not measured is not in it."""

    now: Mapping[str, Mapping[Place, float]]
    means: Mapping[str, Mapping[Place, float]]
    peaks: Mapping[str, Mapping[Place, float]]
    # (workload, resource) -> its efficiency over the window where there is a past, else now; '' = of all workloads
    rated: Mapping[Tuple[str, str], Efficiency]


def measured_of(inputs: Inputs, held: Sequence[Holder]) -> Measured:
    """Of the pods that there are now: a name that another pod had before is not its."""
    uids = {(one.namespace, one.name): one.uid for one in held}
    means: Dict[str, Dict[Place, float]] = {}
    peaks: Dict[str, Dict[Place, float]] = {}
    for metric in METRICS.values():
        mean, peak = means.setdefault(metric, {}), peaks.setdefault(metric, {})
        for one in inputs.history.sums(metric, CONTAINER):
            subject = one.subject
            if subject.uid and subject.uid != uids.get((subject.namespace, subject.pod)):
                continue
            place = (subject.namespace, subject.pod, subject.container)
            mean[place], peak[place] = one.mean, one.maximum
    now = used_now(inputs.newest)
    use = {metric: means[metric] or now[metric] for metric in METRICS.values()}
    rated = {
        ("" if row.level == NAMESPACE else row.name, row.resource): row
        for row in efficiency(held, use)
        if row.level in (WORKLOAD, NAMESPACE)
    }
    return Measured(now, means, peaks, rated)


def together(members: Sequence[Holder], workload: str, resource: str, measured: Measured) -> Together:
    """Of those that are bound to a node: the others hold nothing yet. workload: whose they are, '' = all."""
    metric = METRICS[resource]
    bound = [one for one in members if one.node]
    means, peaks, now = (of[metric] for of in (measured.means, measured.peaks, measured.now))
    lasting = [(one, row) for one in bound for row in one.lasting()]
    places = [(one.namespace, one.name, row.name) for one, row in lasting]
    rated = measured.rated.get((workload, resource))
    limits = [in_units(row.in_force[LIMITS], resource) for _, row in lasting]
    known = [limit for limit in limits if limit is not None]
    near = [peaks[place] / limit for place, limit in zip(places, limits) if limit and place in peaks]
    tops = [peaks[place] for place in places if place in peaks]
    return Together(
        resource,
        _requested(bound, resource),
        sum(known) if known else None,
        sum(resource not in row.in_force[LIMITS] for _, row in lasting),
        _sum(now, places),
        _sum(means, places),
        max(tops) if tops else None,
        None if rated is None else rated.share,
        None if rated is None else rated.wasted,
        max(near) if near else None,
        Covers(0, 0, "requests") if rated is None else rated.covers,
    )


def _sum(values: Mapping[Place, float], places: Sequence[Place]) -> Optional[float]:
    found: List[float] = [values[place] for place in places if place in values]
    return sum(found) if found else None


def _requested(members: Sequence[Holder], resource: str) -> Optional[float]:
    """What the scheduler reserves for them; None where one of them cannot be read."""
    total = 0.0
    for one in members:
        held = one.resources.totals[REQUESTS]
        if resource in held:
            amount = in_units(held, resource)
            if amount is None:
                return None
            total += amount
    return total
