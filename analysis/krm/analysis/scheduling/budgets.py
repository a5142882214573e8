"""PodDisruptionBudgets: which pods one would keep. Pure."""

from __future__ import annotations

from typing import Sequence, Set, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.selecting import label_selector
from krm.model.reading import integer, mapping, text

BUDGETS = "poddisruptionbudgets.policy"


def breaking(pods: Sequence[Pod], budgets: Sequence[Body]) -> Set[Tuple[str, str]]:
    """Namespace and name of those that would break one, where the first ones go first."""
    left = [integer(mapping(body.get("status")).get("disruptionsAllowed")) for body in budgets]
    found = set()
    for pod in pods:
        for place, body in enumerate(budgets):
            if is_of(body, pod) and pod.name not in mapping(mapping(body.get("status")).get("disruptedPods")):
                left[place] -= 1
                if left[place] < 0:
                    found.add(pod.key)
    return found


def is_of(budget: Body, pod: Pod) -> bool:
    """Whether the scheduler heeds it for this pod: of a pod without labels, and an empty selector, it does not."""
    selector = label_selector(mapping(budget.get("spec")).get("selector"))
    if selector is None or not selector.clauses or not pod.labels:
        return False
    return text(mapping(budget.get("metadata")).get("namespace")) == pod.namespace and selector.matches(pod.labels)


def name_of(budget: Body) -> str:
    """Without its namespace, which is the pod's."""
    return text(mapping(budget.get("metadata")).get("name"))
