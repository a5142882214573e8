"""Issue 5, line 1: a real node's known load, through krm, is what the kernel counted, from every source.

Three paper nodes stand beside it. A restart shows no negative and no spike; a killed kubelet is "no data" within
two intervals, and sums say how many nodes they cover.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple

import pytest
import redis_servers
from acceptance.measured_node import COLLECTORS, EVERY, PAPER, RATE, Watched, collectors, create, paper_nodes
from controlplane.metrics_server import MetricsServer
from controlplane.plane import ControlPlane
from krm.simulator.kubelets import Kubelets
from krm.store.latest import Latest, Measured
from node.counters import Counters, Reading
from node.loads import CAPPED, CORES, HOLDING, POD
from node.minute import TOLERANCE, cores, nearest
from node.real import NAME, NAMESPACE, Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
SECONDS = 60.0
# A kubelet looks each 10 to 20 s, so that a minute of its windows takes longer.
AT_MOST = 180.0
STEP = 0.5
HELD, STORAGE = "memory/working_set", "ephemeral_storage/usage"
# Millicores. A kubelet looks a second after a container's start: two periods of its quota, 20 ms each, that fall
# into such a window give it a fifth more. A container counted twice would be 2 of its quota.
MOST = CORES * 1000 * 1.5
KNOWN_WITHIN = 90.0


class World(NamedTuple):
    node: Node
    kubelets: Kubelets
    watched: Dict[str, Watched]


@pytest.fixture(scope="module")
def world(
    loaded_node: Node,
    node_plane: ControlPlane,
    node_metrics_server: MetricsServer,
    redis_server: redis_servers.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = Path(tmp_path_factory.mktemp("measured"))
    with Kubelets(paper_nodes()) as kubelets:
        create(node_plane.admin, kubelets)
        for watched in collectors(folder, redis_server, loaded_node, node_plane, kubelets):
            node_metrics_server.wait_for_nodes([NAME, *PAPER], KNOWN_WITHIN)
            for one in watched.values():
                one.krm.wait("the load is measured", lambda one=one: known(one), KNOWN_WITHIN)
            yield World(loaded_node, kubelets, watched)


def known(watched: Watched) -> bool:
    watched.look()
    return all(watched.series(container, RATE) for container in (CAPPED, HOLDING))


@pytest.fixture(scope="module")
def readings(world: World) -> Dict[str, List[Reading]]:
    """What the kernel counted until each collector had told of a minute that lies within."""
    counters = {name: Counters(world.node.status(POD, name)["containerID"]) for name in (CAPPED, HOLDING)}
    found: Dict[str, List[Reading]] = {name: [] for name in counters}
    ends = time.monotonic() + AT_MOST
    while time.monotonic() < ends:
        for name, one in counters.items():
            found[name].append(one.read())
        for watched in world.watched.values():
            watched.look()
        told = [within(watched.series(CAPPED, RATE), found[CAPPED]) for watched in world.watched.values()]
        if all(sum(one.window for one in points) >= SECONDS for points in told):
            break
        time.sleep(STEP)
    return found


def within(points: List[Measured], readings: List[Reading]) -> List[Measured]:
    """The points whose whole windows lie within the readings."""
    first, last = readings[0].time, readings[-1].time - 1  # a second for times that are cut to seconds
    return [one for one in points if first <= one.at - one.window and one.at <= last]


@pytest.mark.parametrize("name", COLLECTORS)
def test_cpu_is_what_the_kernel_counted(name: str, world: World, readings: Dict[str, List[Reading]]) -> None:
    truth = readings[CAPPED]
    points = within(world.watched[name].series(CAPPED, RATE), truth)
    covered = sum(one.window for one in points)
    assert covered >= SECONDS, [(one.at, one.window) for one in points]
    told = sum(one.values[RATE] * one.window for one in points) / covered
    windows = [(one.at - one.window, one.at) for one in points]
    if name == "metrics-server":
        real = nearest(truth, windows, told / 1000) * 1000
    else:
        real = sum(cores(truth, begin, end) * (end - begin) for begin, end in windows) / covered * 1000
    print(f"{name}: {told:.2f} millicores, the kernel {real:.2f}, {len(points)} points, {covered:.0f} s")
    assert told == pytest.approx(real, rel=TOLERANCE)


@pytest.mark.parametrize("name", COLLECTORS)
def test_memory_is_what_the_kernel_counted(name: str, world: World, readings: Dict[str, List[Reading]]) -> None:
    truth = readings[HOLDING][0]
    held = [one.values[HELD] for one in world.watched[name].series(HOLDING, HELD) if one.at > truth.time]
    assert held
    assert held == pytest.approx([truth.working_set] * len(held), rel=TOLERANCE)


def test_the_summary_is_known_or_is_silent(world: World, readings: Dict[str, List[Reading]]) -> None:
    """Where a kubelet answers 500, what only its summary tells is unknown; here it answers."""
    status = world.node.page("/stats/summary").status
    latest = world.watched["all"].look()
    (pod,) = [pod for pod in latest.pods[NAMESPACE] if pod.name == POD]
    told = [one.values[STORAGE] for one in pod.measured if STORAGE in one.values]
    print(f"/stats/summary: {status}")
    if status == 200:
        assert told
        assert told[0] > 0
        rss = world.watched["all"].series(HOLDING, "memory/rss")
        assert rss[-1].source == "kubelet/summary"
        assert rss[-1].values["memory/rss"] == pytest.approx(readings[HOLDING][-1].rss, rel=TOLERANCE)
    else:
        assert status == 500
        assert told == []
        assert f"node {NAME}" in silent(latest)


def test_a_restart_shows_no_negative_and_no_spike(world: World, readings: Dict[str, List[Reading]]) -> None:
    began = time.time()
    world.node.restart_container(POD, CAPPED)
    anew = time.time()

    def counted_anew(watched: Watched) -> bool:
        """A rate of the new container, whose whole window lies after the restart."""
        watched.look()
        return any(one.at - one.window >= anew - 1 for one in watched.series(CAPPED, RATE))

    for watched in world.watched.values():
        until(watched, lambda watched=watched: counted_anew(watched), KNOWN_WITHIN, "the new container has a rate")
    for name, watched in world.watched.items():
        rates = watched.series(CAPPED, RATE)
        print(name, [round(one.values[RATE], 1) for one in rates if one.at > began])
        assert all(0 <= one.values[RATE] <= MOST for one in rates), rates
        # The pod is all that the namespace has. Before the restart the pod's own start is in the sums.
        sums = [one for one in watched.sums if one.at > began]
        assert all(0 <= one.values[RATE] <= MOST for one in sums), sorted(sums, key=lambda one: one.at)
        if name == "metrics-server":
            continue  # the time and the window of a pod there are those of its slowest container, not of this one
        # A rate over the restart would hold two containers' counters against each other.
        assert not [one for one in rates if one.at - one.window < began - 2 and one.at > anew + 2], rates


def test_a_killed_kubelet_is_no_data_within_two_intervals(world: World, readings: Dict[str, List[Reading]]) -> None:
    watched, lost = world.watched["all"], PAPER[-1]
    whole = until(watched, lambda: covers(watched.look()) == "4 of 4 nodes", KNOWN_WITHIN, "all four are measured")
    assert whole
    before = cluster_rate(watched.look())
    killed = time.monotonic()
    world.kubelets.kill(lost)
    until(watched, lambda: f"node {lost}" in silent(watched.look()), 30.0, f"{lost} is silent")
    said = time.monotonic() - killed
    until(watched, lambda: covers(watched.look()) == "3 of 4 nodes", 30.0, "sums cover three of four")
    left_out = time.monotonic() - killed
    print(f"no data after {said:.1f} s, left out of sums after {left_out:.1f} s, of an interval of {EVERY:g} s")
    assert said < 2 * EVERY + 1
    assert left_out < 2 * EVERY + 3
    latest = watched.look()
    reason = silent(latest)[f"node {lost}"]
    assert reason
    gone = [node for node in latest.nodes if node.name == lost]
    assert not [one for node in gone for one in node.measured if RATE in one.values]
    # It used 0.1 CPU and its system's share: the sum is smaller by that, and nothing became 0.
    assert 0 < cluster_rate(latest) < before


def until(watched: Watched, condition: Callable[[], bool], seconds: float, what: str) -> bool:
    return bool(watched.krm.wait(what, condition, seconds))


def silent(latest: Latest) -> Dict[str, str]:
    """Target -> why it gives no data."""
    assert latest.collector is not None
    return {one.target: one.reason for one in latest.collector.silences}


def _cluster(latest: Latest) -> List[Measured]:
    return [one for one in latest.cluster if RATE in one.values]


def covers(latest: Latest) -> str:
    return ", ".join(str(one.covers) for one in _cluster(latest))


def cluster_rate(latest: Latest) -> float:
    (one,) = _cluster(latest)
    return one.values[RATE]
