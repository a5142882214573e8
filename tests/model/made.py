"""Objects beyond the original six kinds, made in a real API server, each in the forms that its cells tell apart."""

from __future__ import annotations

from typing import Any, Dict, List

from controlplane.kubeapi import KubeClient

NAMESPACE = "krm-model"
LONG_AGO, LATER = "2026-01-05T00:00:00Z", "2026-02-05T00:00:00Z"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
CONTAINER = {"name": "c", "image": "i:1"}
EVENTS: List[Dict[str, Any]] = [
    {
        "firstTimestamp": LONG_AGO, "lastTimestamp": LATER, "count": 7,
        "source": {"component": "c", "host": "h"},
    },
    {"firstTimestamp": LONG_AGO},
    {
        "eventTime": "2026-01-05T00:00:00.000000Z", "reportingComponent": "krm.test/x", "reportingInstance": "i",
        "action": "a", "series": {"count": 3, "lastObservedTime": "2026-02-05T00:00:00.000000Z"},
    },
    {"involvedObject": {"kind": "Service", "namespace": NAMESPACE}, "source": {"component": "c"}},
]  # fmt: skip


def make(
    client: KubeClient, path: str, name: str, spec: Any, state: Any = None, kind: str = "", **meta: Any
) -> None:
    """An object with a spec, and with a status where one is given."""
    post(client, path, kind, name, {"spec": spec}, **meta)
    if state:
        client.patch(f"{path}/{name}/status", {"status": state}, content_type="application/merge-patch+json")


def post(client: KubeClient, path: str, kind: str, name: str, body: Dict[str, Any], **meta: Any) -> None:
    """An object as it is."""
    version = "/".join(path.split("/")[2:4]) if path.startswith("/apis") else "v1"
    client.create(path, {"apiVersion": version, "kind": kind, "metadata": {"name": name, **meta}, **body})


def make_more(admin: KubeClient, place: str, match: Any, template: Any) -> None:
    """All of them; `match` and `template` are a workload's."""
    apps = f"/apis/apps/v1/{place}"
    some = {"replicas": 2, "readyReplicas": 1}
    spec = {"selector": match, "template": template}
    make(admin, f"{apps}/replicasets", "r", {**spec, "replicas": 3}, some, "ReplicaSet")
    make(admin, f"{apps}/statefulsets", "s", {**spec, "replicas": 3, "serviceName": "s"}, some, "StatefulSet")
    counts = {
        "desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "updatedNumberScheduled": 2,
        "numberAvailable": 1, "numberMisscheduled": 0,
    }  # fmt: skip
    make(admin, f"{apps}/daemonsets", "d-1", spec, counts, "DaemonSet")
    placed = {**template, "spec": {**template["spec"], "nodeSelector": {"b": "1", "a": "2"}}}
    make(admin, f"{apps}/daemonsets", "d-2", {**spec, "template": placed}, None, "DaemonSet")
    make_jobs(admin, f"/apis/batch/v1/{place}/jobs")
    make_limits(admin, place)
    make_autoscalers(admin, f"/apis/autoscaling/v2/{place}/horizontalpodautoscalers")
    make_slices(admin, f"/apis/discovery.k8s.io/v1/{place}/endpointslices")
    maps = f"/api/v1/{place}/configmaps"
    post(admin, maps, "ConfigMap", "m-1", {"data": {"a": "1", "b": "2"}, "binaryData": {"c": "AA=="}})
    post(admin, maps, "ConfigMap", "m-2", {})
    leases = f"/apis/coordination.k8s.io/v1/{place}/leases"
    make(admin, leases, "l-1", {"holderIdentity": "me"}, None, "Lease")
    make(admin, leases, "l-2", {}, None, "Lease")
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    post(admin, f"/apis/rbac.authorization.k8s.io/v1/{place}/roles", "Role", "r-1", {"rules": rules})
    about = {"kind": "Pod", "name": "p-1", "namespace": NAMESPACE, "fieldPath": "spec.containers{c}"}
    usual = {"involvedObject": about, "type": "Normal", "reason": "Made", "message": " it was made \n"}
    for number, event in enumerate(EVENTS):
        post(admin, f"/api/v1/{place}/events", "Event", f"ev-{number}", {**usual, **event})


def make_jobs(admin: KubeClient, jobs: str) -> None:
    run = {"template": {"spec": {"containers": [CONTAINER], "restartPolicy": "Never"}}}
    begun = {"startTime": LONG_AGO}
    make(admin, jobs, "j-1", {**run, "suspend": True}, {"conditions": conditions("Suspended")}, "Job")
    make(admin, jobs, "j-2", {**run, "completions": 5}, {**begun, "succeeded": 2}, "Job")
    make(admin, jobs, "j-3", {**run, "parallelism": 3}, {**begun, "succeeded": 1}, "Job")
    ended = {**begun, "completionTime": "2026-01-05T00:03:20Z", "succeeded": 1}
    make(admin, jobs, "j-4", run, {**ended, "conditions": conditions("SuccessCriteriaMet", "Complete")}, "Job")
    make(admin, jobs, "j-5", run, {**begun, "conditions": conditions("FailureTarget", "Failed")}, "Job")
    make(admin, jobs, "j-6", run, {**begun, "conditions": conditions("FailureTarget")}, "Job")


def conditions(*kinds: str) -> List[Dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": LONG_AGO} for kind in kinds]


def make_autoscalers(admin: KubeClient, scalers: str) -> None:
    """Each type of metric, with what was measured and without, by value, by average and by share."""
    metric, about = {"name": "m"}, {"kind": "Service", "name": "s", "apiVersion": "v1"}
    value, average, share = {"value": "1500m"}, {"averageValue": "2"}, {"averageUtilization": 80}
    of: Dict[str, Dict[str, Any]] = {
        "External": {"metric": metric},
        "Pods": {"metric": metric},
        "Object": {"metric": metric, "describedObject": about},
        "Resource": {"name": "cpu"},
        "ContainerResource": {"name": "memory", "container": "c"},
    }
    types = {"value": "Value", "averageValue": "AverageValue", "averageUtilization": "Utilization"}
    tried = [
        ("External", value), ("External", average), ("Pods", average), ("Object", value), ("Object", average),
        ("Resource", average), ("Resource", share), ("ContainerResource", average), ("ContainerResource", share),
    ]  # fmt: skip
    wanted: List[Dict[str, Any]] = []
    found: List[Dict[str, Any]] = []
    for kind, target in tried:
        field = kind[:1].lower() + kind[1:]
        typed = {"type": types[next(iter(target))], **target}
        wanted.append({"type": kind, field: {**of[kind], "target": typed}})
        now = {"averageValue": "3", "averageUtilization": 33, "value": "7"}
        found.append({"type": kind, field: {**of[kind], "current": now}})
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 9}
    for number, (metrics, state) in enumerate(
        [([], []), (wanted[:2], []), (wanted, found), *[([one], [has]) for one, has in zip(wanted, found)]]
    ):
        told = {"currentReplicas": number, "desiredReplicas": 1, "currentMetrics": state, "conditions": []}
        make(admin, scalers, f"h-{number}", {**spec, "metrics": metrics}, told, "HorizontalPodAutoscaler")


def make_limits(admin: KubeClient, place: str) -> None:
    """Quotas, limits, priorities."""
    hard = {"requests.cpu": "2", "limits.cpu": "4", "pods": "10", "limits.memory": "1536Mi"}
    quotas = f"/api/v1/{place}/resourcequotas"
    make(admin, quotas, "q-1", {"hard": hard}, None, "ResourceQuota")
    used = {"pods": "3", "limits.cpu": "500m"}
    make(admin, quotas, "q-2", {"hard": hard}, {"hard": hard, "used": used}, "ResourceQuota")
    limits = [{"type": "Container", "default": {"cpu": "500m"}}]
    make(admin, f"/api/v1/{place}/limitranges", "l", {"limits": limits}, None, "LimitRange")
    post(admin, CLASSES, "PriorityClass", "krm-0", {"value": 0})
    never = {"value": 7, "globalDefault": True, "preemptionPolicy": "Never"}
    post(admin, CLASSES, "PriorityClass", "krm-1", never)


def drop_defaults(admin: KubeClient) -> None:
    """The priority that each new pod would be given."""
    admin.delete(f"{CLASSES}/krm-1")


def make_slices(admin: KubeClient, slices: str) -> None:
    ports: List[Any] = [{"name": "a", "port": 80}, {"name": "b"}, {"name": "", "port": 1}, {"name": "d", "port": 2}]
    ends: List[Any] = [{"addresses": [f"10.0.0.{n}", f"10.0.1.{n}"]} for n in range(1, 5)]
    for number, cut in enumerate((0, 1, 2, 3, 4)):
        body = {"addressType": "IPv4", "ports": ports[:cut], "endpoints": ends[:cut]}
        post(admin, slices, "EndpointSlice", f"e-{number}", body)
