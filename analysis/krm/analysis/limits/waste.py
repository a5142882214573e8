"""How much of what is requested is used, and what is wasted, at one level from containers to the cluster.

Of now, or as the mean of a window; where the history does not cover the window nothing is said, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, List, NamedTuple, Optional, Tuple

from krm.analysis.answer import Answer, Column
from krm.analysis.inputs import Inputs, Needs
from krm.analysis.limits import words
from krm.analysis.limits.efficiency import METRICS, Efficiency, Use, efficiency, used_now, used_over
from krm.analysis.limits.pods import holders
from krm.analysis.limits.points import STEP
from krm.analysis.owners import BETWEEN
from krm.analysis.worth import worth_of
from krm.model.measures import CONTAINER


class Asked(NamedTuple):
    """Which rows are wanted."""

    namespace: Optional[str]  # None = all
    by: str  # of krm.analysis.limits.efficiency.LEVELS
    window: float  # seconds; 0 = now


@dataclass(frozen=True)
class Waste(Answer):
    """An answer: in order of names."""

    COLUMNS: ClassVar[Tuple[Column, ...]] = (
        Column("NAMESPACE", lambda row: row.namespace or "-"),
        Column("NAME", lambda row: row.name or ("cluster" if row.level == "cluster" else row.namespace)),
        Column("CONTAINER", lambda row: row.container or "-", wide=True),
        Column("RESOURCE", lambda row: row.resource),
        Column("REQUESTED", lambda row: words.amount(row.resource, row.requested)),
        Column("USED", lambda row: words.amount(row.resource, row.used)),
        Column("USED%", lambda row: words.share(row.share)),
        Column("WASTED", lambda row: words.amount(row.resource, row.wasted)),
        Column("BESIDE", lambda row: words.amount(row.resource, row.beside), wide=True),
        Column("MEASURED", lambda row: f"{row.covers.known}/{row.covers.of}"),
    )
    NOTHING: ClassVar[str] = "there are no pods here"

    rows: Tuple[Efficiency, ...]


def needs(asked: Asked) -> Needs:
    """What it is made of."""
    return Needs(
        ("pods",),
        tuple(BETWEEN.values()),
        points=tuple((metric, CONTAINER) for metric in METRICS.values()) if asked.window else (),
        window=asked.window,
        newest=() if asked.window else (CONTAINER,),
        namespace=asked.namespace,
    )


def answer(inputs: Inputs, asked: Asked) -> Waste:
    """Raises NotKnown (pods)."""
    held = holders(inputs.state, asked.namespace)
    history = inputs.history
    reasons: List[str] = []
    use: Use = {}
    if not asked.window:
        use = used_now(inputs.newest)
    elif history.since is not None and history.since <= history.begin + STEP:
        use = used_over(history, held)
    else:
        since = "there is no history" if history.since is None else f"history since {words.moment(history.since)}"
        reasons.append(f"{since}: it does not cover the window")
    rows = tuple(row for row in efficiency(held, use) if row.level == asked.by)
    worth = worth_of(inputs, needs(asked))
    return Waste(replace(worth, reasons=(*worth.reasons, *reasons)), (), rows)
