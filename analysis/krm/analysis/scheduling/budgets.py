"""PodDisruptionBudgets: which pods one would keep. Pure."""

from __future__ import annotations

from typing import List, Sequence, Set, Tuple

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
    """Whether it guards this pod. A pod without labels, and a budget without a selector, never."""
    selector = label_selector(mapping(budget.get("spec")).get("selector"))
    if selector is None or not selector.clauses or not pod.labels:
        return False
    return text(mapping(budget.get("metadata")).get("namespace")) == pod.namespace and selector.matches(pod.labels)


def name_of(budget: Body) -> str:
    """Without its namespace, which is the pod's."""
    return text(mapping(budget.get("metadata")).get("name"))


def guards_of(budgets: Sequence[Body], pod: Pod) -> List[Body]:
    """Those that guard it."""
    return [body for body in budgets if is_of(body, pod)]
