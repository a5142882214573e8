"""The kubelets of a paper cluster: a node's pods are those that the world says run there, each with a life.

Loads are drawn from the seed and the pod's uid, so that a world of the same seed uses the same. Nodes are those
of the beginning: one that is created later has no kubelet.
"""

from __future__ import annotations

import json
import random
import threading
from calendar import timegm
from datetime import datetime
from functools import lru_cache, partial
from typing import Dict, List, Optional, Set, Tuple

from krm.model.quantities import BadQuantity, parse

from .history import Burst, Stored
from .kubelet_loads import MIB, Life, Load, Pressure, Wave
from .kubelet_nodes import Container, Node, Pod, Volume
from .kubelet_objects import reachable
from .kubelets import Kubelets
from .wire import Object
from .world import World

DAY = 86400.0  # seconds
PAUSE = 1.0  # seconds between two looks where nothing announces itself
# What a container without limits stays below.
CPU, MEMORY = 1000.0, 512 * MIB  # millicores, bytes


class Paper:
    """Follows a world's pods in a thread of its own. `with Paper(world, kubelets, seed): ...`"""

    def __init__(self, world: World, kubelets: Kubelets, seed: int = 1, interval: float = 0.0) -> None:
        """interval: seconds between two samples of a cgroup, as Node has it."""
        self.world, self.kubelets, self.seed, self.interval = world, kubelets, seed, interval
        self._runs: Dict[str, Tuple[str, Pod, Dict[str, int]]] = {}  # pod's key -> node, pod, restart counts
        self._seen = (-1, -1)  # epoch and revision
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="kubelets-pods", daemon=True)

    def start(self) -> Paper:
        """The kubelets must listen already. Afterwards each Node says where its own does."""
        for name in self.world.keys("nodes"):
            found = self.world.read("nodes", name)
            self.kubelets.add_node(self._node(name, found))
            where = reachable(name, self.kubelets.port(name))
            self.world.update("nodes", name, partial(_point, where))
        self.turn()
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stop.set()
        self.world.wake()
        self._thread.join()

    def __enter__(self) -> Paper:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def turn(self) -> None:
        """Take in what has happened to pods since the last turn."""
        for key, stored in self._news().items():
            try:
                self._take(key, None if stored is None else json.loads(stored.body()))
            except (ValueError, KeyError, TypeError, AttributeError):
                self._take(key, None)  # what a test injected runs nowhere

    def _follow(self) -> None:
        log = self.world.log("pods")
        while not self._stop.is_set():
            with self.world.lock:
                if self._seen == (self.world.epoch, self.world.revision):
                    log.changed.wait(PAUSE)
            self.turn()

    def _news(self) -> Dict[str, Optional[Stored]]:
        """Pods that may have changed; all where the past was rewritten or is forgotten. None: it is gone."""
        world, log = self.world, self.world.log("pods")
        with world.lock:
            epoch, revision = self._seen
            self._seen = (world.epoch, world.revision)
            if epoch != world.epoch or log.trimmed > revision:
                keys: Set[str] = {*log.current, *self._runs}
            else:
                # A burst changes nothing that a kubelet would notice.
                recent = log.entries[log.after(revision) :]
                keys = {entry.key for entry in recent if not isinstance(entry, Burst)}
            return {key: log.current.get(key) for key in keys}

    def _take(self, key: str, pod: Optional[Object]) -> None:
        before = self._runs.get(key)
        where = _where(pod) if pod is not None else ""
        if before and (pod is None or not where or before[1].uid != pod["metadata"]["uid"]):
            self.kubelets.remove(before[0], key)
            del self._runs[key]
            before = None
        if pod is None or where not in self.kubelets.names:
            return
        counts = _restarts(pod)
        if before is None:
            made = self._pod(pod)
            self.kubelets.add(where, made)
            self._runs[key] = (where, made, counts)
            return
        for name, count in counts.items():
            if count > before[2].get(name, 0):
                self.kubelets.restart(where, key, name)
        before[2].update(counts)

    def _node(self, name: str, found: Object) -> Node:
        rng, capacity = random.Random("%d-%s" % (self.seed, name)), found["status"]["capacity"]
        cores, memory = int(parse(capacity["cpu"])), int(parse(capacity["memory"]))
        system = Load(
            cpu=rng.uniform(100.0, 300.0),
            memory=rng.uniform(0.02, 0.05) * memory,
            rx=rng.uniform(1e3, 1e5),
            tx=rng.uniform(1e3, 1e5),
            processes=rng.randrange(90, 200),
            threads=rng.randrange(300, 600),
        )
        return Node(name, (), self.kubelets.clock(), cores, memory, system, interval=self.interval)

    def _pod(self, pod: Object) -> Pod:
        metadata, now = pod["metadata"], self.kubelets.clock()
        begun = {each["name"]: _begun(each, now) for each in pod["status"].get("containerStatuses", ())}
        containers: List[Container] = []
        for spec in pod["spec"]["containers"]:
            rng = random.Random("%d-%s-%s" % (self.seed, metadata["uid"], spec["name"]))
            limits = spec.get("resources", {}).get("limits", {})
            cpu, memory = _quantity(limits.get("cpu")) * 1000.0, int(_quantity(limits.get("memory")))
            life = Life(begun.get(spec["name"], now), draw(rng, cpu or CPU, memory or MEMORY))
            containers.append(Container(spec["name"], life, cpu, memory, str(spec.get("image", ""))))
        volumes = [_volume(each) for each in pod["spec"].get("volumes", ())]
        return Pod(
            metadata["namespace"],
            metadata["name"],
            containers,
            metadata["uid"],
            None,
            metadata.get("labels"),
            volumes,
        )


def draw(rng: random.Random, cpu: float, memory: float) -> Load:
    """A load that never goes beyond these limits (millicores, bytes): steady, in bursts, by day, or leaking."""
    kind = rng.choices(("steady", "bursts", "daily", "leak"), (50, 20, 20, 10))[0]
    share, traffic = rng.uniform(0.02, 0.4), rng.lognormvariate(9.0, 1.5)
    held = rng.uniform(0.1, 0.6) * memory
    load = Load(
        cpu=share * cpu,
        memory=held,
        rss=rng.uniform(0.5, 0.9) * held,
        cache=rng.uniform(0.5, 0.8) * held,
        kernel=rng.uniform(0.05, 0.4),
        faults=rng.uniform(0.0, 200.0),
        rx=traffic,
        tx=traffic * rng.uniform(0.3, 3.0),
        reads=rng.choice((0.0, rng.uniform(0.0, 1e5))),
        writes=rng.choice((0.0, rng.uniform(0.0, 1e5))),
        rootfs=rng.uniform(0.0, 50.0) * MIB,
        logs=rng.uniform(0.0, 500.0),
        processes=rng.randrange(1, 6),
        threads=rng.randrange(4, 40),
        pressure=Pressure(cpu_waiting=0.1 * share),
    )
    if kind == "bursts":  # the peak is where the limit is, and then it is throttled
        burst = Wave(rng.uniform(60.0, 600.0), 0.9, duty=1.0 / rng.uniform(2.0, 5.0), begin=rng.uniform(0.0, 600.0))
        top = 0.1 + 0.9 / burst.duty
        return load._replace(cpu=cpu / top, throttled=0.3 * burst.duty, throttled_time=0.02, wave=burst)
    if kind == "daily":  # most at 14:00 UTC
        return load._replace(wave=Wave(DAY, rng.uniform(0.3, 0.9), begin=DAY / 3.0))
    if kind == "leak":
        room = 0.98 * memory - held
        return load._replace(leak=room / rng.uniform(0.5, 12.0) / 3600.0, leaked=room)
    return load


def _point(where: Object, node: Object) -> None:
    node["status"].update(where)


def _where(pod: Object) -> str:
    """The node that a pod runs on; '' = none, as before it is bound and after it has ended."""
    ended = pod["status"].get("phase") in ("Succeeded", "Failed", "Pending")
    return "" if ended or not pod["spec"]["containers"] else str(pod["spec"].get("nodeName", ""))


def _restarts(pod: Object) -> Dict[str, int]:
    statuses = pod["status"].get("containerStatuses", ())
    return {str(status["name"]): int(status["restartCount"]) for status in statuses}


def _begun(status: Object, now: float) -> float:
    text = status.get("state", {}).get("running", {}).get("startedAt")
    return min(now, _seconds(text)) if text else now


@lru_cache(maxsize=1024)
def _seconds(text: str) -> float:
    return timegm(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").timetuple())


@lru_cache(maxsize=1024)
def _quantity(text: Optional[str]) -> float:
    """0 where there is none."""
    try:
        return float(parse(text)) if text else 0.0
    except BadQuantity:
        return 0.0


def _volume(found: Object) -> Volume:
    claim = found.get("persistentVolumeClaim", {}).get("claimName", "")
    return Volume(str(found["name"]), 12288, claim=str(claim))
