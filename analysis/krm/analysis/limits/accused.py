"""A harm by neighbours as a finding: in a sentence, with its numbers, and how sure. Pure."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from krm.analysis.finding import CRITICAL, HIGH, INFO, LOW, MEDIUM, SURENESS, WARNING, About, Evidence, Finding
from krm.analysis.limits import words
from krm.analysis.limits.checks import UNITS
from krm.analysis.limits.harms import EVICTED, KILLED, WAITS, Harm
from krm.analysis.limits.judged import HALF, MOST_MISSING
from krm.analysis.limits.points import Points
from krm.analysis.limits.suspects import NodeState, Suspect

RULE = "noisy-neighbour"
_WORDS = {EVICTED: "was evicted", KILLED: "was killed, no limit being hit,"}


def finding_of(harm: Harm, state: NodeState, found: Sequence[Suspect], points: Points, covered: bool) -> Finding:
    """covered: the history covers the window."""
    sureness, doubts = _doubts(harm, state, found, points, covered)
    return Finding(
        rule=RULE,
        severity=_severity(harm, found),
        about=About("pod", harm.namespace, harm.pod, harm.container, f"{harm.resource} {harm.kind}"),
        sentence=_sentence(harm, found),
        evidence=_evidence(harm, state, found, points),
        sureness=sureness,
        doubts=doubts,
        would_change=_would(harm, found),
    )


def _severity(harm: Harm, found: Sequence[Suspect]) -> str:
    if harm.kind != WAITS:
        return CRITICAL
    return WARNING if found else INFO


def _sentence(harm: Harm, found: Sequence[Suspect]) -> str:
    who = f"{harm.namespace}/{harm.pod}" + (f" container {harm.container}" if harm.container else "")
    if harm.kind == WAITS:
        waited = sum(sorted(harm.waiting[at] for at in harm.at)) / len(harm.at)
        said = f"{who} waited for {harm.resource} {words.share(waited)} of {words.span(15.0 * len(harm.at))}"
    else:
        said = f"{who} {_WORDS[harm.kind]} at {words.moment(harm.moment or 0.0)} for want of memory"
    if harm.used is not None and harm.requested is not None:
        used, requested = (words.amount(harm.resource, value) for value in (harm.used, harm.requested))
        said += f" while it used {used} of the {requested} that it requests"
    said += f" on node {harm.node}"
    if not found:
        return said + ": nobody there is known to have used more than it asked for"
    by = [
        f"{one.place[0]}/{one.place[1]} container {one.place[2]} used {words.amount(harm.resource, one.took)} "
        "more than it requests"
        for one in found
    ]
    return f"{said}: {'; '.join(by)}"


def _evidence(harm: Harm, state: NodeState, found: Sequence[Suspect], points: Points) -> Tuple[Evidence, ...]:
    unit, window = UNITS[harm.resource], points.end - points.begin
    at = harm.moment if harm.moment is not None else max(harm.at)

    def number(what: str, value: Optional[float], of: str) -> Evidence:
        return Evidence(what, value, of, "history", at, window, harm.points)

    rows: List[Evidence] = []
    if harm.kind == WAITS:
        waited = sum(sorted(harm.waiting[when] for when in harm.at)) / len(harm.at)
        rows.append(number(f"share of time waiting for {harm.resource}", waited, "share"))
        rows.append(number("points of waiting", float(len(harm.at)), "count"))
    rows.append(number("used by the victim", harm.used, unit))
    rows.append(Evidence("requested by the victim", harm.requested, unit, "pod"))
    rows.append(Evidence("used of the node's allocatable", state.share, "share", "history", at, window))
    rows.append(Evidence("share of time that the node waited", state.waiting, "share", "history", at, window))
    for one in found:
        name = "/".join(one.place)
        rows.append(Evidence(f"used by {name}", one.used, unit, "history", at, window))
        rows.append(Evidence(f"requested by {name}", one.requested, unit, "pod"))
        rows.append(Evidence(f"growth of {name}", one.growth, unit, "history", at, window))
        rows.append(Evidence(f"correlation with {name}", one.coincides, "share", "history", at, window))
    return tuple(rows)


def _doubts(
    harm: Harm, state: NodeState, found: Sequence[Suspect], points: Points, covered: bool
) -> Tuple[str, Tuple[str, ...]]:
    levels, doubts = [HIGH], []

    def doubt(level: str, sentence: str) -> None:
        levels.append(level)
        doubts.append(sentence)

    if not found:
        doubt(LOW, "who took it is not known: processes of the node itself, or pods that are not measured")
    elif max((one.sureness for one in found), key=SURENESS.index) == LOW:
        doubt(LOW, "that the suspect's use and the waiting went together is all that is known")
    elif not any(one.sureness == HIGH for one in found):
        doubt(MEDIUM, "the suspects' use and the harm did not grow together")
    if state.full is None:
        doubt(LOW, "how full the node was is not known")
    elif not state.full and harm.kind == WAITS:
        doubt(LOW, f"the node had room: {words.share(state.share)} of its allocatable was used")
    if harm.kind != WAITS and (harm.used is None or harm.requested is None):
        doubt(LOW, "whether it used more than it requests itself is not known")
    if not covered:
        since = "" if points.since is None else f" before {words.moment(points.since)}"
        doubt(MEDIUM, f"there is no history{since}")
    elif harm.kind == WAITS:
        missing = harm.points.of - harm.points.known
        share = missing / harm.points.of
        if missing:
            level = HIGH if share <= MOST_MISSING else LOW if share >= HALF else MEDIUM
            doubt(level, f"{missing} of {harm.points.of} points of the window are missing")
    return min(levels, key=SURENESS.index), tuple(doubts)


def _would(harm: Harm, found: Sequence[Suspect]) -> str:
    if not found:
        return "measurements of all that runs on the node: `krm processes --host` shows the node's own"
    kind = (
        "CPU limits, or requests of what they use"
        if harm.resource == "cpu"
        else "memory limits, or requests of what they use"
    )
    return f"{kind}, on {', '.join(sorted({one.place[1] for one in found}))}; or another node for one of them"
