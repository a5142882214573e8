"""The figure that a deployment's HPA would scale on: of each pod, over its pods, with what it covers. Pure.

A figure is taken over the points of the history (15 s each) of the pods that run now. avg, max and percentiles (as
Prometheus' quantile_over_time) are of all points of all pods together: what a pod has. `total` is the same of the
sum over the pods at each moment: what the deployment has. `sum` is the mean of that sum. Response times are of
requests, so the percentiles of the answer times themselves are taken (app/response_time_p95 ...), each point with
the weight of its requests; max is the largest 99th percentile of 15 s, and a sum says nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import HIGH, LOW, MEDIUM
from krm.analysis.hpa.names import NAMES, OWN, Named, named
from krm.analysis.hpa.targets import chosen, named_of, namespace_of, runs, selector_of
from krm.analysis.inputs import Body, Inputs, Needs, Track
from krm.analysis.stats import known, linear
from krm.analysis.worth import Worth, worth_of
from krm.model import times
from krm.model.measures import POD, Covers
from krm.model.reading import mapping

DEPLOYMENTS = "deployments.apps"
METRIC_TYPES = ("requests_per_second", "response_time", "queue_depth", "cpu", "memory")
AVG, MAX, SUM = "avg", "max", "sum"
PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
AGGREGATIONS = (AVG, *PERCENTILES, MAX, SUM)
_STEP = 15.0  # seconds between two points
_LATE = 3 * _STEP  # the newest points are still to come, and the first rate needs two pages
_RATE, _TIME = "app/request_rate", "app/response_time"


class Asked(NamedTuple):
    """Which figure."""

    namespace: Optional[str]  # None = wherever the one deployment of this name is
    deployment: str
    metric_type: str  # of METRIC_TYPES, or a series (`series_of` knows it)
    aggregation: str  # of AGGREGATIONS
    window: float  # seconds


@dataclass(frozen=True)
class PodFigure:
    """Of one pod."""

    namespace: str
    pod: str
    value: Optional[float]  # in `unit`; None = not known
    unit: str
    covers: Covers  # points that there are, of how many the window has for it


@dataclass(frozen=True)
class Figure(Answer):
    """Of one deployment."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("POD", lambda row: row.pod),
        Column("VALUE", lambda row: shown(row.value)),
        Column("UNIT", lambda row: row.unit),
        Column("COVERS", lambda row: str(row.covers)),
    )
    NOTHING: ClassVar[str] = "no pod of this deployment runs"

    namespace: str
    deployment: str
    metric: str  # as an HPA names it in custom.metrics.k8s.io
    series: str  # of krm.model.metrics
    aggregation: str
    window: float  # seconds
    unit: str
    value: Optional[float]  # of a pod; None = not known, `why` says why
    total: Optional[float]  # of all pods together; None = not known, or a sum says nothing
    pods: Covers  # pods that have points, of those that run
    points: Covers
    sureness: str
    why: str  # "" = the value is known; else: history since T, and the like
    rows: Tuple[PodFigure, ...]

    def cells(self, wide: bool = False) -> List[List[str]]:
        """The figure itself stands above its pods: what a pod has, then all of them together."""
        found = super().cells(wide)
        one = [self.namespace, f"({self.aggregation} of a pod)", shown(self.value), self.unit, str(self.points)]
        every = [self.namespace, "(all together)", shown(self.total), self.unit, str(self.pods)]
        own = [every] if self.aggregation == SUM else [one, every]  # a sum is of all
        return [found[0], *own, *found[1:]] if found else []


def shown(value: Optional[float]) -> str:
    """As a table has it; `-` for what is not known."""
    return "-" if value is None else f"{value:.4g}"


def series_of(metric_type: str) -> Optional[Named]:
    """None where it is no series of pods."""
    return named(metric_type)


def allowed() -> str:
    """The names of `metric_type`, in words."""
    more = sum(1 for name in NAMES if name not in OWN)
    return f"{', '.join(METRIC_TYPES)}, or a series that pods have (app/queue_depth, memory/rss ...: {more} more)"


def source_of(metric_type: str, aggregation: str) -> Named:
    """The series that the figure is made of: of response times that of the percentile itself."""
    found = series_of(metric_type)
    if found is None:
        raise ValueError(f"{metric_type!r} is no series of pods")
    if metric_type != "response_time":
        return found
    share = "p99" if aggregation == MAX else aggregation
    return NAMES[f"response_time_{share}"] if share in PERCENTILES else found


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    source = source_of(asked.metric_type, asked.aggregation).source
    series = {source, _RATE} if source.startswith(_TIME) else {source}
    points = tuple((one, POD) for one in sorted(series))
    return Needs((DEPLOYMENTS, "pods"), points=points, window=asked.window, namespace=asked.namespace)


def answer(inputs: Inputs, asked: Asked) -> Figure:
    """Pure."""
    worth, source = worth_of(inputs, needs(asked), by_history=True), source_of(asked.metric_type, asked.aggregation)
    found = [body for body in inputs.state.objects(DEPLOYMENTS) if named_of(body) == asked.deployment]
    found = [body for body in found if asked.namespace in (None, namespace_of(body))]
    if len(found) != 1:
        return _nothing(worth, asked, source, _which(found, asked))
    namespace = namespace_of(found[0])
    pods = chosen(inputs.state.objects("pods"), namespace, selector_of(found[0]))
    return _figure(inputs, asked, worth, source, namespace, [pod for pod in pods if runs(pod)])


def _which(found: Sequence[Body], asked: Asked) -> str:
    if found:
        spaces = ", ".join(sorted(map(namespace_of, found)))
        return f"deployment {asked.deployment} is in several namespaces ({spaces}): name one"
    where = f" in namespace {asked.namespace}" if asked.namespace else ""
    return f"there is no deployment {asked.deployment}{where}"


def _nothing(worth: Worth, asked: Asked, source: Named, why: str) -> Figure:
    return Figure(
        _lacking(worth, why), (), asked.namespace or "", asked.deployment, source.name, source.source,
        asked.aggregation, asked.window, source.unit, None, None, Covers(0, 0, "pods"), Covers(0, 0, "points"),
        LOW, why, (),
    )  # fmt: skip


def _figure(
    inputs: Inputs, asked: Asked, worth: Worth, source: Named, namespace: str, pods: Sequence[Body]
) -> Figure:
    history = inputs.history
    too_young = _too_young(inputs)
    rows, each = [], []
    for pod in pods:
        track = _track(history.tracks(source.source, POD), namespace, pod)
        weights = _track(history.tracks(_RATE, POD), namespace, pod) if source.source.startswith(_TIME) else None
        series = _Points(track, weights, source.scale, history.begin, history.end)
        there = len(series.values)  # may be more than are expected: the newest ones can be there already
        covers = Covers(there, max(there, _expected(pod, history.begin, history.end)), "points")
        value = None if too_young else _aggregate(asked.aggregation, series.values, series.weights, source)
        rows.append(PodFigure(namespace, named_of(pod), value, source.unit, covers))
        each.append(series)
    points = Covers(sum(row.covers.known for row in rows), sum(row.covers.of for row in rows), "points")
    told = Covers(sum(bool(one.values) for one in each), len(rows), "pods")
    total = None if too_young or not told.whole else _total(asked.aggregation, each, source)
    values = [value for one in each for value in one.values]
    weights_ = [weight for one in each for weight in one.weights]
    value = _aggregate(asked.aggregation, values, weights_, source) if asked.aggregation != SUM else total
    why = too_young or ("" if values else f"no pod told of {source.source} in this time")
    lacks = why or ("" if value is not None else f"{told}: a part of them is no sum")
    return Figure(
        _lacking(worth, lacks), (), namespace, asked.deployment, source.name, source.source, asked.aggregation,
        asked.window, source.unit, None if why else value, None if why else total, told, points,
        _sureness(points, told, why), lacks, tuple(rows),
    )  # fmt: skip


def _lacking(worth: Worth, why: str) -> Worth:
    """With the reason why there is no value, where nothing says so yet."""
    if not why or any(why in one for one in worth.reasons):
        return worth
    return replace(worth, reasons=(*worth.reasons, why))


def _too_young(inputs: Inputs) -> str:
    since = inputs.history.since
    if since is None:
        lacks = inputs.history.lacks
        return lacks[0] if lacks else "there is no history yet"
    if since > inputs.history.begin + _LATE:
        return f"history since {times.write(math.floor(since))}: it does not cover the window yet"
    return ""


def _sureness(points: Covers, pods: Covers, why: str) -> str:
    if why or not points.of or not pods.whole:
        return LOW
    share = points.known / points.of
    return HIGH if share >= 0.9 else MEDIUM if share >= 0.5 else LOW


def _expected(pod: Body, begin: float, end: float) -> int:
    """Points that there would be were none missing. The newest of them is still being made."""
    started = times.known(mapping(pod.get("status")).get("startTime"))
    first = begin if started is None else max(begin, started)
    return max(0, int((end - first) // _STEP) - 1)


class _Points:
    """One pod's points that are no gaps, with the requests that each is of (1 where that is not known)."""

    def __init__(
        self, track: Optional[Track], weights: Optional[Track], scale: float, begin: float, end: float
    ) -> None:
        requests = {} if weights is None else dict(zip(weights.times, weights.values))
        self.at: Dict[float, float] = {}
        self.weights: List[float] = []
        for at, value in zip(track.times, track.values) if track is not None else ():
            if begin < at <= end and value == value:
                weight = requests.get(at, math.nan)
                self.at[at] = value * scale
                self.weights.append(weight if weight == weight else 0.0 if weights is not None else 1.0)
        self.values = list(self.at.values())


def _track(tracks: Sequence[Track], namespace: str, pod: Body) -> Optional[Track]:
    """Of this pod, not of one that had its name before."""
    uid = mapping(pod.get("metadata")).get("uid")
    found = [one for one in tracks if (one.subject.namespace, one.subject.pod) == (namespace, named_of(pod))]
    return next((one for one in found if one.subject.uid in ("", uid)), None)


def _aggregate(
    aggregation: str, values: Sequence[float], weights: Sequence[float], source: Named
) -> Optional[float]:
    """None of none."""
    if not values:
        return None
    if aggregation == MAX:
        return max(values)
    if source.source.startswith(_TIME):  # of requests, and the percentile is in each point already
        total = math.fsum(weights)
        return math.fsum(map(_product, values, weights)) / total if total > 0 else math.fsum(values) / len(values)
    if aggregation in PERCENTILES:
        return linear(known(values), PERCENTILES[aggregation])
    return math.fsum(values) / len(values)


def _product(value: float, weight: float) -> float:
    return value * weight


def _total(aggregation: str, each: Sequence[_Points], source: Named) -> Optional[float]:
    """Of the sums at the moments of which every pod has a point."""
    if not each or not source.metric.adds_up:
        return None
    moments = set(each[0].at).intersection(*(one.at for one in each[1:]))
    sums = [math.fsum(one.at[at] for one in each) for at in sorted(moments)]
    return _aggregate(AVG if aggregation == SUM else aggregation, sums, [1.0] * len(sums), source)
