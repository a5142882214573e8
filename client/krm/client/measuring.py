"""A client's reads of measurements: `client.usage()`, `client.processes()`, `client.history()`, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from krm.client.moments import Moment, span
from krm.client.source import Source

if TYPE_CHECKING:
    from krm.client.measurements import Measurements, Points, Totals
    from krm.client.seen import Kills, Processes
    from krm.client.usage import Usage


class Measuring:
    """What was measured of one cluster. Its parts are imported when they are first needed."""

    def __init__(self, directory: Source, history_token_file: str = "") -> None:
        self.directory = directory
        self._history_token_file = history_token_file
        self._measurements: Optional[Measurements] = None

    def close(self) -> None:
        """Ends its socket."""
        if self._measurements is not None:
            self._measurements.close()

    @property
    def measurements(self) -> Measurements:
        """What was measured: usage, points, totals. Raises BadRequest where this client reads from a server."""
        if self._measurements is None:
            from krm.client.measurements import open_measurements

            self._measurements = open_measurements(self.directory, self._history_token_file)
        return self._measurements

    def usage(
        self, what: str = "pods", namespace: Optional[str] = None, name: str = "", window: Optional[str] = None
    ) -> Usage:
        """What pods, containers, namespaces or nodes use now, with their requests and limits; never raises for a
        state: `.state` and `.reasons` say what it is worth. window: `5m` adds average, p95 and maximum of it.

        Raises BadRequest, Unreachable, and with a window NoMeasurements.
        """
        return self.measurements.usage(what, namespace, name, None if window is None else span(window))

    def processes(
        self, namespace: Optional[str] = None, pod: str = "", node: str = "", host: bool = False
    ) -> Processes:
        """What runs in pods, process by process, as node agents see it; host: what runs beside them, instead.
        Never raises for a state: `.state`, `.reasons`, `.nodes` and `.gaps` say what the rows are worth and lack.

        Raises Refused, Unreachable.
        """
        from krm.client.seen import Asked

        return self.measurements.processes(Asked(namespace, pod, node, host))

    def kills(self, namespace: Optional[str] = None, pod: str = "", node: str = "") -> Kills:
        """OOM kills of the last day, one row a kill, whoever saw it. Raises as `processes`."""
        from krm.client.seen import Asked

        return self.measurements.kills(Asked(namespace, pod, node))

    def history(
        self, metric: str, level: str = "pods", begin: Moment = "1h", end: Optional[Moment] = None, **where: str
    ) -> Points:
        """Points of the last day (15 s each) of a metric of docs/metrics.md. where: namespace=, pod=, container=,
        node=. begin, end: times or spans ago. Raises NoMeasurements, BadRequest, Unreachable."""
        from krm.client.measurements import query_of

        measurements = self.measurements
        return measurements.points(query_of(metric, level, begin, end, measurements.now(), **where))

    def totals(
        self,
        metric: str,
        level: str = "namespaces",
        begin: Moment = "1h",
        end: Optional[Moment] = None,
        **where: str,
    ) -> Totals:
        """Sums of a metric over any time of the last 400 days, a subject each. Raises as `history`."""
        from krm.client.measurements import query_of

        measurements = self.measurements
        return measurements.totals(query_of(metric, level, begin, end, measurements.now(), **where))
