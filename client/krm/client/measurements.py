"""Reads of measurements: the newest ones from Redis, the past from the collector's history."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

from krm.client.direct import told
from krm.client.directory import Directory
from krm.client.errors import BadRequest, NoMeasurements, TooMuch
from krm.client.moments import Moment, parse_moment
from krm.client.seen import Asked, Kills, Processes, kills_of, processes_of
from krm.client.source import Source
from krm.client.usage import CPU, MEMORY, Usage, Used, level_of, span_of, usage_of
from krm.model.kubelets import NodeKubelet
from krm.model.measures import CLUSTER, NAMESPACE, NODE
from krm.store.connect import Database
from krm.store.history.asked import STEP, Extent, NoHistory, Query, Ranged, Series, Total, Totalled
from krm.store.history.asked import TooMuch as OverMuch
from krm.store.history.collected import Collected
from krm.store.history.remote import RemoteHistory
from krm.store.history.wire import BadQuery
from krm.store.latest import Latest
from krm.store.latest_kubelets import KubeletsReader
from krm.store.latest_reader import LatestReader
from krm.store.latest_seen_reader import SeenReader

TOKEN_FILE = "KRM_HISTORY_TOKEN_FILE"  # noqa: S105 (the name of a variable)
MAX_TOKEN = 64 * 1024  # bytes
SPANNED = (CPU, MEMORY)


class Points(NamedTuple):
    """Points of the last day, 15 s each. A gap is NaN. `extent`: what the answer rests on."""

    series: List[Series]
    extent: Extent

    def to_dataframe(self, package: str = "") -> Any:
        """A row a point. package: pandas or polars, '' = what is installed. Raises NeedsPackage."""
        from krm.client.measured_frames import points_frame

        return points_frame(self.series, package)


class Totals(NamedTuple):
    """Sums over the asked time, a subject each; units as krm.model.metrics has them."""

    totals: List[Total]
    extent: Extent

    def to_dataframe(self, package: str = "") -> Any:
        """A row a subject. Raises NeedsPackage."""
        from krm.client.measured_frames import totals_frame

        return totals_frame(self.totals, package)


class Backend(Protocol):
    """Where measurements are read from."""

    def usage(self, level: str, namespace: Optional[str], name: str) -> Usage:
        """Of now. Raises KrmError."""
        ...

    def usages(self, levels: Sequence[str], namespace: Optional[str]) -> List[Usage]:
        """The same of each level. Raises KrmError."""
        ...

    def processes(self, asked: Asked) -> Processes:
        """Of now. Raises KrmError."""
        ...

    def kills(self, asked: Asked) -> Kills:
        """Of the last day. Raises KrmError."""
        ...

    def kubelets(self) -> Dict[str, NodeKubelet]:
        """By node, of those that were asked for their settings. Raises KrmError."""
        ...

    def range(self, query: Query) -> Ranged:
        """Raises NoHistory, BadQuery, KrmError."""
        ...

    def totals(self, query: Query) -> Totalled:
        """Raises as range."""
        ...

    def now(self) -> float:
        """The clock of what is kept, Unix seconds."""
        ...

    def close(self) -> None: ...


class FromRedis:
    """The newest values from Redis, the past from the collector."""

    def __init__(self, database: Database, cluster: str, token_file: str) -> None:
        self._reader = LatestReader(database, cluster)
        self._seen = SeenReader(database, cluster)
        self._kubelets = KubeletsReader(database, cluster)
        self._place = Collected(database, cluster)
        self._token_file = token_file or os.environ.get(TOKEN_FILE, "")
        self._history: Optional[RemoteHistory] = None
        self._token = ""

    def usage(self, level: str, namespace: Optional[str], name: str) -> Usage:
        return usage_of(self._latest(namespace, level == NODE), level, name)

    def usages(self, levels: Sequence[str], namespace: Optional[str]) -> List[Usage]:
        latest = self._latest(namespace, set(levels) == {NODE})
        return [usage_of(latest, level) for level in levels]

    def _latest(self, namespace: Optional[str], nodes_alone: bool) -> Latest:
        with told():
            return self._reader.read(() if nodes_alone else None if namespace is None else (namespace,))

    def processes(self, asked: Asked) -> Processes:
        with told():
            found = self._seen.processes(asked.node)
        return processes_of(found, asked)

    def kills(self, asked: Asked) -> Kills:
        with told():
            found = self._seen.kills(asked.node)
        return kills_of(found, asked)

    def kubelets(self) -> Dict[str, NodeKubelet]:
        with told():
            found = self._kubelets.read()
        rotten = {
            node: NodeKubelet(node, None, why="what Redis holds of its settings rotted") for node in found.rotten
        }
        return {**found.nodes, **rotten}

    def range(self, query: Query) -> Ranged:
        return self._opened().range(query)

    def totals(self, query: Query) -> Totalled:
        return self._opened().totals(query)

    def now(self) -> float:
        with told():
            return self._reader.beat().now

    def close(self) -> None:
        self._reader.close()
        self._seen.close()
        self._kubelets.close()
        if self._history is not None:
            self._history.close()

    def _opened(self) -> RemoteHistory:
        token = _token(self._token_file)  # read each time: a krm up that is started anew writes another
        if self._history is None or token != self._token:
            if self._history is not None:
                self._history.close()
            self._history, self._token = RemoteHistory(self._place, token, keeps=True), token
        return self._history


class Measurements:
    """Of one cluster. Not for several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def usage(self, what: str, namespace: Optional[str], name: str, window: Optional[float]) -> Usage:
        """what: pods, containers, namespaces, nodes. window: seconds, None = now alone. Raises KrmError."""
        level = level_of(what)
        found = self._backend.usage(level, namespace, name)
        if window is None:
            return found
        query = Query(CPU, level, found.now - window, found.now, namespace=namespace or "")
        if name:
            query = _of(query, name)
        return replace(found, rows=tuple(self._spanned(found.rows, query)))

    def usages(self, levels: Sequence[str], namespace: Optional[str] = None) -> List[Usage]:
        """Of now; from Redis all of one turn of the collector. levels: of krm.model.measures. Raises KrmError."""
        return self._backend.usages(levels, namespace)

    def processes(self, asked: Asked) -> Processes:
        """Raises KrmError."""
        return self._backend.processes(asked)

    def kills(self, asked: Asked) -> Kills:
        """Raises KrmError."""
        return self._backend.kills(asked)

    def kubelets(self) -> Dict[str, NodeKubelet]:
        """Raises KrmError."""
        return self._backend.kubelets()

    def points(self, query: Query) -> Points:
        """Raises NoMeasurements, BadRequest."""
        return Points(*_asked(self._backend.range, query))

    def totals(self, query: Query) -> Totals:
        """Raises NoMeasurements, BadRequest."""
        return Totals(*_asked(self._backend.totals, query))

    def now(self) -> float:
        """The clock of what is kept, Unix seconds."""
        return self._backend.now()

    def close(self) -> None:
        """Ends the socket."""
        self._backend.close()

    def _spanned(self, rows: Sequence[Used], query: Query) -> List[Used]:
        by_subject: Dict[Tuple[str, str, str], Dict[str, Any]] = {}
        of = int((query.end - query.begin) // STEP)
        for metric in SPANNED:
            found = self.points(query._replace(metric=metric)).series
            # Of pods that had one name after another the last one's is kept: it is the row's.
            for series in sorted(found, key=lambda one: one.times[-1] if len(one.times) else 0.0):
                span = span_of(series.values, of)
                if span is not None:
                    subject = series.subject
                    key = (subject.namespace, subject.pod or subject.namespace or subject.node, subject.container)
                    by_subject.setdefault(key, {})[metric] = span
        return [replace(row, spans=by_subject.get((row.namespace, row.name, row.container), {})) for row in rows]


def _asked(ask: Callable[[Query], Any], query: Query) -> Any:
    try:
        return ask(query)
    except BadQuery as error:
        raise BadRequest(str(error)) from None
    except OverMuch as error:
        raise TooMuch(str(error)) from None
    except NoHistory as error:
        raise NoMeasurements(str(error)) from None


def open_measurements(source: Source, token_file: str) -> Measurements:
    """From where the source reads: Redis, or a server."""
    if isinstance(source, Directory):
        return Measurements(FromRedis(source.database, source.cluster, token_file))
    from krm.client.remote_measurements import from_server  # who reads from Redis needs no HTTP

    return Measurements(from_server(source))


def _of(query: Query, name: str) -> Query:
    if query.level == NODE:
        return query._replace(node=name)
    return query._replace(namespace=name) if query.level == NAMESPACE else query._replace(pod=name)


def query_of(metric: str, level: str, begin: Moment, end: Optional[Moment], now: float, **where: str) -> Query:
    """begin, end: times or spans ago (`5m`); end None = now. Raises BadRequest."""
    moments = [now if moment is None else parse_moment(moment, now) for moment in (begin, end)]
    if not all(isinstance(moment, float) for moment in moments):
        raise BadRequest("a time is meant (RFC 3339, or a span ago such as 5m), not a version")
    return Query(metric, CLUSTER if level == CLUSTER else level_of(level), moments[0], moments[1], **where)  # type: ignore[arg-type]


def _token(path: str) -> str:
    if not path:
        return ""
    try:
        with open(path, encoding="ascii") as file:
            return file.read(MAX_TOKEN).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoMeasurements(f"the history's token in {path} cannot be read ({type(error).__name__})") from None
