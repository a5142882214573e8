"""Which pods a ResourceQuota selects with its scopes, and which pods quotas count at all. Pure.

The rules are the quota controller's: every scope of spec.scopes and of spec.scopeSelector must match. A pod that
has ended is not counted, nor one whose deletion is overdue. `count/pods` counts those too; this is of the rest.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from krm.model import quantities, times
from krm.model.podresources import has_ended
from krm.model.reading import mapping, rows, text, texts

TERMINATING, NOT_TERMINATING, BEST_EFFORT, NOT_BEST_EFFORT, PRIORITY_CLASS, CROSS_NAMESPACE = (
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity",
)  # fmt: skip
_TOLD = {
    TERMINATING: "pods with activeDeadlineSeconds",
    NOT_TERMINATING: "pods without activeDeadlineSeconds",
    BEST_EFFORT: "pods that ask for no CPU and no memory",
    NOT_BEST_EFFORT: "pods that ask for CPU or memory",
    PRIORITY_CLASS: "pods by priority class",
    CROSS_NAMESPACE: "pods with affinity to pods of other namespaces",
}


class Scope(NamedTuple):
    """One condition."""

    name: str
    operator: str = "Exists"  # In, NotIn, Exists, DoesNotExist
    values: Tuple[str, ...] = ()

    def __str__(self) -> str:
        """`PriorityClass In (high, low)`: with what it selects."""
        condition = f"{self.name} {self.operator} ({', '.join(self.values)})" if self.values else self.name
        if not self.values and self.operator != "Exists":
            condition += f" {self.operator}"
        about = _TOLD.get(self.name)
        return f"{condition}: {about}" if about else condition


def scopes_of(quota: Mapping[str, Any]) -> Tuple[Scope, ...]:
    """Sorted, each once. () = it selects everything."""
    spec = mapping(quota.get("spec"))
    found = {Scope(name) for name in texts(spec.get("scopes"))}
    for one in rows(mapping(spec.get("scopeSelector")).get("matchExpressions")):
        values = tuple(sorted(texts(one.get("values"))))
        found.add(Scope(text(one.get("scopeName")), text(one.get("operator")) or "Exists", values))
    return tuple(sorted(found))


def selects(scopes: Tuple[Scope, ...], pod: Mapping[str, Any]) -> Optional[bool]:
    """Whether all of them match. None: one of them is not about pods (VolumeAttributesClass),
    or not known to krm."""
    matches = [_matches(scope, pod) for scope in scopes]
    return None if None in matches else all(matches)


def counted(pod: Dict[str, Any], now: float) -> bool:
    """Whether quotas count it: it has not ended, and its deletion is not overdue."""
    if has_ended(pod):
        return False
    metadata = mapping(pod.get("metadata"))
    deleted, grace = times.known(metadata.get("deletionTimestamp")), metadata.get("deletionGracePeriodSeconds")
    overdue = deleted is not None and isinstance(grace, int) and now > deleted + grace
    return not overdue


def _matches(scope: Scope, pod: Mapping[str, Any]) -> Optional[bool]:
    spec = mapping(pod.get("spec"))
    if scope.name in (TERMINATING, NOT_TERMINATING):
        deadline = spec.get("activeDeadlineSeconds")
        return (isinstance(deadline, int) and deadline >= 0) == (scope.name == TERMINATING)
    if scope.name in (BEST_EFFORT, NOT_BEST_EFFORT):
        return is_best_effort(pod) == (scope.name == BEST_EFFORT)
    if scope.name == CROSS_NAMESPACE:
        return _crosses(spec)
    return _by_class(scope, text(spec.get("priorityClassName"))) if scope.name == PRIORITY_CLASS else None


def _by_class(scope: Scope, name: str) -> Optional[bool]:
    """As a label selector over {PriorityClass: name}: NotIn matches a pod without one."""
    matches = {
        "In": bool(name) and name in scope.values,
        "NotIn": name not in scope.values,
        "Exists": bool(name),
        "DoesNotExist": not name,
    }
    return matches.get(scope.operator)


def is_best_effort(pod: Mapping[str, Any]) -> bool:
    """The kubelet's word, else as Kubernetes computes it: nothing asks for CPU or memory."""
    told = text(mapping(pod.get("status")).get("qosClass"))
    if told:
        return told == "BestEffort"
    spec = mapping(pod.get("spec"))
    asking: List[Any] = [spec, *rows(spec.get("containers")), *rows(spec.get("initContainers"))]
    return not any(_asks(mapping(one.get("resources"))) for one in asking)


def _asks(resources: Mapping[str, Any]) -> bool:
    for field in ("requests", "limits"):
        for name in ("cpu", "memory"):
            try:
                if quantities.parse(mapping(resources.get(field)).get(name, "0")) > 0:
                    return True
            except quantities.BadQuantity:
                return True  # it asks, for how much cannot be read
    return False


def _crosses(spec: Mapping[str, Any]) -> bool:
    affinity = mapping(spec.get("affinity"))
    for kind in ("podAffinity", "podAntiAffinity"):
        one = mapping(affinity.get(kind))
        terms = rows(one.get("requiredDuringSchedulingIgnoredDuringExecution"))
        terms += [
            mapping(row.get("podAffinityTerm"))
            for row in rows(one.get("preferredDuringSchedulingIgnoredDuringExecution"))
        ]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False
