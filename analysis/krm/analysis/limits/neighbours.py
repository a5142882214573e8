"""Noisy neighbours: who took what from whom on which node, with pressure and throttling as evidence.

A victim (harms.py) waits, is evicted or is killed though it uses no more than it asked for, and its own limit is
not the reason. A suspect (suspects.py) used more than it asked for at that time. Sure is only what more than one
thing says: the node was full, and the suspect's use and the victim's waiting went together. Where no pressure is
measured nobody knows who waits, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import SEVERITIES, SURENESS
from krm.analysis.inputs import Body, Inputs, Needs
from krm.analysis.limits import harms, words
from krm.analysis.limits.accused import finding_of
from krm.analysis.limits.checks import THROTTLED, USED
from krm.analysis.limits.harms import WAITING, Harm
from krm.analysis.limits.judged import pressed_nodes
from krm.analysis.limits.pods import Holder, holders, in_units
from krm.analysis.limits.points import Points
from krm.analysis.limits.suspects import NodeState, Suspect, node_state, suspects
from krm.analysis.owners import BETWEEN
from krm.analysis.worth import worth_of
from krm.model.amounts import CPU, MEMORY, Troubles, read
from krm.model.measures import CONTAINER, NODE
from krm.model.reading import mapping, text

_METRICS = (USED[CPU], USED[MEMORY], *WAITING.values())
_NAMED = 5  # nodes in a sentence


class Asked(NamedTuple):
    """Whose harm is looked for: neighbours are of any namespace."""

    namespace: Optional[str]  # None = all
    node: str  # '' = all
    window: float  # seconds


@dataclass(frozen=True)
class Neighbour:
    """One suspect of one harm, which may have none. CPU in millicores, memory in bytes."""

    node: str
    resource: str  # cpu, memory
    harm: str  # waits, evicted, killed
    namespace: str  # of the victim
    pod: str
    container: str  # '' = the pod
    waited: Optional[float]  # share of time, mean of the points at which it did; None of an event
    share: Optional[float]  # of the points of the window, those at which it did
    longest: Optional[float]  # seconds of the longest run of such points
    used: Optional[float]  # by the victim then
    requested: Optional[float]
    at: float  # Unix seconds: of the event, else of the last such point
    by_namespace: str  # of the suspect; '' = there is none
    by_pod: str
    by_container: str
    took: Optional[float]  # by the suspect, above its request, mean of the same points
    growth: Optional[float]  # of its use, against points without harm
    coincides: Optional[float]  # correlation of its use with the victim's waiting, -1..1
    sureness: str


@dataclass(frozen=True)
class Neighbours(Answer):
    """An answer: who was harmed worst first, and of each who took most first."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node),
        Column("RESOURCE", lambda row: row.resource),
        Column("VICTIM", lambda row: "/".join(part for part in (row.namespace, row.pod, row.container) if part)),
        Column("HARM", lambda row: row.harm if row.waited is None else f"{row.harm} {words.share(row.waited)}"),
        Column("OF WINDOW", lambda row: "-" if row.share is None else words.share(row.share)),
        Column("SUSPECT", lambda row: "/".join(
            part for part in (row.by_namespace, row.by_pod, row.by_container) if part) or "-"),
        Column("TOOK", lambda row: "-" if row.took is None else words.amount(row.resource, row.took)),
        Column("SURENESS", lambda row: row.sureness),
        Column("USED", lambda row: words.amount(row.resource, row.used), wide=True),
        Column("REQUESTED", lambda row: words.amount(row.resource, row.requested), wide=True),
        Column("GROWTH", lambda row: words.amount(row.resource, row.growth), wide=True),
        Column("COINCIDES", lambda row: "-" if row.coincides is None else f"{row.coincides:.2f}", wide=True),
        Column("LONGEST", lambda row: "-" if row.longest is None else words.span(row.longest), wide=True),
    )  # fmt: skip
    NOTHING: ClassVar[str] = "nobody that is measured was harmed by a neighbour"

    rows: Tuple[Neighbour, ...]


def needs(asked: Asked) -> Needs:
    """What it is made of: of all namespaces, for neighbours are of any."""
    points = [(metric, level) for metric in _METRICS for level in (CONTAINER, NODE)]
    points.append((THROTTLED, CONTAINER))
    return Needs(("pods",), ("nodes", *BETWEEN.values()), points=tuple(points), window=asked.window, kills=True)


def answer(inputs: Inputs, asked: Asked) -> Neighbours:
    """Raises NotKnown (pods)."""
    held = holders(inputs.state, None)
    points = Points(inputs.history, {(one.namespace, one.name): one.uid for one in held})
    by_node: Dict[str, List[Holder]] = {}
    for one in held:
        if one.node:
            by_node.setdefault(one.node, []).append(one)
    allocatable = _allocatable(inputs.state.maybe("nodes") or ())
    pressed = pressed_nodes(inputs.state.maybe("nodes") or ())
    judged: List[Tuple[Harm, NodeState, List[Suspect]]] = []
    for harm in _harms(inputs, asked, held, points):
        room = allocatable.get((harm.node, harm.resource))
        state = node_state(harm, points, room, harm.node in pressed)
        judged.append((harm, state, suspects(harm, by_node.get(harm.node, ()), points, state, room)))
    covered = points.covered(None)
    findings = [finding_of(harm, state, found, points, covered) for harm, state, found in judged]
    pairs = sorted(zip(findings, judged), key=lambda pair: (-SEVERITIES.index(pair[0].severity), pair[0].id))
    worth = worth_of(inputs, needs(asked))
    lacking = _lacking(by_node, asked.node, points)
    return Neighbours(
        replace(worth, reasons=(*worth.reasons, *lacking)),
        tuple(finding for finding, _ in pairs),
        tuple(row for finding, (harm, _, found) in pairs for row in _rows(harm, found, finding.sureness, covered)),
    )


def _harms(inputs: Inputs, asked: Asked, held: Sequence[Holder], points: Points) -> List[Harm]:
    """One of each victim, resource and kind: of several events the last."""
    found: List[Harm] = [harm for one in held if one.node for harm in harms.waiting(one, points)]
    bodies = [pod for pod in inputs.state.objects("pods") if isinstance(pod, dict)]
    events = [
        *harms.evictions(bodies, points),
        *harms.kills(inputs.kills.rows, {(one.namespace, one.name): one for one in held}, points),
    ]
    found += [harm for harm in events if harms.within_its_request(harm)]
    last: Dict[Tuple[str, ...], Harm] = {}
    for harm in sorted(found, key=lambda one: (one.moment or 0.0, one.node, one.used or 0.0)):
        last[harm.namespace, harm.pod, harm.container, harm.resource, harm.kind] = harm
    return [
        harm
        for harm in last.values()
        if asked.namespace in (None, harm.namespace) and asked.node in ("", harm.node)
    ]


def _allocatable(nodes: Iterable[Body]) -> Dict[Tuple[str, str], float]:
    found: Dict[Tuple[str, str], float] = {}
    for node in nodes:
        name = text(mapping(node.get("metadata")).get("name"))
        amounts = read(mapping(node.get("status")).get("allocatable"), Troubles(f"node {name}"), "allocatable")
        for resource in (CPU, MEMORY):
            amount = in_units(amounts, resource)
            if amount:
                found[name, resource] = amount
    return found


def _lacking(by_node: Dict[str, List[Holder]], only: str, points: Points) -> List[str]:
    """Nodes on which no container's pressure is measured."""
    looked_at = {name: held for name, held in by_node.items() if only in ("", name)}
    reasons = [f"node {only}: no pod runs there, or there is no such node"] if only and not looked_at else []
    for resource, metric in WAITING.items():
        without = sorted(
            name
            for name, held in looked_at.items()
            if not any(
                points.line(metric, (pod.namespace, pod.name, one.name)) for pod in held for one in pod.lasting()
            )
        )
        if without:
            names = ", ".join(without[:_NAMED]) + (
                f" and {len(without) - _NAMED} more" if len(without) > _NAMED else ""
            )
            reasons.append(
                f"nodes without pressure (PSI) of {resource}, on which nobody knows who waits: {names}. It takes "
                "cgroups v2, a kernel with PSI, and a kubelet 1.34+ or krm's agent"
            )
    if looked_at and not points.covered(None):
        since = "there is no history" if points.since is None else f"history since {words.moment(points.since)}"
        reasons.append(f"{since}: it does not cover the window")
    return reasons


def _rows(harm: Harm, found: Sequence[Suspect], sureness: str, covered: bool) -> List[Neighbour]:
    waits = bool(harm.waiting)
    waited = [harm.waiting[at] for at in harm.at] if waits else []
    shown: Sequence[Optional[Suspect]] = found or (None,)
    return [
        Neighbour(
            harm.node, harm.resource, harm.kind, harm.namespace, harm.pod, harm.container,
            sum(sorted(waited)) / len(waited) if waited else None,
            len(harm.at) / len(harm.waiting) if waits and covered else None,
            harm.longest if waits and covered else None,
            harm.used, harm.requested,
            harm.moment if harm.moment is not None else max(harm.at),
            *(one.place if one is not None else ("", "", "")),
            None if one is None else one.took,
            None if one is None else one.growth,
            None if one is None else one.coincides,
            sureness if one is None else min(sureness, one.sureness, key=SURENESS.index),
        )
        for one in shown
    ]  # fmt: skip
