"""Issue 7, line 1, on a real node: what is measured is the same by kubeconfig and from a running krm, once both
cover the window, and it is what the node does; before that it is None, and `history_since` says since when there is
any.

Both measure on their own, at their own moments: a load that never changes is what both must tell alike.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, NamedTuple

import pytest
import redis_servers
from acceptance.product import Product, product
from controlplane.plane import ControlPlane
from krm.analysis.limits.breach import AT, Breach
from krm.monitor import K8sResourceMonitor
from node.loads import CAPPED, CORES, HELD, HOLDING, POD
from node.real import NAME, NAMESPACE, Node

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
WINDOW, SECONDS = "1m", 60.0
COVERED_WITHIN = 150.0  # a kubelet looks each 10 to 20 s, and a point is there 15 s after its begin
# Two readers look at other moments, and a kubelet's window is 10 to 20 s of a quota's 100 ms.
ALIKE = 0.1


class Monitors(NamedTuple):
    own: K8sResourceMonitor  # by kubeconfig: it runs a krm of its own
    joined: K8sResourceMonitor  # by the URL of a krm that runs
    before: Dict[str, Breach]  # what it said of CAPPED's CPU as soon as it was connected, over a day


def capped(monitor: K8sResourceMonitor, window: str) -> Breach:
    """Of the CPU limit."""
    found = monitor.detect_limit_breaches(threshold_percent=90, time_window=window)
    print(found)
    rows = [row for row in found.rows if (row.pod, row.container, row.against) == (POD, CAPPED, "limit")]
    return next(row for row in rows if row.resource == "cpu")


def until(what: str, holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + COVERED_WITHIN
    while True:
        try:
            found = holds()
        except StopIteration:  # no row of it yet
            found = None
        if found:
            return found
        assert time.monotonic() < end, f"not within {COVERED_WITHIN:.0f} s: {what}"
        time.sleep(1.0)


@pytest.fixture(scope="module")
def monitors(
    loaded_node: Node,
    node_plane: ControlPlane,
    redis_server: redis_servers.Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Monitors]:
    with pytest.MonkeyPatch.context() as patch, product(tmp_path_factory.mktemp("up"), redis_server) as krm:
        patch.setenv("KRM_KUBELET_CA", str(loaded_node.ca_file))
        krm.environment["KRM_KUBELET_CA"] = str(loaded_node.ca_file)
        config = node_plane.kubeconfig("admin")
        krm.up("--kubeconfig", str(config), "--context", "test", "--no-server")
        krm.wait("all kinds are live", lambda: live(krm), 60.0)
        (token_file,) = (krm.folder / "run" / "krm").glob("up-*/history.token")
        folder = tmp_path_factory.mktemp("run")
        folder.chmod(0o700)
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        with K8sResourceMonitor() as own, K8sResourceMonitor() as joined:
            joined.connect(url=redis_server.url, cluster=krm.cluster, history_token_file=str(token_file))
            own.connect(kubeconfig=str(config), context="test")
            before = {"own": until("its own krm measures", lambda: capped(own, "24h"))}
            for one in (own, joined):
                until("the window is covered", lambda one=one: capped(one, WINDOW).points is not None)
            yield Monitors(own, joined, before)


def live(krm: Product) -> bool:
    states = {row["trust"]["state"] for row in krm.status().values()}
    return states == {"live"}


def test_before_the_window_is_covered_there_is_none(monitors: Monitors) -> None:
    for name, row in monitors.before.items():
        assert (row.peak, row.share, row.points) == (None, None, None), name
        assert row.now is not None
        assert row.history_since is not None
        assert row.history_since > time.time() - 600


def test_a_container_at_its_limit_is_told_alike_and_rightly(monitors: Monitors) -> None:
    own, joined = (capped(one, WINDOW) for one in (monitors.own, monitors.joined))
    for row in (own, joined):
        assert (row.namespace, row.node, row.state) == (NAMESPACE, NAME, AT)
        assert row.allowed == CORES * 1000
        assert row.peak == pytest.approx(CORES * 1000, rel=ALIKE)
        assert row.share == 1.0
        assert row.throttled is not None
        assert row.throttled > 0.5  # it wants a whole core and gets a fifth
        assert row.history_since is None
    assert own.peak == pytest.approx(joined.peak, rel=ALIKE)
    assert own.throttled == pytest.approx(joined.throttled, abs=ALIKE)


def test_what_pods_and_nodes_use_is_told_alike_and_rightly(monitors: Monitors) -> None:
    used = []
    for one in (monitors.own, monitors.joined):
        found = one.get_namespace_resources(namespace=NAMESPACE, include_pods=True, include_quota=True)
        (pod,) = [row for row in found.rows if row.name == POD]
        held = next(row for row in pod.containers if row.name == HOLDING).memory.used
        assert held == pytest.approx(HELD, rel=0.1)
        used.append((held, pod.cpu.used))
    assert used[0][0] == pytest.approx(used[1][0], rel=0.02)
    assert used[0][1] == pytest.approx(used[1][1], rel=ALIKE)
    nodes = []
    for one in (monitors.own, monitors.joined):
        pressure = one.analyze_node_pressure(include_scheduling_hints=True, predict_evictions=True)
        nodes.append(next(row for row in pressure.rows if row.node == NAME))
    assert [row.state for row in nodes] == ["ready", "ready"]
    memory = [row.resource("memory") for row in nodes]
    assert memory[0].used == pytest.approx(memory[1].used, rel=ALIKE)
    assert memory[0].requested == memory[1].requested
