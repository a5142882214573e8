"""Health and Prometheus metrics of a process, on a port of its own (off by default).

/livez    200 while the process runs: it never depends on Redis or the API server, or an outage
          would become a storm of restarts
/readyz   200 while every pipeline's loop runs, 503 with the names of those that failed
/metrics  what each loop's `figures()` says now, by prometheus-client; unknown is NaN, never 0
"""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Mapping, Tuple, Union

if TYPE_CHECKING:
    from krm.model.delays import Histogram

# (name, what it is; counters end in _total as OpenMetrics demands).
METRICS: Dict[str, str] = {
    "krm_stream_age_seconds": "Since the last byte of the watch.",
    "krm_stream_events_total": "Events and bookmarks handed over.",
    "krm_stream_sessions_total": "Sessions begun.",
    "krm_lists_total": "Lists handed over.",
    "krm_list_seconds": "How long the newest list took.",
    "krm_list_age_seconds": "Since the newest list was handed over.",
    "krm_snapshot_age_seconds": "Since the newest moment at which the snapshot is proven current.",
    "krm_snapshot_version": "Version of the snapshot.",
    "krm_snapshot_objects": "Objects held.",
    "krm_drift_total": "Differences that verification found and repaired.",
    "krm_gaps_total": "Sessions that broke.",
    "krm_collector_targets": "Targets whose newest answer counts.",
    "krm_collector_silent_targets": "Targets whose last question failed.",
    "krm_collector_samples_total": "Samples taken.",
    "krm_collector_turn_seconds": "How long the newest turn took.",
    "krm_publish_delay_seconds": "From receipt to publication, 99th percentile of the newest thousand.",
    "krm_stream_delay_seconds": "From a change to the receipt of its event, exact to 1 s; negatives in bucket one.",
    "krm_stream_delay_negative_total": "Of these, how many were negative: clocks disagree.",
    "krm_deletion_seconds": "From the request to delete to the receipt of DELETED, grace and finalizers included.",
    "krm_commit_to_reader_seconds": "From creation to publication to readers, exact to 1 s.",
}
# A number, None = unknown; or numbers and histograms by event.
Figure = Union[float, Mapping[str, Union[float, "Histogram"]], None]
Figures = Mapping[str, Figure]

log = logging.getLogger("krm")


class Collector:
    """prometheus-client's view of the loops; `figures` gives (pipeline, figures) of each."""

    def __init__(self, figures: Callable[[], Iterator[Tuple[str, Figures]]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        """One family a metric, one sample a pipeline."""
        families: Dict[str, Any] = {}
        for pipeline, figures in self._figures():
            for name, figure in figures.items():
                if isinstance(figure, Mapping):
                    for event, value in figure.items():
                        _add(families, name, {"pipeline": pipeline, "event": event}, value)
                else:
                    _add(families, name, {"pipeline": pipeline}, figure)
        yield from families.values()


def _add(
    families: Dict[str, Any], name: str, labels: Mapping[str, str], value: Union[float, Histogram, None]
) -> None:
    from krm.model.delays import Histogram  # brings msgpack, which a process without Redis does not have
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if isinstance(value, Histogram):
        family = families.setdefault(name, HistogramMetricFamily(name, METRICS[name], labels=list(labels)))
        family.add_metric(list(labels.values()), _cumulative(value), value.total)
        return
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family = families.setdefault(name, kind(name, METRICS[name], labels=list(labels)))
    family.add_metric(list(labels.values()), float("nan") if value is None else value)


def _cumulative(histogram: Histogram) -> List[Tuple[str, int]]:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts)))


def serve(
    address: str, port: int, figures: Callable[[], Iterator[Tuple[str, Figures]]], failing: Callable[[], str]
) -> ThreadingHTTPServer:
    """Serves in a thread; `failing` names what does not run, '' = all does. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        """Three pages."""

        def do_GET(self) -> None:
            status, body = _page(self.path, figures, failing)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            log.debug(format, *args)

    server = ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def _page(
    path: str, figures: Callable[[], Iterator[Tuple[str, Figures]]], failing: Callable[[], str]
) -> Tuple[int, bytes]:
    if path == "/livez":
        return 200, b"ok\n"
    if path == "/readyz":
        names = failing()
        return (503, f"not running: {names}\n".encode()) if names else (200, b"ok\n")
    if path != "/metrics":
        return 404, b"/livez, /readyz or /metrics\n"
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError:
        return 501, b"metrics need prometheus-client: pip install 'krm[server]'\n"
    registry = CollectorRegistry()
    registry.register(Collector(figures))
    return 200, generate_latest(registry)
