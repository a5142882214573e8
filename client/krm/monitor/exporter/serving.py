"""The exporter's page over HTTP: prometheus-client's own server, which negotiates OpenMetrics. A scrape is answered
from what the last turn told."""

from __future__ import annotations

import ipaddress
from typing import Any, Iterator, Tuple

from krm.client.errors import BadRequest
from krm.monitor.exporter.families import COUNTER
from krm.monitor.exporter.page import Page

MISSING = "the exporter needs prometheus-client: pip install prometheus-client"


class Collector:
    """What prometheus-client collects: the families of the last turn."""

    def __init__(self) -> None:
        self._families: Tuple[Any, ...] = ()  # prometheus-client's

    def show(self, page: Page) -> None:
        """From now on. Raises BadRequest where prometheus-client is not installed."""
        try:
            from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
        except ImportError:
            raise BadRequest(MISSING) from None
        made = []
        for row, samples, _ in page.families:
            type_: Any = CounterMetricFamily if row.kind == COUNTER else GaugeMetricFamily
            made.append(type_(row.name, row.about, labels=row.labels))
            for labels, value in samples.items():
                made[-1].add_metric(labels, value)
        self._families = tuple(made)

    def collect(self) -> Iterator[Any]:
        """Of the last turn: a scrape makes none of them."""
        return iter(self._families)


def registry_of(collector: Collector) -> Any:
    """Raises BadRequest where prometheus-client is not installed."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise BadRequest(MISSING) from None
    registry = CollectorRegistry()
    shown: Any = collector
    registry.register(shown)
    return registry


def checked(address: str, open_to_all: bool) -> str:
    """An address of this machine's own; another one only where that is said. Raises BadRequest."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        raise BadRequest(f"--address={address!r} is no IP address, e.g. 127.0.0.1") from None
    if not found.is_loopback and not open_to_all:
        raise BadRequest(
            f"--address={address}: whoever reaches it reads the state of the whole cluster, and nobody is asked "
            "who it is. --open says that this is meant"
        )
    return address


class Serving:
    """The server, on threads that end with the process."""

    def __init__(self, collector: Collector, address: str, port: int) -> None:
        """port: 0 = any that is free. Raises BadRequest (prometheus-client is not there, the port is taken)."""
        registry = registry_of(collector)
        from prometheus_client import start_http_server

        try:
            started: Any = start_http_server(port, addr=address, registry=registry)
        except OSError as error:
            raise BadRequest(f"cannot listen at {address} port {port}: {error.strerror}") from None
        # Before 0.19 it gives back nothing.
        self._server = started[0] if isinstance(started, tuple) else None
        self.port: int = self._server.server_port if self._server is not None else port

    def close(self) -> None:
        """No scrape is answered any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
