"""Why a pod cannot run on a node: the filters of kube-scheduler 1.36 in its order, and in its words. Pure.

A filter that refuses ends the judgement of that node, as in the scheduler: a node has the reasons of one filter.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, NamedTuple, Optional, Tuple

from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.neighbourhood import Neighbours, Spreading
from krm.analysis.scheduling.parsed import EVERYWHERE, PODS, Node, Pod, Port
from krm.analysis.scheduling.storage import ONE_POD, TOO_MANY, ZONE, Volumes
from krm.analysis.scheduling.taints import CORDONED, tolerates, untolerated, written
from krm.model.reading import mapping

UNSCHEDULABLE = "node(s) were unschedulable"
NODE_NAME = "node(s) didn't match the requested node name"
TAINTS = "node(s) had untolerated taint(s)"
AFFINITY = "node(s) didn't match Pod's node affinity/selector"
PORTS = "node(s) didn't have free ports for the requested pod ports"
NOT_NAMED = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
CONFLICT = "pod affinity terms conflict"
TOO_MANY_PODS = "Too many pods"


class Refusal(NamedTuple):
    """Of one node, by one filter."""

    filter: str  # the plugin's name
    reasons: Tuple[str, ...]  # in the scheduler's words
    by_pods: bool  # the scheduler would see whether pods that go change it
    details: Tuple[str, ...] = ()  # with numbers and names, in ours


class Cycle:
    """One pod against one board."""

    def __init__(self, board: Board, pod: Pod) -> None:
        self.board, self.pod = board, pod
        self._named = pod.wish.named()
        self._volumes = Volumes(board, pod)
        self._is_taken = self._volumes.is_taken()
        # Counted over the whole board when a node passes all that comes before.
        self._counts: Optional[Tuple[Spreading, Neighbours]] = None

    @property
    def doubts(self) -> Tuple[str, ...]:
        """What could not be judged, a sentence each."""
        claims = mapping(self.pod.body.get("spec")).get("resourceClaims")
        devices = (f"pod {self.pod}: devices (resourceClaims) were not judged",) if claims else ()
        return (*self._volumes.doubts, *devices)

    def refused(self) -> str:
        """Why it can run on no node at all, whatever nodes there are; '' = it is not so."""
        if self._named is not None and not self._named:
            return CONFLICT
        return self._volumes.refused()

    def candidates(self) -> Optional[FrozenSet[str]]:
        """The only nodes that it may run on by name; None = any."""
        return self._named

    def refusal(self, name: str) -> Optional[Refusal]:
        """Of this node; None = it fits there, beside those that the node is kept free for, too."""
        waiting = [
            other
            for other in self.board.nominated.get(name, ())
            if other.key != self.pod.key and other.priority >= self.pod.priority
        ]
        if waiting:
            board = self.board.with_pods(name, [*self.board.pods_on(name), *waiting])
            refusal = Cycle(board, self.pod)._refusal(name)
            if refusal is not None:
                return refusal
        return self._refusal(name)

    def _refusal(self, name: str) -> Optional[Refusal]:
        node = self.board.nodes[name]
        if self._named is not None and name not in self._named:
            return Refusal("NodeAffinity", (NOT_NAMED,), False, ("its affinity names other nodes",))
        return (
            self._node_itself(node)
            or self._ports(node)
            or resources(self.board, self.pod, node)
            or self._storage(node)
            or self._others(node)
        )

    def keeps_away(self, node: Node) -> bool:
        """Whether the node refuses the pod for what it is, however much is free."""
        return self._node_itself(node) is not None

    def refusals(self) -> Dict[str, Optional[Refusal]]:
        """Of every node."""
        return {name: self.refusal(name) for name in self.board.nodes}

    def _node_itself(self, node: Node) -> Optional[Refusal]:
        pod = self.pod
        if node.is_cordoned and not any(tolerates(one, CORDONED) for one in pod.tolerations):
            return Refusal("NodeUnschedulable", (UNSCHEDULABLE,), False, ("the node is cordoned",))
        if pod.node and pod.node != node.name:
            return Refusal("NodeName", (NODE_NAME,), False, (f"the pod wants node {pod.node}",))
        taints = untolerated(node.taints, pod.tolerations)
        if taints:
            return Refusal("TaintToleration", (TAINTS,), False, tuple(f"taint {written(one)}" for one in taints))
        if not pod.wish.matches(node.name, node.labels):
            return Refusal("NodeAffinity", (AFFINITY,), False, tuple(_unmatched(pod, node)))
        return None

    def _ports(self, node: Node) -> Optional[Refusal]:
        for other in self.board.pods_on(node.name):
            for port in self.pod.ports:
                if any(_conflict(port, taken) for taken in other.ports):
                    return Refusal("NodePorts", (PORTS,), True, (f"port {port[2]}/{port[1]} is pod {other}'s",))
        return None

    def _storage(self, node: Node) -> Optional[Refusal]:
        if self._is_taken:
            return Refusal("VolumeRestrictions", (ONE_POD,), True)
        if self._volumes.exceeds(node):
            return Refusal("NodeVolumeLimits", (TOO_MANY,), True)
        reasons = self._volumes.binding(node)
        if reasons:
            return Refusal("VolumeBinding", tuple(reasons), False)
        return Refusal("VolumeZone", (ZONE,), False) if self._volumes.is_elsewhere(node) else None

    def _others(self, node: Node) -> Optional[Refusal]:
        if self._counts is None:
            self._counts = (Spreading(self.board, self.pod), Neighbours(self.board, self.pod))
        spreading, neighbours = self._counts
        name, told = "PodTopologySpread", spreading.refuses(node)
        if told is None:
            name, told = "InterPodAffinity", neighbours.refuses(node)
        return None if told is None else Refusal(name, (told[0],), told[1], (told[2],))


def resources(board: Board, pod: Pod, node: Node) -> Optional[Refusal]:
    """NodeResourcesFit. What is not known is a reason of its own, which the scheduler does not have."""
    reasons: List[str] = []
    details: List[str] = []
    by_pods = True
    most, count = node.allocatable.get(PODS, 0), len(board.pods_on(node.name))
    if most is None or count + 1 > most:
        reasons.append(TOO_MANY_PODS if most is not None else "the number of pods that it takes is not known")
        details.append(f"{count} pods of at most {most}")
    for name, asked in sorted(pod.requests.items()):
        free, all_of_it = board.free(node.name, name), node.allocatable.get(name, 0)
        if asked is None:
            reasons.append(f"the request of {name} is not known")
            by_pods = False
        elif free is None or all_of_it is None:
            reasons.append(f"free {name} is not known")
            by_pods = False
        elif asked > free:
            reasons.append(f"Insufficient {name}")
            details.append(f"{name}: {asked} asked, {max(0, free)} free of {all_of_it}")
            by_pods = by_pods and asked <= all_of_it
    return Refusal("NodeResourcesFit", tuple(reasons), by_pods, tuple(details)) if reasons else None


def _unmatched(pod: Pod, node: Node) -> List[str]:
    wrong = [
        f"label {key}={node.labels[key]}, not {value}" if key in node.labels else f"no label {key}={value}"
        for key, value in pod.wish.selector.items()
        if node.labels.get(key) != value
    ]
    return wrong or ["no term of its required node affinity matches"]


def _conflict(one: Port, other: Port) -> bool:
    if one[1:] != other[1:]:
        return False
    return one[0] == other[0] or EVERYWHERE in (one[0], other[0])
