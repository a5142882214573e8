"""A collector on paper: kubelets' /metrics/resource, their rates, and the newest measurements in Redis."""

from __future__ import annotations

import threading
from typing import Dict, List, Tuple

from krm.collector.source import Target
from krm.collector.sources.resource import samples_of
from krm.model.measures import Covers, Sample
from krm.model.rates import Rates
from krm.simulator.kubelets import Kubelets
from krm.store.connect import connect
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

EVERY = 5.0  # seconds


class Measuring:
    """`with` ends it. `nodes`: whose kubelets answer, of `of`."""

    def __init__(self, redis: str, cluster: str, kubelets: Kubelets, nodes: Tuple[str, ...], of: int) -> None:
        self._writer = LatestWriter(connect(redis, name="measuring"), cluster)
        self._kubelets, self._nodes, self._of = kubelets, nodes, of
        self._rates = Rates()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Measuring:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        assert self._writer.take()
        while not self._stop.is_set():
            self._writer.write(self._turn())
            self._stop.wait(EVERY)

    def _turn(self) -> Turn:
        found: Dict[str, Dict[str, Dict[str, List[Measured]]]] = {}
        nodes: Dict[str, List[Measured]] = {}
        for sample in self._rates.take(self._samples(), self._kubelets.clock()):
            one = Measured(sample.source, sample.at, sample.window, sample.values)
            subject = sample.subject
            if subject.container:
                containers = found.setdefault(subject.namespace, {}).setdefault(subject.pod, {})
                containers.setdefault(subject.container, []).append(one)
            elif not subject.pod:
                nodes.setdefault(subject.node, []).append(one)
        pods = {
            space: {name: pack_pod(Pod(name, "", "", (), _fixed(each))) for name, each in listed.items()}
            for space, listed in found.items()
        }
        covers = Covers(len(self._nodes), self._of, "nodes")
        return Turn(pods, {}, nodes, CollectorState("", "", EVERY, (), {}, (), covers))

    def _samples(self) -> List[Sample]:
        now = self._kubelets.clock()
        return [
            sample
            for name in self._nodes
            for sample in samples_of(self._kubelets.page(name, "/metrics/resource"), Target(name, node=name), now)
        ]


def _fixed(containers: Dict[str, List[Measured]]) -> Dict[str, Tuple[Measured, ...]]:
    return {name: tuple(rows) for name, rows in containers.items()}
