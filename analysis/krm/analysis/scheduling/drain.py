"""Whether a node can be drained: where its pods would go, and what stands in the way. Pure.

The node is taken as cordoned: it takes no pod, and still counts where pods are spread, as the scheduler has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import HIGH, INFO, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Body, Inputs, Needs, NotKnown
from krm.analysis.scheduling.board import MORE_KINDS, read_board
from krm.analysis.scheduling.budgets import BUDGETS, name_of
from krm.analysis.scheduling.evicting import blocking, guards_it
from krm.analysis.scheduling.movable import is_of_daemon_set, is_static, is_unmanaged, local_volumes, owner_of
from krm.analysis.scheduling.packing import Placed, pack
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.worth import worth_of
from krm.model.measures import Covers
from krm.model.metrics import COUNT
from krm.model.reading import integer, mapping

MOVES, STAYS, NO_ROOM, BLOCKED, LOST = FATES = ("moves", "stays", "no-room", "blocked", "lost")


class Asked(NamedTuple):
    """Which node."""

    node: str


@dataclass(frozen=True)
class Drained:
    """One pod of the node."""

    namespace: str
    pod: str
    owner: str  # deployment.apps/web; '' = nobody makes it again
    fate: str  # of FATES. blocked: a budget refuses now; lost: nobody makes it again; stays: of a DaemonSet, static
    to: str  # a node that would take it; '' = none, or it does not move
    reasons: Dict[str, int]  # of no-room: why not -> nodes, in the scheduler's words
    budgets: Tuple[str, ...]  # why it may not be evicted now, a clause each
    local: Tuple[str, ...]  # volumes whose content stays behind or is lost

    @property
    def note(self) -> str:
        """Everything that stands in the way."""
        told = [f"{number} {reason}" for reason, number in sorted(self.reasons.items())]
        told += self.budgets
        if self.fate == LOST:
            told.append("nobody makes it again")
        if self.local:
            told.append(f"local volumes: {', '.join(self.local)}")
        return "; ".join(told)


@dataclass(frozen=True)
class Drain(Answer):
    """The pods of one node by namespace and name."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("POD", lambda row: row.pod),
        Column("FATE", lambda row: row.fate),
        Column("TO", lambda row: row.to or "-"),
        Column("NOTE", lambda row: row.note or "-"),
        Column("OWNER", lambda row: row.owner or "-", wide=True),
    )
    NOTHING: ClassVar[str] = "no pod is on this node"

    rows: Tuple[Drained, ...]
    node: str
    fits: bool  # every pod that would have to go somewhere has a place: proven by placing them
    certain: bool  # of what does not fit: no other order of placing would change it


def needs(asked: Asked) -> Needs:  # noqa: ARG001 - where the pods of one node go, all nodes decide
    """What it is made of."""
    return Needs(("pods", "nodes"), (*MORE_KINDS, BUDGETS))


def answer(inputs: Inputs, asked: Asked) -> Drain:
    """Raises NotKnown without pods or nodes, or where the node is not there."""
    read = read_board(inputs.state)
    if asked.node not in read.board.nodes:
        raise NotKnown(f"node {asked.node} is not there")
    board, node = read.board, read.board.nodes[asked.node]
    budgets = inputs.state.maybe(BUDGETS)
    there = board.pods_on(asked.node)
    staying = [pod for pod in there if is_of_daemon_set(pod) or is_static(pod)]
    going = [pod for pod in there if pod not in staying]
    moving = [pod._replace(node="") for pod in going if not is_unmanaged(pod)]
    emptied = board.with_node(node._replace(is_cordoned=True)).with_pods(asked.node, staying)
    placed = {one.pod.key: one for one in pack(emptied, moving, asked.node)}
    rows = tuple(_row(pod, placed.get(pod.key), pod in staying, budgets) for pod in there)
    worth = worth_of(inputs, needs(asked))
    worth = replace(worth, reasons=(*worth.reasons, *read.troubles))
    stuck = [one for one in placed.values() if not one.node]
    certain = all(one.is_certain for one in stuck)
    findings = _findings(asked.node, rows, certain, budgets, inputs.now)
    findings += _slowed(asked.node, going, budgets or (), inputs.now)
    return Drain(worth, tuple(findings), rows, asked.node, not stuck, certain)


def _row(pod: Pod, placed: Optional[Placed], stays: bool, budgets: Optional[Sequence[Body]]) -> Drained:
    refused = () if stays else blocking(pod, budgets or ())
    if stays:
        fate = STAYS
    elif placed is None:
        fate = LOST
    elif not placed.node:
        fate = NO_ROOM
    else:
        fate = BLOCKED if refused else MOVES
    return Drained(
        pod.namespace,
        pod.name,
        "" if is_unmanaged(pod) else str(owner_of(pod)),
        fate,
        placed.node if placed else "",
        dict(placed.reasons) if placed else {},
        refused,
        () if stays else tuple(local_volumes(pod)),
    )


class _Told(NamedTuple):
    """What is said of some pods."""

    rule: str
    severity: str
    pods: Sequence[Drained]
    sentence: str
    help: str
    doubts: Tuple[str, ...] = ()


_ORDER = "they were placed one after another, the largest first: another order may fit more"
_NO_BUDGETS = "PodDisruptionBudgets are not known: whether these may be evicted is not either"


def _findings(
    node: str, rows: Sequence[Drained], certain: bool, budgets: Optional[Sequence[Body]], now: float
) -> List[Finding]:
    going = [row for row in rows if row.fate != STAYS]
    no_room, lost = ([row for row in going if row.fate == fate] for fate in (NO_ROOM, LOST))
    blocked, local = [row for row in going if row.budgets], [row for row in going if row.local]
    unjudged = going if budgets is None else []
    told = (
        _Told("drain-no-room", WARNING, no_room, f"without {node} {len(no_room)} pods find no place",
              "another node, smaller requests, or fewer replicas", () if certain else (_ORDER,)),
        _Told("drain-blocked", WARNING, blocked, f"{len(blocked)} pods of {node} may not be evicted now",
              "more replicas, or a budget that allows a disruption"),
        _Told("drain-blocked", INFO, unjudged, f"{len(unjudged)} pods of {node} may be kept by budgets",
              f"krm keeps {BUDGETS} where it is asked to (--kinds)", (_NO_BUDGETS,)),
        _Told("drain-loses-pods", WARNING, lost, f"{len(lost)} pods of {node} are made by nobody again",
              "a workload that owns them; kubectl drain needs --force"),
        _Told("drain-loses-data", INFO, local, f"{len(local)} pods of {node} have volumes on it",
              "their data elsewhere; kubectl drain needs --delete-emptydir-data for emptyDir"),
    )  # fmt: skip
    return [_finding(node, one, len(going), now) for one in told if one.pods]


def _finding(node: str, told: _Told, going: int, now: float) -> Finding:
    covers = Covers(len(told.pods), going, "pods")
    number = Evidence("pods", float(len(told.pods)), COUNT, "spec", now, covers=covers)
    sureness = MEDIUM if told.doubts else HIGH
    sentence = f"{told.sentence}: {_names(told.pods)}"
    return Finding(
        told.rule, told.severity, About("node", name=node), sentence, (number,), sureness, told.doubts, told.help
    )


def _slowed(node: str, pods: Sequence[Pod], budgets: Sequence[Body], now: float) -> List[Finding]:
    """Budgets that let some go, but not all at once."""
    found = []
    for budget in budgets:
        guarded = [pod for pod in pods if guards_it(budget, pod)]
        allowed = integer(mapping(budget.get("status")).get("disruptionsAllowed"))
        if 0 < allowed < len(guarded):
            whose = f"{guarded[0].namespace}/{name_of(budget)}"
            sentence = (
                f"PodDisruptionBudget {whose} lets {allowed} of {len(guarded)} pods of {node} go at once:"
                " the others wait until those are back elsewhere"
            )
            numbers = (
                Evidence("disruptions allowed", float(allowed), COUNT, "status", now),
                Evidence("pods that it guards here", float(len(guarded)), COUNT, "spec", now),
            )
            about = About("node", guarded[0].namespace, node, part=name_of(budget))
            found.append(
                Finding("drain-slowed", INFO, about, sentence, numbers, HIGH, (), "time, or more replicas")
            )
    return found


def _names(rows: Sequence[Drained]) -> str:
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return ", ".join(f"{row.namespace}/{row.pod}" for row in rows[:3]) + more
