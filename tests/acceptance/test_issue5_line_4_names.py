"""Issue 5, line 4: each of the 37 names gives a value at each level of its row, equal to one computed by hand.

Simulated kubelets and a DCGM exporter's page, through the collector to Redis and to the history.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Dict, FrozenSet, Iterator, List, Mapping, Tuple

import pytest
from kept_cluster import KeptCluster
from krm.client.usage import usage_of
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector import loop as loops
from krm.collector import targets
from krm.collector.loop import Collector, Endpoint
from krm.collector.recording import Recording
from krm.collector.rounds import Round, Rounds
from krm.collector.sources.annotated import Reach
from krm.collector.sources.cadvisor import Cadvisor
from krm.collector.sources.dcgm import Gpus, exporters
from krm.collector.sources.resource import Resource
from krm.collector.sources.summary import Summary
from krm.collector.world import World
from krm.model.metrics import PART_ONE, TABLE
from krm.simulator.kubelet_loads import Life, Load
from krm.simulator.kubelet_nodes import Container, Node, Pod
from krm.simulator.kubelets import Kubelets
from krm.store.history.asked import Query
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest import Latest
from krm.store.latest_writer import LatestWriter
from metered import Metered, until

MIB = 1024 * 1024
GIB = 1024 * MIB
BEGUN = 600.0  # seconds that everything has run
APP = Load(
    cpu=200, memory=100 * MIB, rss=80 * MIB, cache=50 * MIB, faults=10_000,
    major_faults=1000, rx=100_000, tx=200_000, rx_errors=2000, tx_errors=1000, rootfs=5 * MIB,
)  # fmt: skip
SIDE = Load(cpu=50, memory=20 * MIB, rss=15 * MIB, cache=10 * MIB, faults=1000)
DB = Load(cpu=100, memory=300 * MIB, rss=200 * MIB, cache=150 * MIB, rx=50_000, tx=10_000, faults=500)
SYSTEM = Load(cpu=150, memory=GIB, rss=768 * MIB, cache=512 * MIB, faults=2000, processes=10, threads=40)
DCGM = (
    b'DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-0",namespace="shop",pod="web",container="app"} 3000\n'
    b'DCGM_FI_DEV_FB_FREE{gpu="0",UUID="GPU-0",namespace="shop",pod="web",container="app"} 5000\n'
    b'DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-1"} 7\nDCGM_FI_DEV_FB_FREE{gpu="1",UUID="GPU-1"} 8000\n'
)

# What each level comes to, by hand. (container app of pod web, pod web, namespace shop, node n1, the cluster)
LEVELS = ("container", "pod", "namespace", "node", "cluster")
USED: Dict[str, Tuple[float, float, float, float]] = {  # app, web, shop, n1; the cluster is its one node
    "cpu/usage_rate": (200, 250, 350, 500),
    "memory/working_set": (100 * MIB, 120 * MIB, 420 * MIB, 420 * MIB + GIB),
    "memory/rss": (80 * MIB, 95 * MIB, 295 * MIB, (295 + 768) * MIB),
    "memory/cache": (50 * MIB, 60 * MIB, 210 * MIB, (210 + 512) * MIB),
    "memory/usage": (130 * MIB, 155 * MIB, 505 * MIB, (505 + 1280) * MIB),
    "memory/page_faults_rate": (10_000, 11_000, 11_500, 13_500),
    "memory/major_page_faults_rate": (1000, 1000, 1000, 1000),
    "network/rx_rate": (0, 100_000, 150_000, 150_000),
    "network/tx_rate": (0, 200_000, 210_000, 210_000),
    "network/rx_errors_rate": (0, 2000, 2000, 2000),
    "network/tx_errors_rate": (0, 1000, 1000, 1000),
    "gpu/usage": (3000, 3000, 3000, 3007),
}
HELD: Dict[str, Tuple[float, float, float]] = {  # app, web, shop; node and cluster hold what the namespace does
    "cpu/request": (400, 450, 650),
    "cpu/limit": (400, 400, 600),
    "memory/request": (256 * MIB, 276 * MIB, 788 * MIB),
    "memory/limit": (256 * MIB, 256 * MIB, 768 * MIB),
}
NODE: Dict[str, float] = {
    "cpu/node_capacity": 8000, "cpu/node_allocatable": 8000, "memory/node_capacity": 32 * GIB,
    "memory/node_allocatable": 32 * GIB, "cpu/node_reservation": 650 / 8000, "cpu/node_utilization": 500 / 8000,
    "memory/node_reservation": 788 * MIB / (32 * GIB), "memory/node_utilization": (420 * MIB + GIB) / (32 * GIB),
}  # fmt: skip
# Counters as what they grew a second since the start: container, pod, node.
GROWN: Dict[str, Mapping[str, float]] = {
    "cpu/usage": {"container": 200e6, "pod": 250e6, "node": 500e6},
    "memory/page_faults": {"container": 10_000, "pod": 11_000, "node": 13_500},
    "memory/major_page_faults": {"container": 1000, "pod": 1000, "node": 1000},
    "network/rx": {"pod": 100_000, "node": 150_000}, "network/tx": {"pod": 200_000, "node": 210_000},
    "network/rx_errors": {"pod": 2000, "node": 2000}, "network/tx_errors": {"pod": 1000, "node": 1000},
    "uptime": {"container": 1000, "pod": 1000, "node": 1000},
}  # fmt: skip


def expected(metric: str, level: str, since: float) -> float:
    """The value by hand; since: seconds from the start to the sample."""
    place = LEVELS.index(level)
    if metric in USED:
        return USED[metric][min(place, 3)]
    if metric in HELD:
        return HELD[metric][min(place, 2)]
    if metric in NODE:
        return NODE[metric]
    return GROWN[metric][level] * since


class World5:
    """One node with three containers, an exporter, and a collector that asks everything."""

    def __init__(self, kept: KeptCluster, kubelets: Kubelets, history: LocalHistory) -> None:
        self.metered = Metered(kept, kubelets)
        exporter = {
            "labels": {"app": "nvidia-dcgm-exporter"},
            "spec": {"nodeName": "n1", "containers": [{"name": "x", "ports": [{"containerPort": 9400}]}]},
            "status": {
                "phase": "Running", "podIP": "10.1.2.3",
                "containerStatuses": [{"name": "x", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
            },
        }  # fmt: skip
        self.metered.kinds["pods"].publish(("gpu-operator/dcgm", exporter))
        self.stop = threading.Event()
        self.recording = Recording(history)
        world = World(kept.database, kept.name, (), self.stop)
        door = Endpoints(Trust(str(kubelets.ca)))
        nobody: FrozenSet[str] = frozenset()
        gpus = Gpus(world.look, lambda *_: (DCGM, "text/plain"), lambda: nobody, Reach())

        def nodes(world: World) -> Dict[str, targets.Target]:
            return targets.kubelets(kept.facts for kept in world.all_nodes())

        rounds = [Round(Resource(door), nodes, 1.0), Round(Cadvisor(door), nodes, 1.0)]
        rounds += [Round(Summary(door), nodes, 1.0), Round(gpus, lambda world: exporters(world.facts()), 1.0)]
        writer = LatestWriter(kept.database, kept.name)
        collector = Collector(world, Rounds(rounds).jobs, writer, self.recording, Endpoint("", ""), 1.0, self.stop)
        self.thread = threading.Thread(target=collector.run)
        self.thread.start()

    def close(self) -> None:
        self.stop.set()
        self.thread.join(20)
        self.recording.close()


@pytest.fixture(scope="module")
def start() -> float:
    return float(int(time.time() - BEGUN))


@pytest.fixture
def measured(
    kept: KeptCluster, start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tuple[World5, LocalHistory]]:
    monkeypatch.setattr(loops, "TURN", 0.2)
    monkeypatch.setattr(loops, "STEP", 2.0)
    app = Container("app", Life(start, APP), cpu_limit=400, memory_limit=256 * MIB)
    web = Pod("shop", "web", [app, Container("side", Life(start, SIDE))])
    db = Pod("shop", "db", [Container("db", Life(start, DB), cpu_limit=200, memory_limit=512 * MIB)])
    node = Node("n1", [web, db], start, cores=8, memory=32 * GIB, system=SYSTEM)
    history = LocalHistory(str(tmp_path / "history"))
    with Kubelets([node]) as kubelets:
        world = World5(kept, kubelets, history)
        try:
            yield world, history
        finally:
            world.close()
            history.close()


def told(latest: Latest, level: str) -> Mapping[str, float]:
    if level == "cluster":
        return {name: value for row in latest.cluster if not row.resource_id for name, value in row.values.items()}
    rows = usage_of(latest, level).rows
    name = {"container": "app", "pod": "web", "namespace": "shop", "node": "n1"}[level]
    (row,) = [one for one in rows if name in (one.container if level == "container" else one.name, one.namespace)]
    return row.values


def settled(latest: Latest) -> bool:
    """All is told, and page faults by cadvisor: /stats/summary, which counts before that, has whole seconds."""
    faults = "memory/page_faults_rate"
    told_of = [row for pod in latest.pods.get("shop", ()) for rows in pod.containers.values() for row in rows]
    sources = {row.source for row in told_of if faults in row.values}
    return not missing(latest) and sources == {"kubelet/cadvisor"}


def missing(latest: Latest) -> List[Tuple[str, str]]:
    found = []
    for row in PART_ONE:
        for level in row.levels:
            if row.name.startswith("filesystem/"):
                continue  # a filesystem has a resource_id: below
            try:
                if row.name not in told(latest, level):
                    found.append((row.name, level))
            except ValueError:
                found.append((row.name, level))
    return found


def test_each_name_at_each_level_is_what_was_computed_by_hand(
    measured: Tuple[World5, LocalHistory], start: float
) -> None:
    world, history = measured
    until("all names at all levels", lambda: settled(world.metered.latest()), 40)
    latest = world.metered.latest()
    now = latest.now - start
    wrong = []
    for row in PART_ONE:
        for level in row.levels if not row.name.startswith("filesystem/") else ():
            value = told(latest, level)[row.name]
            # A counter was read some seconds ago.
            allowed = 0.02 if row.name not in GROWN else 0.03
            if value != pytest.approx(expected(row.name, level, now), rel=allowed, abs=1e-6):
                wrong.append((row.name, level, value, expected(row.name, level, now)))
    assert not wrong
    _filesystems(latest)
    _history(history, start)


def _filesystems(latest: Latest) -> None:
    pods = {pod.name: pod for pod in latest.pods["shop"]}
    (disk,) = [row for row in pods["web"].containers["app"] if row.values.get("filesystem/usage") == 5 * MIB]
    assert disk.resource_id
    node = next(one for one in latest.nodes if one.name == "n1")
    disks = [row.values for row in node.measured if "filesystem/limit" in row.values]
    for values in (disk.values, *disks):
        names = [row.name for row in PART_ONE if row.name.startswith("filesystem/")]
        assert set(names) <= set(values)
        assert 0 < values["filesystem/available"] <= values["filesystem/limit"]
        assert 0 < values["filesystem/inodes_free"] <= values["filesystem/inodes"]
    assert disks


def _history(history: LocalHistory, start: float) -> None:
    reads = Summing(history)

    def lacking() -> List[Tuple[str, str]]:
        now = time.time()
        return [
            (row.name, level)
            for row in TABLE.values()
            if row in PART_ONE
            for level in row.levels
            if not reads.totals(Query(row.name, level, start, now)).totals
        ]

    until("the history has all names at all levels", lambda: not lacking(), 30)
