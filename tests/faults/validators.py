"""Laws over what readers wrote down. Each returns the violations that it found, as sentences.

ordered     within an incarnation changes come in the order of their resourceVersions; a repair may not
unique      no (type, key, resourceVersion) twice
gap-free    a watcher's replay gives exactly the snapshot that others read at the same version
untorn      what a snapshot shows at rv is the true state at rv, but for events lost on purpose and not
            yet found by a list
deleted     a key whose deletion a reader was told of, at rv d, never stands there with an rv below d
honest      a `live` answer holds everything that had happened by its `current_as_of`
            while its aggregator beats
named       a token names one state for ever
resumable   a watcher loses its place only where the snapshot began anew or Redis went back
counted     where no event was lost on purpose, no drift is counted (a watch that is late may be `overdue`)
monotone    one reader's versions never fall within an incarnation, unless Redis itself went back
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from faults.readers import Answer, Version, Watching
from faults.truth import CLOCK_TOLERANCE, Timeline, Truth
from krm.aggregator.lists import OVERDUE
from krm.model.messages import DELETED
from krm.model.trust import AGE_LIMIT, BEAT_LIMIT, LIVE
from krm.store.read import Token


class Violation(NamedTuple):
    """A law that was broken, and where."""

    law: str
    text: str


def ordered(lives: Iterable[Watching]) -> List[Violation]:
    found = []
    for life in lives:
        last = 0
        for version in life.versions:
            for change in version.changes:
                if not version.repair and int(change.rv) < last:
                    found.append(Violation("ordered", f"{_place(life, version)}: {change} after {last}"))
                last = max(last, int(change.rv))
    return found


def unique(lives: Iterable[Watching]) -> List[Violation]:
    found = []
    for life in lives:
        seen: Set[Tuple[str, str, str]] = set()
        for version in life.versions:
            found += [
                Violation("unique", f"{_place(life, version)}: {change} again")
                for change in version.changes
                if change in seen
            ]
            seen.update(version.changes)
    return found


def gap_free(lives: Iterable[Watching], answers: Iterable[Answer]) -> List[Violation]:
    """Numbers without holes, and the replay equal to what snapshots of the same token show."""
    at: Dict[Tuple[str, int], Dict[str, str]] = {}
    for answer in answers:
        if answer.token is not None and answer.namespace is None:
            at[answer.token] = answer.rvs
    found = []
    for life in lives:
        state, number = dict(life.rvs), life.token.version
        for version in life.versions:
            if version.number != number + 1:
                found.append(Violation("gap-free", f"{_place(life, version)} follows {number}"))
            number = version.number
            _replay(state, version)
            shown = at.get((life.token.incarnation, number))
            if shown is not None and shown != state:
                found.append(
                    Violation("gap-free", f"{_place(life, version)}: {_difference(state, shown)} (replayed, read)")
                )
    return found


def deleted(lives: Iterable[Watching], answers: Iterable[Answer]) -> List[Violation]:
    """Told deletions against later versions of the same incarnation."""
    deletions: Dict[str, List[Tuple[int, str, int]]] = {}  # incarnation -> (version, key, rv)
    for life in lives:
        for version in life.versions:
            deletions.setdefault(life.token.incarnation, []).extend(
                (version.number, change.key, int(change.rv)) for change in version.changes if change.type == DELETED
            )
    found = []
    for answer in answers:
        if answer.token is None:
            continue
        for number, key, rv in deletions.get(answer.token.incarnation, ()):
            shown = answer.rvs.get(key)
            if number <= answer.token.version and shown is not None and int(shown) < rv:
                found.append(
                    Violation("deleted", f"{key} stands at {shown} in {answer.token}, deleted at {rv} in {number}")
                )
    return found


def named(answers: Iterable[Answer]) -> List[Violation]:
    """Two answers with one token show the same."""
    first: Dict[Tuple[Optional[str], Token], Answer] = {}
    found = []
    for answer in answers:
        if answer.token is None:
            continue
        before = first.setdefault((answer.namespace, answer.token), answer)
        if before.rvs != answer.rvs:
            found.append(Violation("named", f"{answer.token}: {_difference(before.rvs, answer.rvs)}"))
    return found


def resumable(lives: Sequence[Watching]) -> List[Violation]:
    """`lives`: of one watcher, in order."""
    return [
        Violation(
            "resumable", f"a watch of {life.token.incarnation} ended with {life.ended}, but so began the next"
        )
        for life, later in zip(lives, lives[1:])
        if life.token.incarnation == later.token.incarnation
    ]


def monotone(answers: Iterable[Answer]) -> List[Violation]:
    found = []
    newest: Dict[str, int] = {}
    for answer in answers:
        if answer.token is None:
            continue
        incarnation, version = answer.token
        if version < newest.get(incarnation, 0):
            found.append(Violation("monotone", f"{incarnation}: {version} after {newest[incarnation]}"))
        newest[incarnation] = max(version, newest.get(incarnation, 0))
    return found


def untorn(kind: str, answers: Iterable[Answer], truth: Truth) -> List[Violation]:
    """Each snapshot is the true state at its resourceVersion, of one of the world's epochs."""
    checked = [a for a in answers if a.token is not None and a.rv and not truth.doubtful(a.at)]
    checked.sort(key=lambda answer: int(answer.rv))
    revisions = [int(answer.rv) for answer in checked]
    wrong: Optional[Dict[int, str]] = None
    for timeline in truth.timelines(kind):
        judged: Dict[int, str] = {}
        for answer, (position, (_, state)) in zip(checked, enumerate(timeline.states(revisions))):
            text = _misfit(kind, answer, state, timeline, truth)
            if text and (wrong is None or position in wrong):
                judged[position] = text
        wrong = judged
    return [
        Violation("untorn", f"{kind} {checked[i].token} at {checked[i].rv}: {text}")
        for i, text in (wrong or {}).items()
    ]


def _misfit(kind: str, answer: Answer, state: Dict[str, int], timeline: Timeline, truth: Truth) -> str:
    shown = {key: int(rv) for key, rv in answer.rvs.items()}
    expected = state
    if answer.namespace is not None:
        prefix = answer.namespace + "/"
        expected = {key: rv for key, rv in state.items() if key.startswith(prefix)}
    if shown == expected:
        return ""
    unsure = truth.uncertain(kind, timeline, int(answer.verified_rv or 0), int(answer.rv))
    for key in unsure:
        shown.pop(key, None)
    sure = {key: rv for key, rv in expected.items() if key not in unsure}
    return "" if shown == sure else _difference(shown, sure) + " (shown, true)"


def honest(kind: str, answers: Iterable[Answer], truth: Truth) -> List[Violation]:
    """`live` and `current_as_of` against the time at which each change was truly written."""
    facts = truth.present(kind).facts
    times = [fact.at for fact in facts]
    if any(later < earlier for earlier, later in zip(times, times[1:])):
        times.sort()  # the wall clock was stepped during the run
    found = []
    for answer in answers:
        if answer.state != LIVE or truth.doubtful(answer.at):
            continue
        if answer.current_as_of is None or answer.read_at - answer.current_as_of > AGE_LIMIT:
            found.append(Violation("honest", f"{kind} {answer.token} is live without a bound"))
            continue
        if answer.beat is None or answer.read_at - answer.beat > BEAT_LIMIT:
            found.append(Violation("honest", f"{kind} {answer.token} is live without an aggregator"))
        position = bisect_right(times, answer.current_as_of - CLOCK_TOLERANCE)
        newest = facts[position - 1].rv if position else 0
        if newest > int(answer.rv):
            found.append(
                Violation("honest", f"{kind} {answer.token} is live at {answer.rv}, {newest} was written before")
            )
    return found


def counted(kind: str, before: Mapping[str, int], after: Mapping[str, int]) -> List[Violation]:
    """Drift by cause, at two moments between which nothing was lost."""
    return [
        Violation("counted", f"{kind}: {count - before.get(cause, 0)} of {cause}, though nothing was lost")
        for cause, count in after.items()
        if cause != OVERDUE and count > before.get(cause, 0)
    ]


def all_laws(
    kind: str,
    truth: Optional[Truth],
    lives: Sequence[Watching],
    readers: Sequence[Sequence[Answer]],
    redis_went_back: bool = False,
) -> List[Violation]:
    """Every law over one kind's recorded histories; `readers`: the answers of each snapshot reader.

    redis_went_back: the server was restored to an older copy, so that older versions were shown again.
    """
    answers = [answer for reader in readers for answer in reader]
    found = ordered(lives) + unique(lives) + gap_free(lives, answers) + deleted(lives, answers)
    found += named(answers)
    if not redis_went_back:
        found += resumable(lives)
        for reader in readers:
            found += monotone(reader)
    if truth is not None:
        found += untorn(kind, answers, truth) + honest(kind, answers, truth)
    found += [Violation("untorn", f"{a.token}: corrupt {a.corrupt}") for a in answers if a.corrupt]
    return found


def _replay(state: Dict[str, str], version: Version) -> None:
    for change in version.changes:
        if change.type == DELETED:
            state.pop(change.key, None)
        else:
            state[change.key] = change.rv


def _difference(left: Mapping[str, object], right: Mapping[str, object]) -> str:
    keys = [key for key in sorted({*left, *right}) if left.get(key) != right.get(key)]
    shown = ", ".join(f"{key} {left.get(key)} != {right.get(key)}" for key in keys[:5])
    return f"{len(keys)} objects differ: {shown}"


def _place(life: Watching, version: Version) -> str:
    return f"{life.token.incarnation[:8]}:{version.number}"
