"""Which containers came near their limits, or above their requests, within a window; and what a resize waits for.

Beside the rows: resizes that are not done (resizes.py), and whom nothing limits (missing.py), as findings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.finding import INFO, SEVERITIES, Finding
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.limits import missing, resizes, words
from krm.analysis.limits.breach import Breach, breach_of, told_once
from krm.analysis.limits.checks import THEN, THROTTLED, USED, Check, Now, checks
from krm.analysis.limits.judged import Setting, finding_of, id_of, pressed_nodes
from krm.analysis.limits.pods import Holder, holders
from krm.analysis.limits.points import Points
from krm.analysis.owners import BETWEEN
from krm.analysis.worth import worth_of
from krm.model.amounts import CPU, MEMORY
from krm.model.measures import CONTAINER, POD

_POINTS = tuple(
    (metric, CONTAINER) for metric in (USED[CPU], USED[MEMORY], THROTTLED, *(metric for metric, _ in THEN.values()))
)


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: Optional[str]  # None = all
    threshold: float  # share of the limit, 0.9
    window: float  # seconds


@dataclass(frozen=True)
class Breaches(Answer):
    """An answer: the worst first."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace),
        Column("POD", lambda row: row.pod),
        Column("CONTAINER", lambda row: row.container or "-"),
        Column("RESOURCE", lambda row: row.resource),
        Column("STATE", lambda row: f"{row.state} {row.against}"),
        Column("NOW", lambda row: words.amount(row.resource, row.now)),
        Column("ALLOWED", lambda row: words.amount(row.resource, row.allowed)),
        Column("OF WINDOW", lambda row: words.share(row.share)),
        Column("THROTTLED", lambda row: "-" if row.resource != CPU else words.share(row.throttled)),
        Column("LEFT", lambda row: "-" if row.against != "limit" else words.amount(row.resource, row.left)),
        Column("PEAK", lambda row: words.amount(row.resource, row.peak), wide=True),
        Column("LONGEST", lambda row: words.span(row.longest), wide=True),
        Column(
            "POINTS", lambda row: "-" if row.points is None else f"{row.points.known}/{row.points.of}", wide=True
        ),
        Column("NODE", lambda row: row.node or "-", wide=True),
        Column("OWNER", lambda row: row.owner, wide=True),
    )
    NOTHING: ClassVar[str] = "no container came near a limit, or above a request"

    rows: Tuple[Breach, ...]


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    return Needs(
        ("pods",),
        ("nodes", "limitranges", *BETWEEN.values()),
        points=_POINTS,
        window=asked.window,
        newest=(CONTAINER, POD),
        namespace=asked.namespace,
    )


def answer(inputs: Inputs, asked: Asked) -> Breaches:
    """Raises NotKnown (pods)."""
    held = holders(inputs.state, asked.namespace)
    points = Points(inputs.history, {(one.namespace, one.name): one.uid for one in held})
    now = Now(inputs)
    found: List[Tuple[Breach, Check]] = []
    unmeasured = looked_at = 0
    unjudged: Set[str] = set()
    for holder in held:
        of_pod: List[Tuple[Breach, Check]] = []
        for check in checks(holder, points, now):
            looked_at += 1
            if check.now is None:
                unjudged.add(id_of(check))
            breach = breach_of(check, points, asked.threshold)
            if breach is not None:
                of_pod.append((breach, check))
            elif check.now is None and not (check.line and points.covered(holder.started)):
                unmeasured += 1
        kept = told_once([one for one, _ in of_pod])
        found += [pair for pair in of_pod if pair[0] in kept]
    setting = _setting(inputs, asked)
    judged = sorted(
        ((finding_of(breach, check, setting), breach) for breach, check in found), key=lambda pair: _order(pair[0])
    )
    more = sorted((*resizes.findings(held), *_worst(missing.findings(held, inputs.state))), key=_order)
    worth = worth_of(inputs, needs(asked))
    reasons = _lacking(held, unmeasured, looked_at)
    return Breaches(
        replace(worth, reasons=(*worth.reasons, *reasons), unjudged=frozenset(unjudged)),
        (*(finding for finding, _ in judged), *more),
        tuple(breach for _, breach in judged),
    )


def _setting(inputs: Inputs, asked: Asked) -> Setting:
    nodes = inputs.state.maybe("nodes")
    return Setting(
        inputs.now,
        asked.window,
        asked.threshold,
        inputs.newest.state,
        inputs.state.trust["pods"].state,
        pressed_nodes(nodes or ()),
        nodes is not None,
    )


def _worst(found: Sequence[Finding]) -> List[Finding]:
    """Who has no CPU limit alone is left out here: that is many a team's choice."""
    return [one for one in found if one.severity != INFO]


def _order(one: Finding) -> Tuple[int, str]:
    return (-SEVERITIES.index(one.severity), one.id)


def _lacking(held: Sequence[Holder], unmeasured: int, looked_at: int) -> List[str]:
    reasons = [sentence for one in held for sentence in one.resources.troubles]
    if unmeasured:
        reasons.append(
            f"{unmeasured} of {looked_at} limits and requests cannot be judged: nothing is measured there"
        )
    return reasons
