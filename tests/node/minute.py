"""Most of a minute of the known load, watched from all sides at once."""

import time
from typing import Dict, List, NamedTuple, Sequence, Tuple

from controlplane.kubeapi import Json
from controlplane.metrics_server import API
from controlplane.plane import ControlPlane
from node.counters import Counters, Reading
from node.loads import POD
from node.pages import value
from node.real import NAMESPACE, Node

# Half a minute of points: the kubelet looks each 10 to 20 s. The minute through krm is in tests/acceptance.
SECONDS = 50.0
# How often the kernel's counters are read, and each so many times a page.
STEP = 0.5
STEPS_PER_PAGE = 6
# What was promised: every source is this near to the kernel's own counters, over a minute.
TOLERANCE = 0.05
USED, WORKING_SET = "container_cpu_usage_seconds_total", "container_memory_working_set_bytes"


class Minute(NamedTuple):
    """What was seen. pages: path -> the kubelet's pages; answers: PodMetrics of POD."""

    readings: Dict[str, List[Reading]]  # container -> readings, STEP seconds apart
    pages: Dict[str, List[bytes]]
    answers: List[Json]


def watch(node: Node, plane: ControlPlane, containers: Tuple[str, ...]) -> Minute:
    """Look for SECONDS at pages, at metrics-server's answers, and before and after each at the cgroups."""
    counters = {name: Counters(node.status(POD, name)["containerID"]) for name in containers}
    minute = Minute({name: [] for name in containers}, {"/metrics/resource": [], "/metrics/cadvisor": []}, [])
    ends, step = time.monotonic() + SECONDS, 0
    while time.monotonic() < ends:
        for name in containers:
            minute.readings[name].append(counters[name].read())
        if step % STEPS_PER_PAGE == 0:
            for path, pages in minute.pages.items():
                answer = node.page(path)
                assert answer.status == 200, answer.body
                pages.append(answer.body)
            minute.answers.append(plane.admin.get(f"{API}/namespaces/{NAMESPACE}/pods/{POD}"))
        step += 1
        time.sleep(STEP)
    return minute


def used_at(readings: List[Reading], moment: float) -> float:
    """CPU seconds at `moment`, on the line between the two readings around it; ValueError outside them."""
    for before, after in zip(readings, readings[1:]):
        if before.time <= moment <= after.time:
            share = (moment - before.time) / (after.time - before.time)
            return before.used + share * (after.used - before.used)
    raise ValueError(f"{moment} is not between {readings[0].time} and {readings[-1].time}")


def cores(readings: List[Reading], begin: float, end: float) -> float:
    """What the kernel counted between two moments, as CPU seconds a second."""
    return (used_at(readings, end) - used_at(readings, begin)) / (end - begin)


def nearest(readings: List[Reading], windows: Sequence[Tuple[float, float]], told: float) -> float:
    """The mean of cores over all windows that is nearest to what metrics-server told.

    It cuts its times to seconds: each window was in truth up to a second later, which on a busy machine is
    another load.
    """
    lasted = sum(end - begin for begin, end in windows)
    means = [
        sum(cores(readings, begin + late, end + late) * (end - begin) for begin, end in windows) / lasted
        for late in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    return min(means, key=lambda mean: abs(mean - told))


def points(minute: Minute, path: str, container: str) -> List[Tuple[float, float]]:
    """(time, CPU seconds) as the pages say, each time once, those that lie within the readings."""
    first = minute.readings[container][0].time
    last = minute.readings[container][-1].time
    found: Dict[float, float] = {}
    for page in minute.pages[path]:
        seen = value(page, USED, pod=POD, container=container)
        assert seen.time is not None, f"{path} gives {USED} no time of its own"
        if first <= seen.time <= last:
            found[seen.time] = seen.value
    return sorted(found.items())
