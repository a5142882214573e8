"""The exporter's page: kube-state-metrics' names and labels, what is unknown, promtool, the bound at 5,000 pods."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
from krm.client.errors import BadRequest
from krm.monitor.exporter import objects
from krm.monitor.exporter.families import Family, Samples
from krm.monitor.exporter.page import KRM, OWN, ROWS, Page
from krm.monitor.exporter.serving import Collector, checked, registry_of
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open
from prometheus_client.openmetrics.parser import text_string_to_metric_families

ROOT = Path(__file__).resolve().parents[2]
PODS = 5000
# Labels as docs/metrics of kube-state-metrics 2.x name them.
POD = {"namespace", "pod", "uid"}
CONTAINER = POD | {"container"}
THEIRS: Dict[str, Any] = {
    "kube_pod_info": POD
    | {"host_ip", "pod_ip", "node", "created_by_kind", "created_by_name", "priority_class", "host_network"},
    "kube_pod_status_phase": POD | {"phase"},
    "kube_pod_status_ready": POD | {"condition"},
    "kube_pod_container_resource_requests": CONTAINER | {"node", "resource", "unit"},
    "kube_pod_container_resource_limits": CONTAINER | {"node", "resource", "unit"},
    "kube_pod_container_status_restarts_total": CONTAINER,
    "kube_pod_container_status_ready": CONTAINER,
    "kube_pod_container_status_running": CONTAINER,
    "kube_pod_container_status_waiting_reason": CONTAINER | {"reason"},
    "kube_pod_container_status_last_terminated_reason": CONTAINER | {"reason"},
    "kube_node_info": {
        "node", "kernel_version", "os_image", "container_runtime_version", "kubelet_version", "kubeproxy_version",
        "provider_id", "pod_cidr", "system_uuid", "internal_ip",
    },
    "kube_node_spec_unschedulable": {"node"},
    "kube_node_status_capacity": {"node", "resource", "unit"},
    "kube_node_status_allocatable": {"node", "resource", "unit"},
    "kube_node_status_condition": {"node", "condition", "status"},
    "kube_namespace_status_phase": {"namespace", "phase"},
    "kube_resourcequota": {"namespace", "resourcequota", "resource", "type"},
}  # fmt: skip


def a_pod(name: str = "web-0", namespace: str = "shop", containers: int = 1) -> Dict[str, Any]:
    names = [f"c{number}" for number in range(containers)]
    return {
        "metadata": {
            "name": name, "namespace": namespace, "uid": f"uid-{namespace}-{name}",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web", "controller": True}],
        },
        "spec": {"nodeName": "n1", "priorityClassName": "high", "containers": [
            {"name": one, "resources": {
                "requests": {"cpu": "250m", "memory": "128Mi", "nvidia.com/gpu": "1"},
                "limits": {"memory": "256Mi", "cpu": "none"},
            }} for one in names
        ]},
        "status": {
            "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": one, "restartCount": 3, "ready": True, "state": {"running": {}},
                "lastState": {"terminated": {"reason": "OOMKilled"}},
            } for one in names],
        },
    }  # fmt: skip


NODE = {
    "metadata": {"name": "n1"},
    "spec": {"podCIDR": "10.1.0.0/24"},
    "status": {
        "allocatable": {"cpu": "3920m", "memory": "4Gi", "pods": "110", "hugepages-2Mi": "0"},
        "capacity": {"cpu": "4"},
        "conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "MemoryPressure", "status": "False"}],
        "nodeInfo": {"kernelVersion": "6.1", "osImage": 'a "b"\nc'},
    },
}
QUOTA = {
    "metadata": {"name": "q", "namespace": "shop"},
    "status": {"hard": {"requests.cpu": "2", "count/pods": "x"}, "used": {"requests.cpu": "1500m"}},
}
DEPLOYMENT = {
    "metadata": {"name": "web", "namespace": "shop", "generation": 4},
    "spec": {"replicas": 3},
    "status": {"replicas": 3, "observedGeneration": 4},
}


def told(kind: str, *bodies: Any, most: int = 50_000) -> Dict[str, Family]:
    samples = Samples((*objects.ROWS, *KRM), most)
    objects.tell(kind, bodies, samples)
    return {one.row.name: one for one in samples.families()}


def sample(families: Dict[str, Family], name: str, **labels: str) -> float:
    """The one sample that has these labels."""
    one = families[name]
    found = [
        value
        for values, value in one.samples.items()
        if labels.items() <= dict(zip(one.row.labels, values)).items()
    ]
    assert len(found) == 1, (name, labels, one.samples)
    return found[0]


def test_names_and_labels_are_kube_state_metrics() -> None:
    ours = {row.name: set(row.labels) for row in objects.ROWS}
    assert {name: ours[name] for name in THEIRS} == THEIRS
    rest = {name: labels for name, labels in ours.items() if name not in THEIRS}
    for name, labels in rest.items():
        assert labels == {"namespace", name.split("_")[1]}


def test_a_pod() -> None:
    found = told("pods", a_pod())
    info = found["kube_pod_info"]
    (labels,) = info.samples
    assert dict(zip(info.row.labels, labels)) == {
        "namespace": "shop", "pod": "web-0", "uid": "uid-shop-web-0", "host_ip": "10.0.0.1", "pod_ip": "10.1.0.1",
        "node": "n1", "created_by_kind": "ReplicaSet", "created_by_name": "web", "priority_class": "high",
        "host_network": "false",
    }  # fmt: skip
    assert sample(found, "kube_pod_status_phase", phase="Running") == 1
    assert sample(found, "kube_pod_status_phase", phase="Failed") == 0
    asked = "kube_pod_container_resource_requests"
    assert sample(found, asked, resource="cpu", unit="core") == 0.25
    assert sample(found, asked, resource="memory", unit="byte") == 128 * 1024 * 1024
    assert sample(found, asked, resource="nvidia_com_gpu", unit="integer") == 1
    # A limit that cannot be read is not known, and no 0.
    assert len(found["kube_pod_container_resource_limits"].samples) == 1
    assert sample(found, "kube_pod_container_status_restarts_total", container="c0") == 3
    assert sample(found, "kube_pod_container_status_last_terminated_reason", reason="OOMKilled") == 1
    assert "kube_pod_container_status_waiting_reason" not in found


def test_a_node_a_quota_and_a_deployment() -> None:
    found = told("nodes", NODE)
    assert sample(found, "kube_node_status_allocatable", resource="cpu", unit="core") == 3.92
    assert sample(found, "kube_node_status_allocatable", resource="pods", unit="integer") == 110
    assert sample(found, "kube_node_status_allocatable", resource="hugepages_2Mi", unit="byte") == 0
    assert sample(found, "kube_node_status_condition", condition="Ready", status="unknown") == 1
    assert sample(found, "kube_node_status_condition", condition="MemoryPressure", status="false") == 1
    assert sample(found, "kube_node_spec_unschedulable", node="n1") == 0
    found = told("resourcequotas", QUOTA)
    assert sample(found, "kube_resourcequota", resource="requests.cpu", type="used") == 1.5
    assert len(found["kube_resourcequota"].samples) == 2
    found = told("deployments.apps", DEPLOYMENT)
    assert sample(found, "kube_deployment_spec_replicas", deployment="web") == 3
    # Kubernetes leaves out a 0 of a status that is written.
    assert sample(found, "kube_deployment_status_replicas_ready") == 0
    unseen = told("deployments.apps", {**DEPLOYMENT, "status": {}})
    assert "kube_deployment_status_replicas_ready" not in unseen


def test_what_is_malformed_stops_nothing_and_is_no_zero() -> None:
    broken: List[Any] = [None, 7, {}, {"metadata": []}, {"metadata": {"name": "x"}, "status": {"phase": 3}}]
    found = told("pods", *broken, a_pod())
    assert sample(found, "kube_pod_info", pod="web-0") == 1
    assert len(found["kube_pod_status_phase"].samples) == 5
    for kind in objects.KINDS:
        told(kind, *broken)


def test_order_and_repeats_change_nothing() -> None:
    seed = 7
    print(f"seed {seed}")
    pods = [a_pod(f"p{number}", f"ns{number % 7}") for number in range(50)]
    expected = told("pods", *pods)
    random.Random(seed).shuffle(pods)
    assert told("pods", *pods, *pods[:9]) == expected


def page_of(families: List[Family]) -> Any:
    collector = Collector()
    collector.show(Page(tuple(families), ""))
    return registry_of(collector)


def whole() -> List[Family]:
    samples = Samples(ROWS)
    for kind, body in (
        ("pods", a_pod()), ("nodes", NODE), ("resourcequotas", QUOTA), ("deployments.apps", DEPLOYMENT),
        ("namespaces", {"metadata": {"name": "shop"}, "status": {"phase": "Active"}}),
        ("statefulsets.apps", {"metadata": {"name": "db", "namespace": "shop"}, "spec": {"replicas": 1},
                               "status": {"replicas": 1}}),
        ("daemonsets.apps", {"metadata": {"name": "log", "namespace": "shop"}, "status": {"numberReady": 1}}),
        ("horizontalpodautoscalers.autoscaling", {"metadata": {"name": "web", "namespace": "shop"},
                                                  "spec": {"maxReplicas": 9, "minReplicas": 1},
                                                  "status": {"desiredReplicas": 2}}),
    ):  # fmt: skip
        objects.tell(kind, [body], samples)
    waits = a_pod("waits")
    waits["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    objects.tell("pods", [waits], samples)
    for row in (*KRM, *OWN):
        samples.add(row.name, 1, *("x" for _ in row.labels))
    found = samples.families()
    assert {one.row.name for one in found} == {row.name for row in ROWS}
    return found


def promtool(*arguments: str, page: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    found = shutil.which("promtool")
    if found is None:
        why = "promtool is not there: run `apt-get install prometheus`"
        if os.environ.get("CI") == "true":
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    return subprocess.run([found, *arguments], input=page, capture_output=True, check=False, timeout=60)


def test_every_family_is_clean_to_promtool() -> None:
    done = promtool("check", "metrics", page=generate_latest(page_of(whole())))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_open_metrics_says_the_same() -> None:
    text = generate_open(page_of(whole())).decode()
    families = {one.name: one for one in text_string_to_metric_families(text)}
    assert families["kube_pod_container_status_restarts"].type == "counter"
    assert text.endswith("# EOF\n")
    assert sum(len(one.samples) for one in families.values()) == sum(len(one.samples) for one in whole())


def test_five_thousand_pods_stay_within_the_documented_bound() -> None:
    containers = 2
    found = told("pods", *(a_pod(f"p{number}", f"ns{number % 40}", containers) for number in range(PODS)))
    counts = {name: len(one.samples) for name, one in found.items()}
    a_pod_has = {"one a pod": 1, "five a pod": 5, "three a pod": 3, "one a container": containers,
                 "one a container and resource": containers * 3}  # fmt: skip
    for name, one in found.items():
        assert counts[name] <= PODS * a_pod_has[one.row.bound], name
        assert one.dropped == 0
    assert sum(counts.values()) <= 25 * PODS
    print(f"{sum(counts.values())} samples")


def test_a_bound_that_bites_is_told_and_keeps_the_same_ones() -> None:
    pods = [a_pod(f"p{number:03}") for number in range(100)]
    found = told("pods", *pods, most=40)
    assert (len(found["kube_pod_info"].samples), found["kube_pod_info"].dropped) == (40, 60)
    assert (len(found["kube_pod_status_phase"].samples), found["kube_pod_status_phase"].dropped) == (40, 460)
    assert told("pods", *reversed(pods), most=40) == found


def test_labels_are_shown_safely_and_never_grow() -> None:
    pod = a_pod()
    pod["metadata"]["ownerReferences"][0]["name"] = "\x1b[31m" + "x" * 10_000
    info = told("pods", pod)["kube_pod_info"]
    ((*_, made_by, _priority, _host),) = (list(labels) for labels in info.samples)
    assert len(made_by) == 256
    assert "\x1b" not in made_by


def documented() -> List[Tuple[str, str, str]]:
    """Name, labels, bound of each row of the table in docs/exporter.md."""
    lines = (ROOT / "docs/exporter.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `k")]
    return [(cells[0].strip("`"), cells[1].replace("`", ""), cells[2]) for cells in rows]


def test_the_label_table_is_the_code() -> None:
    ours = [(row.name, ", ".join(row.labels) or "-", row.bound) for row in ROWS]
    assert documented() == ours


@pytest.mark.parametrize("name", ["recording.yaml", "alerts.yaml"])
def test_rules_are_what_prometheus_takes(name: str) -> None:
    done = promtool("check", "rules", str(ROOT / "charts/rules" / name))
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_do_what_they_say() -> None:
    done = promtool("test", "rules", str(ROOT / "charts/rules/tests.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_ask_for_nothing_that_nobody_tells() -> None:
    import re

    names = {row.name for row in ROWS}
    for path in (ROOT / "charts/rules").glob("*s.yaml"):
        asked = set(re.findall(r"\b(?:kube|krm)_[a-z_]+", path.read_text()))
        assert asked <= names, path


def test_without_prometheus_client_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prometheus_client", "prometheus_client.core"):
        monkeypatch.setitem(sys.modules, name, None)
    for act in (lambda: Collector().show(Page((), "")), lambda: registry_of(Collector())):
        with pytest.raises(BadRequest, match="pip install prometheus-client"):
            act()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.0.9"])
def test_this_machine_alone_unless_it_is_said(address: str) -> None:
    assert checked(address, False) == address
    for other in ("0.0.0.0", "::", "10.0.0.7", "::ffff:10.0.0.7"):
        with pytest.raises(BadRequest, match="--open"):
            checked(other, False)
        assert checked(other, True) == other
