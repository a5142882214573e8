"""Which pods want to be near others, apart from them, or spread evenly: counted over the board. Pure."""

from __future__ import annotations

from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.parsed import Near, Node, Pod, Spread
from krm.analysis.scheduling.taints import untolerated

SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL = SPREAD + " (missing required label)"
NEAR = "node(s) didn't match pod affinity rules"
APART = "node(s) didn't match pod anti-affinity rules"
THEIRS = "node(s) didn't satisfy existing pods anti-affinity rules"
Pair = Tuple[str, str]  # a label of nodes and its value


class Spreading:
    """The pods that match each constraint, by the value of its key."""

    def __init__(self, board: Board, pod: Pod) -> None:
        self._pod = pod
        self.counts: List[Dict[str, int]] = [{} for _ in pod.spread]
        if not pod.spread:
            return
        keys = [one.key for one in pod.spread]
        for node in board.nodes.values():
            if all(key in node.labels for key in keys):
                self._count(board, node)

    def _count(self, board: Board, node: Node) -> None:
        for place, one in enumerate(self._pod.spread):
            if one.honours_affinity and not self._pod.wish.matches(node.name, node.labels):
                continue
            if one.honours_taints and untolerated(node.taints, self._pod.tolerations):
                continue
            value = node.labels[one.key]
            self.counts[place][value] = self.counts[place].get(value, 0) + self._matching(board, node.name, one)

    def _matching(self, board: Board, node: str, one: Spread) -> int:
        selector = one.selector
        if selector is None or not selector.clauses:
            return 0
        return sum(
            not other.is_deleted and other.namespace == self._pod.namespace and selector.matches(other.labels)
            for other in board.pods_on(node)
        )

    def refuses(self, node: Node) -> Optional[Tuple[str, bool, str]]:
        """Why not here: the scheduler's words, whether pods that go could change it, and the numbers."""
        for place, one in enumerate(self._pod.spread):
            if one.key not in node.labels:
                return SPREAD_LABEL, False, f"the node has no label {one.key}"
            skew, least = self.skew(place, node)
            if skew > one.skew:
                return (
                    SPREAD,
                    True,
                    f"{one.key}={node.labels[one.key]} would hold {skew + least} pods where the fewest are"
                    f" {least}: {skew} apart, {one.skew} allowed",
                )
        return None

    def skew(self, place: int, node: Node) -> Tuple[int, int]:
        """How far apart the domains would be with the pod on this node, and what the emptiest holds."""
        one, counts = self._pod.spread[place], self.counts[place]
        least = min(counts.values(), default=0) if len(counts) >= one.least_domains else 0
        own = one.selector is not None and one.selector.matches(self._pod.labels)
        return counts.get(node.labels[one.key], 0) + own - least, least


class Neighbours:
    """Where the pods are that this one wants near or apart, and those that want it apart."""

    def __init__(self, board: Board, pod: Pod) -> None:
        self._pod = pod
        self._near: Dict[Pair, int] = {}
        self._apart: Dict[Pair, int] = {}
        self._theirs: Dict[Pair, Pod] = {}
        labels_of = board.world.labels_of
        own_labels = labels_of(pod.namespace)
        for node in board.nodes.values():
            for other in board.jealous_on(node.name):
                for term in other.apart:
                    if term.key in node.labels and term.matches(pod, own_labels):
                        self._theirs.setdefault((term.key, node.labels[term.key]), other)
            for other in board.pods_on(node.name) if pod.near or pod.apart else ():
                its_labels = labels_of(other.namespace)
                if pod.near and all(term.matches(other, its_labels) for term in pod.near):
                    _add(self._near, pod.near, node.labels)
                _add(self._apart, [term for term in pod.apart if term.matches(other, its_labels)], node.labels)
        # The first of a series that wants to be near itself.
        self._is_first = not self._near and all(term.matches(pod, own_labels) for term in pod.near)

    def refuses(self, node: Node) -> Optional[Tuple[str, bool, str]]:
        """As Spreading's."""
        labels = node.labels
        for term in self._pod.near:
            if term.key not in labels:
                return NEAR, False, f"the node has no label {term.key}"
        if not self._is_first and any((term.key, labels[term.key]) not in self._near for term in self._pod.near):
            return NEAR, False, "no pod that it must be near is there"
        for term in self._pod.apart:
            count = self._apart.get((term.key, labels[term.key]), 0) if term.key in labels else 0
            if count:
                return APART, True, f"{term.key}={labels[term.key]} holds {count} pods that it must be apart from"
        for pair in labels.items():
            if pair in self._theirs:
                return THEIRS, True, f"pod {self._theirs[pair]} wants it apart within {pair[0]}={pair[1]}"
        return None


def _add(counts: Dict[Pair, int], terms: Sequence[Near], labels: Mapping[str, str]) -> None:
    for term in terms:
        if term.key in labels:
            pair = (term.key, labels[term.key])
            counts[pair] = counts.get(pair, 0) + 1
