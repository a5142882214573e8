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
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

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
}
Figures = Mapping[str, Optional[float]]

log = logging.getLogger("krm")


class Collector:
    """prometheus-client's view of the loops; `figures` gives (pipeline, figures) of each."""

    def __init__(self, figures: Callable[[], Iterator[Tuple[str, Figures]]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        """One family a metric, one sample a pipeline."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        families: Dict[str, Any] = {}
        for pipeline, figures in self._figures():
            for name, value in figures.items():
                family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                if name not in families:
                    families[name] = family(name, METRICS[name], labels=["pipeline"])
                families[name].add_metric([pipeline], float("nan") if value is None else value)
        yield from families.values()


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
