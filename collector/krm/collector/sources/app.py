"""What an application's own series say: requests a second, response times, what waits. Pure.

Usual names are known (REQUESTS, TIMES, QUEUES); of the names for one thing the first that a page has counts,
so that nothing is counted twice. An annotation names another: NAME or NAME{label="value"}.

Rates and response times are of what happened between two pages. A counter that went down, or a process that
started between them, gives none for that time: never below zero, never across a restart. A series that was
not on the page before is counted from the next one on. Times end in their unit (_milliseconds, _ms ...), else
they are seconds. Quantiles are reckoned from a histogram as Prometheus' histogram_quantile does; those of a
summary cannot be put together, so one counts only where it stands alone.
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.source import NoData
from krm.collector.sources.scraped import Point, finite, series_key

# share of requests -> the series that says how long at most these took
QUANTILES: Mapping[float, str] = {
    0.5: "app/response_time_p50",
    0.9: "app/response_time_p90",
    0.95: "app/response_time_p95",
    0.99: "app/response_time_p99",
}
STARTED = "process_start_time_seconds"
# annotation -> which of Names it replaces
HINTS = {"krm.io/request-rate": "requests", "krm.io/response-time": "times", "krm.io/queue-depth": "queues"}
_UNITS = (("_milliseconds", 1e-3), ("_ms", 1e-3), ("_microseconds", 1e-6), ("_us", 1e-6), ("_nanoseconds", 1e-9))
_SELECTOR = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]{0,200})(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="[^"\\]*",?)+)\})?'
).fullmatch
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*)"').findall


class Selector(NamedTuple):
    """Series of one name, all or those that have these labels."""

    name: str
    labels: Tuple[Tuple[str, str], ...] = ()

    def takes(self, point: Point) -> bool:
        return all(point.labels.get(label) == value for label, value in self.labels)


def selector(text: str) -> Selector:
    """NAME or NAME{label="value",...}. Raises NoData."""
    match = _SELECTOR(text.strip()) if len(text) <= 500 else None
    if match is None:
        raise NoData('%.80r names no series: NAME or NAME{label="value"} is meant' % text)
    return Selector(match.group(1), tuple(_PAIR(match.group(2) or "")))


class Names(NamedTuple):
    """Where to look: of each group the first that is there."""

    requests: Tuple[Tuple[Selector, ...], ...]  # counters; groups that count different requests
    times: Tuple[Selector, ...]  # histograms and summaries, without _count, _sum, _bucket
    queues: Tuple[Selector, ...]  # gauges

    def series(self) -> FrozenSet[str]:
        """Names of the series that can be of use."""
        counters = {one.name for group in self.requests for one in group}
        times = {one.name + end for one in self.times for end in ("", "_count", "_sum", "_bucket")}
        return frozenset(counters | times | {one.name for one in self.queues} | {STARTED})


def _named(*names: str) -> Tuple[Selector, ...]:
    return tuple(map(selector, names))


TIMES = _named(
    "http_server_request_duration_seconds",  # OpenTelemetry
    "http_server_requests_seconds",  # Micrometer, Spring Boot
    "http_server_duration_milliseconds",  # OpenTelemetry before 1.23
    "http_request_duration_seconds",  # what most client libraries write
    "http_request_duration_highr_seconds",
    "http_request_duration_milliseconds",
    "http_requests_duration_seconds",
    "flask_http_request_duration_seconds",
    "django_http_requests_latency_including_middlewares_seconds",
    "starlette_requests_processing_time_seconds",
    "rails_request_duration_seconds",
    "istio_request_duration_milliseconds",
    "traefik_service_request_duration_seconds",
    "nginx_ingress_controller_request_duration_seconds",
    "envoy_http_downstream_rq_time",
    "grpc_server_handling_seconds",
    "rpc_server_duration_milliseconds",
    "rpc_server_call_duration_seconds",
)
_RPC = ("grpc_", "rpc_")
_COUNTED = tuple(one.name + "_count" for one in TIMES)
REQUESTS = (
    _named(
        "http_requests_total",
        "http_request_total",
        "http_server_requests_total",
        "flask_http_request_total",
        "django_http_requests_before_middlewares_total",
        "starlette_requests_total",
        "rails_requests_total",
        "istio_requests_total",
        "traefik_service_requests_total",
        "nginx_ingress_controller_requests",
        "nginx_http_requests_total",
        "envoy_http_downstream_rq_total",
        *(name for name in _COUNTED if not name.startswith(_RPC)),
    ),
    _named("grpc_server_handled_total", *(name for name in _COUNTED if name.startswith(_RPC))),
)
QUEUES = _named(
    "celery_queue_length",
    'rq_jobs{status="queued"}',
    "sidekiq_queue_size",
    "sidekiq_jobs_waiting_count",
    "sidekiq_queue_backlog",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_ready",
    "bull_queue_waiting",
    'bullmq_job_count{state="waiting"}',
    "resque_pending_jobs",
    "kafka_consumergroup_lag",
    "workqueue_depth",
    "queue_depth",
    "queue_length",
    "queue_size",
)
USUAL = Names(REQUESTS, TIMES, QUEUES)


def is_told(annotations: Mapping[str, str]) -> bool:
    """The pod names a series itself."""
    return any(annotations.get(hint) for hint in HINTS)


def names_for(annotations: Mapping[str, str], usual: Names = USUAL) -> Names:
    """The usual ones, or what the pod says. Raises NoData where it names no series."""
    told = {what: selector(annotations[hint]) for hint, what in HINTS.items() if annotations.get(hint)}
    if "requests" in told:
        one = told["requests"]  # OpenMetrics calls a counter x what stands on the page as x_total
        usual = usual._replace(requests=((one, one._replace(name=one.name + "_total")),))
    if "times" in told:
        one = told["times"]
        usual = usual._replace(times=(one._replace(name=re.sub("_(bucket|sum|count)$", "", one.name)),))
    if "queues" in told:
        usual = usual._replace(queues=(told["queues"],))
    return usual


class Before(NamedTuple):
    """What is kept of a page for the next one."""

    at: float  # Unix seconds
    started: Optional[float]  # of the process, where it says so
    values: Mapping[int, float]  # by a series' hash


def keep(points: Iterable[Point], at: float) -> Before:
    """`at`: Unix seconds."""
    values: Dict[int, float] = {}
    started = None
    for point in points:
        if point.name == STARTED:
            started = point.value
        values[series_key(point.name, point.labels)] = point.value
    return Before(at, started, values)


def measured(points: Iterable[Point], names: Names, before: Optional[Before], now: Before) -> Dict[str, float]:
    """Values by metric, of what is known. `now`: `keep` of the same points."""
    by_name: Dict[str, List[Point]] = {}
    for point in points:
        by_name.setdefault(point.name, []).append(point)
    values: Dict[str, Optional[float]] = {"app/queue_depth": _depth(by_name, names)}
    if before is not None and now.at > before.at and now.started == before.started:
        changes = _Changes(by_name, before)
        values["app/request_rate"] = _rate(changes, names, now.at - before.at)
        values.update(_times(changes, names))
    return {metric: value for metric, value in values.items() if finite(value) is not None and value is not None}


def _depth(by_name: Mapping[str, List[Point]], names: Names) -> Optional[float]:
    for one in names.queues:
        found = [point.value for point in by_name.get(one.name, ()) if one.takes(point)]
        if found:
            return sum(found) if min(found) >= 0 else None
    return None


class _Changes:
    """How much each counter has grown since the page before."""

    def __init__(self, by_name: Mapping[str, List[Point]], before: Before) -> None:
        self.by_name, self._before = by_name, before.values

    def has(self, one: Selector, end: str = "") -> bool:
        return any(map(one.takes, self.by_name.get(one.name + end, ())))

    def of(self, one: Selector, end: str = "") -> Optional[List[Tuple[Point, float]]]:
        """None = not known: a counter began anew, or all of them are new."""
        found = []
        for point in self.by_name.get(one.name + end, ()):
            past = self._before.get(series_key(point.name, point.labels)) if one.takes(point) else None
            if past is None:
                continue
            if point.value < past or past < 0:
                return None
            found.append((point, point.value - past))
        return found or None

    def sum(self, one: Selector, end: str = "") -> Optional[float]:
        grown = self.of(one, end)
        return None if grown is None else sum(by for _, by in grown)


def _rate(changes: _Changes, names: Names, seconds: float) -> Optional[float]:
    total = None
    for group in names.requests:
        one = next((one for one in group if changes.has(one)), None)
        if one is None:
            continue
        grown = changes.sum(one)
        if grown is None:
            return None
        total = (total or 0.0) + grown
    return None if total is None else total / seconds


def _times(changes: _Changes, names: Names) -> Dict[str, Optional[float]]:
    """Mean and quantiles, in seconds, by series."""
    one = next((one for one in names.times if changes.has(one, "_count")), None)
    if one is None:
        return {}
    unit = next((unit for end, unit in _UNITS if one.name.endswith(end)), 1.0)
    if one.name.startswith("envoy_"):
        unit = 1e-3  # Envoy counts milliseconds and does not say so
    count, total = changes.sum(one, "_count"), changes.sum(one, "_sum")
    values: Dict[str, Optional[float]] = {}
    values["app/response_time"] = None if not count or total is None else total / count * unit
    buckets: Dict[float, float] = {}
    for point, by in changes.of(one, "_bucket") or ():
        bound = _bound(point.labels.get("le", ""))
        if bound is not None:
            buckets[bound] = buckets.get(bound, 0.0) + by
    for share, series in QUANTILES.items():
        high = quantile(share, buckets) if buckets else _alone(changes, one, share) if count else None
        values[series] = None if high is None else high * unit
    return values


def _alone(changes: _Changes, one: Selector, share: float) -> Optional[float]:
    """The quantile of a summary: of several of them none can be made."""
    points = changes.by_name.get(one.name, ())
    found = [point for point in points if _bound(point.labels.get("quantile", "")) == share and one.takes(point)]
    return found[0].value if len(found) == 1 else None


def _bound(text: str) -> Optional[float]:
    try:
        bound = float(text)
    except ValueError:
        return None
    return bound if bound == bound else None


def quantile(share: float, buckets: Mapping[float, float]) -> Optional[float]:
    """As histogram_quantile: upper bound -> observations up to it, cumulative. None where there are none.

    Within a bucket observations are taken to be spread evenly; beyond the last bound it is that bound.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != float("inf"):
        return None
    counts: List[float] = []
    for bound in bounds:
        counts.append(max(buckets[bound], counts[-1] if counts else 0.0))
    if counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    place = next((place for place, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if place == len(counts) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return start + (bounds[place] - start) * (rank - below) / (counts[place] - below)
