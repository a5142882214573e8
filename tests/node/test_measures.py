"""What a real kubelet and a real metrics-server say of a known load, against the kernel's own counters."""

from __future__ import annotations

import pytest
from controlplane.metrics_server import API, MetricsServer
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.model.quantities import parse
from node.loads import CAPPED, CORES, HELD, HOLDING, POD
from node.minute import SECONDS, TOLERANCE, USED, WORKING_SET, Minute, cores, nearest, points, watch
from node.pages import value, values, window
from node.real import NAME, NAMESPACE, Node

PAGES = ("/metrics/resource", "/metrics/cadvisor")
pytestmark = pytest.mark.timeout(300)  # of the first one, which starts everything
# A turn of cAdvisor takes at most 20 s, and what it reads is there in the next page.
TURN_SECONDS = 40.0
STARTED = "container_start_time_seconds"


def has(node: Node, path: str) -> bool:
    return bool(values(node.page(path).body, USED, pod=POD, container=CAPPED))


@pytest.fixture(scope="module")
def minute(loaded_node: Node, node_plane: ControlPlane, node_metrics_server: MetricsServer) -> Minute:
    """The load, watched once metrics-server had two points of it."""
    node_metrics_server.wait_for_nodes([NAME])
    path = f"{API}/namespaces/{NAMESPACE}/pods/{POD}"
    wait_until(lambda: node_plane.admin.request("GET", path).status == 200, 60, f"there is {path}", 0.5)
    for page in PAGES:
        wait_until(lambda page=page: has(loaded_node, page), 60, f"{page} has the pod", 0.5)
    return watch(loaded_node, node_plane, (CAPPED, HOLDING))


def test_the_kernel_gives_the_load_what_it_may_have(minute: Minute) -> None:
    readings = minute.readings[CAPPED]
    # A busy machine gives less; more than its quota nobody gets.
    assert CORES / 2 < cores(readings, readings[0].time, readings[-1].time) < CORES * (1 + TOLERANCE)
    for reading in minute.readings[HOLDING]:
        assert HELD <= reading.rss <= reading.working_set < HELD * 1.1


@pytest.mark.parametrize("path", PAGES)
def test_a_page_agrees_with_the_kernel(minute: Minute, path: str) -> None:
    seen = points(minute, path, CAPPED)
    (begin, before), (end, after) = seen[0], seen[-1]
    assert end - begin > 5
    truth = cores(minute.readings[CAPPED], begin, end)
    assert (after - before) / (end - begin) == pytest.approx(truth, rel=TOLERANCE)
    print(f"{path}: {(after - before) / (end - begin):.4f} cores, the kernel {truth:.4f}, {len(seen)} points")
    kept = minute.readings[HOLDING][0]
    held = [value(page, WORKING_SET, pod=POD, container=HOLDING) for page in minute.pages[path]]
    # What the first pages tell may be of a time when the memory was still being filled.
    seen_held = [one.value for one in held if one.time is not None and one.time > kept.time]
    assert seen_held == pytest.approx([kept.working_set] * len(seen_held), rel=TOLERANCE)
    assert seen_held


def test_metrics_server_agrees_with_the_kernel(minute: Minute) -> None:
    found = {}  # window -> cores over it
    readings = minute.readings[CAPPED]
    for answer in minute.answers:
        usage = {item["name"]: item["usage"] for item in answer["containers"]}
        begin, end = window(answer)
        if readings[0].time < begin and end + 1 < readings[-1].time:
            held = float(parse(usage[HOLDING]["memory"]))
            assert held == pytest.approx(minute.readings[HOLDING][0].working_set, rel=TOLERANCE)
            found[(begin, end)] = float(parse(usage[CAPPED]["cpu"]))
    assert found, "metrics-server asks each ten seconds, and the kubelet looks each 10 to 20"
    lasted = sum(end - begin for begin, end in found)
    told = sum(rate * (end - begin) for (begin, end), rate in found.items()) / lasted
    truth = nearest(readings, list(found), told)
    print(f"metrics-server: {told:.4f} cores, the kernel {truth:.4f}, {len(found)} windows")
    assert told == pytest.approx(truth, rel=TOLERANCE)


def test_throttling_is_counted(minute: Minute) -> None:
    first, last = minute.pages["/metrics/cadvisor"][0], minute.pages["/metrics/cadvisor"][-1]
    name = "container_cpu_cfs_throttled_seconds_total"
    before, after = (value(page, name, pod=POD, container=CAPPED).value for page in (first, last))
    # It wants a whole core and gets a fifth; on a busy machine it waits for a core instead, for part of that.
    assert 0 < after - before < SECONDS * 1.5


def test_the_summary_answers_or_refuses_as_a_whole(minute: Minute, node: Node) -> None:
    """Where cAdvisor does not know a device it answers 500, and what only it tells is unknown."""
    answer = node.page("/stats/summary")
    print(f"/stats/summary: {answer.status}")
    if answer.status == 500:
        assert answer.body
        return
    assert answer.status == 200
    (pod,) = [pod for pod in answer.json()["pods"] if pod["podRef"]["name"] == POD]
    (held,) = [item for item in pod["containers"] if item["name"] == HOLDING]
    truth = minute.readings[HOLDING][0].working_set
    assert held["memory"]["workingSetBytes"] == pytest.approx(truth, rel=TOLERANCE)
    assert pod["ephemeral-storage"]["usedBytes"] > 0


def test_a_restarted_container_counts_anew_from_a_new_start(minute: Minute, node: Node) -> None:
    old = {path: value(node.page(path).body, STARTED, pod=POD, container=CAPPED).value for path in PAGES}
    node.restart_container(POD, CAPPED)
    for path in PAGES:
        wait_until(lambda path=path: counts_anew(node, path, old[path]), TURN_SECONDS, f"{path} counts anew", 0.5)


def counts_anew(node: Node, path: str, old: float) -> bool:
    """Whether the page tells of a container that began after `old`, alone, and of no more than it can have used.

    The page of the time between may hold both containers, or none.
    """
    page = node.page(path).body
    started = values(page, STARTED, pod=POD, container=CAPPED)
    used = values(page, USED, pod=POD, container=CAPPED)
    if len(started) != 1 or len(used) != 1 or started[0].value <= old:
        return False
    assert used[0].time is not None
    # A second for a start that is told in whole seconds.
    return used[0].value < CORES * (1 + TOLERANCE) * (used[0].time - started[0].value + 1)
