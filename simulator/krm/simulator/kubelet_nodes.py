"""The nodes, pods and containers that simulated kubelets tell of, and what one look at a node sees. Pure."""

from __future__ import annotations

import uuid
import zlib
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .kubelet_loads import MIB, NOTHING, Life, Load, Spot, Vector, to_ms

GIB = 1024 * MIB
KEPT = 60_000  # milliseconds that a pod that is gone is kept before only its sums are


class Container:
    """One container of a pod. cpu_limit: millicores, memory_limit: bytes; 0 = none."""

    def __init__(
        self,
        name: str,
        life: Life,
        cpu_limit: float = 0.0,
        memory_limit: int = 0,
        image: str = "registry.example/team/app:1.0.0",
    ) -> None:
        self.name, self.life, self.image = name, life, image
        self.cpu_limit, self.memory_limit = cpu_limit, memory_limit


class Volume(NamedTuple):
    """A volume of a pod, in bytes. claim: the PersistentVolumeClaim's name, '' = it is ephemeral storage."""

    name: str
    used: int = 0
    capacity: int = GIB
    claim: str = ""


class Pod:
    """A pod on a node. until: Unix seconds from when it is gone; uid: by default one made of its name."""

    def __init__(
        self,
        namespace: str,
        name: str,
        containers: Sequence[Container],
        uid: str = "",
        until: Optional[float] = None,
        labels: Optional[Mapping[str, str]] = None,
        volumes: Sequence[Volume] = (),
    ) -> None:
        self.namespace, self.name, self.labels, self.volumes = namespace, name, dict(labels or {}), volumes
        self.containers = sorted(containers, key=lambda container: container.name)
        self.uid = uid or str(uuid.uuid5(uuid.NAMESPACE_URL, "paper:///%s/%s" % (namespace, name)))
        self.until = None if until is None else to_ms(until)
        self.start = min(container.life.start for container in self.containers)
        self.phase = _share(self.uid)

    @property
    def key(self) -> str:
        return self.namespace + "/" + self.name

    def spots(self, moment: int) -> List[Spot]:
        """Its containers at a moment that lies before its end."""
        return [container.life.at(moment) for container in self.containers if container.life.start <= moment]

    def container(self, name: str) -> Container:
        """KeyError where there is none."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError("pod %s has no container %r" % (self.key, name))


def pod(
    namespace: str,
    name: str,
    start: float,
    loads: Mapping[str, Load],
    until: Optional[float] = None,
    uid: str = "",
) -> Pod:
    """A pod whose containers (name -> load) begin at `start`, Unix seconds, and have no limits."""
    containers = [Container(each, Life(start, load)) for each, load in loads.items()]
    return Pod(namespace, name, containers, uid, until)


class PodSeen(NamedTuple):
    """A pod as its kubelet sees it. Moments are those of the samples, true time in milliseconds."""

    pod: Pod
    moment: int
    spots: List[Spot]  # at that moment, for what the pod's own cgroup sums up
    containers: List[Tuple[Container, Spot]]  # each at the moment of its own sample


class NodeSeen(NamedTuple):
    """One look at a node."""

    node: Node
    moment: int
    pods: List[PodSeen]
    spots: List[Spot]  # of all that runs, at `moment`; the last one is the system's
    past: Vector  # what pods that have ended counted before `moment`

    @property
    def shape(self) -> Tuple[object, ...]:
        """Equal where the same pods, containers and runs are seen: then only numbers differ."""
        runs = [spot.epoch.run for seen in self.pods for _, spot in seen.containers]
        return (tuple(id(seen.pod) for seen in self.pods), tuple(runs))


class Node:
    """A node and its kubelet's habits.

    system: the load of all that is no pod. skew: seconds that its clock is ahead. interval: seconds between two
    samples of one cgroup, each with a phase of its own, as a kubelet's housekeeping (10 to 15 there); 0 = live.
    disk: bytes of its one filesystem. systemd: cgroups are named by systemd's driver, else by cgroupfs'.
    """

    def __init__(
        self,
        name: str,
        pods: Iterable[Pod] = (),
        start: float = 0.0,
        cores: int = 8,
        memory: int = 32 * GIB,
        system: Load = Load(cpu=150.0, memory=float(GIB), processes=120, threads=400),  # noqa: B008
        skew: float = 0.0,
        interval: float = 0.0,
        disk: int = 100 * GIB,
        systemd: bool = True,
    ) -> None:
        self.name, self.cores, self.memory, self.disk, self.systemd = name, cores, memory, disk, systemd
        self.skew, self.interval = skew, interval
        self.pods: Dict[str, Pod] = {}
        self._gone: List[Pod] = []
        self._past: Vector = NOTHING
        for each in pods:
            self.add(each)
        first = min((each.start for each in self.pods.values()), default=0) / 1000.0
        self.system = Container("system", Life(start or first, system))
        self.start = self.system.life.start
        self.phase = _share(name)

    def add(self, each: Pod) -> None:
        """It runs here from its start on. Another pod of its name must have ended before that: KeyError."""
        before = self.pods.get(each.key)
        if before is not None:
            if not _ended(before, each.start):
                raise KeyError("node %s runs %s already" % (self.name, each.key))
            self._gone.append(before)
        self.pods[each.key] = each

    def remove(self, key: str, at: float) -> None:
        """Namespace/name is gone from `at`, Unix seconds, on; what it used stays in the node's counters."""
        each, moment = self.pods.pop(key), to_ms(at)
        each.until = moment if each.until is None else min(moment, each.until)
        self._gone.append(each)
        self._forget(moment - KEPT)

    def look(self, now: float) -> NodeSeen:
        """What its kubelet tells at `now`, Unix seconds of true time."""
        moment = to_ms(now)
        shown = [each for each in self._all() if each.start <= moment and not _ended(each, moment)]
        pods = [self._seen(each, moment) for each in sorted(shown, key=lambda each: each.key)]
        sampled = max(self.start, self._sampled(moment, self.phase))
        live = sampled == moment and not self.interval  # then the pods' samples are of that moment too
        spots = [spot for each in pods for spot in each.spots] if live else self._running(sampled)
        return NodeSeen(self, sampled, pods, [*spots, self.system.life.at(sampled)], self._ended_by(sampled))

    def _ended_by(self, moment: int) -> Vector:
        totals: List[Sequence[float]] = [self._past]
        for each in self._all():
            if _ended(each, moment) and each.until is not None:
                totals += [spot.wholes() for spot in each.spots(each.until)]
        return tuple(map(sum, zip(*totals)))

    def stamp(self, moment: int) -> int:
        """A moment of true time as this node's clock has it."""
        return moment + to_ms(self.skew)

    def _all(self) -> List[Pod]:
        return [*self.pods.values(), *self._gone]

    def _running(self, moment: int) -> List[Spot]:
        shown = [each for each in self._all() if each.start <= moment and not _ended(each, moment)]
        return [spot for each in shown for spot in each.spots(moment)]

    def _seen(self, each: Pod, now: int) -> PodSeen:
        moment = max(each.start, self._sampled(now, each.phase))
        containers: List[Tuple[Container, Spot]] = []
        for index, container in enumerate(each.containers):
            spot = container.life.at(now)
            if container.life.start > now:
                continue
            if self.interval:  # a new run is sampled as it begins
                sampled = self._sampled(now, each.phase + 0.3 * (index + 1))
                spot = container.life.at(max(sampled, spot.epoch.started))
            containers.append((container, spot))
        spots = each.spots(moment) if self.interval else [spot for _, spot in containers]
        return PodSeen(each, moment, spots, containers)

    def _sampled(self, now: int, phase: float) -> int:
        """The newest moment of sampling."""
        step = to_ms(self.interval)
        return now if not step else now - (now - int(phase * step)) % step

    def _forget(self, before: int) -> None:
        kept: List[Pod] = []
        for each in self._gone:
            if each.until is not None and each.until < before:
                self._past = tuple(map(sum, zip(self._past, *(spot.wholes() for spot in each.spots(each.until)))))
            else:
                kept.append(each)
        self._gone = kept


def total(spots: Iterable[Spot], counter: int) -> float:
    """A counter of all of them, over their restarts."""
    return sum(spot.whole(counter) for spot in spots)


def _ended(each: Pod, moment: int) -> bool:
    return each.until is not None and each.until <= moment


def _share(text: str) -> float:
    """A number in 0..1 that is always the same for a text."""
    return zlib.crc32(text.encode()) % 997 / 997.0
