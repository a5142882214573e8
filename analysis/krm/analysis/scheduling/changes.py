"""The smallest changes that would place a pod, each proven: with it the pod passes every filter of the node. Pure.

A change is worked out filter by filter: what refuses is mended on paper, and the pod is judged again, until it
fits or something refuses that no change of the pod or the node mends. Costs only order the changes that were
found: lowering a request costs 1 and up to 4 more by the share that goes; each toleration or an uncordoned node
2; a selector, port, spread or affinity that gives way 3; a node that takes more pods, or a new node, 4; a
higher priority 3 and a half for each pod that it drives away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.scheduling.amounts_text import amount_text, written_down
from krm.analysis.scheduling.board import Board
from krm.analysis.scheduling.neighbourhood import APART, NEAR, SPREAD, Spreading
from krm.analysis.scheduling.parsed import PODS, Pod
from krm.analysis.scheduling.predicates import NOT_NAMED, Cycle, Refusal
from krm.analysis.scheduling.taints import OF_CONDITIONS, untolerated, written

MOST_STEPS = 6  # a change of more steps is no small one
MOST_ALIKE = 3  # nodes that refuse for the same that a change is worked out for, those with the most room first
MOST_NODES = 60  # in all


class Step(NamedTuple):
    """One thing to do."""

    kind: str  # lower-request, tolerate, uncordon, selector, port, spread, affinity, max-pods, new-node, priority
    what: str  # as an order
    cost: float


@dataclass(frozen=True)
class Change:
    """All that is to be done, and the node that then holds the pod."""

    steps: Tuple[str, ...]
    kinds: Tuple[str, ...]
    node: str
    cost: float
    proof: str  # what was judged, and how it came out

    def __str__(self) -> str:
        return f"{', and '.join(self.steps)}: then {self.node} holds it"


class Place(NamedTuple):
    """A pod that a node refuses."""

    board: Board
    pod: Pod
    node: str
    refusal: Refusal


class Tried(NamedTuple):
    """A pod and a board as they would be after a step."""

    board: Board
    pod: Pod
    steps: Tuple[Step, ...]


def change_for(board: Board, pod: Pod, node: str) -> Optional[Change]:
    """What would place the pod on this node; None = no change of these kinds does."""
    steps: List[Step] = []
    while len(steps) <= MOST_STEPS:
        cycle = Cycle(board, pod)
        if cycle.refused():
            return None
        refusal = cycle.refusal(node)
        if refusal is None:
            return (
                change_of(steps, node, f"judged with it by every filter against {node}: none refuses")
                if steps
                else None
            )
        mend = _MENDS.get(refusal.filter)
        tried = mend(Place(board, pod, node, refusal)) if mend else None
        if tried is None:
            return None
        board, pod = tried.board, tried.pod
        steps += tried.steps
    return None


def change_of(steps: Sequence[Step], node: str, proof: str) -> Change:
    """Of its steps."""
    return Change(
        tuple(step.what for step in steps),
        tuple(step.kind for step in steps),
        node,
        round(sum(step.cost for step in steps), 3),
        proof,
    )


def changes_for(board: Board, pod: Pod, refusals: Mapping[str, Optional[Refusal]]) -> Tuple[List[Change], int]:
    """The cheapest of each kind, the cheapest first, and how many nodes they were looked for on."""
    names = _candidates(board, pod, refusals)
    found: Dict[Tuple[str, ...], Change] = {}
    for name in names:
        change = change_for(board, pod, name)
        if change is not None:
            held = found.get(change.kinds)
            if held is None or (change.cost, change.node) < (held.cost, held.node):
                found[change.kinds] = change
    return sorted(found.values(), key=lambda one: (one.cost, one.node)), len(names)


def _candidates(board: Board, pod: Pod, refusals: Mapping[str, Optional[Refusal]]) -> List[str]:
    alike: Dict[Tuple[str, ...], int] = {}
    found: List[str] = []
    refusing = [(name, one) for name, one in refusals.items() if one is not None]
    for name, one in sorted(refusing, key=lambda pair: _hope(board, pod, pair[0])):
        # Of resources the room decides; elsewhere the same details are the same thing to do.
        what = (one.filter, *(() if one.filter == "NodeResourcesFit" else one.details))
        alike[what] = alike.get(what, 0) + 1
        if alike[what] <= MOST_ALIKE and len(found) < MOST_NODES:
            found.append(name)
    return found


def _hope(board: Board, pod: Pod, name: str) -> Tuple[float, str]:
    """Nodes with the most room for what is asked come first."""
    short = 0.0
    for resource, asked in pod.requests.items():
        free = board.free(name, resource)
        if asked and free is not None:
            short = max(short, (asked - free) / asked)
    return (short, name)


def _lower(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    steps: List[Step] = []
    requests = dict(pod.requests)
    for resource, asked in pod.requests.items():
        free = board.free(node, resource)
        if asked is None or free is None:
            return None
        if asked <= free:
            continue
        if free <= 0:
            return None
        free = written_down(resource, free)
        requests[resource] = free
        what = (
            f"lower its request of {resource} from {amount_text(resource, asked)} to {amount_text(resource, free)}"
        )
        steps.append(Step("lower-request", what, 1 + 4 * (asked - free) / asked))
    most, count = board.nodes[node].allocatable.get(PODS, 0), len(board.pods_on(node))
    if most is not None and count + 1 > most:
        place = board.nodes[node]
        board = board.with_node(place._replace(allocatable={**place.allocatable, PODS: count + 1}))
        steps.append(Step("max-pods", f"let {node} take {count + 1} pods instead of {most}, or move one away", 4))
    return Tried(board, pod._replace(requests=requests), tuple(steps)) if steps else None


def _tolerate(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    taints = untolerated(board.nodes[node].taints, pod.tolerations)
    if any(str(taint.get("key", "")).startswith(OF_CONDITIONS) for taint in taints):
        return None  # something is the matter with the node: to tolerate it is no advice
    own = [
        {"key": one.get("key"), "operator": "Equal", "value": one.get("value"), "effect": one.get("effect")}
        for one in taints
    ]
    steps = tuple(Step("tolerate", f"tolerate {written(taint)}", 2) for taint in taints)
    return Tried(board, pod._replace(tolerations=(*pod.tolerations, *own)), steps)


def _uncordon(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    # The taint that goes with it is put and taken by Kubernetes.
    place = board.nodes[node]
    taints = tuple(one for one in place.taints if one.get("key") != "node.kubernetes.io/unschedulable")
    changed = board.with_node(place._replace(is_cordoned=False, taints=taints))
    return Tried(changed, pod, (Step("uncordon", f"uncordon {node}", 2),))


def _select(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    if NOT_NAMED in at.refusal.reasons:
        return None
    labels = board.nodes[node].labels
    wish, steps = pod.wish, []
    wrong = {key: value for key, value in wish.selector.items() if labels.get(key) != value}
    for key, value in sorted(wrong.items()):
        here = f"; {node} has {key}={labels[key]}" if key in labels else ""
        steps.append(Step("selector", f"drop {key}={value} from its node selector (or label {node} so{here})", 3))
    wish = wish._replace(selector={key: value for key, value in wish.selector.items() if key not in wrong})
    if not wish.matches(node, labels):
        wish = wish._replace(terms=None)
        steps.append(Step("selector", f"let its required node affinity take {node}", 3))
    return Tried(board, pod._replace(wish=wish), tuple(steps))


def _other_port(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    kept = tuple(port for port in pod.ports if _is_free(board, pod, node, port))
    steps = tuple(
        Step("port", f"ask for another host port than {number}/{protocol}", 3)
        for address, protocol, number in pod.ports
        if (address, protocol, number) not in kept
    )
    return Tried(board, pod._replace(ports=kept), steps) if steps else None


def _is_free(board: Board, pod: Pod, node: str, port: Tuple[str, str, int]) -> bool:
    refusal = Cycle(board, pod._replace(ports=(port,))).refusal(node)
    return refusal is None or refusal.filter != "NodePorts"


def _let_spread(at: Place) -> Optional[Tried]:
    board, pod, node = at.board, at.pod, at.node
    spreading, place = Spreading(board, pod), board.nodes[node]
    kept, steps = [], []
    for number, one in enumerate(pod.spread):
        if one.key not in place.labels:
            steps.append(Step("spread", f"drop its spread over {one.key}, which {node} is not labelled with", 3))
            continue
        skew = spreading.skew(number, place)[0]
        if skew > one.skew and SPREAD in at.refusal.reasons:
            steps.append(Step("spread", f"raise maxSkew over {one.key} from {one.skew} to {skew}", 3))
            one = one._replace(skew=skew)
        kept.append(one)
    return Tried(board, pod._replace(spread=tuple(kept)), tuple(steps)) if steps else None


def _let_near(at: Place) -> Optional[Tried]:
    board, pod, refusal = at.board, at.pod, at.refusal
    if APART in refusal.reasons:
        step = Step("affinity", "make its anti-affinity a preference instead of a requirement", 3)
        return Tried(board, pod._replace(apart=()), (step,))
    if NEAR in refusal.reasons:
        step = Step("affinity", "make its pod affinity a preference instead of a requirement", 3)
        return Tried(board, pod._replace(near=()), (step,))
    return None  # others want it apart: theirs to change


_MENDS: Dict[str, Callable[[Place], Optional[Tried]]] = {
    "NodeUnschedulable": _uncordon,
    "TaintToleration": _tolerate,
    "NodeAffinity": _select,
    "NodePorts": _other_port,
    "NodeResourcesFit": _lower,
    "PodTopologySpread": _let_spread,
    "InterPodAffinity": _let_near,
}
