"""The collector before real sockets and a real Redis: what is told is true, and what is not known is not told."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Iterator, List, Sequence

import pytest
from kept_cluster import KeptCluster
from krm.collector import loop as loops
from krm.model.measures import Sample
from krm.simulator.kubelet_loads import Load
from krm.simulator.kubelet_nodes import Node, pod
from krm.simulator.kubelets import Kubelets
from krm.store.history.asked import Query
from krm.store.history.local import LocalHistory
from krm.store.history.summing import Summing
from krm.store.latest_writer import LatestWriter
from metered import EVERY, Metered, until, value, whole

CPU, MEMORY = "cpu/usage_rate", "memory/working_set"
MIB = 1024 * 1024


@pytest.fixture
def nodes() -> List[Node]:
    start = time.time() - 600
    shop = [
        pod("shop", "web-0", start, {"app": Load(cpu=250, memory=64 * MIB), "side": Load(cpu=50, memory=16 * MIB)}),
        pod("shop", "web-1", start, {"app": Load(cpu=100, memory=32 * MIB)}),
    ]
    return [
        Node("n1", shop[:1]),
        Node("n2", shop[1:]),
        Node("n3", [pod("lab", "job", start, {"run": Load(cpu=400)})]),
    ]


@pytest.fixture
def metered(kept: KeptCluster, nodes: List[Node], monkeypatch: pytest.MonkeyPatch) -> Iterator[Metered]:
    monkeypatch.setattr(loops, "TURN", 0.1)
    with Kubelets(nodes) as kubelets:
        yield Metered(kept, kubelets)


def test_each_level_is_told_and_adds_up(metered: Metered, nodes: List[Node]) -> None:
    with metered.collecting():
        until("all is measured", whole(metered, nodes))
        found = metered.latest()
    (web, other) = found.pods["shop"]
    assert (web.name, web.node) == ("web-0", "n1")
    assert value(web.containers["app"], CPU) == pytest.approx(250, rel=1e-3)
    assert value(web.containers["side"], MEMORY) == 16 * MIB
    assert value(web.containers["app"], "cpu/request") == 250
    assert value(found.namespaces["shop"], CPU) == pytest.approx(400, rel=1e-3)
    assert value(found.namespaces["shop"], "cpu/request") == 400
    covers = next(row.covers for row in found.namespaces["shop"] if row.covers)
    assert str(covers) == "2 of 2 pods"
    n3 = next(node for node in found.nodes if node.name == "n3")
    assert value(n3.measured, CPU) == pytest.approx(550, rel=1e-2)  # 150 of the system
    assert value(n3.measured, "cpu/node_utilization") == pytest.approx(550 / 8000, rel=1e-2)
    assert value(n3.measured, "cpu/node_reservation") == pytest.approx(400 / 8000)
    assert value(found.cluster, CPU) == pytest.approx(800 + 3 * 150, rel=1e-2)
    assert other.lacks == ()


def test_a_node_that_dies_is_no_data_within_two_intervals_and_sums_say_so(
    metered: Metered, nodes: List[Node]
) -> None:
    with metered.collecting():
        until("all is measured", whole(metered, nodes))
        metered.kubelets.kill("n3")
        killed = time.monotonic()
        until("two of three", lambda: "2 of 3 nodes" in [str(row.covers) for row in metered.latest().cluster])
        # Two intervals and the grace of one answer, and the turns that tell it.
        assert time.monotonic() - killed < 2 * EVERY + 1.0 + 5.0
        found = metered.latest()
        assert found.collector is not None
        (silence,) = found.collector.silences
        assert silence.target == "node n3"
        assert silence.last is not None
        job = metered.pod("lab", "job")
        assert job is not None
        assert job.lacks == ("run",)
        assert value(job.containers.get("run", ()), CPU) is None
        assert value(found.namespaces["lab"], CPU) is None
        assert value(found.cluster, CPU) == pytest.approx(400 + 300, rel=2e-2)
        metered.kubelets.revive("n3")
        until("all is measured again", whole(metered, nodes))
        assert metered.latest().collector.silences == ()  # type: ignore[union-attr]


def test_a_restart_is_never_negative_and_never_a_spike(metered: Metered, nodes: List[Node]) -> None:
    seen: List[float] = []
    with metered.collecting():
        until("all is measured", whole(metered, nodes))
        metered.kubelets.restart("n2", "shop/web-1", "app")
        begun = time.monotonic()
        while time.monotonic() - begun < 8 * EVERY:
            found = metered.pod("shop", "web-1")
            cpu = value(found.containers.get("app", ()), CPU) if found else None
            if cpu is not None:
                seen.append(cpu)
            time.sleep(0.05)
    assert seen
    assert all(90 <= cpu <= 110 for cpu in seen), seen


def test_pods_that_come_and_go_are_told_and_gone(metered: Metered, nodes: List[Node]) -> None:
    with metered.collecting():
        until("all is measured", whole(metered, nodes))
        metered.kinds["pods"].publish(("lab/job", None))
        until("it is gone", lambda: "lab" not in metered.latest().pods)
        assert "lab" not in metered.latest().namespaces


def test_a_second_collector_stands_by_and_takes_over(metered: Metered, nodes: List[Node]) -> None:
    with metered.collecting() as first:
        until("all is measured", whole(metered, nodes))
        holder = metered.latest().collector.holder  # type: ignore[union-attr]
        with metered.collecting() as second:
            until("ten turns", lambda: metered.latest().collector.turn > 20)  # type: ignore[union-attr]
            assert second.figures()["krm_collector_targets"] == 0
            assert metered.latest().collector.holder == holder  # type: ignore[union-attr]
            assert first.figures()["krm_collector_targets"] == 3
    with metered.collecting():
        until("another holder", lambda: metered.latest().collector.holder not in ("", holder))  # type: ignore[union-attr]


class Recorded:
    """A recorder that only counts."""

    def __init__(self) -> None:
        self.turns: List[Sequence[Sample]] = []

    def record(self, samples: Sequence[Sample], now: float) -> None:
        self.turns.append(samples)

    def health(self) -> List[str]:
        return []


def test_a_collector_that_slept_while_another_took_over_records_nothing_when_it_wakes(
    metered: Metered, nodes: List[Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    taken = threading.Event()
    counts: List[int] = []
    take = LatestWriter.take

    def sleepy(self: LatestWriter) -> bool:
        if taken.is_set() and not counts:
            metered.link.call("HSET", metered.collector_key, "holder", "another")
            counts.append(len(recorded.turns))
        return take(self)

    monkeypatch.setattr(LatestWriter, "take", sleepy)
    with metered.collecting(recorded):
        until("all is measured", whole(metered, nodes))
        taken.set()
        until("it was taken over", lambda: counts)
        began = time.monotonic()
        until("some turns", lambda: time.monotonic() - began > 2.0)
        assert len(recorded.turns) == counts[0]
        assert metered.latest().collector.holder == "another"  # type: ignore[union-attr]


def test_an_emptied_redis_interrupts_neither_the_turns_nor_the_history(metered: Metered, nodes: List[Node]) -> None:
    recorded = Recorded()
    with metered.collecting(recorded):
        until("all is measured", whole(metered, nodes))
        turns = len(recorded.turns)
        metered.link.call("DEL", metered.collector_key)
        metered.link.call("DEL", metered.collector_key.replace("collector", "nodes"))
        until("all is measured again", whole(metered, nodes))
        until("the history goes on", lambda: len(recorded.turns) > turns + 5)


def test_what_was_measured_is_in_the_history_at_each_level(
    metered: Metered, nodes: List[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "STEP", 1.0)
    history = LocalHistory(str(tmp_path / "history"))
    reads = Summing(history)
    begun = time.time()
    query = Query(CPU, "container", begun, begun + 3600)
    try:
        with metered.collecting(history):
            until("all is measured", whole(metered, nodes))
            began = time.monotonic()
            until("some seconds", lambda: time.monotonic() - began > 4.0)
            found = {one.subject.container: one for one in reads.totals(query).totals}
            assert found["app"].subject.namespace == "shop"
            assert found["run"].sum / found["run"].covered == pytest.approx(400, rel=1e-2)
            (shop,) = reads.totals(query._replace(level="namespace", namespace="shop")).totals
            assert shop.sum / shop.covered == pytest.approx(400, rel=5e-2)
            for level, metric in (("node", "cpu/node_utilization"), ("cluster", CPU), ("pod", "cpu/request"),
                                  ("container", "memory/request"), ("namespace", "pods/count"),
                                  ("node", "cpu/node_allocatable"), ("pod", MEMORY)):  # fmt: skip
                assert reads.totals(query._replace(level=level, metric=metric)).totals, (level, metric)
    finally:
        history.close()


def test_a_database_elsewhere_is_told_of_pods_too(
    metered: Metered, nodes: List[Node], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose dashboards ask for `type` = 'pod'. The page of a kubelet tells of containers alone."""
    monkeypatch.setattr(loops, "STEP", 1.0)
    history = LocalHistory(str(tmp_path / "history"))
    query = Query(CPU, "pod", time.time(), time.time() + 3600)
    try:
        with metered.collecting(history, pods_too=True):
            until("all is measured", whole(metered, nodes))
            until("pods are there", lambda: len(history.totals(query).totals) == 3)
            began = time.monotonic()
            until("some seconds", lambda: time.monotonic() - began > 4.0)
        found = {one.subject.pod: one for one in history.totals(query).totals}
        assert found["web-0"].sum / found["web-0"].covered == pytest.approx(300, rel=1e-2)
        assert found["web-0"].subject.node == "n1"
        assert found["web-0"].subject.uid
        # Once: the sums over containers are what they are without it.
        of_pods = {one.subject.pod: one.sum / one.covered for one in Summing(history).totals(query).totals}
        assert of_pods["web-0"] == pytest.approx(300, rel=1e-2)
    finally:
        history.close()
