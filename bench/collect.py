"""One full collection of 100 nodes of 50 pods: asked over warm TLS connections, read, rated, summed, told to Redis.

The kubelets run in a process of their own, as they do in a cluster; every other pod has two containers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple

from krm.cluster.endpoints import Endpoints, Trust
from krm.collector import targets
from krm.collector.facts import node_facts, pod_facts
from krm.collector.loop import Collector, Endpoint, ease_garbage_collection
from krm.collector.rounds import Round, Rounds
from krm.collector.schedule import WORKERS, Job, Name, Outcome, ask
from krm.collector.sources.podstate import pod_state
from krm.collector.sources.resource import Resource
from krm.collector.sources.state import node_state
from krm.collector.world import NodeKept, PodKept, World
from krm.store.connect import connect
from krm.store.latest_writer import LatestWriter
from rig import CLUSTER, Row, redis_server, until

NODES, PODS, NAMESPACES = 100, 50, 20
ROUNDS, WARM = 50, 3
WANTED = 0.5  # seconds, p99
# Seconds between two rounds: the kubelets' counters must move, and their process must come to rest.
PAUSE = 0.3


class Kubelets(NamedTuple):
    """Those of the process apart."""

    ca: str
    objects: List[Dict[str, Any]]


class AtOnce:
    """In place of the collector's schedule: all targets are asked when it looks, as many at once as there."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS)
        self._jobs: Mapping[Name, Job] = {}

    def want(self, jobs: Mapping[Name, Job]) -> None:
        self._jobs = jobs

    def drain(self) -> List[Outcome]:
        return list(self._pool.map(ask, self._jobs.values()))

    def close(self) -> None:
        self._pool.shutdown()


class Figures(NamedTuple):
    """Seconds of each round."""

    wall: List[float]
    asked: List[float]  # of it until all were asked, read and rated
    cpu: List[float]  # of this process


def rows() -> List[Row]:
    """Wall time of a collection; what the asking takes of it, and the CPU."""
    ease_garbage_collection()
    with redis_server() as (url, _), kubelets_apart() as kubelets:
        collector = _collector(url, kubelets)
        figures = _rounds(collector)
        collector._schedule.close()
    p99 = _share(figures.wall, 0.99)
    asked, cpu = _share(figures.asked, 0.99), _share(figures.cpu, 0.5)
    return [
        Row(
            f"a full collection, {NODES} nodes x {PODS} pods: asked, read, rated, summed, told; p99 of {ROUNDS}",
            f"{p99 * 1e3:.0f} ms",
            f"p50 {_share(figures.wall, 0.5) * 1e3:.0f} ms; asked, read and rated: p99 {asked * 1e3:.0f} ms; "
            f"CPU of the collector {cpu * 1e3:.0f} ms",
            f"at most {WANTED * 1e3:.0f} ms",
            p99 <= WANTED,
        )
    ]


def _rounds(collector: Collector) -> Figures:
    figures = Figures([], [], [])
    rated = collector._rated
    ended: List[float] = []

    def told(outcomes: List[Outcome], now: float) -> List[Outcome]:
        found = rated(outcomes, now)
        ended.append(time.perf_counter())
        failed = [outcome.reason for outcome in outcomes if outcome.reason]
        if failed or len(outcomes) != NODES:
            raise RuntimeError(f"{len(failed)} of {len(outcomes)} kubelets gave no data: {failed[:1]}")
        return found

    collector._rated = told  # type: ignore[method-assign]
    for turn in range(WARM + ROUNDS):
        began, spent = time.perf_counter(), time.process_time()
        collector._turn(time.time())
        if turn >= WARM:
            figures.wall.append(time.perf_counter() - began)
            figures.asked.append(ended[-1] - began)
            figures.cpu.append(time.process_time() - spent)
        time.sleep(PAUSE)
    if collector._picture.covers.known != NODES:
        raise RuntimeError(f"only {collector._picture.covers} are measured")
    return figures


def _collector(url: str, kubelets: Kubelets) -> Collector:
    database = connect(url, name="krm-bench")
    stop = threading.Event()
    world = World(database, CLUSTER, (), stop)
    for found in kubelets.objects:
        name = found["metadata"]["name"]
        if found["kind"] == "Node":
            world.nodes.objects[name] = NodeKept(node_facts(found), node_state(found))
        elif found["kind"] == "Pod":
            key = f"{found['metadata']['namespace']}/{name}"
            world.pods[0].objects[key] = PodKept(pod_facts(found), pod_state(found))
    source = Resource(Endpoints(Trust(kubelets.ca)))

    def nodes(world: World) -> Mapping[str, Any]:
        return targets.kubelets(kept.facts for kept in world.all_nodes())

    rounds = Rounds([Round(source, nodes, 4.0)])
    writer = LatestWriter(database, CLUSTER)
    collector = Collector(world, rounds.jobs, writer, None, Endpoint("", ""), 4.0, stop)
    collector._schedule.close()
    collector._schedule = AtOnce()  # type: ignore[assignment]
    return collector


def _share(figures: List[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share))]


@contextmanager
def kubelets_apart() -> Iterator[Kubelets]:
    """Kubelets on paper in a child process; they end with the block."""
    with tempfile.TemporaryDirectory(prefix="krm-bench-") as folder:
        ready = Path(folder, "ready")
        child = subprocess.Popen([sys.executable, __file__, str(ready)], stdin=subprocess.PIPE)
        try:
            until(ready.exists, "the kubelets listen")
            told = json.loads(ready.read_text())
            yield Kubelets(told["ca"], told["objects"])
        finally:
            child.communicate(timeout=60)  # its input ends, and with it the child


def _serve(ready: Path) -> None:
    from krm.simulator import kubelets as paper
    from krm.simulator.kubelet_loads import Load
    from krm.simulator.kubelet_nodes import Node, pod

    start = time.time() - 3600
    nodes = []
    for node in range(NODES):
        pods = []
        for index in range(PODS):
            loads = {name: Load(cpu=100.0 + index) for name in ("app", "proxy")[: 1 + index % 2]}
            space = f"team-{(node + index) % NAMESPACES}"
            pods.append(pod(space, f"web-{node}-{index}-7d4b9c6f5-x2x4z", start, loads))
        nodes.append(Node(f"node-{node:04d}", pods))
    with paper.Kubelets(nodes) as running:
        told = {"ca": str(running.ca), "objects": running.objects()}
        partly = ready.with_suffix(".part")
        partly.write_text(json.dumps(told))
        partly.rename(ready)
        sys.stdin.read()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
