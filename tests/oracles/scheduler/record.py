"""Records what a real kube-scheduler says of each scenario into ../scheduler.json.

    cd tests && python oracles/scheduler/record.py

needs etcd, kube-apiserver and kube-scheduler as `make control-plane` builds them. The target pod is made with a
scheduling gate; when the scheduler knows all others, the objects are read and the gate is lifted: the message is
that of the first attempt. Nothing of it is computed by krm.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from controlplane.build import KUBERNETES
from controlplane.kubeapi import ApiError, KubeClient
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from oracles.scheduler import bodies, scenarios
from oracles.scheduler.bodies import Body, Scenario

GATE = {"name": "krm.test/hold"}
SETTLE = 1.0  # seconds that the scheduler's informers get
# What clear() takes away, in this order: without nodes a pod that still waits would be told so.
OF_SCENARIOS = (
    "pods",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "storageclasses.storage.k8s.io",
    "csinodes.storage.k8s.io",
)
PATHS = {
    "nodes": "/api/v1/nodes",
    "pods": "/api/v1/pods",
    "persistentvolumeclaims": "/api/v1/persistentvolumeclaims",
    "persistentvolumes": "/api/v1/persistentvolumes",
    "storageclasses.storage.k8s.io": "/apis/storage.k8s.io/v1/storageclasses",
    "csinodes.storage.k8s.io": "/apis/storage.k8s.io/v1/csinodes",
    "namespaces": "/api/v1/namespaces",
    "priorityclasses.scheduling.k8s.io": "/apis/scheduling.k8s.io/v1/priorityclasses",
}
OF_KIND = {
    "PersistentVolumeClaim": "/api/v1/namespaces/default/persistentvolumeclaims",
    "PersistentVolume": PATHS["persistentvolumes"],
    "StorageClass": PATHS["storageclasses.storage.k8s.io"],
    "CSINode": PATHS["csinodes.storage.k8s.io"],
}


def prepare(admin: KubeClient) -> None:
    """Namespaces and priority classes, which all scenarios share."""
    for name, labels in bodies.NAMESPACES.items():
        if name != "default":
            admin.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
    for priority in bodies.PRIORITIES:
        admin.create("/apis/scheduling.k8s.io/v1/priorityclasses", priority)


def make(admin: KubeClient, scenario: Scenario) -> None:
    """All of its objects; the pod is held by a gate."""
    for one in scenario.others:
        path = OF_KIND[one["kind"]]
        admin.create(path, one)
        if one.get("status"):
            admin.patch(f"{path}/{one['metadata']['name']}/status", {"status": one["status"]})
    for one in scenario.nodes:
        admin.create(PATHS["nodes"], one)
        # Admission put a taint on it that a controller would take away.
        admin.patch(f"{PATHS['nodes']}/{one['metadata']['name']}", {"spec": one["spec"]})
    for one in scenario.placed:
        admin.create(pods_of(one), one)
    for name in scenario.ending:
        admin.delete(f"/api/v1/namespaces/default/pods/{name}", {"gracePeriodSeconds": 3600})
    held = {**scenario.pod, "spec": {**scenario.pod["spec"], "schedulingGates": [GATE]}}
    admin.create(pods_of(held), held)


def pods_of(pod: Body) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods"


def state_of(admin: KubeClient) -> Dict[str, List[Body]]:
    """Every kind that scheduling rests on, without what only takes room."""
    found: Dict[str, List[Body]] = {}
    for kind, path in PATHS.items():
        items = admin.get(path)["items"]
        for one in items:
            one["metadata"].pop("managedFields", None)
        found[kind] = [one for one in items if not one["metadata"]["name"].startswith(("kube-", "system-"))]
    return found


def message_of(admin: KubeClient, pod: Body, seconds: float = 20.0) -> str:
    """Of the first FailedScheduling event of this pod, as it was made."""
    query = {"fieldSelector": f"involvedObject.uid={pod['metadata']['uid']},reason=FailedScheduling"}

    def first() -> Optional[str]:
        events = admin.get(f"/api/v1/namespaces/{pod['metadata']['namespace']}/events", query)["items"]
        events.sort(key=lambda one: one.get("eventTime") or one.get("firstTimestamp") or "")
        return events[0]["message"] if events else None

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = first()
        if message is not None:
            return message
        time.sleep(0.05)
    raise SystemExit("no FailedScheduling event: the pod was placed or the scheduler is gone")


def clear(admin: KubeClient) -> None:
    """Nothing of a scenario is left."""
    gone = {"gracePeriodSeconds": 0}
    for kind in OF_SCENARIOS:
        for one in admin.get(PATHS[kind])["items"]:
            place = one["metadata"].get("namespace")
            path = PATHS[kind] if not place else f"/api/v1/namespaces/{place}/{kind}"
            address = f"{path}/{one['metadata']['name']}"
            if one["metadata"].get("finalizers"):
                admin.patch(address, {"metadata": {"finalizers": None}})
            try:
                admin.delete(address, gone)
            except ApiError as error:
                if error.status != 404:
                    raise
    wait_until(lambda: not admin.get(PATHS["pods"])["items"], 20.0, "all pods are gone")


def play(admin: KubeClient, scenario: Scenario) -> Dict[str, Any]:
    """One scenario: its state, and what the scheduler said."""
    make(admin, scenario)
    time.sleep(SETTLE)
    state = state_of(admin)
    path = f"{pods_of(scenario.pod)}/{scenario.pod['metadata']['name']}"
    message = message_of(admin, admin.patch(path, {"spec": {"schedulingGates": None}}))
    for one in state["pods"]:
        one["spec"].pop("schedulingGates", None)
    return {"name": scenario.name, "message": message, "state": state}


def main() -> None:
    told = []
    with ControlPlane(scheduler=True, audit=False) as plane:
        prepare(plane.admin)
        wanted = scenarios.all_of_them()
        for scenario in wanted:
            told.append(play(plane.admin, scenario))
            print(f"{scenario.name}: {told[-1]['message']}", flush=True)
            clear(plane.admin)
    head = {
        "of": f"kube-scheduler {KUBERNETES[plane.version][0]}, default configuration, with that kube-apiserver",
        "command": "cd tests && python oracles/scheduler/record.py",
        "scenarios": told,
    }
    path = Path(__file__).resolve().parents[1] / "scheduler.json"
    path.write_text(
        json.dumps(head, indent=None, separators=(",", ":"), sort_keys=True).replace('{"message"', '\n{"message"')
        + "\n"
    )


if __name__ == "__main__":
    main()
