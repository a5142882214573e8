"""A real scheduler says what krm says, and does what krm's changes promise: scenarios played anew.

The recorded ones stand in tests/oracles/scheduler.json; here a handful shows that the record is of this scheduler,
and changes are carried out: the pod must come to stand where it was said to.
"""

import re
import time
from typing import Any, Dict, Iterator

import pytest
from controlplane.fixtures import running_plane
from controlplane.kubeapi import KubeClient
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.analysis.inputs import History, Inputs, State
from krm.analysis.scheduling.pending import Asked, Pending, answer
from oracles.scheduler import scenarios
from oracles.scheduler.bodies import Body, Scenario, node
from oracles.scheduler.record import clear, play, pods_of, prepare

pytestmark = [pytest.mark.controlplane, pytest.mark.slow]

BY_NAME = {one.name: one for one in scenarios.all_of_them()}
ANEW = (
    "cpu and memory on one node",
    "a bit of everything",
    "affinity to a node by name",
    "spread that honours taints",
    "preemption would not free enough",
    "a bound volume in another zone",
)
# Scenario, and the kind of the change that is carried out.
CARRIED_OUT = (
    ("cpu taken by pods of the same priority", "lower-request"),
    ("memory beyond two of three", "lower-request"),
    ("taints", "tolerate"),
    ("all cordoned", "uncordon"),
    ("node selector", "selector"),
    ("host port", "port"),
    ("anti-affinity", "affinity"),
    ("spread with more domains than there are", "spread"),
    ("cpu taken by pods of the same priority", "priority"),
    ("cpu taken by pods of the same priority", "new-node"),
    ("cpu beyond every node", "new-node"),
)


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """With a scheduler, and nothing else that would change what a test makes."""
    for one in running_plane(scheduler=True, audit=False):
        prepare(one.admin)
        yield one


@pytest.fixture
def admin(plane: ControlPlane) -> Iterator[KubeClient]:
    yield plane.admin
    clear(plane.admin)


def explained(state: Dict[str, Any]) -> Pending:
    now = time.time()
    (row,) = answer(Inputs(now, "real", State(state, {}, {}), History(now, now, {})), Asked()).rows
    return row


@pytest.mark.parametrize("name", ANEW)
def test_it_says_what_krm_says(admin: KubeClient, name: str) -> None:
    told = play(admin, BY_NAME[name])
    assert explained(told["state"]).message == told["message"]


@pytest.mark.parametrize(("name", "kind"), CARRIED_OUT)
def test_a_change_that_is_carried_out_places_the_pod(admin: KubeClient, name: str, kind: str) -> None:
    scenario = BY_NAME[name]
    row = explained(play(admin, scenario)["state"])
    change = next(one for one in row.changes if one.kinds == (kind,))
    for other in scenario.nodes:  # nodes that are alike would do as well: the named one alone is left
        if other["metadata"]["name"] != change.node:
            admin.patch(f"/api/v1/nodes/{other['metadata']['name']}", {"spec": {"unschedulable": True}})
    carry_out(admin, scenario, kind, change.steps[0], change.node)
    path = f"{pods_of(scenario.pod)}/{scenario.pod['metadata']['name']}"
    wanted = change.node if change.node != "a new node" else "fresh"
    wait_until(lambda: bool(place(admin, path)), 30.0, f"the pod is placed: {change}")
    assert place(admin, path) == wanted


def place(admin: KubeClient, path: str) -> str:
    body = admin.get(path)
    # Victims without a kubelet never end: then it is the place that is kept for it.
    return str(body["spec"].get("nodeName") or body.get("status", {}).get("nominatedNodeName") or "")


def carry_out(admin: KubeClient, scenario: Scenario, kind: str, step: str, where: str) -> None:
    """As a person would, by the words of the step: pods are made anew, nodes patched."""
    if kind == "uncordon":
        admin.patch(f"/api/v1/nodes/{where}", {"spec": {"unschedulable": False}})
    elif kind == "selector":
        key, value = found(r"drop (\S+)=(\S+) from", step)
        admin.patch(f"/api/v1/nodes/{where}", {"metadata": {"labels": {key: value}}})
    elif kind == "new-node":
        cpu = re.search(r"([0-9]+m?) cpu", step)
        fresh = node("fresh", cpu.group(1) if cpu else "4")
        admin.create("/api/v1/nodes", fresh)
        admin.patch("/api/v1/nodes/fresh", {"spec": {"taints": []}})
    else:
        remade(admin, scenario, changed(scenario.pod, kind, step))


def changed(pod: Body, kind: str, step: str) -> Body:
    spec = {**pod["spec"]}
    if kind == "lower-request":
        resource, amount = found(r"request of (\S+) from \S+ to (\S+)", step)
        container = spec["containers"][0]
        requests = {**container["resources"]["requests"], resource: amount}
        spec["containers"] = [{**container, "resources": {"requests": requests}}]
    elif kind == "tolerate":
        key, value, effect = found(r"tolerate ([^=:]+)=?([^:]*):(\S+)", step)
        spec["tolerations"] = [{"key": key, "operator": "Equal", "value": value, "effect": effect}]
    elif kind == "port":
        spec["containers"] = [{**spec["containers"][0], "ports": [{"containerPort": 8080, "hostPort": 8080}]}]
    elif kind == "affinity":
        del spec["affinity"]
    elif kind == "spread":
        (skew,) = found(r"maxSkew over \S+ from \d+ to (\d+)", step)
        spec["topologySpreadConstraints"] = [{**spec["topologySpreadConstraints"][0], "maxSkew": int(skew)}]
    else:
        (priority,) = found(r"give it priority (\d+)", step)
        spec["priorityClassName"] = f"krm-{priority}"
    return {**pod, "spec": spec}


def remade(admin: KubeClient, scenario: Scenario, body: Body) -> None:
    name = body["spec"].get("priorityClassName")
    if name and admin.request("GET", f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}").status == 404:
        value = int(name.split("-")[1])
        admin.create("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": value})
    path = pods_of(body)
    admin.delete(f"{path}/{body['metadata']['name']}", {"gracePeriodSeconds": 0})
    admin.create(path, body)


def found(pattern: str, step: str) -> Any:
    match = re.search(pattern, step)
    assert match is not None, step
    return match.groups()
