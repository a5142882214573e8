"""Requests and limits for each workload and container, tested on the past before they are given. Pure.

The history may be asked for one namespace after another: `answer` takes what is known of a cluster beside it
(`known_of`), and `joined` makes one answer of several.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import Finding
from krm.analysis.inputs import Inputs, Needs, State
from krm.analysis.owners import BETWEEN
from krm.analysis.scheduling.board import CLAIMS, NAMESPACES
from krm.analysis.sizing import advised
from krm.analysis.sizing.feasible import Room
from krm.analysis.sizing.findings import findings_of
from krm.analysis.sizing.past import CPU, MEMORY, WEEK, Place, Used, used
from krm.analysis.sizing.rows import Recommendation, advice_word, amount, feasible_word, saved
from krm.analysis.sizing.strategies import STRATEGIES
from krm.analysis.sizing.workloads import HPAS, KINDS, Key, Workloads
from krm.analysis.worth import Worth, worth_of
from krm.model.measures import CONTAINER
from krm.model.selectors import LabelSelector, parse_labels
from krm.model.trust import STATES

WINDOW = 24 * 3600.0  # seconds of points
_POINTS = ((CPU, CONTAINER), (MEMORY, CONTAINER))


class Asked(NamedTuple):
    """What is wanted."""

    namespace: Optional[str]  # None = all
    target: str = "balanced"  # of own.TARGETS; of strategy krm
    strategy: str = STRATEGIES[0]
    selector: str = ""  # of the workloads' labels; of pods' where the workload is not known

    @property
    def labels(self) -> LabelSelector:
        """Raises BadSelector."""
        return parse_labels(self.selector)


@dataclass(frozen=True)
class Recommendations(Answer):
    """A row a container of a workload."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("WORKLOAD", lambda row: f"{row.kind.partition('.')[0]}/{row.name}"),
        Column("CONTAINER", lambda row: row.container),
        Column("CPU", lambda row: amount(row, "cpu_request")),
        Column("CPU LIMIT", lambda row: amount(row, "cpu_limit")),
        Column("MEMORY", lambda row: amount(row, "memory_request")),
        Column("MEMORY LIMIT", lambda row: amount(row, "memory_limit")),
        Column("SAVES/DAY", saved),
        Column("KILLS", lambda row: f"{row.backtest.kills_now} -> {row.backtest.kills}" if row.backtest else "-"),
        Column("FITS", feasible_word),
        Column("SURE", lambda row: "-" if row.waits_for else row.sureness),
        Column("ADVICE", advice_word),
        Column("PODS", lambda row: str(row.pods), True),
        Column("HELD OUT", lambda row: _held_out(row), True),
        Column("WHY", lambda row: "-" if row.waits_for else f"cpu: {row.cpu_why}; memory: {row.memory_why}", True),
    )
    NOTHING: ClassVar[str] = "there is no workload here, and none of the last day"

    strategy: str
    target: str
    rows: Tuple[Recommendation, ...]


def _held_out(row: Recommendation) -> str:
    tested = row.backtest
    return f"{tested.held_out_kills} of {tested.held_out_hours} h" if tested and tested.held_out_hours else "-"


def needs(asked: Asked) -> Needs:
    """Of all namespaces the objects: nodes hold pods of all. Of one the measurements, where one is asked for."""
    return Needs(
        ("pods",),
        (
            "nodes", *KINDS.values(), *(kind for kind in BETWEEN.values() if kind not in KINDS.values()),
            HPAS, "limitranges", "resourcequotas", NAMESPACES, CLAIMS,
        ),
        points=_POINTS,
        window=WINDOW,
        hours=_POINTS,
        hours_back=WEEK,
        hours_skip=WINDOW,
        kills=True,
        measured=asked.namespace,
    )  # fmt: skip


class Known(NamedTuple):
    """What is made of a state once, however many namespaces are answered from it."""

    workloads: Workloads
    room: Room


def known_of(state: State) -> Known:
    """Raises NotKnown."""
    return Known(Workloads(state), Room(state))


def answer(inputs: Inputs, asked: Asked, known: Optional[Known] = None) -> Recommendations:
    """Of asked.namespace. Raises NotKnown, BadSelector."""
    known = known or known_of(inputs.state)
    selector = asked.labels
    groups = _groups(inputs, asked.namespace, known.workloads)
    rows = []
    for key in sorted(groups):
        if selector.matches(_labels(known.workloads, key)):
            subject = advised.Subject(key, groups[key], known.workloads, inputs.history.begin)
            rows += advised.rows(subject, known.room, asked.strategy, asked.target)
    # Without the kills of agents advice is weaker, and no less current.
    worth = worth_of(inputs, needs(asked)._replace(kills=False), by_history=bool(rows))
    worth = replace(worth, reasons=worth.reasons + inputs.kills.reasons)
    return Recommendations(worth, findings_of(rows), asked.strategy, asked.target, tuple(rows))


def joined(answers: Sequence[Recommendations], asked: Asked) -> Recommendations:
    """Of several namespaces. answers: at least one."""
    worths = [one.worth for one in answers]
    rows = sorted((row for one in answers for row in one.rows), key=lambda row: row.place)
    findings: List[Finding] = [finding for one in answers for finding in one.findings]
    return Recommendations(_worst(worths), tuple(findings), asked.strategy, asked.target, tuple(rows))


def _worst(worths: Sequence[Worth]) -> Worth:
    measured = [one.measured_at for one in worths if one.measured_at is not None]
    since = [one.history_since for one in worths if one.history_since is not None]
    return Worth(
        min((one.state for one in worths), key=STATES.index),
        tuple(dict.fromkeys(reason for one in worths for reason in one.reasons)),
        worths[0].as_of,
        worths[0].verified_at,
        max(measured, default=None),
        min(since, default=None),
        worths[0].now,
    )


def _groups(inputs: Inputs, namespace: Optional[str], workloads: Workloads) -> Dict[Key, Dict[str, List[Used]]]:
    """Workload -> container -> what its pods used. Workloads that run, and those of which there is a past."""
    found: Dict[Key, Dict[str, List[Used]]] = {}
    for key in workloads.wanted(namespace):
        found[key] = {name: [] for name in workloads.containers(key)}
    for place, one in used(inputs.history, inputs.kills, inputs.now).items():
        if namespace in (None, place[0]):
            _sort_in(found, workloads, place, one)
    return {key: by_name for key, by_name in found.items() if by_name}


def _sort_in(found: Dict[Key, Dict[str, List[Used]]], workloads: Workloads, place: Place, one: Used) -> None:
    """A container that the workload does not have any more is left out."""
    owner = workloads.owner(place[0], place[1])
    by_name = found.get((place[0], owner)) if owner else None
    if by_name is not None and place[3] in by_name:
        by_name[place[3]].append(one)


def _labels(workloads: Workloads, key: Key) -> Dict[str, str]:
    return dict(workloads.labels(key))


def namespaces_of(known: Known) -> Sequence[str]:
    """Of all workloads, by name."""
    return sorted({namespace for namespace, _ in known.workloads.wanted(None)})
