"""One pod that waits for a node: why on each node, what the scheduler says, and what would place it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.changes import Change, changes_for
from krm.analysis.scheduling.larger_changes import higher_priority, new_node
from krm.analysis.scheduling.movable import is_unmanaged, owner_of
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.predicates import Cycle, Refusal
from krm.analysis.scheduling.preemption import Tried, preempt
from krm.analysis.scheduling.wording import count, message
from krm.model.reading import mapping, rows, text

UNSCHEDULABLE, GATED, FITS, ENDS = STATES = ("unschedulable", "gated", "fits", "ends")
MOST_CHANGES = 4


@dataclass(frozen=True)
class NodeWhy:
    """Why not on this node."""

    node: str
    filter: str  # the plugin that refuses
    reasons: Tuple[str, ...]  # in the scheduler's words
    details: Tuple[str, ...]  # with names and numbers: millicores of cpu, bytes, a count


class Judgement(NamedTuple):
    """Of one pod."""

    state: str  # of STATES
    message: str  # as the scheduler would say it; '' where it would say nothing
    counts: Mapping[str, int]  # reason -> nodes
    why: Tuple[NodeWhy, ...]
    fits_on: Tuple[str, ...]
    victims: Tuple[str, ...]  # pods that the scheduler would evict for it
    victims_on: str  # the node; '' = none
    changes: Tuple[Change, ...]  # the cheapest first
    looked_on: int  # nodes that small changes were looked for on
    doubts: Tuple[str, ...]


def judge(board: Board, pod: Pod, budgets: Optional[Sequence[Body]]) -> Judgement:
    """budgets: None = not known."""
    gates = [text(one.get("name")) for one in rows(mapping(pod.body.get("spec")).get("schedulingGates"))]
    if pod.is_deleted or gates:
        told = f"Scheduling is blocked due to non-empty scheduling gates: {', '.join(gates)}" if gates else ""
        state = ENDS if pod.is_deleted else GATED
        return Judgement(state, told, {}, (), (), (), "", (), 0, ())
    cycle = Cycle(board, pod)
    if cycle.refused() or not board.nodes:
        refused = cycle.refused()
        sentence = message(cycle, {}, None)
        counts = {refused: len(board.nodes)} if refused else {}
        changes = () if refused else tuple(_new(board, pod))
        return Judgement(UNSCHEDULABLE, sentence, counts, (), (), (), "", changes, 0, cycle.doubts)
    refusals = cycle.refusals()
    fitting = tuple(name for name, one in refusals.items() if one is None)
    why = tuple(NodeWhy(name, one.filter, one.reasons, one.details) for name, one in refusals.items() if one)
    counts = count(reason for one in why for reason in one.reasons)
    if fitting:
        return Judgement(FITS, "", counts, why, fitting, (), "", (), 0, cycle.doubts)
    tried = preempt(cycle, refusals, budgets)
    found, looked_on = changes_for(board, pod, refusals)
    found += _new(board, pod)
    raised = None if tried.victims else higher_priority(board, pod, refusals, budgets or ())
    found += [raised] if raised else []
    found.sort(key=lambda one: (one.cost, one.node))
    best = tried.victims[0] if tried.victims else None
    return Judgement(
        UNSCHEDULABLE,
        message(cycle, refusals, tried),
        counts,
        why,
        (),
        tuple(str(other) for other in best.pods) if best else (),
        best.node if best else "",
        tuple(found[:MOST_CHANGES]),
        looked_on,
        (*cycle.doubts, *_doubts(tried, budgets, refusals)),
    )


def _new(board: Board, pod: Pod) -> List[Change]:
    change = new_node(board, pod)
    return [change] if change else []


def _doubts(
    tried: Tried, budgets: Optional[Sequence[Body]], refusals: Mapping[str, Optional[Refusal]]
) -> List[str]:
    told = []
    if budgets is None and tried.victims:
        told.append("PodDisruptionBudgets are not known: other pods may be evicted than these")
    if any(reason.endswith("not known") for one in refusals.values() if one for reason in one.reasons):
        told.append("amounts of some pods or nodes could not be read, and the nodes that they concern refuse")
    return told


def judge_all(board: Board, pods: Sequence[Pod], budgets: Optional[Sequence[Body]]) -> List[Tuple[Pod, Judgement]]:
    """Each; pods of one owner that ask for the same are judged once."""
    held: Dict[Any, Judgement] = {}
    found = []
    for pod in pods:
        key = _likeness(pod)
        if key not in held:
            held[key] = judge(board, pod, budgets)
        found.append((pod, held[key]))
    return found


def _likeness(pod: Pod) -> Any:
    """What makes two pods of one owner alike to the scheduler; volumes and nominations make each its own."""
    owner = owner_of(pod)
    volumes = rows(mapping(pod.body.get("spec")).get("volumes"))
    own = any(one.get("persistentVolumeClaim") or one.get("ephemeral") for one in volumes)
    if is_unmanaged(pod) or own or pod.nominated or _is_held(pod):
        return pod.key
    asked = (tuple(sorted(pod.requests.items(), key=str)), tuple(sorted(pod.labels.items())), pod.ports)
    where = (tuple(sorted(pod.wish.selector.items())), pod.wish.terms, repr(pod.tolerations))
    return (owner, pod.namespace, pod.priority, pod.may_preempt, asked, where, pod.near, pod.apart, pod.spread)


def _is_held(pod: Pod) -> bool:
    """Whether something else than nodes keeps it: a gate, or that it is deleted."""
    return pod.is_deleted or bool(rows(mapping(pod.body.get("spec")).get("schedulingGates")))
