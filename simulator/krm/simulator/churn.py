"""Life on paper: what happens to the objects, at a rate, the same for the same seed."""

from __future__ import annotations

import random
import threading
import time
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from . import workloads
from .populate import new_pod, pick_node
from .wire import Object
from .world import World
from .writes import mark_deleted

# Shares of events by kind: pods mostly, as in a real cluster.
WEIGHTS: Mapping[str, float] = {
    "pods": 70,
    "nodes": 8,
    "events": 10,
    "deployments.apps": 4,
    "replicasets.apps": 4,
    "endpointslices.discovery.k8s.io": 3,
    "statefulsets.apps": 1,
}
# What befalls a pod, with its share.
POD_FATES: Tuple[Tuple[str, float], ...] = (("status", 80), ("create", 8), ("delete", 8), ("recreate", 4))
EVENTS_KEPT = 500  # core/v1 Events; the real ones expire after an hour
BURST_STEP = 0.02  # seconds between the portions of a paced burst
_REASONS = (
    ("Scheduled", "Successfully assigned %s to a node", "default-scheduler"),
    ("Pulled", "Container image for %s already present", "kubelet"),
    ("BackOff", "Back-off restarting failed container in %s", "kubelet"),
    ("Unhealthy", "Readiness probe of %s failed: HTTP probe failed with statuscode: 503", "kubelet"),
)


class Churn:
    """Changes a world. `turn(n)` makes n events now; `start()` makes `rate` a second in a thread."""

    def __init__(
        self, world: World, rate: float = 0.0, weights: Optional[Mapping[str, float]] = None, seed: int = 1
    ) -> None:
        self.world, self.rate, self.weights = world, rate, dict(weights or WEIGHTS)
        self.random = random.Random("churn-%d" % seed)
        self.pods = len(world.keys("pods"))  # what creates and deletes hover around
        self.nodes = len(world.keys("nodes"))
        self._terminating: List[str] = []
        self._counter = 0
        self._stop = threading.Event()
        self._bursts: Dict[str, Tuple[float, float]] = {}  # kind -> (events a second, until, monotonic)

    # -- pace

    def start(self) -> Churn:
        threading.Thread(target=self._run, name="churn", daemon=True).start()
        return self

    def stop(self) -> None:
        self._stop.set()

    def pump(self, kind: str, rate: float, seconds: float) -> None:
        """From the churn thread: bursts of `rate` events a second on one kind for a while."""
        self._bursts[kind] = (rate, time.monotonic() + seconds)

    def _run(self) -> None:
        owed, last, pumped = 0.0, time.monotonic(), {"": 0.0}
        while not self._stop.wait(BURST_STEP if self.rate > 0 or self._bursts else 0.1):
            now = time.monotonic()
            # After a pause (a stopped process) it goes on, it does not catch up.
            passed, last = min(now - last, 0.5), now
            if self.world.faults.lasting("etcd_stopped", "*") is not None:
                continue
            owed += self.rate * passed
            self.turn(int(owed))
            owed -= int(owed)
            for kind, (rate, until) in list(self._bursts.items()):
                due = pumped.get(kind, 0.0) + rate * passed
                if int(due):
                    self.world.burst(kind, int(due))
                pumped[kind] = due - int(due)
                if now >= until:
                    del self._bursts[kind]

    # -- what happens

    def turn(self, events: int = 1) -> None:
        """Make `events` changes, of one revision each, or two where something is replaced or goes."""
        if events <= 0:
            return
        kinds, weights = list(self.weights), list(self.weights.values())
        for kind in self.random.choices(kinds, weights, k=events):
            with self.world.lock:
                if kind not in {each.name for each in self.world.kinds()}:
                    continue
                self._happen(kind)

    def _happen(self, kind: str) -> None:
        if kind == "pods":
            self._pod()
        elif kind == "events":
            self._event()
        elif kind == "nodes":
            self._edit(kind, self._heartbeat)
        elif kind == "endpointslices.discovery.k8s.io":
            self._edit(kind, self._flip_endpoint)
        else:
            self._edit(kind, self._scale)

    def _edit(self, kind: str, change: Callable[[Object], None]) -> None:
        keys = self.world.keys(kind)
        if keys:
            self._update(kind, self.random.choice(keys), change)

    def _update(self, kind: str, key: str, change: Callable[[Object], None]) -> None:
        stored = self.world.get(kind, key)
        if stored is not None and stored.template is None:  # injected bytes are left as they are
            self.world.update(kind, key, change)

    def _pod(self) -> None:
        if self._terminating and self.random.random() < 0.5:
            key = self._terminating.pop(0)
            if self.world.get("pods", key) is not None:
                mark_deleted(self.world, self.world.log("pods").kind, key, 0)
                self.world.delete("pods", key)
                return
        keys = self.world.keys("pods")
        fate = self.random.choices([name for name, _ in POD_FATES], [share for _, share in POD_FATES])[0]
        surplus = len(keys) - self.pods
        if fate != "status" and surplus:
            fate = "delete" if surplus > 0 else "create"
        if not keys or fate == "create":
            self._create_pod(keys)
            return
        key = self.random.choice(keys)
        stored = self.world.get("pods", key)
        if fate == "recreate":
            self._recreate(key)
        elif fate == "delete" and stored is not None and stored.template is None and key not in self._terminating:
            mark_deleted(self.world, self.world.log("pods").kind, key, 30)
            self._terminating.append(key)
        else:
            self._update("pods", key, self._pod_status)

    def _create_pod(self, keys: List[str]) -> None:
        self._counter += 1
        sets = self.world.keys("replicasets.apps")
        if sets:
            key = self.random.choice(sets)
            found = self.world.read("replicasets.apps", key)["metadata"]
            owner = workloads.reference("ReplicaSet", found["name"], found["uid"])
            namespace, app = found["namespace"], found.get("labels", {}).get("app", "app")
        else:
            owner, namespace, app = workloads.reference("ReplicaSet", "none", "0"), "default", "app"
        name = "%s-%05x" % (owner["name"], 0x10000 + self._counter)
        if namespace + "/" + name not in keys:
            node = pick_node(self.world, self.nodes)
            self.world.create("pods", new_pod(self.world, name, namespace, app, owner, node))

    def _recreate(self, key: str) -> None:
        """Delete and create under the same name, one revision after the other: another uid."""
        stored = self.world.get("pods", key)
        if stored is None or stored.template is not None:
            return
        old = self.world.read("pods", key)
        self.world.delete("pods", key)
        metadata = old["metadata"]
        owners = metadata.get("ownerReferences") or [workloads.reference("ReplicaSet", "none", "0")]
        app = metadata.get("labels", {}).get("app", "app")
        node = pick_node(self.world, self.nodes)
        pod = new_pod(self.world, metadata["name"], metadata["namespace"], app, owners[0], node)
        self.world.create("pods", pod)

    def _pod_status(self, pod: Object) -> None:
        statuses = pod.get("status", {}).get("containerStatuses")
        if not statuses:
            return
        status, when = self.random.choice(statuses), self.world.now_text()
        if self.random.random() < 0.3:
            status["restartCount"] += 1
            status["state"] = {"running": {"startedAt": when}}
        status["ready"] = not status["ready"]
        ready = "True" if all(each["ready"] for each in statuses) else "False"
        for condition in pod["status"].get("conditions", ()):
            if condition["type"] in ("Ready", "ContainersReady"):
                condition.update(status=ready, lastTransitionTime=when)

    def _heartbeat(self, node: Object) -> None:
        for condition in node.get("status", {}).get("conditions", ()):
            condition["lastHeartbeatTime"] = self.world.now_text()

    def _flip_endpoint(self, found: Object) -> None:
        for endpoint in found.get("endpoints", [])[:1]:
            endpoint["conditions"]["ready"] = not endpoint["conditions"]["ready"]

    def _scale(self, found: Object) -> None:
        status = found.setdefault("status", {})
        status["readyReplicas"] = max(0, status.get("replicas", 1) - self.random.randrange(2))

    def _event(self) -> None:
        keys = self.world.keys("events")
        if len(keys) >= EVENTS_KEPT:
            self.world.delete("events", keys[0])
            return
        pods = self.world.keys("pods")
        if not pods:
            return
        key = self.random.choice(pods)
        namespace, _, name = key.rpartition("/")
        stored = self.world.get("pods", key)
        about = {
            "kind": "Pod",
            "namespace": namespace,
            "name": name,
            "uid": stored.uid if stored else "",
            "apiVersion": "v1",
            "resourceVersion": str(stored.revision if stored else 0),
        }
        self._counter += 1
        reason, message, component = self.random.choice(_REASONS)
        when = self.world.now_text()
        body = workloads.event(about, reason, message % name, when, component)
        event = workloads.build("Event", "%s.%016x" % (name, self._counter), namespace, when, body)
        self.world.create("events", event)
