"""A collector on paper: it reads simulated kubelets' /metrics/resource and writes the newest measurements."""

from __future__ import annotations

import threading
from typing import Dict, List, Tuple

from krm.collector.source import Target
from krm.collector.sources.resource import samples_of
from krm.model.measures import Covers, Sample
from krm.simulator.kubelets import Kubelets
from krm.store.connect import connect
from krm.store.latest import CollectorState, Measured, Pod, pack_pod
from krm.store.latest_writer import LatestWriter, Turn

EVERY = 5.0


class Measuring:
    """`with` ends it."""

    def __init__(self, redis: str, cluster: str, kubelets: Kubelets) -> None:
        self._writer = LatestWriter(connect(redis, name="measuring"), cluster)
        self._kubelets = kubelets
        self._before: Dict[Tuple[str, str, str, str], Sample] = {}
        self._last: Dict[Tuple[str, str, str, str], Measured] = {}
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
        pods: Dict[str, Dict[str, Dict[str, Tuple[Measured, ...]]]] = {}
        nodes: Dict[str, List[Measured]] = {}
        for name in ("n-1", "n-2"):
            page = self._kubelets.page(name, "/metrics/resource")
            for sample in samples_of(page, Target(name, node=name), self._kubelets.clock()):
                one, subject = self._measured(name, sample), sample.subject
                if subject.container:
                    pods.setdefault(subject.namespace, {}).setdefault(subject.pod, {})[subject.container] = (one,)
                elif not subject.pod:
                    nodes.setdefault(name, []).append(one)
        packed = {
            space: {name: pack_pod(Pod(name, "", "", (), each)) for name, each in found.items()}
            for space, found in pods.items()
        }
        state = CollectorState("", "", EVERY, (), {}, (), Covers(2, 3, "nodes"))
        return Turn(packed, {}, nodes, state)

    def _measured(self, node: str, sample: Sample) -> Measured:
        key = (node, sample.subject.namespace, sample.subject.pod, sample.subject.container)
        before = self._before.get(key)
        if before is None or before.at == sample.at:
            self._before.setdefault(key, sample)
            return self._last.get(key, Measured(sample.source, sample.at, 0.0, sample.values))
        window = round((sample.at - before.at) * 1e3)
        rate = (sample.values["cpu/usage"] - before.values["cpu/usage"]) / window / 1e3
        self._before[key] = sample
        self._last[key] = Measured(
            sample.source, sample.at, window / 1e3, {**sample.values, "cpu/usage_rate": rate}
        )
        return self._last[key]
