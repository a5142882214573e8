"""What `kubectl describe node` prints of pods on a real API server is what krm counts for them."""

from __future__ import annotations

import copy
import re
import subprocess
from typing import Any, Dict, Iterator, List, Optional

import pytest
from collector.sources.held import TABLE_OF_PODS, Body
from controlplane.build import find_binary
from krm.collector.sources.podstate import pod_state
from krm.model.quantities import parse

NAMESPACE, NODE = "held", "held-node"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
CLASSES = "/apis/node.k8s.io/v1/runtimeclasses"
_AMOUNT = r"(\S+) \(\d+%\)"
_ROW = re.compile(rf"^  {NAMESPACE} +(\S+) +" + r"\s+".join([_AMOUNT] * 4), re.MULTILINE)
METRICS = ("cpu/request", "cpu/limit", "memory/request", "memory/limit")  # in kubectl's order


def to_create(number: int, wanted: Body, classes: Dict[str, str]) -> Body:
    """The pod as a person would send it: the overhead comes from its runtime class."""
    body = copy.deepcopy(wanted)
    body["metadata"] = {"name": f"pod-{number}"}
    body["spec"].update(nodeName=NODE, terminationGracePeriodSeconds=0)
    for one in [*body["spec"]["containers"], *body["spec"].get("initContainers", ())]:
        one["image"] = "none"
    overhead = body["spec"].pop("overhead", None)
    if overhead:
        body["spec"]["runtimeClassName"] = classes[str(overhead)]
    return body


@pytest.fixture
def pods(control_plane: Any) -> Iterator[List[Body]]:
    """Those of the table that the API server takes, in its own words."""
    admin = control_plane.client("admin")
    admin.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    admin.create("/api/v1/namespaces/held/serviceaccounts", {"metadata": {"name": "default"}})
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "200"}
    admin.create("/api/v1/nodes", {"metadata": {"name": NODE}})
    admin.patch(f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": amounts, "allocatable": amounts}})
    classes: Dict[str, str] = {}
    for _, body, _ in TABLE_OF_PODS:
        overhead = body["spec"].get("overhead")
        if overhead and str(overhead) not in classes:
            classes[str(overhead)] = f"held-{len(classes)}"
            made = {
                "metadata": {"name": classes[str(overhead)]},
                "handler": "h",
                "overhead": {"podFixed": overhead},
            }
            admin.create(CLASSES, made)
    for number, (_, body, _) in enumerate(TABLE_OF_PODS):
        sent = to_create(number, body, classes)
        status = sent.pop("status")
        admin.create(PODS, sent)
        for one in status.get("containerStatuses", ()):
            one.update(image="none", imageID="none", ready=True, restartCount=0)
        admin.patch(f"{PODS}/pod-{number}/status", {"status": status})
    yield admin.get(PODS)["items"]
    admin.delete(f"/api/v1/nodes/{NODE}")
    for number in range(len(TABLE_OF_PODS)):
        admin.delete(f"{PODS}/pod-{number}", query={"gracePeriodSeconds": "0"})
    for name in classes.values():
        admin.delete(f"{CLASSES}/{name}")


def test_kubectl_describe_node_prints_what_krm_counts(control_plane: Any, pods: List[Body]) -> None:
    kubectl = find_binary("kubectl", "1.36")
    if kubectl is None:
        pytest.skip("kubectl is not built: run `make control-plane`")
    command = [str(kubectl), "--kubeconfig", str(control_plane.kubeconfig("admin")), "describe", "node", NODE]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    printed = {row[0]: row[1:] for row in _ROW.findall(ran.stdout)}
    assert len(printed) == len(pods) == len(TABLE_OF_PODS), ran.stdout
    for body in pods:
        name = body["metadata"]["name"]
        what = TABLE_OF_PODS[int(name.split("-")[1])][0]
        values = dict(pod_state(body).values[0][1])
        for metric, amount in zip(METRICS, printed[name]):
            expected: Optional[float] = float(parse(amount) * (1000 if metric.startswith("cpu") else 1))
            assert values.get(metric, 0) == expected, (what, metric)
