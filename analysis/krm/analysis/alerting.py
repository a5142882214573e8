"""Which findings fire and which resolve, turn by turn: a pure state machine over the answers of all questions.

A finding fires when a live answer has it, and resolves once CLEAR_TURNS live answers in a row have it no more. An
answer that is not live, could not be had, lacks something that it did not lack while the alert was told, or says
that it could not judge just this (Worth.unjudged), neither fires nor resolves: what is not known stays as it was,
and is marked so.
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.answer import Answer
from krm.analysis.finding import Finding, at_least
from krm.model.trust import LIVE

# Answers in a row without it: one that lies just below a threshold does not resolve and fire again by turns.
CLEAR_TURNS = 2
# Alerts that are told at a time. More of them are counted: a cluster that burns needs no ten thousandth message.
MOST_FIRING = 1000
FIRING, RESOLVED = "firing", "resolved"

# Moments, counts and ages; not the digits of a name: worker-1 that is silent is not worker-2.
_NUMBERS = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?|(?<![\w.-])(?:\d+(?:\.\d+)?(?:ms|[smhd])?)+")


class Told(NamedTuple):
    """What one question answered in this turn."""

    question: str
    answer: Optional[Answer]  # None = it could not be answered
    why: str = ""  # it could not: a sentence

    @property
    def live(self) -> bool:
        return self.answer is not None and self.answer.worth.state == LIVE

    @property
    def doubts(self) -> Tuple[str, ...]:
        """Why it is not live."""
        if self.answer is None:
            return (self.why,)
        return () if self.live else (f"the answer is {self.answer.worth.state}", *self.answer.worth.reasons)


class Alert(NamedTuple):
    """A finding that fires."""

    finding: Finding  # as it was told last
    question: str
    since: float  # Unix seconds
    seen: float  # when a live answer last had it
    lacks: FrozenSet[str]  # what the answer lacked then, without numbers
    absent: int = 0  # live answers in a row that had it no more
    unknown: bool = False  # this turn's answer says nothing of it


class Change(NamedTuple):
    """One message: a finding fires, changes its severity, or resolves."""

    state: str  # firing, resolved
    alert: Alert
    at: float
    was: str = ""  # the severity that it had before


Firing = Dict[str, Alert]  # by the finding's id


class Turn(NamedTuple):
    """What comes of a turn."""

    firing: Firing
    changes: Tuple[Change, ...]
    left_out: int  # findings that did not fire because MOST_FIRING do


def advance(firing: Firing, told: Sequence[Told], now: float, least: str = "warning") -> Turn:
    """The next state and its messages. least: the severity from which on a finding is told."""
    after: Firing = {}
    changes: List[Change] = []
    new: Dict[str, Alert] = {}
    by_question = {one.question: one for one in told}
    for one in sorted(told, key=lambda one: one.question):
        for finding in _found(one, least).values():
            held = firing.get(finding.id)
            if finding.id in after or finding.id in new:
                continue  # two questions tell of the same thing: it is one alert, the first one's
            if held is None:
                new[finding.id] = Alert(finding, one.question, now, now, _lacks(one))
                continue
            after[finding.id] = held._replace(
                finding=finding, question=one.question, seen=now, lacks=_lacks(one), absent=0, unknown=False
            )
            if finding.severity != held.finding.severity:
                changes.append(Change(FIRING, after[finding.id], now, held.finding.severity))
    for name, held in firing.items():
        if name not in after:
            kept = _absent(held, by_question.get(held.question))
            if kept.absent >= CLEAR_TURNS:
                changes.append(Change(RESOLVED, kept, now))
            else:
                after[name] = kept
    ordered = sorted(new.values(), key=lambda one: (one.finding.severity != "critical", one.finding.id))
    room = max(0, MOST_FIRING - len(after))
    for alert in ordered[:room]:
        after[alert.finding.id] = alert
        changes.append(Change(FIRING, alert, now))
    changes.sort(key=lambda one: (one.state, one.alert.finding.id))
    return Turn(after, tuple(changes), len(ordered[room:]))


def _found(told: Told, least: str) -> Dict[str, Finding]:
    """By id, of a live answer alone."""
    if told.answer is None or not told.live:
        return {}
    return {one.id: one for one in told.answer.findings if at_least(one.severity, least)}


def _absent(held: Alert, told: Optional[Told]) -> Alert:
    """Of an alert that no live answer has this turn."""
    if told is None or not told.live or not _lacks(told) <= held.lacks or _unjudged(held.finding.id, told):
        return held._replace(unknown=True)
    return held._replace(absent=held.absent + 1, unknown=False)


def _unjudged(name: str, told: Told) -> bool:
    """Whether the answer says so of this finding's id, or of a whole that it is a part of."""
    names = told.answer.worth.unjudged if told.answer else frozenset()
    return name in names or any(name[: match.start()] in names for match in re.finditer("/", name))


def _lacks(told: Told) -> FrozenSet[str]:
    """Reasons without their numbers: `for 7 s` and `for 9 s` are one."""
    return frozenset(_NUMBERS.sub("#", one) for one in (told.answer.worth.reasons if told.answer else ()))
