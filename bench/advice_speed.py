"""All recommendations of 5,000 pods with a day of history: how long, and in how much memory.

The history of one namespace (250 pods of 50 Deployments, a day, recorded as the collector does) is read and
answered for each of 20 namespaces, as the facade does it. The floor beside it is the reading alone.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, NamedTuple

import psutil
from history import NAMESPACES, PODS, START, Load
from krm.analysis.inputs import Inputs, State
from krm.analysis.sizing import recommendations
from krm.client.measurements import Measurements
from krm.model.measures import Sample, Subject
from krm.monitor.past import history_of
from krm.store.history.asked import STEP
from krm.store.history.local import LocalHistory

EACH, NODES = 5, 100  # pods of a Deployment; nodes
STEPS = 24 * 240
HASH = "5d4f8c7b9"


class Found(NamedTuple):
    """What one run came to."""

    read: float  # CPU seconds of reading all
    all: float  # of reading and answering
    wall: float
    rows: int
    advised: int
    mebibytes: float  # of the process, at its most


def run() -> Found:
    """In a process of its own, whose memory is told without what else a benchmark holds."""
    receiver, sender = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(sender,))
    process.start()
    sender.close()
    found: Found = receiver.recv()
    process.join()
    return found


def _run(sender: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        now = _recorded(str(Path(folder) / "history"))
        history = LocalHistory(str(Path(folder) / "history"))
        client: Any = SimpleNamespace(measurements=Measurements(_Backend(history)))  # type: ignore[arg-type]
        base = psutil.Process(os.getpid()).memory_info().rss
        needs = recommendations.needs(recommendations.Asked(None))._replace(measured="team-00")
        began, wall = time.process_time(), time.monotonic()
        state = _state()
        known = recommendations.known_of(state)
        read, rows, advised, most = 0.0, 0, 0, base
        for number in range(NAMESPACES):
            at = time.process_time()
            past = history_of(client, needs, now)
            read += time.process_time() - at
            asked = recommendations.Asked("team-00" if number == 0 else f"team-{number:02d}")
            named = past if number == 0 else _renamed(past, asked.namespace or "")
            answer = recommendations.answer(Inputs(now, "bench", state, named), asked, known)
            rows += len(answer.rows)
            advised += sum(1 for row in answer.rows if not row.waits_for)
            most = max(most, psutil.Process(os.getpid()).memory_info().rss)
        sender.send(Found(read, time.process_time() - began, time.monotonic() - wall, rows, advised, most / 2**20))
        history.close()


class _Backend:
    def __init__(self, history: LocalHistory) -> None:
        self.range, self.totals = history.range, history.totals


def _name(number: int) -> str:
    return f"service-{number // EACH:02d}-{HASH}-{number:05d}"


def _recorded(path: str) -> float:
    """A day of one namespace; its end."""
    history, load = LocalHistory(path), Load(PODS // NAMESPACES)
    subjects = [
        Subject("team-00", _name(number), f"uid-{number}", "app", f"node-{number % NODES:03d}")
        for number in range(PODS // NAMESPACES)
    ]
    now = START
    for step in range(STEPS):
        now += STEP
        cpu, memory = load.tick(step)
        history.record(
            [
                Sample(
                    subject,
                    now - lag,
                    {"cpu/usage_rate": one, "memory/working_set": other},
                    "kubelet/resource",
                    STEP,
                )
                for subject, lag, one, other in zip(subjects, load.lag, cpu, memory)
            ],
            now,
        )
    history.close()
    return now


def _renamed(past: Any, namespace: str) -> Any:
    """The same points as of another namespace; it costs next to nothing beside reading them."""
    past._tracks = {
        which: [track._replace(subject=track.subject._replace(namespace=namespace)) for track in each]
        for which, each in past._tracks.items()
    }
    past._hours = {
        which: [track._replace(subject=track.subject._replace(namespace=namespace)) for track in each]
        for which, each in past._hours.items()
    }
    return past


def _state() -> State:
    """5,000 pods of 1,000 Deployments on 100 nodes."""
    kinds: Dict[str, List[Dict[str, Any]]] = {"pods": [], "deployments.apps": [], "replicasets.apps": []}
    resources = {"requests": {"cpu": "100m", "memory": "200Mi"}, "limits": {"memory": "1Gi"}}
    containers = [{"name": "app", "resources": resources}]
    per = PODS // NAMESPACES
    for number in range(PODS):
        namespace, own = f"team-{number // per:02d}", number % per
        service = f"service-{own // EACH:02d}"
        if own % EACH == 0:
            spec = {"replicas": EACH, "template": {"spec": {"containers": containers}}}
            kinds["deployments.apps"].append({"metadata": {"namespace": namespace, "name": service}, "spec": spec})
            owner = {"kind": "Deployment", "apiVersion": "apps/v1", "name": service, "controller": True}
            metadata = {"namespace": namespace, "name": f"{service}-{HASH}", "ownerReferences": [owner]}
            kinds["replicasets.apps"].append({"metadata": metadata})
        owner = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": f"{service}-{HASH}", "controller": True}
        metadata = {"namespace": namespace, "name": _name(own), "uid": f"uid-{own}", "ownerReferences": [owner]}
        spec = {"nodeName": f"node-{number % NODES:03d}", "containers": containers}
        kinds["pods"].append({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}})
    allocatable = {"cpu": "32", "memory": "128Gi", "pods": "110"}
    kinds["nodes"] = [
        {"metadata": {"name": f"node-{number:03d}"}, "status": {"allocatable": allocatable}}
        for number in range(NODES)
    ]
    return State({**kinds, "limitranges": [], "resourcequotas": []}, {}, {})


if __name__ == "__main__":
    print(run())
