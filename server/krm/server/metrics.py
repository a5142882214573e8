"""What the server counts, and the page /metrics (prometheus-client). Unknown is NaN, never 0.

No label holds what a caller chose: verbs and codes are few, kinds and clusters are those that krm keeps.
How old a watch is, the streamer tells on its own port: here it is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from krm.model import trust as states
from krm.model.kinds import Kind
from krm.server.attributes import of_path
from krm.server.identity import Gate
from krm.server.kept import Kept
from krm.server.resource_metrics import GROUP, OBJECT_KINDS
from krm.server.routes import Call, Content, Route
from krm.server.serving import Serving
from krm.server.statuses import ApiError
from krm.server.streams import Streams
from krm.server.web import Answer, Receive, Reply, Request, Scope, Send, of_error, send

MEDIA = "text/plain; version=0.0.4; charset=utf-8"
# Seconds: from an answer that is kept to one that waited for a review.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "head", "post", "put")
OTHER = "other"
_MISSING = "metrics need prometheus-client: pip install 'krm[server]'"
_ABOUT = "Figures of this server in Prometheus' text format."
# As a gate that asks for reviews counts them: sort -> (sent, answered from memory, failed).
Reviews = Mapping[str, Tuple[int, int, int]]


class Told(NamedTuple):
    """One cluster's parts."""

    serving: Serving
    streams: Streams
    gate: Gate


class Metrics:
    """Of one process. It belongs to the event loop."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._clusters: Dict[str, Told] = {}
        self._requests: Counter[Tuple[str, str, str, int]] = Counter()  # cluster, verb, kind, code
        self._latency: Dict[Tuple[str, str], List[int]] = {}  # (cluster, verb) -> answers a bucket, the rest last
        self._seconds: Dict[Tuple[str, str], float] = {}

    def add(self, cluster: str, serving: Serving, streams: Streams, gate: Gate) -> None:
        """A cluster that this process serves."""
        self._clusters[cluster] = Told(serving, streams, gate)

    def seen(self, request: Request, code: int, seconds: float) -> None:
        """One answer is ready, or the head of one that goes on."""
        asked = request.asked
        cluster = request.cluster if request.cluster in self._clusters else ""
        verb = OTHER if asked is None else asked.verb
        verb = verb if verb in VERBS else OTHER
        kind = ""
        if cluster and asked is not None and self._is_known(cluster, asked.kind):
            kind = str(asked.kind)
        self._requests[cluster, verb, kind, code] += 1
        counts = self._latency.setdefault((cluster, verb), [0] * (len(BUCKETS) + 1))
        counts[bisect_left(BUCKETS, seconds)] += 1
        self._seconds[cluster, verb] = self._seconds.get((cluster, verb), 0.0) + seconds

    def _is_known(self, cluster: str, kind: Kind) -> bool:
        """Whether it is one of few: what callers invent is counted without its name."""
        measured = kind.group == GROUP and kind.resource in OBJECT_KINDS
        return measured or self._clusters[cluster].serving.catalog.holds(kind)

    # The page

    def page(self, cluster: Optional[str] = None) -> Answer:
        """Of one cluster; None = of all. Raises ApiError 501."""
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
        except ImportError:
            raise ApiError(
                501, "NotImplemented", "metrics need prometheus-client: pip install 'krm[server]'"
            ) from None
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        collector: Any = _Collector(self, cluster)
        registry.register(collector)
        return Answer(generate_latest(registry), media=MEDIA)

    async def __call__(self, scope: Scope, receive: Receive, send_: Send) -> None:
        """The application of a port of its own: all clusters' figures, to whoever reaches it."""
        if scope["type"] != "http":
            return
        reply = Answer(b"/metrics\n", 404, MEDIA)
        if scope["path"] == "/metrics":
            try:
                reply = self.page()
            except ApiError as error:
                reply = of_error(error)
        await send(reply, scope, receive, send_)

    def route(self, cluster: str, gate: Gate) -> Route:
        """On the cluster's own prefix: its figures alone, to who may get the path."""

        async def handle(call: Call) -> Reply:
            call.request.asked = of_path(cluster, call.request.method, "/metrics")
            await gate.check(call.user, call.request.asked)
            return self.page(cluster)

        about = "Figures of this server in Prometheus' text format."
        return Route(
            "/metrics", "metrics", about, handle, Content(about, {MEDIA: {"type": "string"}}), errors=(501,)
        )

    # Figures

    def families(self, only: Optional[str]) -> Iterator[Any]:
        """prometheus-client's families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        chosen = {name: told for name, told in self._clusters.items() if only in (None, name)}
        shown = [*chosen, ""] if only is None else list(chosen)  # "": paths below no cluster of ours
        requests = CounterMetricFamily(
            "krm_server_requests", "Answers.", labels=["cluster", "verb", "kind", "code"]
        )
        for (cluster, verb, kind, code), count in self._requests.items():
            if cluster in shown:
                requests.add_metric([cluster, verb, kind, str(code)], count)
        yield requests
        yield self._histogram(shown)
        yield GaugeMetricFamily("krm_server_kept_bytes", "Bytes of answers that are kept.", self._kept.size)
        in_flight = "Bytes of large answers that readers are taking; what several take counts once."
        yield GaugeMetricFamily("krm_server_inflight_bytes", in_flight, self._kept.flight.size)
        watches = GaugeMetricFamily("krm_server_watches", "Open watches.", labels=["cluster", "kind"])
        sent = CounterMetricFamily("krm_server_watch_events", "Lines sent to watchers.", labels=["cluster"])
        reviews = CounterMetricFamily(
            "krm_server_reviews",
            "Questions of who it is and what they may do.",
            labels=["cluster", "sort", "result"],
        )
        for cluster, told in chosen.items():
            for kind, count in told.streams.by_kind.items():
                watches.add_metric([cluster, kind], count)
            sent.add_metric([cluster], told.streams.sent)
            found: Reviews = getattr(told.gate, "reviews", {})
            for sort, counts in found.items():
                for result, count in zip(("sent", "hit", "failed"), counts):
                    reviews.add_metric([cluster, sort, result], count)
        yield from (watches, sent, reviews)
        yield from _snapshots(chosen)

    def _histogram(self, shown: List[str]) -> Any:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(
            "krm_server_request_seconds",
            "Until an answer, or a watch's head, is ready.",
            labels=["cluster", "verb"],
        )
        for (cluster, verb), counts in self._latency.items():
            if cluster in shown:
                buckets, total = [], 0
                for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts):
                    total += count
                    buckets.append((bound, float(total)))
                family.add_metric([cluster, verb], buckets, self._seconds[cluster, verb])
        return family


class _Collector:
    def __init__(self, metrics: Metrics, cluster: Optional[str]) -> None:
        self._metrics, self._cluster = metrics, cluster

    def collect(self) -> Iterator[Any]:
        return self._metrics.families(self._cluster)


def _snapshots(clusters: Mapping[str, Told]) -> Iterator[Any]:
    """What each kind's copy is worth, a sample a pipeline."""
    from prometheus_client.core import GaugeMetricFamily

    labels = ["cluster", "kind", "namespace"]
    age = GaugeMetricFamily("krm_snapshot_age_seconds", "Since it was proven current.", labels=labels)
    verified = GaugeMetricFamily("krm_snapshot_verified_age_seconds", "Since a list confirmed it.", labels=labels)
    version = GaugeMetricFamily("krm_snapshot_version", "Version that is served.", labels=labels)
    objects = GaugeMetricFamily("krm_snapshot_objects", "Objects held.", labels=labels)
    state = GaugeMetricFamily("krm_snapshot_state", "1 for the state that it is in.", labels=[*labels, "state"])
    measured = GaugeMetricFamily(
        "krm_measurements_age_seconds", "Since the collector told the newest measurements.", labels=["cluster"]
    )
    for cluster, told in clusters.items():
        newest = told.serving.catalog.newest
        collector = newest.collector
        measured.add_metric([cluster], _known(None if collector is None else newest.now() - collector.beat))
        for replica in told.serving.catalog.all():
            now = told.serving.now(replica)
            trust = replica.trust(now)
            row = [cluster, replica.kind, replica.namespace]
            read = bool(replica.token.incarnation)  # of what was not read yet nothing is known
            age.add_metric(row, _known(trust.age))
            verified.add_metric(row, _known(None if trust.verified_at is None else now - trust.verified_at))
            version.add_metric(row, _known(float(replica.token.version) if read else None))
            objects.add_metric(row, _known(float(len(replica.objects)) if read else None))
            for one in states.STATES:
                if one != states.RESET:  # a reader's own
                    state.add_metric([*row, one], float(trust.state == one))
    yield from (age, verified, version, objects, state, measured)


def _known(value: Optional[float]) -> float:
    return float("nan") if value is None else value
