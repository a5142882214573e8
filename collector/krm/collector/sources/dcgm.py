"""GPUs, as NVIDIA's DCGM exporter tells of them: memory used and there, and how busy they are.

An exporter tells of each GPU of its node (of each MIG instance, where a GPU is split into such), and which
container holds it. The rules, so that nothing is counted twice:

    a GPU that has MIG instances     the instances count, each as a device, and not the GPU beside them
    a device of several holders      (time-slicing, MPS) its memory is told once for all of them: it is split
                                     evenly, a holder of two shares having two; what each really uses, nobody tells
    a device of no pod               counts for its node alone, and so does one of a pod that this node has not
    how busy a device is             is the device's, and is not split: resource_id is its UUID[/instance]

gpu/usage and gpu/limit are megabytes as NVIDIA counts them, of 2^20 bytes, over all devices of the
subject; a node's say of how many of its devices they are the sum.
"""

from __future__ import annotations

import time
from typing import Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from krm.collector.facts import PodFacts
from krm.collector.source import NoData, Target
from krm.collector.sources.annotated import PORT, Reach, alive, own_url, pod_target
from krm.collector.sources.scraped import MAX_BYTES, Point, read_page
from krm.collector.sources.scraping import TIMEOUT, Fetch
from krm.model.measures import Covers, Sample, Subject

SOURCE = "dcgm"
USED, FREE = "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"
BUSY, ACTIVE = "DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE"  # percent; share, of MIG instances too
NAMES = (USED, FREE, BUSY, ACTIVE)
APPS = ("nvidia-dcgm-exporter", "dcgm-exporter")  # what exporters say they are
# Whom to believe what they say of others' pods: anybody can call a pod an exporter.
NAMESPACES = ("gpu-operator", "nvidia-gpu-operator", "gke-managed-system", "kube-system")
DEFAULT_PORT, PATH = 9400, "/metrics"
# DCGM writes numbers close to 2^31, 2^47 or 2^63 for what it does not know; no device has 2 PiB.
_UNKNOWN = 2.0**31 - 16
_POD = ("pod", "pod_name")
_NAMESPACE = ("namespace", "pod_namespace")
_CONTAINER = ("container", "container_name")

Holder = Tuple[str, str, str]  # namespace, pod, container


class _Device(NamedTuple):
    """One GPU, or one MIG instance of it."""

    values: Dict[str, float]  # series -> value
    shares: Dict[Holder, set]  # type: ignore[type-arg]  # whose -> which of its shares


def exporters(pods: Iterable[PodFacts], apps: Iterable[str] = APPS) -> Dict[str, Target]:
    """name -> target, of the exporters that run."""
    wanted = frozenset(apps)
    found = (pod for pod in pods if pod.app in wanted and pod.running)
    return {target.name: target for target in map(pod_target, found)}


def gpu_samples(
    points: Iterable[Point], node: str, find: Callable[[str, str], Optional[Subject]], at: float
) -> List[Sample]:
    """`points`: of one exporter's page. `find`: (namespace, pod) -> a pod of this node, None = it has none such.
    `at`: Unix seconds."""
    devices = _devices(points)
    sums: Dict[Subject, Dict[str, float]] = {}
    busy: Dict[Subject, Dict[str, float]] = {}
    known: Dict[Subject, int] = {}
    count: Dict[Subject, int] = {}
    for name, device in devices.items():
        used, free, share = device.values.get(USED), device.values.get(FREE), _busy(device.values)
        size = None if used is None or free is None else used + free
        for subject, part in _parts(device, node, find).items():
            count[subject] = count.get(subject, 0) + 1
            known[subject] = known.get(subject, 0) + (used is not None)
            values = sums.setdefault(subject, {})
            for metric, value in (("gpu/usage", used), ("gpu/limit", size)):
                if value is not None:
                    values[metric] = values.get(metric, 0.0) + value * part
            if share is not None:
                busy[subject._replace(resource_id=name)] = {"gpu/utilization": share}
    samples = [
        Sample(subject, at, values, SOURCE, covers=Covers(known[subject], count[subject], "GPUs"))
        for subject, values in sums.items()
        if values
    ]
    return samples + [Sample(subject, at, values, SOURCE) for subject, values in busy.items()]


def _devices(points: Iterable[Point]) -> Dict[str, _Device]:
    """UUID[/instance] -> device."""
    devices: Dict[str, _Device] = {}
    split = set()
    for point in points:
        labels = point.labels
        uuid = labels.get("UUID") or labels.get("uuid") or labels.get("gpu", "")
        instance = labels.get("GPU_I_ID", "")
        if not uuid:
            continue
        if instance:
            split.add(uuid)
        device = devices.setdefault(f"{uuid}/{instance}" if instance else uuid, _Device({}, {}))
        if 0 <= point.value < _UNKNOWN:
            device.values.setdefault(point.name, point.value)
        holder = (_label(labels, _NAMESPACE), _label(labels, _POD), _label(labels, _CONTAINER))
        if holder[0] and holder[1]:
            device.shares.setdefault(holder, set()).add(labels.get("vgpu", ""))
    return {name: device for name, device in devices.items() if name not in split}


def _label(labels: Mapping[str, str], names: Tuple[str, ...]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _busy(values: Mapping[str, float]) -> Optional[float]:
    share = values[BUSY] / 100 if BUSY in values else values.get(ACTIVE)
    return share if share is not None and share <= 1 else None


def _parts(device: _Device, node: str, find: Callable[[str, str], Optional[Subject]]) -> Dict[Subject, float]:
    """Whose the device is, and how much of it: its node, whole; pods and their containers."""
    parts = {Subject(node=node): 1.0}
    total = sum(map(len, device.shares.values()))
    for (namespace, pod, container), shares in device.shares.items():
        subject = find(namespace, pod)
        if subject is None:
            continue
        part = len(shares) / total
        parts[subject] = parts.get(subject, 0.0) + part
        if container:
            parts[subject._replace(container=container)] = part
    return parts


class Gpus:
    """A Source. One for all exporters; threads may call it at once."""

    name = SOURCE

    def __init__(
        self,
        look: Callable[[str, str], Optional[PodFacts]],
        fetch: Fetch,
        nodes: Callable[[], FrozenSet[str]],
        reach: Reach,
        believed: Iterable[str] = NAMESPACES,
    ) -> None:
        """`look`: (namespace, name) -> the pod as it is now. `believed`: namespaces whose exporters may speak of
        others' pods."""
        self._look, self._fetch, self._nodes, self._reach = look, fetch, nodes, reach
        self._believed = frozenset(believed)

    def __call__(self, target: Target, now: float) -> List[Sample]:
        exporter = alive(self._look, target)
        if exporter.namespace not in self._believed:
            raise NoData(f"exporters of the namespace {exporter.namespace} are not believed (--dcgm-namespaces)")
        told = exporter.annotations.get(PORT, "")
        port = int(told) if told.isdecimal() and len(told) < 6 else exporter.port or DEFAULT_PORT
        url = own_url(exporter, self._reach, self._nodes(), "http", port, PATH)
        began = time.monotonic()
        body, content_type = self._fetch(url, MAX_BYTES, began + TIMEOUT)
        points = read_page(body, content_type, NAMES)
        if not points:
            raise NoData("its page tells of no GPU")

        def find(namespace: str, name: str) -> Optional[Subject]:
            pod = self._look(namespace, name)
            if pod is None or pod.node != exporter.node:
                return None
            return Subject(pod.namespace, pod.name, pod.uid, "", pod.node)

        return gpu_samples(points, exporter.node, find, now + time.monotonic() - began)
