"""Packs pods onto nodes, greedily, by the scheduler's filters: what it places does fit. Pure.

The largest come first, each onto the node that it fills most. A pod that finds no place may still have one in
another order, unless it finds none on the board as it was: then it has none.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.parsed import Node, Pod
from krm.analysis.scheduling.predicates import Cycle
from krm.analysis.scheduling.wording import count


class Placed(NamedTuple):
    """One pod."""

    pod: Pod
    node: str  # '' = none takes it
    reasons: Mapping[str, int]  # why not -> nodes
    is_certain: bool  # of one without a place: no order of the others would find it one


def pack(board: Board, pods: Sequence[Pod], not_on: str) -> List[Placed]:
    """pods: without a node. not_on: a node that takes none of them, and still counts as one."""
    names = [name for name in board.nodes if name != not_on]
    largest = _largest(board, names)
    found = []
    now = board
    for pod in sorted(pods, key=lambda one: (-_weight(one, largest), str(one))):
        node, reasons = _best(now, pod, names)
        if node:
            now = now.with_pods(node, [*now.pods_on(node), pod._replace(node=node)])
            found.append(Placed(pod, node, {}, True))
        else:
            found.append(Placed(pod, "", reasons, now is board or not _best(board, pod, names)[0]))
    return found


def _best(board: Board, pod: Pod, names: Sequence[str]) -> Tuple[str, Mapping[str, int]]:
    """The node that it leaves the least of; else the reasons of all."""
    cycle = Cycle(board, pod)
    refused = cycle.refused()
    if refused:
        return "", {refused: len(names)}
    refusals = {name: cycle.refusal(name) for name in names}
    fitting = [name for name, refusal in refusals.items() if refusal is None]
    if not fitting:
        return "", count(reason for refusal in refusals.values() if refusal for reason in refusal.reasons)
    return min(fitting, key=lambda name: (_left(board, board.nodes[name], pod), name)), {}


def _left(board: Board, node: Node, pod: Pod) -> float:
    """The share that would be left of what is scarcest then."""
    shares = []
    for resource in pod.requests:
        whole, free = node.allocatable.get(resource), board.free(node.name, resource)
        if whole and free is not None:
            shares.append((free - (pod.requests[resource] or 0)) / whole)
    return min(shares, default=1.0)


def _largest(board: Board, names: Sequence[str]) -> Dict[str, int]:
    most: Dict[str, int] = {}
    for name in names:
        for resource, amount in board.nodes[name].allocatable.items():
            most[resource] = max(most.get(resource, 0), amount or 0)
    return most


def _weight(pod: Pod, largest: Mapping[str, int]) -> float:
    """Its largest share of the largest node."""
    shares: List[Optional[float]] = [
        (amount or 0) / largest[resource] for resource, amount in pod.requests.items() if largest.get(resource)
    ]
    return max((share for share in shares if share is not None), default=0.0)
