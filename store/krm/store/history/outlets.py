"""What is measured, to others as well: Prometheus remote write and OTLP over HTTP, by OpenTelemetry's exporters.

Each is a Recorder. The libraries are extras, and are imported when one is asked for. What waits while a
place is away waits in memory: the newest IN_MEMORY batches (krm.store.history.sending); a restart loses it.

Names: cpu/usage_rate is `krm_cpu_usage_rate`, with the tags of line protocol as labels; over OTLP it is
`krm.cpu.usage_rate` with its unit, and the attributes are those of OpenTelemetry's conventions.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Tuple
from urllib.parse import unquote, urlsplit, urlunsplit

from krm.model.measures import Sample, Subject
from krm.model.metrics import COUNTER, TABLE
from krm.model.release import VERSION
from krm.store.errors import BadUrl
from krm.store.history.asked import Recorder
from krm.store.history.lines import SUBJECT_TAGS, TYPES
from krm.store.history.sending import DRAIN, PASSING, PAUSE, InMemory, Never, NotNow, Sender
from krm.store.url import masked

TIMEOUT = 10  # seconds a request
BATCH = 10_000  # values
_NANOS_A_MILLI = 1_000_000
# OTLP attribute -> field of Subject.
_ATTRIBUTES = {
    "k8s.namespace.name": "namespace",
    "k8s.pod.name": "pod",
    "k8s.pod.uid": "uid",
    "k8s.container.name": "container",
    "k8s.node.name": "node",
    "krm.resource_id": "resource_id",
}
# The table's units as UCUM has them, which OpenTelemetry asks for.
_UCUM = {"bytes": "By", "bytes/s": "By/s", "seconds": "s", "milliseconds": "ms", "nanoseconds": "ns", "share": "1"}


class Place(NamedTuple):
    """A URL, its account apart from it."""

    url: str
    user: str
    password: str
    shown: str


class Outward:
    """A Recorder in front of one exporter."""

    def __init__(self, place: Place, exporter: Any, ear: Ear, form: Form, pause: float = PAUSE) -> None:
        """exporter: a MetricExporter, whose failures `ear` hears of. pause: seconds, see Sender."""
        self.name = place.shown
        self._exporter, self._ear, self._form = exporter, ear, form
        self._unknown = 0
        self._sender = Sender(self, InMemory, pause)

    def record(self, samples: Sequence[Sample], now: float) -> None:  # noqa: ARG002 (each has its own time)
        """As Recorder has it."""
        self._sender.offer(lambda: self._batches(samples))

    def health(self) -> List[str]:
        """As Recorder has it."""
        return self._sender.health()

    def close(self, drain: float = DRAIN) -> None:
        """What was recorded is sent, as far as `drain` seconds suffice."""
        self._sender.close(drain)

    # As an Outlet, for the thread.

    def send(self, batch: Any) -> None:
        """Raises NotNow, Never."""
        self._ear.status, self._ear.said = 0, ""
        try:
            arrived = self._exporter.export(self._form.data(batch)).name == "SUCCESS"
        except OSError as error:  # as all of requests' errors are; the URL in their text has no account
            arrived, self._ear.said = False, str(error) or type(error).__name__
        if arrived:
            return
        status, said = self._ear.status, self._ear.said[:300]
        if 400 <= status < 500 and status not in PASSING:
            raise Never(f"it answered {status}: {said}")
        raise NotNow(
            f"it answered {status}: {said}" if status else f"it does not answer: {said or 'no word of why'}"
        )

    def complaints(self) -> List[str]:
        """As Outlet has it."""
        return [f"{self._unknown} values are of no metric in the table, or no numbers"] if self._unknown else []

    def _batches(self, samples: Sequence[Sample]) -> Iterator[List[Tuple[str, float, Sample]]]:
        some: List[Tuple[str, float, Sample]] = []
        for sample in samples:
            for metric, value in sample.values.items():
                if metric not in TABLE or not math.isfinite(value):
                    self._unknown += 1
                    continue
                some.append((metric, value, sample))
            if len(some) >= BATCH:
                yield some
                some = []
        if some:
            yield some


class Several:
    """A Recorder in front of several: a history, and others that are told beside it."""

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self._recorders = recorders

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """As Recorder has it, to each."""
        for one in self._recorders:
            one.record(samples, now)

    def health(self) -> List[str]:
        """Of each."""
        return [said for one in self._recorders for said in one.health()]


class Ear(logging.Handler):
    """What the libraries know of a failure and do not return: the answer, or the log's last word."""

    status, said = 0, ""

    def answered(self, response: Any, *_: Any, **__: Any) -> None:
        """A response of requests."""
        if not response.ok:
            self.status, self.said = int(response.status_code), _printable(response.text[:1000])

    def emit(self, record: logging.LogRecord) -> None:
        """A log line of an exporter; an error of requests that has a response is worth more."""
        response = getattr(
            (record.args or (None,))[0] if isinstance(record.args, tuple) else None, "response", None
        )
        if response is not None:
            self.answered(response)
        elif not self.status:
            self.said = _printable(record.getMessage())

    def hears(self, module: str) -> Ear:
        """From now on this module's log comes here, and goes nowhere else: krm says it in its own words."""
        logger = logging.getLogger(module)
        logger.handlers, logger.propagate = [self], False
        return self


class Form:
    """How samples look to an exporter."""

    def __init__(self, name: Callable[[str], str], unit: Callable[[str], str], attributes: Any) -> None:
        """attributes: (subject, source) -> what tells a series apart."""
        self._name, self._unit, self._attributes = name, unit, attributes

    def data(self, batch: Sequence[Tuple[str, float, Sample]]) -> Any:
        """A MetricsData with the samples' own times."""
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        points: Dict[str, List[Any]] = {}
        seen: Dict[int, Mapping[str, str]] = {}
        for metric, value, sample in batch:
            attributes = seen.get(id(sample))
            if attributes is None:
                attributes = seen[id(sample)] = self._attributes(sample.subject, sample.source)
            began = 0 if sample.started is None else round(sample.started * 1000) * _NANOS_A_MILLI
            at = round(sample.at * 1000) * _NANOS_A_MILLI  # no exporter is more exact
            points.setdefault(metric, []).append(export.NumberDataPoint(dict(attributes), began, at, float(value)))
        metrics = [self._metric(export, metric, found) for metric, found in points.items()]
        scope = export.ScopeMetrics(InstrumentationScope("krm", VERSION), metrics, "")
        return export.MetricsData([export.ResourceMetrics(Resource({"service.name": "krm"}), [scope], "")])

    def _metric(self, export: Any, metric: str, points: List[Any]) -> Any:
        row = TABLE[metric]
        data = (
            export.Sum(points, export.AggregationTemporality.CUMULATIVE, True)
            if row.form == COUNTER
            else export.Gauge(points)
        )
        return export.Metric(self._name(metric), row.about, self._unit(row.unit), data)


def remote_write(url: str, pause: float = PAUSE) -> Outward:
    """Prometheus remote write to a whole URL. Raises BadUrl: for the URL, and where the library is missing."""
    place = _place(url)
    try:
        from opentelemetry.exporter import prometheus_remote_write as library
    except ImportError:
        raise BadUrl("remote write needs a library: pip install 'krm[remote-write]'") from None
    account = {"username": place.user, "password": place.password} if place.user else None
    make: Any = library.PrometheusRemoteWriteMetricsExporter
    exporter = make(place.url, basic_auth=account, timeout=TIMEOUT, resources_as_labels=False)
    # Without a unit: the library would make it a part of the name.
    form = Form(lambda metric: "krm_" + metric.replace("/", "_"), lambda _: "", _labels)
    return Outward(place, exporter, Ear().hears(library.__name__), form, pause)


def otlp(url: str, pause: float = PAUSE) -> Outward:
    """OTLP over HTTP to a whole URL. Raises as `remote_write`."""
    place = _place(url)
    try:
        import requests
        from opentelemetry.exporter.otlp.proto.http import Compression, metric_exporter
    except ImportError:
        raise BadUrl("OTLP needs a library: pip install 'krm[otlp]'") from None
    ear = Ear().hears(metric_exporter.__name__)
    session = requests.Session()
    session.trust_env, session.max_redirects = False, 0
    session.hooks["response"].append(ear.answered)
    if place.user:
        session.auth = (place.user, place.password)
    exporter = metric_exporter.OTLPMetricExporter(
        place.url, timeout=TIMEOUT, compression=Compression.Gzip, session=session
    )
    return Outward(
        place, exporter, ear, Form(lambda metric: "krm." + metric.replace("/", "."), _ucum, _attributes), pause
    )


def _place(url: str) -> Place:
    shown = masked(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl(f"{shown}: no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(ord(char) <= 0x20 for char in url):
        raise BadUrl(f"{shown}: write http://HOST:PORT/PATH or https://HOST:PORT/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    where = host if port is None else f"{host}:{port}"
    bare = urlunsplit((parts.scheme, where, parts.path, parts.query, ""))
    return Place(bare, unquote(parts.username or ""), unquote(parts.password or ""), shown)


def _labels(subject: Subject, source: str) -> Dict[str, str]:
    found = {tag: getattr(subject, field) for tag, field in SUBJECT_TAGS.items()}
    found.update(type=TYPES[subject.level], source=source)
    return {tag: _clean(value) for tag, value in found.items() if value}


def _attributes(subject: Subject, source: str) -> Dict[str, str]:
    found = {name: getattr(subject, field) for name, field in _ATTRIBUTES.items()}
    found.update({"krm.level": subject.level, "krm.source": source})
    return {name: _clean(value) for name, value in found.items() if value}


def _clean(value: str) -> str:
    """As protobuf takes it: a text without halves of characters."""
    return value.encode("utf-8", "replace").decode()


def _ucum(unit: str) -> str:
    return _UCUM.get(unit, "{" + unit + "}")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()
