"""A simulated node whose loads are known, looked at by a source at any moment."""

from __future__ import annotations

from typing import Callable, Dict, List

from krm.collector.source import Target
from krm.model.measures import Sample, Subject
from krm.model.rates import Rates
from krm.simulator.kubelet_loads import MIB, Life, Load, Pressure
from krm.simulator.kubelet_nodes import Container, Node, Pod, Volume
from krm.simulator.kubelets import Kubelets

T0 = 1_800_000_000.0
TARGET = Target("node worker-1", node="worker-1")
UID = "0f0e0d0c-0b0a-4908-8706-050403020100"
APP = Load(
    cpu=250.0, memory=200.0 * MIB, rss=120.0 * MIB, cache=100.0 * MIB, swap=3.0 * MIB, throttled=0.25,
    throttled_time=0.05, faults=40.0, major_faults=2.0, rx=10_000.0, tx=5_000.0, rx_errors=1.0, tx_errors=0.5,
    rootfs=10.0 * MIB, logs=100.0, threads=12, processes=3, oom_kills=0.1,
    pressure=Pressure(0.2, 0.1, 0.05, 0.0, 0.4, 0.3),
)  # fmt: skip
PROXY = Load(cpu=50.0, memory=20.0 * MIB)


class Clock:
    def __init__(self) -> None:
        self.now = T0 + 600.0

    def __call__(self) -> float:
        return self.now


def node() -> Node:
    containers = [
        Container("app", Life(T0, APP), cpu_limit=1000.0, memory_limit=256 * MIB),
        Container("proxy", Life(T0, PROXY)),
    ]
    return Node("worker-1", [Pod("shop", "web-0", containers, UID, volumes=[Volume("tmp", 7 * MIB)])], start=T0)


def subject(container: str = "", pod: str = "web-0", uid: str = UID, resource_id: str = "") -> Subject:
    return Subject("shop" if pod else "", pod, uid if pod else "", container, "worker-1", resource_id)


def looks(
    path: str,
    read: Callable[[bytes, Target, float], List[Sample]],
    waits: List[float],
    kubelets: Kubelets,
    clock: Clock,
) -> Dict[Subject, Dict[str, float]]:
    """What is known of each subject, rates too, after looks at these distances."""
    rates, found = Rates(), []
    for wait in [0.0, *waits]:
        clock.now += wait
        found = rates.take(read(kubelets.page("worker-1", path), TARGET, clock.now), clock.now)
    known: Dict[Subject, Dict[str, float]] = {}
    for sample in found:
        known.setdefault(sample.subject, {}).update(sample.values)
    return known
