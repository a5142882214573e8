"""Cells as kubectl prints them; values beside them for tables of numbers."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from krm.model import columns
from krm.model.podstatus import pod_status

from model import pods

NOW = 1795341600.0  # 2026-11-22T10:00:00Z
CREATED = "2026-11-22T09:15:00Z"
ENDED = "2026-11-22T09:55:00Z"


def meta(name: str = "x", **more: Any) -> Dict[str, Any]:
    return {"name": name, "namespace": "shop", "creationTimestamp": CREATED, **more}


def state(**state: Any) -> Dict[str, Any]:
    return {"name": "c", "ready": False, "restartCount": 0, "state": state, "lastState": {}}


RUNNING = {**state(running={"startedAt": CREATED}), "ready": True}
DONE = state(terminated={"exitCode": 0, "reason": "Completed"})
FAILED = state(terminated={"exitCode": 1, "reason": "Error"})
WAITING = state(waiting={"reason": "CrashLoopBackOff"})
READY = [{"type": "Ready", "status": "True"}]
INITIALIZED = [{"type": "Initialized", "status": "True"}]


def pod(
    statuses: List[Any], inits: List[Any] = (), phase: str = "Running", sidecars: str = "", **status: Any
) -> Dict[str, Any]:  # type: ignore[assignment]
    names = ["i%d" % n for n in range(len(inits))]
    specs = [{"name": name, **({"restartPolicy": "Always"} if name in sidecars.split() else {})} for name in names]
    named = [{**one, "name": name} for name, one in zip(names, inits)]
    found = {"phase": phase, "containerStatuses": statuses, "initContainerStatuses": named, **status}
    return {
        "metadata": meta(),
        "spec": {"containers": [{}] * len(statuses), "initContainers": specs},
        "status": found,
    }


@pytest.mark.parametrize(
    ("obj", "ready", "status"),
    [
        (pod([RUNNING, RUNNING]), "2/2", "Running"),
        (pod([RUNNING, WAITING]), "1/2", "CrashLoopBackOff"),
        (pod([WAITING, FAILED]), "0/2", "CrashLoopBackOff"),
        (pod([FAILED, WAITING]), "0/2", "Error"),
        (pod([DONE], phase="Succeeded"), "0/1", "Completed"),
        (pod([RUNNING, DONE], conditions=READY), "1/2", "Running"),
        (pod([RUNNING, DONE]), "1/2", "NotReady"),
        (pod([DONE, FAILED]), "0/2", "Error"),
        (pod([state(terminated={"exitCode": 3})]), "0/1", "ExitCode:3"),
        (pod([state(terminated={"exitCode": 137, "signal": 9})]), "0/1", "Signal:9"),
        (pod([state(waiting={"reason": "ContainerCreating"})], phase="Pending"), "0/1", "ContainerCreating"),
        (
            pod([], phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
            "0/0",
            "SchedulingGated",
        ),
        (pod([], phase="Failed", reason="Evicted"), "0/0", "Evicted"),
        (pod([state(waiting={})], [DONE, state(running={})], phase="Pending"), "0/1", "Init:1/2"),
        (
            pod([state(waiting={})], [state(waiting={"reason": "PodInitializing"})], phase="Pending"),
            "0/1",
            "Init:0/1",
        ),
        (pod([state(waiting={})], [WAITING], phase="Pending"), "0/1", "Init:CrashLoopBackOff"),
        (pod([state(waiting={})], [FAILED], phase="Pending"), "0/1", "Init:Error"),
        (pod([state(waiting={})], [state(terminated={"exitCode": 2})]), "0/1", "Init:ExitCode:2"),
        (pod([state(waiting={})], [state(terminated={"exitCode": 2, "signal": 15})]), "0/1", "Init:Signal:15"),
        (pod([RUNNING], [{**RUNNING, "started": True}], sidecars="i0"), "2/2", "Running"),
        (pod([RUNNING], [{**RUNNING, "started": True, "ready": False}], sidecars="i0"), "1/2", "Running"),
        (pod([RUNNING], [{**RUNNING, "started": False}], sidecars="i0"), "0/2", "Init:0/1"),
        (pod([RUNNING], [{**WAITING}], sidecars="i0", conditions=INITIALIZED), "1/2", "Init:CrashLoopBackOff"),
        ({**pod([RUNNING]), "metadata": meta(deletionTimestamp=CREATED)}, "1/1", "Terminating"),
        ({**pod([DONE], phase="Succeeded"), "metadata": meta(deletionTimestamp=CREATED)}, "0/1", "Completed"),
        ({**pod([RUNNING], reason="NodeLost"), "metadata": meta(deletionTimestamp=CREATED)}, "1/1", "Unknown"),
    ],
)
def test_pod_status_reads_as_kubectl_has_it(obj: Dict[str, Any], ready: str, status: str) -> None:
    assert columns.row("pods", obj, NOW)[1:3] == [ready, status]


def restarted(status: Dict[str, Any], count: int, ended: str = "") -> Dict[str, Any]:
    last = {"terminated": {"finishedAt": ended}} if ended else {}
    return {**status, "restartCount": count, "lastState": last}


def test_restarts_count_what_kubectl_counts() -> None:
    early, late = "2026-11-22T09:00:00Z", ENDED
    both = pod([restarted(RUNNING, 2, late), restarted(RUNNING, 1, early)])
    assert columns.row("pods", both, NOW)[3] == "3 (5m ago)"
    assert columns.row("pods", pod([restarted(RUNNING, 3)]), NOW)[3] == "3"
    assert columns.row("pods", pod([RUNNING]), NOW)[3] == "0"
    # Once initialised, restarts of ordinary init containers no longer count; those of sidecars do.
    started = restarted({**RUNNING, "started": True}, 4)
    assert pod_status(pod([restarted(RUNNING, 1)], [restarted(DONE, 9), started], sidecars="i1")).restarts == 5
    assert pod_status(pod([WAITING], [restarted(WAITING, 9)])).restarts == 9


def test_pod_cells_and_values() -> None:
    cells = columns.row("pods", pods.pod(), NOW + 65)
    assert cells == ["web-0", "2/2", "Running", "0", "65s", "10.1.0.7", "node-1", "<none>", "<none>"]
    gated = pods.pod()
    gated["spec"]["readinessGates"] = [{"conditionType": "Ready"}, {"conditionType": "example.com/x"}]
    assert columns.row("pods", gated, NOW)[-1] == "1/2"
    values = columns.typed_row("pods", pods.pod())
    assert (values["ready"], values["containers"], values["restarts"], values["created"]) == (2, 2, 0, NOW)
    assert values["restarted_at"] is None


def test_node_cells() -> None:
    labels = {
        "node-role.kubernetes.io/control-plane": "",
        "node-role.kubernetes.io/": "",
        "kubernetes.io/role": "edge",
    }
    info = {"kubeletVersion": "v1.36.3", "kernelVersion": "6.18.0", "architecture": "amd64"}
    addresses = [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}]
    node = {
        "metadata": {"name": "n", "creationTimestamp": CREATED, "labels": labels},
        "spec": {"unschedulable": True},
        "status": {"conditions": READY, "nodeInfo": info, "addresses": addresses},
    }
    assert columns.row("nodes", node, NOW) == [
        "n", "Ready,SchedulingDisabled", "control-plane,edge", "45m", "v1.36.3",
        "10.0.0.1", "<none>", "<unknown>", "6.18.0 (amd64)", "<unknown>",
    ]  # fmt: skip
    assert columns.row("nodes", {"metadata": {"name": "n"}}, NOW)[1:5] == ["Unknown", "<none>", "<unknown>", ""]
    sick = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    assert columns.row("nodes", sick, NOW)[1] == "NotReady"


def service(type: str, status: Any = None, **spec: Any) -> Dict[str, Any]:
    return {"metadata": meta(), "spec": {"type": type, **spec}, "status": status or {}}


BALANCED = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}, {"hostname": "a.example.com"}, {"ip": "192.0.2.9"}]}}


@pytest.mark.parametrize(
    ("obj", "outside"),
    [
        (service("ClusterIP"), "<none>"),
        (service("ClusterIP", externalIPs=["192.0.2.1", "192.0.2.2"]), "192.0.2.1,192.0.2.2"),
        (service("NodePort"), "<none>"),
        (service("LoadBalancer"), "<pending>"),
        (service("LoadBalancer", BALANCED), "192.0.2.9,a.example.com"),
        (service("LoadBalancer", BALANCED, externalIPs=["192.0.2.1"]), "192.0.2.9,a.example.com,192.0.2.1"),
        (service("ExternalName", externalName="db.example.com"), "db.example.com"),
        (service("Other"), "<unknown>"),
    ],
)
def test_service_external_ip(obj: Dict[str, Any], outside: str) -> None:
    assert columns.row("services", obj, NOW)[3] == outside


def test_service_cells() -> None:
    ports = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    obj = service("NodePort", clusterIPs=["10.0.0.9", "fd00::9"], ports=ports, selector={"b": "2", "a": "1"})
    assert columns.row("services", obj, NOW)[1:] == [
        "NodePort", "10.0.0.9", "<none>", "80:30080/TCP,53/UDP", "45m", "a=1,b=2"
    ]  # fmt: skip
    assert columns.typed_row("services", obj)["ports"] == [80, 53]


def test_deployment_cells() -> None:
    terms = [{"key": "b", "operator": "In", "values": ["y", "x"]}, {"key": "a", "operator": "DoesNotExist"}]
    spec = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}, "matchExpressions": terms},
        "template": {"spec": {"containers": [{"name": "s", "image": "i:1"}, {"name": "p", "image": "j:2"}]}},
    }
    status = {"readyReplicas": 2, "updatedReplicas": 1}
    obj = {"metadata": meta(), "spec": spec, "status": status}
    cells = columns.row("deployments.apps", obj, NOW)
    assert cells == ["x", "2/3", 1, 0, "45m", "s,p", "i:1,j:2", "!a,app=web,b in (x,y)"]


def test_ingress_cells() -> None:
    rules = [{"host": "h%d" % n} for n in range(5)]
    obj = {
        "metadata": meta(),
        "spec": {"rules": rules, "ingressClassName": "nginx", "tls": [{}]},
        "status": BALANCED,
    }
    assert columns.row("ingresses.networking.k8s.io", obj, NOW)[1:] == [
        "nginx", "h0,h1,h2 + 2 more...", "192.0.2.9,a.example.com", "80, 443", "45m"
    ]  # fmt: skip
    assert columns.row("ingresses.networking.k8s.io", {}, NOW) == ["", "<none>", "*", "", "80", "<unknown>"]


def test_claim_cells() -> None:
    spec = {"volumeName": "pv-1", "storageClassName": "fast", "volumeMode": "Filesystem"}
    modes = ["ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"]
    status = {"phase": "Bound", "capacity": {"storage": "10Gi"}, "accessModes": modes}
    obj = {"metadata": meta(), "spec": spec, "status": status}
    assert columns.row("persistentvolumeclaims", obj, NOW) == [
        "x", "Bound", "pv-1", "10Gi", "RWO,RWX", "fast", "<unset>", "45m", "Filesystem"
    ]  # fmt: skip
    pending = {"metadata": meta(deletionTimestamp=CREATED), "spec": {}, "status": {"phase": "Pending"}}
    assert columns.row("persistentvolumeclaims", pending, NOW)[1:7] == ["Terminating", "", "", "", "", "<unset>"]


KINDS = [*columns.PRINTERS, "widgets.example.com"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "obj", [{}, {"metadata": 5, "spec": [], "status": "x"}, {"spec": {"containers": 5, "rules": [1]}}]
)
def test_every_kind_has_a_cell_a_column_even_of_broken_objects(kind: str, obj: Dict[str, Any]) -> None:
    uncounted = kind.startswith("ipaddresses.")  # has a cell that no column is of, as in the API server
    assert len(columns.row(kind, obj, NOW)) == len(columns.columns(kind)) + uncounted
    assert columns.typed_row(kind, obj)["created"] is None


def test_ages_of_a_skewed_clock() -> None:
    assert columns.row("widgets.example.com", {"metadata": meta("j")}, NOW - 3600 * 24) == ["j", "<invalid>"]
