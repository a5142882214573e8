"""Findings of a cluster with 5,000 pods: all breaches of limits and requests, and all noisy neighbours.

The pods are on paper, the points come from a real history file that was recorded as the collector records it, and
are read as the facade reads them but for the socket between it and the collector. One pod in ten is near its limit.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence, Tuple

import psutil
from history import PODS, START, Load, MiB, Turn, full_set
from krm.analysis.inputs import History, Inputs, Kills, Newest, Reading, State, Track, Which
from krm.analysis.limits import breaches, neighbours
from krm.model.measures import Sample, Subject
from krm.model.times import write
from krm.model.trust import LIVE, Trust
from krm.store.history.asked import STEP, Query
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from rig import Row

WARM = 20 * 60.0  # seconds that are recorded: more than the longest window that is asked for
GOAL = 2.0  # seconds for all breaches of the cluster
Points = Dict[Which, Sequence[Track]]


def rows() -> List[Row]:
    """Times are the median of three."""
    with tempfile.TemporaryDirectory() as folder:
        history = LocalHistory(str(Path(folder) / "history.db"))
        load = Load(PODS)
        now = _record(history, load)
        bodies = [json.dumps(_pod(subject, place)).encode() for place, subject in enumerate(load.subjects()[0])]
        before = psutil.Process().memory_info().rss
        made_of = (history, bodies, load, now)
        breach = _row("all breaches, 5 min", breaches, breaches.Asked(None, 0.9, 300.0), made_of, GOAL)
        noise = _row("noisy neighbours, 15 min", neighbours, neighbours.Asked(None, "", 900.0), made_of)
        grown = (psutil.Process().memory_info().rss - before) / MiB
        of = f"the pods as JSON {sum(map(len, bodies)) / MiB:.0f}"
        return [breach, noise, Row("findings: MiB that both took", f"{grown:.0f}", of, "", None)]


def _row(
    what: str, question: Any, asked: Any, made_of: Tuple[LocalHistory, List[bytes], Load, float], goal: float = 0.0
) -> Row:
    history, bodies, load, now = made_of
    needs = question.needs(asked)
    read, decode, think = [], [], []
    found: Any = None
    for _ in range(3):
        points, seconds = _timed(lambda: _points(history, needs, now))
        read.append(seconds)
        pods, seconds = _timed(lambda: [json.loads(body) for body in bodies])
        decode.append(seconds)
        inputs = _inputs(pods, points, needs, load, now)
        found, seconds = _timed(lambda given=inputs: question.answer(given, asked))
        think.append(seconds)
    parts = [statistics.median(each) for each in (read, decode, think)]
    return Row(
        f"findings: {what}, 5,000 pods, CPU s",
        f"{sum(parts):.2f}",
        f"points {parts[0]:.2f}, JSON {parts[1]:.2f}, thinking {parts[2]:.2f}; {len(found.rows)} rows",
        f"<= {goal:g}" if goal else "",
        sum(parts) <= goal if goal else None,
    )


def _timed(work: Callable[[], Any]) -> Tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def _record(history: LocalHistory, load: Load) -> float:
    """The time of the last turn."""
    turn: Turn = full_set
    pods, containers = load.subjects()
    now = START
    for number in range(int(WARM // STEP)):
        now = START + (number + 1) * STEP
        samples = turn(load, pods, containers, now, *load.tick(number))
        samples += [_besides(one, now, place, number) for place, one in enumerate(containers)]
        history.record(samples, now)
    return now


def _besides(container: Subject, now: float, place: int, number: int) -> Sample:
    waits = 0.3 if place % 200 == 0 and number % 8 > 4 else 0.01
    values = {"pressure/cpu_waiting": waits, "pressure/memory_waiting": 0.0, "cpu/limit": 1000.0}
    values["memory/limit"] = _limit(place) * float(MiB)
    return Sample(container, now, values, "kubelet/cadvisor", STEP)


def _points(history: LocalHistory, needs: Any, now: float) -> Points:
    found: Points = {}
    for metric, level in needs.points:
        answer = Summing(history).range(Query(metric, level, now - needs.window, now))
        found[metric, level] = [Track(one.subject, one.times, one.values) for one in answer.series]
    return found


def _inputs(pods: List[Any], points: Points, needs: Any, load: Load, now: float) -> Inputs:
    cpu, memory = load.tick(0)
    readings = [
        Reading(one._replace(uid=""), {"cpu/usage_rate": a, "memory/working_set": b}, now - 5, STEP, "kubelet", "")
        for one, a, b in zip(load.subjects()[1], cpu, memory)
    ]  # fmt: skip
    trust = Trust(LIVE, (), 1, "i", "1", now, now, 0.0, now, "1", "etcd", False, 0, None, None, None, None)
    return Inputs(
        now, "bench", State({"pods": pods}, {"pods": trust}, {}),
        History(now - needs.window, now, points, since=START), Newest({"container": readings}), Kills(),
    )  # fmt: skip


def _limit(place: int) -> int:
    return 300 if place % 10 == 0 else 1024


def _pod(subject: Subject, place: int) -> Dict[str, Any]:
    """As an API server writes one, but for what no finding reads."""
    made = write(START - 3600)
    resources = {
        "requests": {"cpu": f"{50 + place % 7 * 50}m", "memory": f"{128 + place % 5 * 64}Mi"},
        "limits": {"cpu": "1", "memory": f"{_limit(place)}Mi"},
    }
    mounts = [{"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}]
    container = {
        "name": "app", "image": "registry.example.com/shop/app:1.2.3", "resources": resources,
        "volumeMounts": mounts, "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent",
        "env": [{"name": f"SETTING_{number}", "value": "x" * 20} for number in range(8)],
    }  # fmt: skip
    status = {
        "phase": "Running", "startTime": made, "qosClass": "Burstable", "podIP": "10.0.0.1",
        "conditions": [{"type": name, "status": "True", "lastTransitionTime": made} for name in
                       ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{
            "name": "app", "ready": True, "restartCount": 0, "resources": resources,
            "allocatedResources": resources["requests"], "state": {"running": {"startedAt": made}},
        }],
    }  # fmt: skip
    owner = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "controller": True, "name": f"app-{place % 500}-5b"}
    return {
        "metadata": {"namespace": subject.namespace, "name": subject.pod, "uid": subject.uid,
                     "creationTimestamp": made, "labels": {"pod-template-hash": "5b"}, "ownerReferences": [owner]},
        "spec": {"nodeName": subject.node, "containers": [container]},
        "status": status,
    }  # fmt: skip
