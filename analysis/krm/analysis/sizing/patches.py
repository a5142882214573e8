"""Advice as strategic-merge patches and as a kustomization. Pure; nothing is applied by krm.

Only what can be taken over is in it: advice that is not feasible, bare pods, Jobs (their template cannot be
changed) and workloads of kinds that krm does not know are told in `left_out`.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

from krm.analysis.sizing.backtest import Setting
from krm.analysis.sizing.rows import Recommendation, written
from krm.analysis.sizing.workloads import CRON_JOB, DAEMON_SET, DEPLOYMENT, STATEFUL_SET

# Kind of an owner -> apiVersion, kind and where the template is.
_KINDS = {
    DEPLOYMENT: ("apps/v1", "Deployment"),
    STATEFUL_SET: ("apps/v1", "StatefulSet"),
    DAEMON_SET: ("apps/v1", "DaemonSet"),
    CRON_JOB: ("batch/v1", "CronJob"),
}


class Patches(NamedTuple):
    """Documents, one a workload, and why there is none of others, a sentence each."""

    documents: Tuple[Dict[str, Any], ...]
    left_out: Tuple[str, ...]


def patches(rows: Sequence[Recommendation]) -> Patches:
    """In the order of the rows."""
    by_workload: Dict[Tuple[str, str, str], List[Recommendation]] = {}
    left_out: List[str] = []
    for row in rows:
        why = _why_not(row)
        if why:
            left_out.append(f"{row.kind} {row.namespace}/{row.name} container {row.container}: {why}")
        else:
            by_workload.setdefault((row.namespace, row.kind, row.name), []).append(row)
    return Patches(tuple(_patch(*place, each) for place, each in by_workload.items()), tuple(left_out))


def kustomization(found: Patches, text_of: Any) -> Dict[str, Any]:
    """text_of: a document -> YAML. A kustomization.yaml that holds the patches inline."""
    made = []
    for one in found.documents:
        group, _, version = one["apiVersion"].rpartition("/")
        target = {
            "group": group, "version": version, "kind": one["kind"],
            "name": one["metadata"]["name"], "namespace": one["metadata"]["namespace"],
        }  # fmt: skip
        made.append({"target": target, "patch": text_of(one)})
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "patches": made}


def _why_not(row: Recommendation) -> str:
    if row.waits_for:
        return f"no advice yet: {row.waits_for}"
    if row.kind not in _KINDS:
        return "its template cannot be changed: set it where it is made"
    if row.feasible is False:
        return f"it cannot be taken over: {'; '.join(row.obstacles)}"
    return "" if _resources(row) else "nothing would change"


def _patch(namespace: str, kind: str, name: str, rows: Sequence[Recommendation]) -> Dict[str, Any]:
    version, title = _KINDS[kind]
    spec: Dict[str, Any] = {}
    for row in rows:
        field = "initContainers" if row.is_init else "containers"
        spec.setdefault(field, []).append({"name": row.container, "resources": _resources(row)})
    body: Dict[str, Any] = {"template": {"spec": spec}}
    if kind == CRON_JOB:
        body = {"jobTemplate": {"spec": body}}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": title, "metadata": metadata, "spec": body}


def _resources(row: Recommendation) -> Dict[str, Any]:
    """What differs; null takes a limit away."""
    found: Dict[str, Any] = {}
    for part, names in (("requests", ("cpu_request", "memory_request")), ("limits", ("cpu_limit", "memory_limit"))):
        for name in names:
            resource = name.partition("_")[0]
            if not (row.cpu_advised if resource == "cpu" else row.memory_advised):
                continue
            now, then = _written(row.now, name), _written(row.advised, name)
            if now != then:
                found.setdefault(part, {})[resource] = None if then == "-" else then
    return found


def _written(setting: Setting, name: str) -> str:
    return written(name, getattr(setting, name))
