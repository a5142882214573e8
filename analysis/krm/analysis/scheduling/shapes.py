"""Typical pods of a cluster: what its workloads ask for, and how often. Pure."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.owners import Owner, Owners
from krm.analysis.scheduling.amounts_text import amount_text
from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.movable import is_of_daemon_set, is_static
from krm.analysis.scheduling.parsed import PODS, Node, Pod, pod_of
from krm.analysis.scheduling.predicates import Cycle
from krm.model.amounts import Troubles, read_one

MOST = 20  # shapes; the most frequent ones


class Shape(NamedTuple):
    """What some pods ask for, and where they may run."""

    name: str  # `deployment.apps/web of shop and 2 more`, or what was given
    pod: Pod  # one of them, without a node, volumes, ports and neighbours
    pods: int  # that are like it; of a shape that was given 0
    frequency: float  # share of all shapes that are looked at, together 1

    @property
    def size(self) -> str:
        """`cpu=500m,memory=1Gi`."""
        return ",".join(f"{name}={amount_text(name, amount)}" for name, amount in sorted(self.pod.requests.items()))


class Typical(NamedTuple):
    """The shapes, most frequent first."""

    shapes: Tuple[Shape, ...]
    covers: Tuple[int, int]  # pods that they stand for, of all that could be a shape's
    left_out: int  # pods that ask for nothing, or whose request could not be read


def typical(board: Board, waiting: Sequence[Pod], owners: Owners) -> Typical:
    """Of all pods but those of DaemonSets and nodes themselves, which nobody places. Those that wait are in it."""
    groups: Dict[Any, List[Pod]] = {}
    left_out = 0
    for pod in (*waiting, *(pod for node in board.nodes for pod in board.pods_on(node))):
        if is_of_daemon_set(pod) or is_static(pod):
            continue
        if not pod.requests or None in pod.requests.values():
            left_out += 1
            continue
        where = (tuple(sorted(pod.wish.selector.items())), pod.wish.terms, repr(pod.tolerations))
        groups.setdefault((tuple(sorted(pod.requests.items())), where), []).append(pod)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), repr(group[0])))
    total, kept = sum(map(len, groups.values())), sum(len(pods) for _, pods in ordered[:MOST])
    shapes = [
        Shape(_name(pods, owners), _bare(min(pods, key=lambda one: one.key)), len(pods), len(pods) / kept)
        for _, pods in ordered[:MOST]
    ]
    return Typical(tuple(shapes), (kept, total), left_out)


def given(texts: Sequence[str]) -> Typical:
    """`cpu=2,memory=4Gi`: each as frequent as the others. Raises ValueError."""
    shapes = [Shape(text, _bare(_written(text)), 0, 1 / len(texts)) for text in texts]
    return Typical(tuple(shapes), (0, 0), 0)


def _written(text: str) -> Pod:
    requests = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        troubles = Troubles("shape")
        amount = read_one(value.strip(), troubles, name)
        if not name.strip() or amount is None or amount == 0:
            why = f": {troubles.told[0]}" if troubles.told else ""
            raise ValueError(f"{text!r}: RESOURCE=AMOUNT,... above 0 is meant, e.g. cpu=2,memory=4Gi{why}")
        requests[name.strip()] = value.strip()
    container = {"name": "shape", "resources": {"requests": requests}}
    return pod_of({"metadata": {"name": text, "namespace": ""}, "spec": {"containers": [container]}})


def _bare(pod: Pod) -> Pod:
    body: Dict[str, Any] = {}
    return pod._replace(
        body=body, node="", nominated="", ports=(), near=(), apart=(), spread=(), labels={}, name="", namespace=""
    )


def _name(pods: Sequence[Pod], owners: Owners) -> str:
    found: Dict[Tuple[str, Owner], int] = {}
    for pod in pods:
        key = (pod.namespace, owners.of(pod.body))
        found[key] = found.get(key, 0) + 1
    (namespace, owner), _ = min(found.items(), key=lambda pair: (-pair[1], pair[0]))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{owner.kind}/{owner.name} of {namespace}{more}"


class Room(NamedTuple):
    """What of one shape a node takes now."""

    kept_away: bool  # by a cordon, a taint, or labels: whatever is free
    fits: int  # pods of it
    scale: Fraction  # the largest multiple of the shape that fits; 0 where it is kept away


def room(cycle: Cycle, node: Node) -> Optional[Room]:
    """Of the shape whose cycle this is; None = an amount of the node is not known."""
    board = cycle.board
    requests = {name: amount for name, amount in cycle.pod.requests.items() if amount}
    free = {name: board.free(node.name, name) for name in requests}
    most = node.allocatable.get(PODS, 0)
    if most is None or any(amount is None for amount in free.values()):
        return None
    if cycle.keeps_away(node):
        return Room(True, 0, Fraction(0))
    slots = most - len(board.pods_on(node.name))
    if slots <= 0:
        return Room(False, 0, Fraction(0))
    whole = min((free[name] or 0) // amount for name, amount in requests.items())
    scale = min(Fraction(free[name] or 0, amount) for name, amount in requests.items())
    return Room(False, max(0, min(whole, slots)), max(Fraction(0), scale))
