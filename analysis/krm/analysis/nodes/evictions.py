"""Evictions to come: each threshold of each node, when it is reached, and whom the kubelet evicts first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import CRITICAL, INFO, WARNING, About, Evidence, Finding
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.nodes.predicting import MET, NEARING, Eviction, evictions_of
from krm.analysis.nodes.signals import POINTS
from krm.analysis.nodes.standing import pod_readings, standings
from krm.analysis.nodes.storage_limits import storage_findings
from krm.analysis.nodes.texts import UNKNOWN, amount, span
from krm.analysis.worth import worth_of
from krm.model.measures import NODE, POD

WINDOW = 3600.0  # seconds of the past that trends are made of
# Seconds to an eviction: below the first it is critical, below the second a warning.
SOON, LATER = 900.0, 6 * 3600.0


class Asked(NamedTuple):
    """Which rows are wanted."""

    window: float = WINDOW
    node: Optional[str] = None  # None = all


def _first(row: Eviction) -> str:
    return UNKNOWN if row.first is None else f"{row.first.namespace}/{row.first.pod}"


def _next(row: Eviction) -> str:
    names = [f"{one.namespace}/{one.pod}" for one in row.victims if one.place is not None][1:4]
    return ", ".join(names) or UNKNOWN


def _latest(row: Eviction) -> str:
    if row.latest is None or row.at is None or row.left is None:
        return UNKNOWN
    return span(row.latest - row.at + row.left)


def _limit(row: Eviction) -> str:
    grace = f" for {span(row.grace)}" if row.grace else ""
    return f"{amount(row.threshold, row.unit)}{grace}"


@dataclass(frozen=True)
class Evictions(Answer):
    """An answer: a row a threshold, the nearest first."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NODE", lambda row: row.node),
        Column("SIGNAL", lambda row: row.signal),
        Column("AVAILABLE", lambda row: amount(row.available, row.unit)),
        Column("THRESHOLD", _limit),
        Column("STATE", lambda row: row.state),
        Column("IN", lambda row: span(row.left)),
        Column("SOONEST", lambda row: span(row.soonest)),
        Column("FIRST", _first),
        Column("SURE", lambda row: row.sureness),
        Column("SET-BY", lambda row: "kubelet" if row.own else "default", wide=True),
        Column("NEXT", _next, wide=True),
        Column(
            "LATEST", lambda row: span(None if row.latest is None else row.latest - row.at + row.left), wide=True
        ),
    )
    NOTHING: ClassVar[str] = "there is no such node"

    rows: Tuple[Eviction, ...]


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    return Needs(("nodes", "pods"), points=POINTS, window=asked.window, newest=(NODE, POD), kubelets=True)


def answer(inputs: Inputs, asked: Asked) -> Evictions:
    """Pure. Raises NotKnown."""
    readings = pod_readings(inputs)
    found: List[Eviction] = []
    nodes = [node for node in standings(inputs) if asked.node in (None, node.name)]
    for node in nodes:
        found += evictions_of(node, inputs, readings)
    found.sort(key=lambda row: (row.left is None, row.left or 0.0, row.node))
    findings = (*findings_of(found, inputs.now), *storage_findings(nodes, inputs, readings))
    return Evictions(worth_of(inputs, needs(asked)), findings, tuple(found))


def findings_of(evictions: Sequence[Eviction], now: float) -> Tuple[Finding, ...]:
    """One a threshold that is met or will be, the nearest first."""
    near = [one for one in evictions if one.state in (MET, NEARING) and one.at is not None]
    return tuple(_finding(one, now) for one in sorted(near, key=lambda one: (one.at or 0.0, one.node, one.signal)))


def id_of(one: Eviction) -> str:
    """Of the finding that there is, or would be, of it: as Finding.id."""
    return "/".join(("node-eviction", "node", "", one.node, "", _part(one)))


def _part(one: Eviction) -> str:
    return one.signal if not one.grace else f"{one.signal} soft"


def _finding(one: Eviction, now: float) -> Finding:
    left = (one.at or now) - now
    have, limit = amount(one.available, one.unit), amount(one.threshold, one.unit)
    if one.state == MET:
        when = f" for {span(one.grace)}" if one.grace else ""
        sentence = f"node {one.node} evicts: {one.signal} is {have}, below {limit}{when}"
    else:
        until = f"{span((one.earliest or now) - now)} to {span((one.latest or now) - now)}"
        sentence = (
            f"node {one.node} will evict in {span(left)} ({until}): {one.signal} is {have} and falls to {limit}"
        )
    if one.first is not None:
        sentence += f"; {one.first.namespace}/{one.first.pod} goes first"
    evidence = [
        Evidence("available", one.available, one.unit, one.source, one.measured_at, covers=one.covers),
        Evidence("threshold", one.threshold, one.unit, "configz" if one.own else "documented default"),
        Evidence("change a second", one.per_second, one.unit, "history", one.measured_at, covers=one.covers),
        Evidence("earliest", one.earliest, "seconds", "trend"),
        Evidence("latest", one.latest, "seconds", "trend"),
    ]
    if one.first is not None:
        evidence.append(Evidence("used by the first", one.first.used, one.unit, "pod", one.measured_at))
        evidence.append(Evidence("requested by the first", one.first.request, one.unit, "spec"))
    return Finding(
        "node-eviction",
        CRITICAL if one.state == MET or left <= SOON else WARNING if left <= LATER else INFO,
        About("node", name=one.node, part=_part(one)),
        sentence,
        tuple(evidence),
        one.sureness,
        one.doubts,
        one.would_change,
    )
