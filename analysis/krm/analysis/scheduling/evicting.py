"""Whether the API server would evict a pod now, as its eviction subresource decides it. Pure."""

from __future__ import annotations

from typing import Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.budgets import name_of
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.selecting import label_selector
from krm.model.reading import integer, mapping, rows, text


def blocking(pod: Pod, budgets: Sequence[Body]) -> Tuple[str, ...]:
    """Why the API server would refuse to evict it now, a clause each; () = it would not."""
    guards = [body for body in budgets if guards_it(body, pod)]
    status = mapping(pod.body.get("status"))
    if not guards or pod.is_deleted or text(status.get("phase")) == "Pending":
        return ()
    if len(guards) > 1:
        names = ", ".join(sorted(name_of(body) for body in guards))
        return (f"{len(guards)} PodDisruptionBudgets guard it ({names}), and eviction takes one at most",)
    (guard,) = guards
    spec, held = mapping(guard.get("spec")), mapping(guard.get("status"))
    if not _is_ready(status):
        current, desired = integer(held.get("currentHealthy")), integer(held.get("desiredHealthy"))
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or current >= desired > 0:
            return ()
    if integer(held.get("observedGeneration")) < integer(mapping(guard.get("metadata")).get("generation")):
        return (f"PodDisruptionBudget {name_of(guard)} was changed and not looked at since",)
    allowed = integer(held.get("disruptionsAllowed"))
    if allowed > 0:
        return ()
    healthy = f"{integer(held.get('currentHealthy'))} healthy, {integer(held.get('desiredHealthy'))} wanted"
    return (f"PodDisruptionBudget {name_of(guard)} allows no disruption ({healthy})",)


def guards_it(budget: Body, pod: Pod) -> bool:
    """Whether eviction heeds it for this pod: unlike the scheduler's, an empty selector is every pod's."""
    selector = label_selector(mapping(budget.get("spec")).get("selector"))
    if selector is None or text(mapping(budget.get("metadata")).get("namespace")) != pod.namespace:
        return False
    return selector.matches(pod.labels)


def _is_ready(status: Body) -> bool:
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in rows(status.get("conditions")))
