"""The board that pods are placed on: nodes, the pods on each, and what is known beside them. Pure.

A board is never changed: `with_pods` gives another that shares all but one node's pods.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Hashable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, TypeVar

from krm.analysis.inputs import Body, State
from krm.analysis.scheduling.parsed import Node, Pod, Whole, node_of, pod_of
from krm.model.podresources import has_ended
from krm.model.reading import mapping, text

Counted = TypeVar("Counted")
PODS, NODES = "pods", "nodes"
NAMESPACES, CLAIMS, VOLUMES = "namespaces", "persistentvolumeclaims", "persistentvolumes"
CLASSES, CSI_NODES = "storageclasses.storage.k8s.io", "csinodes.storage.k8s.io"
# Of a scheduling answer: without these it is weaker, and says so.
MORE_KINDS = (NAMESPACES, CLAIMS, VOLUMES, CLASSES, CSI_NODES)


class World(NamedTuple):
    """What filters ask for beside nodes and pods: name (or namespace/name) -> object. None = not known."""

    namespaces: Optional[Mapping[str, Body]] = None
    claims: Optional[Mapping[str, Body]] = None
    volumes: Optional[Mapping[str, Body]] = None
    classes: Optional[Mapping[str, Body]] = None
    csi_nodes: Optional[Mapping[str, Body]] = None

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Of a namespace; {} where they are not known."""
        labels: Mapping[str, str] = mapping(
            mapping(mapping((self.namespaces or {}).get(namespace)).get("metadata")).get("labels")
        )
        return labels


class Board:
    """Nodes and the pods on them."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        pods_on: Mapping[str, Sequence[Pod]],
        world: World,
        nominated: Optional[Mapping[str, Sequence[Pod]]] = None,
    ) -> None:
        """pods_on: by node; pods of nodes that are not there count nowhere. nominated: pods without a node, by the
        one that the scheduler keeps free for them."""
        self.nodes, self.world, self.nominated = nodes, world, nominated or {}
        self._pods_on = pods_on
        # What was counted of each node, by what it is. Boards share it, but for nodes that differ.
        self._counted: Dict[str, Dict[Hashable, Any]] = {}

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Those that hold something of it."""
        return self._pods_on.get(node, ())

    def counted(self, node: str, what: Hashable, count: Callable[[Node, Sequence[Pod]], Counted]) -> Counted:
        """`count` of the node and its pods, once for as long as both stand."""
        known = self._counted.setdefault(node, {})
        if what not in known:
            known[what] = count(self.nodes[node], self.pods_on(node))
        found: Counted = known[what]
        return found

    def used(self, node: str) -> Whole:
        """What its pods request, together; None = one of them could not be read."""
        return self.counted(node, "used", _used)

    def free(self, node: str, resource: str) -> Optional[int]:
        """What is left of it, below 0 where more was given than there is; None = not known."""
        held, used = self.nodes[node].allocatable.get(resource, 0), self.used(node).get(resource, 0)
        return None if held is None or used is None else held - used

    def with_pods(self, node: str, pods: Sequence[Pod]) -> Board:
        """The same with these pods on this node instead of its own."""
        return self._other(self.nodes, {**self._pods_on, node: tuple(pods)}, node)

    def with_node(self, node: Node) -> Board:
        """The same with this node, new or changed."""
        return self._other({**self.nodes, node.name: node}, self._pods_on, node.name)

    def without_node(self, name: str) -> Board:
        """The same without this node and its pods."""
        nodes = {other: node for other, node in self.nodes.items() if other != name}
        return self._other(nodes, {node: pods for node, pods in self._pods_on.items() if node != name}, name)

    def _other(self, nodes: Mapping[str, Node], pods_on: Mapping[str, Sequence[Pod]], changed: str) -> Board:
        """What was counted of all nodes but the changed one still stands."""
        other = Board(nodes, pods_on, self.world, self.nominated)
        other._counted = {name: known for name, known in self._counted.items() if name != changed}
        return other


def _used(node: Node, pods: Sequence[Pod]) -> Whole:  # noqa: ARG001 - a count that is of its pods alone
    total: Whole = {}
    for pod in pods:
        for name, amount in pod.requests.items():
            held = total.get(name, 0)
            total[name] = None if held is None or amount is None else held + amount
    return total


class Read(NamedTuple):
    """What a state's nodes and pods are."""

    board: Board
    waiting: Sequence[Pod]  # without a node, by namespace and name
    troubles: Tuple[str, ...]  # sentences: what could not be read


def read_board(state: State) -> Read:
    """Raises NotKnown without pods or nodes."""
    nodes = {node.name: node for node in map(node_of, state.objects(NODES))}
    pods_on: Dict[str, List[Pod]] = {}
    waiting: List[Pod] = []
    for body in state.objects(PODS):
        if has_ended(dict(body)):
            continue
        pod = pod_of(body)
        (pods_on.setdefault(pod.node, []) if pod.node else waiting).append(pod)
    for pods in (waiting, *pods_on.values()):
        pods.sort(key=lambda pod: pod.key)
    told = [one for node in nodes.values() for one in node.troubles]
    told += [one for pods in (waiting, *pods_on.values()) for pod in pods for one in pod.troubles]
    nominated: Dict[str, List[Pod]] = {}
    for pod in waiting:
        if pod.nominated:
            nominated.setdefault(pod.nominated, []).append(pod)
    board = Board(dict(sorted(nodes.items())), pods_on, world_of(state), nominated)
    return Read(board, waiting, tuple(sorted(set(told))))


def world_of(state: State) -> World:
    """Of a state."""
    return World(*(_by_name(state.maybe(kind)) for kind in MORE_KINDS))


def _by_name(bodies: Optional[Sequence[Body]]) -> Optional[Dict[str, Body]]:
    return None if bodies is None else {_name(mapping(body.get("metadata"))): body for body in bodies}


def _name(metadata: Mapping[str, Any]) -> str:
    namespace, name = text(metadata.get("namespace")), text(metadata.get("name"))
    return f"{namespace}/{name}" if namespace else name
