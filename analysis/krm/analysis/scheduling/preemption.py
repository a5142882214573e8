"""Which pods of lower priority would go so that a pod fits, as DefaultPreemption of kube-scheduler 1.36. Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.budgets import breaking
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.predicates import Cycle, Refusal
from krm.model.reading import mapping, rows, text

NOT_HELPFUL = "Preemption is not helpful for scheduling"
NO_VICTIMS = "No preemption victims found for incoming pod"
NEVER = "not eligible due to preemptionPolicy=Never."
ENDING = "not eligible due to a terminating pod on the nominated node."


class Victims(NamedTuple):
    """Of one node."""

    node: str
    pods: Tuple[Pod, ...]  # the most important first
    breaks: int  # of these, how many a PodDisruptionBudget would keep


class Tried(NamedTuple):
    """What came of it."""

    refused: str  # why it is not tried, in the scheduler's words; '' = it is
    victims: Tuple[Victims, ...]  # of each node that it helps on, the best first
    reasons: Mapping[str, Tuple[str, ...]]  # of each node that it does not help on


def preempt(
    cycle: Cycle, refusals: Mapping[str, Optional[Refusal]], budgets: Optional[Sequence[Body]] = None
) -> Tried:
    """budgets: PodDisruptionBudgets; None = not known, and taken to be none."""
    pod = cycle.pod
    if not pod.may_preempt:
        return Tried(NEVER, (), {})
    if _waits_for_victims(cycle, refusals):
        return Tried(ENDING, (), {})
    found: List[Victims] = []
    reasons: Dict[str, Tuple[str, ...]] = {}
    for node, refusal in refusals.items():
        if refusal is None:
            continue
        if not refusal.by_pods:
            reasons[node] = (NOT_HELPFUL,)
            continue
        tried = victims_on(cycle.board, pod, node, budgets or ())
        if isinstance(tried, Victims):
            found.append(tried)
        else:
            reasons[node] = tried
    return Tried("", tuple(sorted(found, key=_cost)), reasons)


def _waits_for_victims(cycle: Cycle, refusals: Mapping[str, Optional[Refusal]]) -> bool:
    """Whether pods that this one preempted are still ending."""
    node = cycle.pod.nominated
    refusal = refusals.get(node)
    if not node or node not in cycle.board.nodes or (refusal is not None and not refusal.by_pods):
        return False
    return any(
        other.is_deleted
        and other.priority < cycle.pod.priority
        and any(
            one.get("type") == "DisruptionTarget" and one.get("reason") == "PreemptionByScheduler"
            for one in rows(mapping(other.body.get("status")).get("conditions"))
        )
        for other in cycle.board.pods_on(node)
    )


def victims_on(board: Board, pod: Pod, node: str, budgets: Sequence[Body]) -> Any:
    """Victims, or the reasons why none would help: the fewest that must go, important ones kept first."""
    there = board.pods_on(node)
    lower = sorted((other for other in there if other.priority < pod.priority), key=importance)
    if not lower:
        return (NO_VICTIMS,)
    kept = [other for other in there if other.priority >= pod.priority]
    refusal = Cycle(board.with_pods(node, kept), pod).refusal(node)
    if refusal is not None:
        return refusal.reasons
    breaks = breaking(lower, budgets)
    gone: List[Pod] = []
    broken = 0
    for other in sorted(lower, key=lambda one: one.key not in breaks):  # stable: those a budget keeps first
        if Cycle(board.with_pods(node, [*kept, other]), pod).refusal(node) is None:
            kept.append(other)
        else:
            gone.append(other)
            broken += other.key in breaks
    return Victims(node, tuple(sorted(gone, key=importance)), broken)


def importance(pod: Pod) -> Tuple[int, str, str]:
    """The most important first: of the same priority the one that started first."""
    started = text(mapping(pod.body.get("status")).get("startTime")) or "~"  # behind every time
    return (-pod.priority, started, str(pod))


def _cost(victims: Victims) -> Tuple[int, int, int, int, str]:
    """As the scheduler chooses its node: fewest budgets broken, lowest priorities, fewest pods."""
    highest = max((pod.priority for pod in victims.pods), default=-(2**31))
    # Each counts from the least priority that there is, so that many low ones weigh more than a few.
    total = sum(pod.priority + 2**31 for pod in victims.pods)
    return (victims.breaks, highest, total, len(victims.pods), victims.node)
