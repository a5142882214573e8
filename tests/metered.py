"""A cluster on paper whose kubelets are asked for real: a real Redis, numbers over TLS, one collector."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from kept_cluster import KeptCluster, KeptKind
from krm.cluster.endpoints import Endpoints, Trust
from krm.collector import targets
from krm.collector.loop import Collector, Endpoint
from krm.collector.rounds import Round, Rounds
from krm.collector.source import Target
from krm.collector.sources.resource import Resource
from krm.collector.world import World
from krm.model.metrics import TABLE
from krm.simulator.kubelet_nodes import Node
from krm.simulator.kubelets import Kubelets
from krm.store.history.asked import Recorder
from krm.store.keys import latest_key
from krm.store.latest import Latest, Measured, Pod
from krm.store.latest_reader import LatestReader
from krm.store.latest_writer import LatestWriter

EVERY = 0.5  # seconds between two looks at a kubelet


def parts(thing: Dict[str, Any]) -> Dict[str, Any]:
    """An object as KeptKind takes it."""
    metadata = thing["metadata"]
    found = {"uid": metadata.get("uid", f"uid-{metadata['name']}"), "labels": metadata.get("labels", {})}
    return {**found, **{name: thing[name] for name in ("spec", "status") if name in thing}}


class Metered:
    """Nodes, their kubelets, and what krm keeps of them."""

    def __init__(self, kept: KeptCluster, kubelets: Kubelets) -> None:
        self.kept, self.kubelets = kept, kubelets
        self.kinds: Dict[str, KeptKind] = {}
        for kind, name in (("pods", "Pod"), ("nodes", "Node")):
            found = [one for one in kubelets.objects() if one["kind"] == name]
            self.kinds[kind] = kept.kind(kind, {key_of(one): parts(one) for one in found})
        self.reader = LatestReader(kept.database, kept.name)
        self.collector_key = latest_key(kept.name, "collector")
        self.link = kept.database.link(self.collector_key)

    @contextlib.contextmanager
    def collecting(
        self, recorder: Optional[Recorder] = None, every: float = EVERY, pods_too: bool = False
    ) -> Iterator[Collector]:
        """A collector of /metrics/resource while the block lasts."""
        stop = threading.Event()
        door = Endpoints(Trust(str(self.kubelets.ca)))
        kubelets = Round(
            Resource(door), lambda world: targets.kubelets(one.facts for one in world.all_nodes()), every
        )
        collector = Collector(
            World(self.kept.database, self.kept.name, (), stop),
            Rounds([kubelets]).jobs,
            LatestWriter(self.kept.database, self.kept.name),
            recorder,
            Endpoint("", ""),
            every,
            stop,
            pods_too,
        )
        thread = threading.Thread(target=collector.run, name="collector")
        thread.start()
        try:
            yield collector
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()

    def latest(self) -> Latest:
        return self.reader.read()

    def pod(self, namespace: str, name: str) -> Optional[Pod]:
        return next((pod for pod in self.latest().pods.get(namespace, ()) if pod.name == name), None)


def _kubelets(world: World) -> Dict[str, Target]:
    return targets.kubelets(kept.facts for kept in world.all_nodes())


def key_of(thing: Dict[str, Any]) -> str:
    metadata = thing["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def value(rows: tuple[Measured, ...], metric: str) -> Optional[float]:
    """What the rows say of a metric; None = nothing. Twice is a mistake."""
    assert metric in TABLE
    found = [row.values[metric] for row in rows if metric in row.values and not row.resource_id]
    assert len(found) < 2, f"{metric} is told twice"
    return found[0] if found else None


def until(what: str, condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def whole(metered: Metered, nodes: List[Node]) -> Callable[[], bool]:
    """Whether every node and pod is measured."""

    def holds() -> bool:
        found = metered.latest()
        known = found.collector is not None and found.collector.nodes == (len(nodes), len(nodes), "nodes")
        return known and not any(pod.lacks for pods in found.pods.values() for pod in pods)

    return holds
