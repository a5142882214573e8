"""A kubelet's /metrics/resource: CPU, working set and swap of the node, its pods and containers.

The cheapest page that a kubelet has, and what metrics-server reads. It names no pod's uid. Right: get on
nodes/metrics.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from krm.cluster.endpoints import TIMEOUT, Endpoints
from krm.collector.source import NoData, Target
from krm.collector.sources.asking import body_of
from krm.collector.sources.exposition import line_of, page_of
from krm.collector.sources.layout import Layout, Layouts, Odd
from krm.collector.sources.moments import AHEAD, SAME_MOMENT, uptime
from krm.model.measures import Sample, Subject

NAME = "kubelet/resource"
PATH = "/metrics/resource"
MOST = 16 * 1024 * 1024  # bytes: 500 pods of two containers have about 1 MiB

_CPU, _STARTED = "cpu/usage", "started"
_SERIES = (
    ("cpu_usage_seconds_total", _CPU),
    ("memory_working_set_bytes", "memory/working_set"),
    ("swap_usage_bytes", "swap/usage"),
)
# Series -> metric, by what its labels name.
_CONTAINER = {"container_" + series: metric for series, metric in _SERIES}
_CONTAINER["container_start_time_seconds"] = _STARTED
_POD = {"pod_" + series: metric for series, metric in _SERIES}
_NODE = {"node_" + series: metric for series, metric in _SERIES}
_FAILED = ("resource_scrape_error", "scrape_error")
_NAMES = {*_CONTAINER, *_POD, *_NODE, *_FAILED}

# One findall reads a page. Groups: name, container, namespace, pod, value, milliseconds; or any other line.
_VALUE = r'"([^"\\\n]*)"'
_ROWS = re.compile(
    rf"^(?:([a-z_]+)(?:\{{(?:container={_VALUE},)?namespace={_VALUE},pod={_VALUE}\}})? "
    r"([0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)(?: ([0-9]{1,15}))?|(.*))$",
    re.MULTILINE,
).findall

Row = Tuple[str, str, str, str, str, str, str]
Who = Tuple[str, str, str]  # container, namespace, pod; '' = not of one
_THE_NODE = ("", "", "")
INFINITE = float("inf")


class _Entry:
    """What a page says of one subject."""

    __slots__ = ("apart", "at", "started", "values")

    def __init__(self) -> None:
        self.at = 0.0  # Unix seconds of the values: the CPU's time, where there is one
        self.values: Dict[str, float] = {}
        self.started: Optional[float] = None
        self.apart: List[Tuple[float, str, float]] = []  # time, metric, value, where that is another moment

    def set_clock(self, at: float) -> None:
        """The CPU was read at `at`: what was read at another moment stands apart."""
        if not -SAME_MOMENT <= at - self.at <= SAME_MOMENT:
            self.apart += [(self.at, metric, value) for metric, value in self.values.items()]
            self.values = {}
        self.at = at


class _Plan(NamedTuple):
    """Where a page's numbers of one subject stand."""

    subject: Subject
    cpu: int  # -1 = nowhere
    started: int
    others: Tuple[Tuple[str, int], ...]  # metric, place


class _Plans(NamedTuple):
    subjects: List[_Plan]
    failures: List[int]  # places where the kubelet says whether it failed


class Resource:
    """The source. Threads may share it, each with a target of its own."""

    name = NAME

    def __init__(self, door: Endpoints, timeout: float = TIMEOUT) -> None:
        self._door, self._timeout = door, timeout
        self._layouts: Layouts[_Plans] = Layouts()

    def __call__(self, target: Target, now: float) -> List[Sample]:
        """The node's sample, and one a pod and a container. Raises NoData."""
        return self.samples_of(body_of(self._door, target, PATH, MOST, self._timeout), target, now)

    def samples_of(self, raw: bytes, target: Target, now: float) -> List[Sample]:
        """The samples of one page, as the function of that name says, but faster where little changed."""
        page = page_of(raw, f"{target.name}: {PATH}")
        who = (target.name, target.node)
        layout = self._layouts.of(who, now)
        if layout is not None:
            try:
                return _by_plan(layout, page, now)
            except Odd:
                pass
        samples = _by_line(page, target, now)
        self._layouts.keep(who, page, lambda series: _planned(series, target.node), now)
        return samples


def _planned(series: List[str], node: str) -> _Plans:
    """Raises Odd."""
    places: Dict[Who, Dict[str, int]] = {}
    failures: List[int] = []
    for place, text in enumerate(series):
        ((name, container, namespace, pod, _, _, other),) = _ROWS(text + " 0")
        who = (container, namespace, pod)
        metric = _metrics(container, pod).get(name)
        if other or (metric and who != _THE_NODE and not (namespace and pod)):
            raise Odd
        if metric:
            places.setdefault(who, {})[metric] = place
        elif name in _FAILED:
            failures.append(place)
    plans = []
    for (container, namespace, pod), found in places.items():
        cpu, started = found.pop(_CPU, -1), found.pop(_STARTED, -1)
        plans.append(_Plan(Subject(namespace, pod, "", container, node), cpu, started, tuple(found.items())))
    return _Plans(plans, failures)


def _by_plan(layout: Layout[_Plans], page: str, now: float) -> List[Sample]:
    """The samples of a page whose layout is known. Raises Odd."""
    numbers, stamps = layout.numbers(page)
    if INFINITE in numbers or any(numbers[place] for place in layout.plan.failures):
        raise Odd
    latest = now + AHEAD
    samples: List[Sample] = []
    for subject, cpu, started_at, others in layout.plan.subjects:
        place = cpu if cpu >= 0 else others[0][1] if others else -1
        if place < 0:
            continue
        stamp = stamps[place]
        at = int(stamp) / 1000.0 if stamp else now
        if not 0.0 < at < latest:
            raise Odd
        values: Dict[str, float] = {_CPU: int(numbers[cpu] * 1e9)} if cpu >= 0 else {}
        started = (numbers[started_at] or None) if started_at >= 0 else None
        for metric, other in others:
            if stamps[other] != stamp:
                raise Odd
            values[metric] = numbers[other]
        if started is not None and at >= started:
            values["uptime"] = uptime(at, started)
        samples.append(Sample(subject, at, values, NAME, 0.0, started))
    return samples


def samples_of(raw: bytes, target: Target, now: float) -> List[Sample]:
    """The samples of one page. Raises NoData where it has none."""
    return _by_line(page_of(raw, f"{target.name}: {PATH}"), target, now)


def _by_line(page: str, target: Target, now: float) -> List[Sample]:
    rows = _ROWS(page)
    found: Dict[Who, _Entry] = {}
    odd, failed = _taken(rows, found, now)
    if odd:
        failed = _taken([row for text in odd for row in _written(text)], found, now)[1] or failed
    if failed and _THE_NODE not in found:
        raise NoData(f"{target.name}: the kubelet could not read its own numbers, see its log")
    samples: List[Sample] = []
    for (container, namespace, pod), entry in found.items():
        subject = Subject(namespace, pod, "", container, target.node)
        values, started = entry.values, entry.started
        if values:
            if started is not None and entry.at >= started:
                values["uptime"] = uptime(entry.at, started)
            samples.append(Sample(subject, entry.at, values, NAME, 0.0, started))
        for at, metric, value in entry.apart:
            samples.append(Sample(subject, at, {metric: value}, NAME, 0.0, started))
    if not samples:
        raise NoData(f"{target.name}: {PATH} has no numbers of a kubelet: is it a kubelet's address?")
    return samples


def _taken(rows: List[Row], found: Dict[Who, _Entry], now: float) -> Tuple[List[str], bool]:
    """Takes rows into `found`. (Lines that the pattern does not know; whether the kubelet says that it failed.)"""
    latest = now + AHEAD
    odd: List[str] = []
    failed = False
    for name, container, namespace, pod, text, millis, other in rows:
        metric = _metrics(container, pod).get(name)
        if metric is None:
            if other and other[0] != "#":
                odd.append(other)
            failed = failed or (name in _FAILED and float(text) > 0.0)
            continue
        value = float(text)
        at = int(millis) / 1000.0 if millis and metric != _STARTED else now
        if value == INFINITE or not 0.0 < at < latest:
            continue
        who = (container, namespace, pod)
        entry = found.get(who)
        if entry is None:
            if who != _THE_NODE and not (namespace and pod):
                continue
            entry = found[who] = _Entry()
        if metric == _CPU:
            if at != entry.at:
                entry.set_clock(at)
            entry.values[_CPU] = int(value * 1e9)  # whole nanoseconds, as metrics-server has them
        elif metric == _STARTED:
            entry.started = value or None
        elif not entry.at or -SAME_MOMENT <= at - entry.at <= SAME_MOMENT:
            entry.at = entry.at or at
            entry.values[metric] = value
        else:
            entry.apart.append((at, metric, value))
    return odd, failed


def _metrics(container: str, pod: str) -> Dict[str, str]:
    """The series that may have such labels."""
    return _CONTAINER if container else _POD if pod else _NODE


def _written(text: str) -> Iterator[Row]:
    """A line that the pattern does not know, as a row: labels in another order, escapes, spaces, 1E3."""
    line = line_of(text)
    if line is None or line.name not in _NAMES or not 0.0 <= line.value < INFINITE:
        return
    labels = line.labels
    millis = "" if line.millis is None else str(line.millis)
    who = (labels.get("container", ""), labels.get("namespace", ""), labels.get("pod", ""))
    yield (line.name, *who, repr(line.value), millis, "")
