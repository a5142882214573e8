"""Which pods want to be near others, apart from them, or spread evenly: counted over the board. Pure."""

from __future__ import annotations

from typing import Dict, Hashable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

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
        what = ("spread", pod.namespace, pod.spread, _wish(pod), repr(pod.tolerations))
        for node in board.nodes if pod.spread else ():
            for place, value, number in board.counted(node, what, self._count):
                self.counts[place][value] = self.counts[place].get(value, 0) + number

    def _count(self, node: Node, pods: Sequence[Pod]) -> List[Tuple[int, str, int]]:
        """(constraint, value, pods) of one node."""
        found: List[Tuple[int, str, int]] = []
        if any(one.key not in node.labels for one in self._pod.spread):
            return found
        for place, one in enumerate(self._pod.spread):
            if one.honours_affinity and not self._pod.wish.matches(node.name, node.labels):
                continue
            if one.honours_taints and untolerated(node.taints, self._pod.tolerations):
                continue
            found.append((place, node.labels[one.key], self._matching(pods, one)))
        return found

    def _matching(self, pods: Sequence[Pod], one: Spread) -> int:
        selector = one.selector
        if selector is None or not selector.clauses:
            return 0
        return sum(
            not other.is_deleted and other.namespace == self._pod.namespace and selector.matches(other.labels)
            for other in pods
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


class _Around(NamedTuple):
    """What the pods of one node are to a pod."""

    near: Dict[Pair, int]
    apart: Dict[Pair, int]
    theirs: Dict[Pair, Pod]  # one that wants it apart


_NOTHING = _Around({}, {}, {})


class Neighbours:
    """Where the pods are that this one wants near or apart, and those that want it apart."""

    def __init__(self, board: Board, pod: Pod) -> None:
        self._pod, self._labels_of = pod, board.world.labels_of
        self._near: Dict[Pair, int] = {}
        self._apart: Dict[Pair, int] = {}
        self._theirs: Dict[Pair, Pod] = {}
        what = ("around", pod.namespace, tuple(sorted(pod.labels.items())), pod.near, pod.apart)
        for node in board.nodes:
            around = board.counted(node, what, self._count)
            if around is _NOTHING:
                continue
            for total, counts in ((self._near, around.near), (self._apart, around.apart)):
                for pair, number in counts.items():
                    total[pair] = total.get(pair, 0) + number
            for pair, other in around.theirs.items():
                self._theirs.setdefault(pair, other)
        # The first of a series that wants to be near itself.
        own_labels = self._labels_of(pod.namespace)
        self._is_first = not self._near and all(term.matches(pod, own_labels) for term in pod.near)

    def _count(self, node: Node, pods: Sequence[Pod]) -> _Around:
        pod, found = self._pod, _Around({}, {}, {})
        own_labels = self._labels_of(pod.namespace)
        for other in pods:
            for term in other.apart:
                if term.key in node.labels and term.matches(pod, own_labels):
                    found.theirs.setdefault((term.key, node.labels[term.key]), other)
            if pod.near or pod.apart:
                its_labels = self._labels_of(other.namespace)
                if pod.near and all(term.matches(other, its_labels) for term in pod.near):
                    _add(found.near, pod.near, node.labels)
                _add(found.apart, [term for term in pod.apart if term.matches(other, its_labels)], node.labels)
        return found if any(found) else _NOTHING

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


def _wish(pod: Pod) -> Hashable:
    return tuple(sorted(pod.wish.selector.items())), pod.wish.terms
