"""A namespace's report: 250 of 5,000 pods, a day of history, from a kept cluster in Redis to the page.

The history is the file that the collector writes, read within this process; over the collector's endpoint come its
answers besides: nine series of the namespace as a whole, and a sum a container.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List, Mapping

import psutil
from krm.analysis.report.page import as_html
from krm.client.client import Client, connect
from krm.model.measures import Covers, Sample, Subject
from krm.monitor import K8sResourceMonitor
from krm.store import connect as store
from krm.store.history.asked import STEP
from krm.store.history.local import LocalHistory
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn
from rig import CLUSTER, Row, pipeline, redis_server, simulated

PODS, NAMESPACE = 5_000, "team-0"
KINDS = ("pods", "nodes", "namespaces", "resourcequotas", "limitranges", "replicasets.apps", "jobs.batch")
DAY = 86400.0
RUNS = 7
SOURCE = "kubelet/resource"
MiB = 2**20
_WHOLE = {
    "cpu/request": 50_000.0, "cpu/limit": 100_000.0, "memory/request": 2e11, "memory/limit": 4e11,
    "pods/count": 250.0,
}  # fmt: skip


def rows() -> List[Row]:
    """Wall-clock seconds, that is what somebody waits, and CPU beside them."""
    with ExitStack() as stack:
        _, kubeconfig = stack.enter_context(simulated(PODS))
        url, _process = stack.enter_context(redis_server())
        stages = stack.enter_context(pipeline(url, kubeconfig, KINDS))
        for kind in KINDS:
            stages.wait_live(kind)
        client = stack.enter_context(connect(url, CLUSTER))
        return _measured(client, url, str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "history.db"))


def _measured(client: Client, url: str, path: str) -> List[Row]:
    containers = _containers(client)
    _write_latest(url, containers)
    history = LocalHistory(path)
    _record(history, [one for one in containers if one.namespace == NAMESPACE])
    client.measurements._backend = _Both(client.measurements._backend, history)
    monitor, process = K8sResourceMonitor(client), psutil.Process()
    monitor.get_namespace_report(NAMESPACE)  # imports
    before, waits, spent, pages = process.memory_info().rss, [], [], []
    for _ in range(RUNS):
        began, worked = time.perf_counter(), time.thread_time()
        report = monitor.get_namespace_report(NAMESPACE)
        waits.append(time.perf_counter() - began)
        spent.append(time.thread_time() - worked)
        began = time.perf_counter()
        page = as_html(report)
        pages.append(time.perf_counter() - began)
    used = process.memory_info().rss - before
    pods = sum(row.pods for row in report.rows)
    known = sum(line.points[-1][1] is not None for chart in report.charts for line in chart.lines)
    if pods < 240 or known < 7 or report.totals[0].mean is None:
        raise RuntimeError(f"{pods} pods and {known} lines are not what was recorded")
    took = statistics.median(waits)
    history.close()
    return [
        Row(f"report of a namespace ({pods} pods, 24 h of history), s", f"{took:.2f}",
            f"CPU {statistics.median(spent):.2f}; its HTML page {statistics.median(pages):.3f} more, "
            f"{len(page) // 1024} KiB; {used / MiB:.0f} MiB more than before", "<= 0.5", took <= 0.5),
    ]  # fmt: skip


class _Both:
    """The newest from Redis, the past from the file."""

    def __init__(self, newest: Any, past: LocalHistory) -> None:
        self._newest = newest
        self.range, self.totals = past.range, past.totals

    def __getattr__(self, name: str) -> Any:
        return getattr(self._newest, name)


def _containers(client: Client) -> List[Subject]:
    found = []
    for one in client.snapshot("pods").items():
        body = one.body()
        metadata, spec = body["metadata"], body["spec"]
        subject = Subject(metadata["namespace"], metadata["name"], metadata["uid"], "", spec.get("nodeName", ""))
        found += [subject._replace(container=container["name"]) for container in spec["containers"]]
    return found


def _values(draw: random.Random) -> Mapping[str, float]:
    return {"cpu/usage_rate": draw.uniform(1, 500), "memory/working_set": draw.uniform(1, 500) * MiB // 4096 * 4096}


def _write_latest(url: str, containers: List[Subject]) -> None:
    draw, now = random.Random(1), time.time()
    pods: Dict[str, Dict[str, Dict[str, Any]]] = {}
    about: Dict[Any, Subject] = {}
    for one in containers:
        told = (Measured(SOURCE, now, 15.0, _values(draw)),)
        pods.setdefault(one.namespace, {}).setdefault(one.pod, {})[one.container] = told
        about[one.namespace, one.pod] = one
    packed = {
        namespace: {
            name: pack_pod(Pod(name, about[namespace, name].uid, about[namespace, name].node, (), parts))
            for name, parts in rows.items()
        }
        for namespace, rows in pods.items()
    }
    writer = LatestWriter(store.connect(url, name="bench"), CLUSTER)
    writer.take()
    writer.write(Turn(packed, {}, {}, CollectorState("", "", 4.0, (), {}, (), Covers(50, 50, "nodes"))))


def _record(history: LocalHistory, containers: List[Subject]) -> None:
    """A day, each 15 s."""
    draw, end = random.Random(2), time.time() // STEP * STEP
    base = [_values(draw) for _ in containers]
    for number in range(int(DAY // STEP), -1, -1):
        now = end - number * STEP
        samples = [
            Sample(
                one, now - 1, {name: value * draw.uniform(0.9, 1.1) for name, value in values.items()}, SOURCE, STEP
            )
            for one, values in zip(containers, base)
        ]
        whole = {"cpu/usage_rate": draw.uniform(2e4, 4e4), "memory/working_set": draw.uniform(1e11, 2e11)}
        samples.append(Sample(Subject(NAMESPACE), now, {**_WHOLE, **whole}, "sum", STEP))
        history.record(samples, now)
