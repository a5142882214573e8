"""What the pods of a target had to bear together, step by step: what an HPA's next scaling follows from.

A load (requests a second, items that wait, CPU, memory) is shared by the replicas: what it is in sum does not
change with their number. A response time is no load: nobody knows what it would be with another number. Pure.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.hpa.measured import RESOURCES
from krm.analysis.hpa.names import named
from krm.analysis.hpa.pods import Cannot, requests
from krm.analysis.hpa.spec import CONTAINER_RESOURCE, PODS, RESOURCE, MetricSpec
from krm.analysis.inputs import Body, History, Track
from krm.model.measures import CONTAINER, POD

BUCKET = 300.0  # seconds: what a trend is made of are means of these
# How names of a target's pods end: `-7d4b9c6f5-x2x9z` of a Deployment, `-x2x9z`, `-0`.
_ENDS = {
    "Deployment": r"-[a-z0-9]{1,10}-[a-z0-9]{5}",
    "ReplicaSet": r"-[a-z0-9]{5}",
    "StatefulSet": r"-[0-9]+",
}


class Load(NamedTuple):
    """Of one metric."""

    spec: MetricSpec
    each: float  # what one replica bears at the target, in thousandths
    times: Sequence[float]  # Unix seconds, the middles of BUCKETs
    values: Sequence[float]  # thousandths, all replicas together


def load_of(
    spec: MetricSpec, kind: str, target: str, namespace: str, pods: Sequence[Body], history: History
) -> Tuple[Optional[Load], str]:
    """The load, or why there is none."""
    found = _series(spec)
    if found is None:
        return None, f"the past of {spec.label} is not krm's to know"
    series, level, scale = found
    each, why = _each(spec, pods)
    if each is None:
        return None, why
    whose = re.compile(re.escape(target) + _ENDS.get(kind, r"-[a-z0-9-]+")).fullmatch
    tracks = [one for one in history.tracks(series, level) if one.subject.namespace == namespace]
    tracks = [one for one in tracks if whose(one.subject.pod) and spec.container in ("", one.subject.container)]
    if not tracks:
        return None, f"there is no history of {series} of its pods"
    times, values = _bucketed(_together(tracks))
    return Load(spec, each, times, [value * scale for value in values]), ""


def _series(spec: MetricSpec) -> Optional[Tuple[str, str, float]]:
    """Series, level, and thousandths of the HPA's unit in one of the series'. None: no load that krm knows."""
    if spec.type in (RESOURCE, CONTAINER_RESOURCE):
        found = RESOURCES.get(spec.name)
        return None if found is None else (found[0], CONTAINER if spec.container else POD, float(found[1]))
    known = named(spec.name) if spec.type == PODS else None
    if known is None or not known.metric.adds_up:
        return None
    return known.source, POD, known.scale * 1000


def needed(metrics: Sequence[MetricSpec]) -> List[Tuple[str, str]]:
    """The points that these need."""
    found = (_series(one) for one in metrics)
    return sorted({(one[0], one[1]) for one in found if one is not None})


def _each(spec: MetricSpec, pods: Sequence[Body]) -> Tuple[Optional[float], str]:
    if spec.average is not None:
        return float(spec.average), ""
    if spec.utilization is None:
        return None, f"{spec.label} has no target a pod"
    try:
        asked = requests(pods, spec.container, spec.name)
    except Cannot as error:
        return None, str(error)
    if not asked or not sum(asked.values()):
        return None, "its pods request nothing"
    return spec.utilization / 100 * sum(asked.values()) / len(asked), ""


def _together(tracks: Sequence[Track]) -> Dict[float, float]:
    """Sums of the steps at which no pod that was there has a gap."""
    sums: Dict[float, float] = {}
    gaps = set()
    for track in tracks:
        known = [place for place, value in enumerate(track.values) if value == value]
        for place in range(known[0], known[-1] + 1) if known else ():
            at, value = track.times[place], track.values[place]
            if value == value:
                sums[at] = sums.get(at, 0.0) + value
            else:
                gaps.add(at)
    return {at: value for at, value in sums.items() if at not in gaps}


def _bucketed(sums: Dict[float, float]) -> Tuple[List[float], List[float]]:
    """Means of BUCKETs."""
    held: Dict[float, List[float]] = {}
    for at in sorted(sums):
        held.setdefault(-(-at // BUCKET), []).append(at)
    middles = [sum(moments) / len(moments) for moments in held.values()]
    return middles, [sum(sums[at] for at in moments) / len(moments) for moments in held.values()]
