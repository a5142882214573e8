"""What an answer is worth: the worst of all that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import FrozenSet, Iterable, List, Optional, Tuple

from krm.analysis.inputs import Inputs, Needs
from krm.model.trust import ABSENT, LIVE, STATES


@dataclass(frozen=True)
class Worth:
    """How fresh and how verified. Times are Unix seconds by Redis' clock; None = unknown."""

    state: str  # of krm.model.trust: the worst of what it rests on; of measurements live, stale or absent
    reasons: Tuple[str, ...]  # why it is not live, and what it lacks, a sentence each
    as_of: Optional[float]  # the objects: nothing older than this is missing
    verified_at: Optional[float]  # when the list that last confirmed the least recently verified kind was sent for
    measured_at: Optional[float]  # the newest measurement in it; None = there is none in it
    history_since: Optional[float]  # since when there is history; None = there is none, or none was asked for
    now: float
    # Ids of findings (or what they begin with, up to a /) that nobody can tell of now, for what they rest on is not
    # measured: they are not there, and that does not mean that they are over.
    unjudged: FrozenSet[str] = frozenset()


def worth_of(inputs: Inputs, needs: Needs, by_history: bool = False) -> Worth:
    """Of an answer that was made of all that is needed. by_history: it is nothing where no points could be read."""
    trusts = [trust for kind, trust in inputs.state.trust.items() if kind in needs.kinds + needs.more_kinds]
    states = [(f"{kind}: ", trust.state, trust.reasons) for kind, trust in inputs.state.trust.items()]
    if needs.newest:
        states.append(("", inputs.newest.state, inputs.newest.reasons))
    if needs.kills:
        states.append(("", inputs.kills.state, inputs.kills.reasons))
    if by_history and needs.points and inputs.history.lacks and not inputs.history.is_read(needs.points):
        states.append(("", ABSENT, ()))
    reasons: List[str] = []
    for what, _, told in states:
        reasons += [what + reason for reason in told if what + reason not in reasons]
    needed = needs.kinds + needs.more_kinds
    # Of an object that is left out `what` is its kind and its key.
    reasons += [f"{what}: {why}" for what, why in inputs.state.lacks.items() if what.split(" ")[0] in needed]
    if needs.points or needs.hours or needs.sums:
        reasons += inputs.history.lacks
    measured = [inputs.history.newest] if needs.points else []
    measured += [reading.at for rows in inputs.newest.readings.values() for reading in rows]
    return Worth(
        state=min((state for _, state, _ in states), key=STATES.index, default=LIVE),
        reasons=tuple(reasons),
        as_of=_oldest(trust.current_as_of for trust in trusts),
        verified_at=_oldest(trust.verified_at for trust in trusts),
        measured_at=max((at for at in measured if at is not None), default=None),
        history_since=inputs.history.since if needs.points or needs.hours or needs.sums else None,
        now=inputs.now,
    )


def _oldest(times: Iterable[Optional[float]]) -> Optional[float]:
    """None where one of them is not known."""
    found = list(times)
    known = [at for at in found if at is not None]
    return min(known) if known and len(known) == len(found) else None
