"""The pods of what an HPA scales, or of what a metric describes. Pure."""

from __future__ import annotations

from typing import List, Mapping, Optional, Sequence

from krm.analysis.inputs import Body
from krm.analysis.scheduling.selecting import label_selector
from krm.model.reading import mapping, text
from krm.model.selectors import Clause, LabelSelector

# Kind of a scale target or described object -> krm's kind. Of these the pods are known by a selector.
KINDS: Mapping[str, str] = {
    "Deployment": "deployments.apps",
    "StatefulSet": "statefulsets.apps",
    "ReplicaSet": "replicasets.apps",
    "DaemonSet": "daemonsets.apps",
    "Service": "services",
}


def selector_of(body: Body) -> Optional[LabelSelector]:
    """spec.selector of a workload or a Service; None selects nothing."""
    selector = mapping(body.get("spec")).get("selector")
    if isinstance(selector, dict) and not {"matchLabels", "matchExpressions"} & set(selector):
        if not selector:
            return None
        return LabelSelector(tuple(Clause(key, "in", frozenset({text(one)})) for key, one in selector.items()))
    found = label_selector(selector)
    return found if found is not None and found.clauses else None


def named_of(body: Body) -> str:
    return text(mapping(body.get("metadata")).get("name"))


def namespace_of(body: Body) -> str:
    return text(mapping(body.get("metadata")).get("namespace"))


def chosen(pods: Sequence[Body], namespace: str, selector: Optional[LabelSelector]) -> List[Body]:
    """Pods of this namespace that the selector takes, by name."""
    if selector is None:
        return []
    found = [pod for pod in pods if namespace_of(pod) == namespace and selector.matches(labels_of(pod))]
    return sorted(found, key=named_of)


def labels_of(pod: Body) -> Mapping[str, str]:
    labels = mapping(mapping(pod.get("metadata")).get("labels"))
    return {key: value for key, value in labels.items() if isinstance(value, str)}


def runs(pod: Body) -> bool:
    """It runs, and is not being deleted."""
    metadata, status = mapping(pod.get("metadata")), mapping(pod.get("status"))
    return text(status.get("phase")) == "Running" and metadata.get("deletionTimestamp") is None
