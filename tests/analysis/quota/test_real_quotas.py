"""Whom a scope selects, beside a real quota controller: it counts exactly the pods that krm names."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from controlplane.kubeapi import ApiError
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.analysis.quota.usage import Asked, answer
from paper_findings import inputs

pytestmark = pytest.mark.slow

SECONDS = 90.0
ASKS = {"requests": {"cpu": "100m"}}
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
NEAR = {"podAffinityTerm": {"topologyKey": "zone", "namespaceSelector": {}}, "weight": 1}
PODS: Dict[str, Dict[str, Any]] = {
    "plain": {"resources": ASKS},
    "best": {},
    "zero": {"resources": {"requests": {"cpu": "0"}}},
    "limited": {"resources": {"limits": {"memory": "64Mi"}}},
    "storage": {"resources": {"requests": {"ephemeral-storage": "1Mi"}}},
    "batch": {"resources": ASKS, "spec": {"activeDeadlineSeconds": 600}},
    "best-batch": {"spec": {"activeDeadlineSeconds": 600}},
    "high": {"resources": ASKS, "spec": {"priorityClassName": "high"}},
    "low": {"spec": {"priorityClassName": "low"}},
    "near": {
        "spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [NEAR]}}}
    },
    "whole": {"spec": {"resources": {"requests": {"cpu": "50m"}}}},
    "ended": {"resources": ASKS},
}


def _classed(operator: str, *values: str) -> Dict[str, Any]:
    row: Dict[str, Any] = {"scopeName": "PriorityClass", "operator": operator}
    return {"scopeSelector": {"matchExpressions": [{**row, "values": list(values)} if values else row]}}


QUOTAS: Dict[str, Dict[str, Any]] = {
    "all": {},
    "terminating": {"scopes": ["Terminating"]},
    "not-terminating": {"scopes": ["NotTerminating"]},
    "best-effort": {"scopes": ["BestEffort"]},
    "not-best-effort": {"scopes": ["NotBestEffort"]},
    "both": {"scopes": ["Terminating", "BestEffort"]},
    "crossing": {"scopes": ["CrossNamespacePodAffinity"]},
    "classed": {"scopes": ["PriorityClass"]},
    "in": _classed("In", "high"),
    "not-in": _classed("NotIn", "high"),
    "exists": _classed("Exists"),
    "none": _classed("DoesNotExist"),
}


def _pod(name: str, resources: Any = None, spec: Any = None) -> Dict[str, Any]:
    container = {"name": "main", "image": "registry.example.com/main:1", "resources": resources or {}}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **(spec or {})}}


def test_the_controller_counts_the_pods_that_are_named(full_control_plane: ControlPlane) -> None:
    plane = full_control_plane
    admin, namespace = plane.admin, plane.create_namespaces(1)[0]
    for name, value in (("high", 1000), ("low", 10)):
        admin.create("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": value})
    base = f"/api/v1/namespaces/{namespace}"

    def has_account() -> bool:
        try:
            return bool(admin.get(f"{base}/serviceaccounts/default"))
        except ApiError:
            return False

    wait_until(has_account, SECONDS, "the namespace's service account is there")
    for name, parts in PODS.items():
        admin.create(f"{base}/pods", _pod(name, **parts))
    admin.patch(f"{base}/pods/ended/status", {"status": {"phase": "Succeeded"}})
    # Quotas are made last: each is counted once, when it is made, and of pods that the controller has seen.
    for name, scopes in QUOTAS.items():
        admin.create(
            f"{base}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": {"pods": "100"}, **scopes}}
        )

    def counted() -> List[Any]:
        found: List[Any] = admin.get(f"{base}/resourcequotas")["items"]
        return found if all(one.get("status", {}).get("used") for one in found) else []

    wait_until(lambda: bool(counted()), SECONDS, "every quota is counted")
    quotas = counted()
    assert {one["metadata"]["name"] for one in quotas} == set(QUOTAS)
    made = answer(inputs({"resourcequotas": quotas, "pods": admin.get(f"{base}/pods")["items"]}), Asked(namespace))
    used = {row.quota: row.used for row in made.rows}
    named = {one.quota: None if one.pods is None else str(len(one.pods)) for one in made.quotas}
    assert named == used, {one.quota: one.pods for one in made.quotas}
    assert len(set(used.values())) > 4  # they do tell scopes apart
