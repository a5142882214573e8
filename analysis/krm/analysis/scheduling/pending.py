"""Pods without a node: why on each node, and the smallest change that would place them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import HIGH, INFO, LOW, MEDIUM, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.scheduling.board import MORE_KINDS, NAMESPACES, Read, read_board
from krm.analysis.scheduling.budgets import BUDGETS
from krm.analysis.scheduling.changes import Change
from krm.analysis.scheduling.judged import FITS, GATED, UNSCHEDULABLE, Judgement, NodeWhy, judge_all
from krm.analysis.scheduling.parsed import Pod
from krm.analysis.scheduling.said import EVENTS, Said, differences, events_of, said_of
from krm.analysis.scheduling.storage import claims_of
from krm.analysis.worth import worth_of
from krm.model.measures import Covers
from krm.model.reading import mapping, text
from krm.model.times import age, known

RULE = "pending-pod"
FRESH = 30.0  # seconds that a scheduler may take; what fits somewhere for longer is not looked at by one
SCHEDULER = "default-scheduler"
MOST_WHY = 20  # nodes a pod that are told where all pods are asked for


class Asked(NamedTuple):
    """Which pods."""

    namespace: Optional[str] = None  # None = all
    pod: str = ""  # '' = all


@dataclass(frozen=True)
class Pending:
    """One pod that waits for a node."""

    namespace: str
    pod: str
    waits: Optional[float]  # seconds since it was made
    state: str  # unschedulable; gated; fits: it fits on `fits_on` as things are now; ends: it is being deleted
    scheduler: str
    nodes: int
    message: str  # as kube-scheduler 1.36 says it; '' where it would say nothing
    counts: Dict[str, int]  # reason -> nodes
    why: Tuple[NodeWhy, ...]  # by node; of all pods, at most 20 each
    fits_on: Tuple[str, ...]
    victims: Tuple[str, ...]  # pods that the scheduler would evict for it, on `victims_on`
    victims_on: str
    changes: Tuple[Change, ...]  # each would place it; the smallest first
    said: str  # what the scheduler itself said last; '' = nothing is known
    said_at: Optional[float]  # Unix seconds
    differs: Optional[Tuple[str, ...]]  # ours against that; () = the same counts; None = nothing to compare

    @property
    def reasons(self) -> str:
        """`2 Insufficient cpu, 1 node(s) were unschedulable`: those of most nodes first."""
        ordered = sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return ", ".join(f"{number} {reason}" for reason, number in ordered)


@dataclass(frozen=True)
class PendingPods(Answer):
    """Those that wait, by namespace and name."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("POD", lambda row: row.pod),
        Column("WAITS", lambda row: age(row.waits)),
        Column("STATE", lambda row: row.state),
        Column("NODES", lambda row: str(row.nodes)),
        Column("WHY", lambda row: row.reasons or row.message or "-"),
        Column("SMALLEST CHANGE", lambda row: str(row.changes[0]) if row.changes else "-"),
        Column("WOULD SAY", lambda row: row.message or "-", wide=True),
        Column("SAID", lambda row: row.said or "-", wide=True),
    )
    NOTHING: ClassVar[str] = "no pod waits for a node"

    rows: Tuple[Pending, ...]


@dataclass(frozen=True)
class PendingPod(PendingPods):
    """The one that was asked for, node by node."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node),
        Column("FILTER", lambda row: row.filter or "-"),
        Column("WHY", lambda row: ", ".join(row.reasons)),
        Column("DETAILS", lambda row: "; ".join(row.details) or "-"),
    )
    NOTHING: ClassVar[str] = "no such pod waits for a node: it has one, has ended, or is not there"

    @property
    def table(self) -> Sequence[NodeWhy]:
        """A row a node and pod; one without nodes to judge has a row of its own."""
        return [why for row in self.rows for why in _nodes_of(row)]


def _nodes_of(row: Pending) -> List[NodeWhy]:
    fitting = [NodeWhy(name, "", ("fits",), ()) for name in row.fits_on]
    whole = [NodeWhy("-", "", (row.message or row.state,), ())]
    return sorted([*fitting, *row.why], key=lambda why: why.node) or whole


def needs(asked: Asked) -> Needs:  # noqa: ARG001 - a pod is judged against those of all namespaces
    """What it is made of."""
    return Needs(("pods", "nodes"), (*MORE_KINDS, BUDGETS, EVENTS))


def answer(inputs: Inputs, asked: Asked) -> PendingPods:
    """Raises NotKnown without pods or nodes."""
    read = read_board(inputs.state)
    pods = [
        pod
        for pod in read.waiting
        if asked.namespace in (None, pod.namespace) and (not asked.pod or pod.name == asked.pod)
    ]
    events = events_of(inputs.state.maybe(EVENTS))
    rows: List[Pending] = []
    findings: List[Finding] = []
    for pod, judged in judge_all(read.board, pods, inputs.state.maybe(BUDGETS)):
        row = _row(pod, judged, said_of(pod, events), read, inputs.now, all_nodes=bool(asked.pod))
        rows.append(row)
        findings.append(_finding(row, judged, inputs))
    worth = worth_of(inputs, needs(asked)._replace(more_kinds=_that_matter(pods, read)))
    worth = replace(worth, reasons=(*worth.reasons, *read.troubles))
    return (PendingPod if asked.pod else PendingPods)(worth, tuple(findings), tuple(rows))


def _that_matter(pods: Sequence[Pod], read: Read) -> Tuple[str, ...]:
    """Of the kinds that make an answer better: without claims those of storage do not, without pods none does."""
    if any(claims_of(pod, read.board.world) for pod in pods):
        return (*MORE_KINDS, BUDGETS, EVENTS)
    return (NAMESPACES, BUDGETS, EVENTS) if pods else ()


def _row(pod: Pod, judged: Judgement, said: Optional[Said], read: Read, now: float, all_nodes: bool) -> Pending:
    made = known(text(mapping(pod.body.get("metadata")).get("creationTimestamp")))
    nodes = len(read.board.nodes)
    return Pending(
        namespace=pod.namespace,
        pod=pod.name,
        waits=None if made is None else max(0.0, now - made),
        state=judged.state,
        scheduler=text(mapping(pod.body.get("spec")).get("schedulerName")) or SCHEDULER,
        nodes=nodes,
        message=judged.message,
        counts=dict(judged.counts),
        why=judged.why if all_nodes else judged.why[:MOST_WHY],
        fits_on=judged.fits_on,
        victims=judged.victims,
        victims_on=judged.victims_on,
        changes=judged.changes,
        said=said.message if said else "",
        said_at=said.at if said else None,
        differs=differences(judged.counts, nodes, said) if judged.state in (UNSCHEDULABLE, FITS) else None,
    )


def _finding(row: Pending, judged: Judgement, inputs: Inputs) -> Finding:
    doubts = [*judged.doubts, *_doubts(row, inputs)]
    numbers = [
        Evidence(reason, float(number), "count", "filters", covers=Covers(number, row.nodes, "nodes"))
        for reason, number in sorted(row.counts.items())
    ]
    if judged.looked_on:
        looked = Covers(judged.looked_on, len(judged.why), "nodes")
        what = "nodes that small changes were looked for on"
        numbers.append(Evidence(what, float(judged.looked_on), "count", "filters", covers=looked))
    waits = Evidence("waits since it was made", row.waits, "seconds", "metadata", at=inputs.now)
    return Finding(
        RULE,
        _severity(row),
        About("pod", row.namespace, row.pod),
        _sentence(row),
        (waits, *numbers),
        LOW if row.differs or row.scheduler != SCHEDULER else MEDIUM if doubts else HIGH,
        tuple(doubts),
        _would_change(row),
    )


def _severity(row: Pending) -> str:
    is_late = row.waits is None or row.waits > FRESH
    return WARNING if row.state == UNSCHEDULABLE or (row.state == FITS and is_late) else INFO


def _sentence(row: Pending) -> str:
    who = f"pod {row.namespace}/{row.pod} waits" + (f" {age(row.waits)}" if row.waits is not None else "")
    if row.state == GATED:
        return f"{who}: {row.message}"
    if row.state == FITS:
        return f"{who}, and fits on {_some(row.fits_on)} as things are now"
    if row.state != UNSCHEDULABLE:
        return f"{who}, and is being deleted"
    if row.victims:
        return f"{who}: {row.reasons}; the scheduler would evict {_some(row.victims)} on {row.victims_on} for it"
    change = f"; {row.changes[0]}" if row.changes else ""
    return f"{who}: {row.reasons or row.message}{change}"


def _would_change(row: Pending) -> str:
    if row.state == FITS:
        return f"{row.scheduler} places it at its next attempt, if it runs"
    if row.state == GATED:
        return "whoever set the gates takes them away"
    if row.changes:
        return "; or ".join(str(change) for change in row.changes)
    if row.state != UNSCHEDULABLE:
        return ""
    return "no change of the pod, and no new node, was found that places it: what the reasons name must be mended"


def _doubts(row: Pending, inputs: Inputs) -> List[str]:
    told = []
    if row.differs:
        ago = "" if row.said_at is None else f" {age(max(0.0, inputs.now - row.said_at))} ago"
        told.append(f"the scheduler said otherwise{ago}; now it is {', '.join(row.differs)}")
    if row.scheduler != SCHEDULER:
        told.append(f"{row.scheduler} places it, whose rules may be others than kube-scheduler's default ones")
    if row.state == UNSCHEDULABLE and inputs.state.maybe(NAMESPACES) is None:
        told.append("namespaces are not known: affinity that chooses them by label was judged as if none matched")
    return told


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
