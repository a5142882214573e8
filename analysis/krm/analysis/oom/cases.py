"""The case file of each OOM kill of the last day: whose memory ran out, the minute before, and what grew.

A row a kill, the newest first, also of pods that are gone. Kills of one container are a series; the findings
(told.py) are one a series, and one a node that ran out of memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.inputs import Body, Inputs, Needs
from krm.analysis.limits import words
from krm.analysis.oom import told
from krm.analysis.oom.advice import advice, largest_node
from krm.analysis.oom.case import Case, Series, series_of, whose
from krm.analysis.oom.cause import Limits, cause_of, limits_of
from krm.analysis.oom.growth import WORKING_SET, growth_of, neighbours_of
from krm.analysis.owners import BETWEEN, Owners
from krm.analysis.worth import worth_of
from krm.model.amounts import MEMORY
from krm.model.kills import Kill
from krm.model.measures import CONTAINER
from krm.model.reading import mapping, text

DAY = 86400.0
UNKNOWN = "<unknown>"


class Asked(NamedTuple):
    """Which kills are wanted."""

    namespace: Optional[str] = None  # None = all, and of no pod
    pod: str = ""
    node: str = ""


@dataclass(frozen=True)
class OomEvents(Answer):
    """An answer: the newest kill first."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("TIME", lambda row: words.moment(row.at)),
        Column("NAMESPACE", lambda row: row.namespace or "-"),
        Column("POD", lambda row: row.pod or "-"),
        Column("CONTAINER", lambda row: row.container or row.container_id[:12] or "-"),
        Column("CAUSE", lambda row: row.cause),
        Column("LIMIT", lambda row: "-" if row.limit is None else words.amount(MEMORY, row.limit)),
        Column("PATTERN", lambda row: row.pattern or "-"),
        Column("ENDED", lambda row: UNKNOWN if row.child is None else "child" if row.child else "container"),
        Column("KILL", lambda row: f"{row.number} of {row.of}"),
        Column("SURE", lambda row: row.sureness),
        Column("PROCESS", lambda row: row.process or UNKNOWN, wide=True),
        Column("PEAK", lambda row: words.amount(MEMORY, row.peak), wide=True),
        Column("ROSE", lambda row: words.amount(MEMORY, row.rose), wide=True),
        Column("NODE HAD", lambda row: words.amount(MEMORY, row.node_available), wide=True),
        Column("GREW BESIDE", lambda row: told.beside(row.neighbours) or "-", wide=True),
        Column("NODE", lambda row: row.node, wide=True),
        Column("WITNESSES", lambda row: ", ".join(row.witnesses) or "-", wide=True),
    )
    NOTHING: ClassVar[str] = "no OOM kills of the last day are known here"

    rows: Tuple[Case, ...]
    series: Tuple[Series, ...]  # the kills of one container each, the most of them first


def needs(asked: Asked) -> Needs:
    """What it is made of. Kills alone are enough: a pod that is gone is told of too."""
    return Needs(
        (),
        ("pods", "nodes", *BETWEEN.values()),
        points=((WORKING_SET, CONTAINER),),
        window=DAY,
        kills=True,
        namespace=asked.namespace,
        of_killed=True,
    )


def answer(inputs: Inputs, asked: Asked) -> OomEvents:
    """Every kill that is asked for, told as far as it is known."""
    kills = [one for one in inputs.kills.rows if _wanted(one, asked)]
    pods = inputs.state.maybe("pods")
    by_uid = {text(mapping(pod.get("metadata")).get("uid")): pod for pod in pods or () if isinstance(pod, dict)}
    owners, largest = Owners(inputs.state), largest_node(inputs.state)
    found: List[Case] = []
    for group in _groups(kills):
        before: Optional[float] = None
        for number, kill in enumerate(group, 1):
            pod = by_uid.get(kill.pod_uid) if kill.pod_uid else None
            place = _Place(
                number, len(group), before, None if pods is None or not kill.pod_uid else pod is not None
            )
            found.append(_case(kill, place, pod, owners, inputs, largest))
            before = kill.at
    found.sort(key=lambda one: (-one.at, one.id))
    series = series_of(found)
    findings = told.findings(found, inputs.now, inputs.kills.state)
    return OomEvents(worth_of(inputs, needs(asked)), findings, tuple(found), series)


class _Place(NamedTuple):
    """Where a kill stands among those of its container."""

    number: int
    of: int
    before: Optional[float]  # Unix seconds of the one before
    there: Optional[bool]  # its pod is in the snapshot; None = not known


def _wanted(kill: Kill, asked: Asked) -> bool:
    return (
        asked.namespace in (None, kill.namespace) and asked.pod in ("", kill.pod) and asked.node in ("", kill.node)
    )


def _groups(kills: Sequence[Kill]) -> List[List[Kill]]:
    """Of one container each, the oldest first."""
    found: Dict[Tuple[str, ...], List[Kill]] = {}
    for kill in sorted(kills, key=lambda one: (one.at, one.id)):
        found.setdefault(whose(kill), []).append(kill)
    return list(found.values())


def _case(
    kill: Kill, place: _Place, pod: Optional[Body], owners: Owners, inputs: Inputs, largest: Optional[float]
) -> Case:
    limits = limits_of(pod, kill.container) if pod is not None else Limits(False)
    cause = cause_of(kill, limits)
    growth = growth_of(kill, place.before, inputs.history)
    beside, covers = neighbours_of(kill, inputs.history)
    sentence, limit = advice(cause, growth, limits, largest)
    waits = [one.waiting for one in kill.before if one.waiting is not None]
    left = [one.node_available for one in kill.before if one.node_available is not None]
    node_waits = [one.node_waiting for one in kill.before if one.node_waiting is not None]
    doubts = [*cause.doubts]
    if growth.why_not:
        doubts.append(growth.why_not)
    if covers is None:
        doubts.append("what its neighbours used in that minute is not known")
    elif not covers.whole:
        doubts.append(f"that minute is known of {covers}")
    return Case(
        id=kill.id,
        at=kill.at,
        after=kill.after,
        node=kill.node,
        namespace=kill.namespace,
        pod=kill.pod,
        pod_uid=kill.pod_uid,
        container=kill.container,
        container_id=kill.container_id,
        owner=str(owners.of(pod)) if pod is not None else "",
        there=place.there,
        process=kill.process,
        pid=kill.pid,
        rss=kill.rss,
        cause=cause.cause,
        limit=cause.limit,
        limited=kill.limited,
        limit_now=limits.container,
        child=None if kill.container_ended is None else not kill.container_ended,
        pattern=growth.pattern,
        leak=growth.leak,
        peak=growth.peak,
        rose=growth.rose,
        waiting=max(waits, default=None),
        node_waiting=max(node_waits, default=None),
        node_available=min(left, default=None),
        neighbours=tuple(beside),
        neighbours_covered=covers,
        before=kill.before,
        number=place.number,
        of=place.of,
        witnesses=kill.witnesses,
        sureness=cause.sureness,
        doubts=tuple(doubts),
        would_change=sentence,
        limit_advised=limit,
    )
