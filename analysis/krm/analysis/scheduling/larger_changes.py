"""What places a pod where no small change does: a new node, and of which size; a priority that drives others away.

Pure. Each is proven as krm.analysis.scheduling.changes has it.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.amounts_text import amount_text
from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.changes import Change, Step, change_of
from krm.analysis.scheduling.movable import is_of_daemon_set
from krm.analysis.scheduling.parsed import PODS, Node, Pod, Whole
from krm.analysis.scheduling.predicates import Cycle, Refusal
from krm.analysis.scheduling.preemption import Victims, victims_on

NEW = "a new node"
HOSTNAME, TYPE = "kubernetes.io/hostname", "node.kubernetes.io/instance-type"
USER_HIGHEST = 1_000_000_000  # above it are the priorities of the system
MOST_TRIED = 20  # nodes that a higher priority is tried on, and priorities that are tried


def new_node(board: Board, pod: Pod) -> Optional[Change]:
    """Another node of the smallest kind that there is and that holds it empty; else one of the size it needs."""
    if any(amount is None for amount in pod.requests.values()) or Cycle(board, pod).refused():
        return None
    daemons = _of_daemon_sets(board)
    kinds: Dict[Any, Node] = {}
    for node in board.nodes.values():
        kinds.setdefault((node.labels.get(TYPE, ""), tuple(sorted(node.allocatable.items(), key=str))), node)
    for node in sorted(kinds.values(), key=_size):
        like = _fresh(node, node.allocatable)
        if _holds(board, like, pod, daemons):
            size = f" ({_shown(node.allocatable, pod)})" if pod.requests else ""
            what = f"add another node like {node.name}{size}"
            return change_of([Step("new-node", what, 4)], NEW, _proof(daemons))
    return _node_of_size(board, pod, daemons)


def _node_of_size(board: Board, pod: Pod, daemons: Whole) -> Optional[Change]:
    size: Whole = {PODS: 110}
    for name, asked in pod.requests.items():
        size[name] = (asked or 0) + (daemons.get(name) or 0)
    models = [node for node in board.nodes.values() if pod.wish.matches(node.name, node.labels)]
    model = models[0] if models else _from_wish(pod)
    if not _holds(board, _fresh(model._replace(taints=()), size), pod, daemons):
        return None
    wanted = [f"{key}={value}" if value else key for key, value in sorted(model.labels.items())]
    like = f", labelled as {model.name} is" if models else f", labelled {', '.join(wanted)}" if wanted else ""
    room = f"at least {_shown(size, pod)} allocatable" if pod.requests else "room for a pod"
    what = f"add a node with {room}, without taints that it does not tolerate{like}"
    return change_of([Step("new-node", what, 4.5)], NEW, _proof(daemons))


def _from_wish(pod: Pod) -> Node:
    """A node with the labels that its selector and the first term of its affinity ask for."""
    labels = dict(pod.wish.selector)  # '' = any value
    for term in pod.wish.terms or ():
        if term is not None:
            labels.update(
                {
                    one.key: min(one.values, default="")
                    for one in term.labels.clauses
                    if one.operator in ("in", "exists")
                }
            )
            break
    return Node({}, NEW, labels, (), False, {}, ())


def _fresh(node: Node, size: Mapping[str, Optional[int]]) -> Node:
    return node._replace(name=NEW, labels={**node.labels, HOSTNAME: NEW}, is_cordoned=False, allocatable=dict(size))


def _holds(board: Board, node: Node, pod: Pod, daemons: Whole) -> bool:
    taken = pod._replace(name="daemons", labels={}, requests=daemons, ports=(), near=(), apart=(), spread=())
    fresh = board.with_node(node)
    return Cycle(fresh.with_pods(NEW, [taken] if daemons else []), pod).refusal(NEW) is None


def _of_daemon_sets(board: Board) -> Whole:
    """What DaemonSets take of the node where they take most, resource by resource."""
    most: Whole = {}
    for name in board.nodes:
        for resource, amount in board.counted(name, "daemons", _daemons).items():
            most[resource] = max(most.get(resource) or 0, amount or 0)
    return most


def _daemons(node: Node, pods: Sequence[Pod]) -> Whole:  # noqa: ARG001 - a count that is of its pods alone
    total: Whole = {}
    for pod in pods:
        if is_of_daemon_set(pod):
            for resource, amount in pod.requests.items():
                total[resource] = (total.get(resource) or 0) + (amount or 0)
    return total


def _proof(daemons: Whole) -> str:
    told = ", ".join(f"{amount_text(name, amount)} {name}" for name, amount in sorted(daemons.items()))
    beside = f" beside {told} of DaemonSets, as much as they take of any node now" if told else ""
    return f"judged by every filter against such a node, empty{beside}: none refuses"


def _shown(size: Mapping[str, Optional[int]], pod: Pod) -> str:
    return (
        ", ".join(f"{amount_text(name, size.get(name))} {name}" for name in sorted(pod.requests))
        or "room for a pod"
    )


def _size(node: Node) -> Tuple[int, int, str]:
    return (node.allocatable.get("cpu") or 0, node.allocatable.get("memory") or 0, node.name)


def higher_priority(
    board: Board, pod: Pod, refusals: Mapping[str, Optional[Refusal]], budgets: Sequence[Body]
) -> Optional[Change]:
    """The lowest priority at which others would go for it; None = none does, or it never preempts."""
    if not pod.may_preempt:
        return None
    names = [name for name, one in refusals.items() if one is not None and one.by_pods]
    names = sorted(names, key=lambda name: len(board.pods_on(name)))[:MOST_TRIED]
    there = {other.priority + 1 for name in names for other in board.pods_on(name)}
    for priority in sorted(one for one in there if pod.priority < one <= USER_HIGHEST)[:MOST_TRIED]:
        raised = pod._replace(priority=priority)
        found: List[Victims] = []
        for name in names:
            tried = victims_on(board, raised, name, budgets)
            if isinstance(tried, Victims):
                found.append(tried)
        if found:
            best = min(found, key=lambda one: (one.breaks, len(one.pods), one.node))
            gone = ", ".join(str(other) for other in best.pods)
            breaks = f" ({best.breaks} of them against a PodDisruptionBudget)" if best.breaks else ""
            what = f"give it priority {priority} instead of {pod.priority}: {gone} would be evicted{breaks}"
            proof = f"judged without {gone} by every filter against {best.node}: none refuses"
            return change_of([Step("priority", what, 3 + 0.5 * len(best.pods))], best.node, proof)
    return None
