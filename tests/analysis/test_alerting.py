"""Alerts fire once, resolve after two clear answers, and what is not known leaves them as they are."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pytest
from krm.analysis import alerting
from krm.analysis.alerting import FIRING, RESOLVED, Firing, Told, Turn, advance
from krm.analysis.alertmessages import labels, message, posted, resent
from krm.analysis.answer import Answer
from krm.analysis.finding import CRITICAL, INFO, WARNING, About, Finding
from paper_findings import finding, told

GONE = Told("all", None, "Redis cannot be reached")


def run(*turns: Any) -> List[List[Tuple[str, str]]]:
    """Of each turn the (state, name) of its messages."""
    firing: Firing = {}
    seen = []
    for number, turn in enumerate(turns):
        found = advance(firing, turn if isinstance(turn, list) else [turn], float(number))
        firing = found.firing
        seen.append([(change.state, change.alert.finding.about.name) for change in found.changes])
    return seen


HERE, CLEAR, STALE = told(finding()), told(), told(state="stale", reasons=("pods: no beat for 7 s",))
FIRES, RESOLVES = [(FIRING, "web-0")], [(RESOLVED, "web-0")]


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        ([HERE, HERE, HERE], [FIRES, [], []]),
        ([HERE, CLEAR, CLEAR, CLEAR], [FIRES, [], RESOLVES, []]),
        ([HERE, CLEAR, HERE, CLEAR, CLEAR], [FIRES, [], [], [], RESOLVES]),
        ([HERE, STALE, STALE, STALE, CLEAR, CLEAR], [FIRES, [], [], [], [], RESOLVES]),
        ([HERE, CLEAR, STALE, CLEAR], [FIRES, [], [], RESOLVES]),
        ([HERE, GONE, GONE, GONE, HERE], [FIRES, [], [], [], []]),
        ([HERE, [], [], []], [FIRES, [], [], []]),
        ([told(finding(), state="stale"), HERE], [[], FIRES]),
        ([told(finding(severity=INFO)), HERE, told(finding(severity=INFO)), CLEAR], [[], FIRES, [], RESOLVES]),
    ],
)  # fmt: skip
def test_messages_turn_by_turn(turns: List[Any], messages: List[List[Tuple[str, str]]]) -> None:
    assert run(*turns) == messages


def test_a_live_answer_that_lacks_more_than_before_resolves_nothing() -> None:
    less = told(reasons=("no data from 1 node for 8 s",))
    assert run(HERE, less, less, less) == [FIRES, [], [], []]
    same = told(finding(), reasons=("no data from 1 node for 7 s",))
    assert run(same, less, less) == [FIRES, [], RESOLVES]
    assert run(same, CLEAR, CLEAR) == [FIRES, [], RESOLVES]


def test_what_is_not_known_is_marked() -> None:
    first = advance({}, [HERE], 1.0)
    assert [one.unknown for one in advance(first.firing, [GONE], 2.0).firing.values()] == [True]
    assert [one.unknown for one in advance(first.firing, [HERE], 2.0).firing.values()] == [False]
    assert [one.since for one in advance(first.firing, [HERE], 2.0).firing.values()] == [1.0]


def test_what_two_questions_tell_is_one_alert() -> None:
    two = [told(finding(), question="a"), told(finding(severity=CRITICAL), question="b")]
    first = advance({}, two, 1.0)
    assert [(one.alert.question, one.alert.finding.severity) for one in first.changes] == [("a", WARNING)]
    assert advance(first.firing, two[::-1], 2.0).changes == ()


def test_another_severity_is_one_message_that_says_what_it_was() -> None:
    first = advance({}, [HERE], 1.0)
    worse = advance(first.firing, [told(finding(severity=CRITICAL))], 2.0)
    assert [(one.state, one.was, one.alert.since) for one in worse.changes] == [(FIRING, WARNING, 1.0)]
    rows = posted(worse.changes, "paper", 240.0)
    assert [(row["labels"]["severity"], row["endsAt"]) for row in rows] == [
        ("warning", "1970-01-01T00:00:02Z"), ("critical", "1970-01-01T00:04:02Z"),
    ]  # fmt: skip


def test_there_is_a_cap_and_the_critical_ones_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerting, "MOST_FIRING", 3)
    many = [finding(f"p{number}") for number in range(5)] + [finding("z", CRITICAL)]
    found = advance({}, [told(*many)], 1.0)
    assert ([one.alert.finding.about.name for one in found.changes], found.left_out) == (["p0", "p1", "z"], 3)
    again = advance(found.firing, [told(*many)], 2.0)
    assert (again.changes, again.left_out) == ((), 3)


def test_alertmanagers_labels_stay_the_same_while_it_fires() -> None:
    found = advance({}, [HERE], 10.0)
    fires = posted(found.changes, "paper", 240.0)
    later = resent(found.firing.values(), "paper", 70.0, 240.0)
    assert fires[0]["labels"] == later[0]["labels"] == {
        "alertname": "limit-breach", "severity": "warning", "cluster": "paper", "kind": "pod", "namespace": "shop",
        "name": "web-0", "container": "app", "part": "memory",
    }  # fmt: skip
    assert (fires[0]["startsAt"], fires[0]["endsAt"]) == ("1970-01-01T00:00:10Z", "1970-01-01T00:04:10Z")
    assert (later[0]["startsAt"], later[0]["endsAt"]) == ("1970-01-01T00:00:10Z", "1970-01-01T00:05:10Z")
    alert = next(iter(found.firing.values()))
    assert "part" not in labels(
        alert._replace(finding=Finding("r", INFO, About("cluster"), "", (), "low")), "paper"
    )


def test_a_message_holds_the_whole_finding() -> None:
    change = advance({}, [HERE], 10.0).changes[0]
    told_ = message(change, "paper")
    assert (told_["state"], told_["rule"], told_["about"]["name"]) == ("firing", "limit-breach", "web-0")
    assert told_["id"] == change.alert.finding.id


def _shuffled(draw: random.Random, row: Told) -> Told:
    assert row.answer is not None
    findings = row.answer.findings
    return row._replace(answer=Answer(row.answer.worth, tuple(draw.sample(findings, len(findings)))))


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_answers_and_findings_is_nothing(seed: int) -> None:
    print(f"seed {seed}")
    draw = random.Random(seed)
    one: Turn = Turn({}, (), 0)
    other: Turn = Turn({}, (), 0)
    for number in range(30):
        answers: List[Told] = []
        for question in ("a", "b"):
            some = [finding(f"p{place}", rule=question) for place in range(6) if draw.random() < 0.5]
            state = draw.choice(["live", "live", "stale"])
            answers.append(told(*some, state=state, question=question))
        mixed = [_shuffled(draw, row) for row in reversed(answers)]
        one, other = advance(one.firing, answers, float(number)), advance(other.firing, mixed, float(number))
        assert one.changes == other.changes
        assert one.firing == other.firing


def test_each_resolve_follows_a_fire_of_its_own() -> None:
    """Over random turns: states of one id alternate, and nothing that is told twice."""
    seed = 7
    print(f"seed {seed}")
    draw = random.Random(seed)
    firing: Firing = {}
    last: Dict[str, Optional[str]] = {}
    for number in range(500):
        some = [finding(f"p{place}") for place in range(5) if draw.random() < 0.5]
        turn: Sequence[Told] = [told(*some, state=draw.choice(["live", "live", "live", "stale"]))]
        found = advance(firing, turn, float(number))
        firing = found.firing
        for change in found.changes:
            name = change.alert.finding.id
            assert last.get(name) != change.state
            assert name in last or change.state == FIRING
            last[name] = change.state


def test_a_silent_worker_1_is_not_the_silent_worker_2() -> None:
    """Digits of a name are no count: another node that is silent is one that was not before."""
    before = told(finding(), reasons=("node worker-2: no data: timed out after 7 s",))
    other = told(reasons=("node worker-1: no data: timed out after 8 s",))
    same = told(reasons=("node worker-2: no data: timed out after 9 s",))
    assert run(before, other, other, other) == [FIRES, [], [], []]
    assert run(before, same, same) == [FIRES, [], RESOLVES]


@pytest.mark.parametrize("whole", ["limit-breach/pod/shop/web-0/app/memory", "limit-breach/pod/shop/web-0"])
def test_what_could_not_be_judged_does_not_resolve(whole: str) -> None:
    clear = told()
    assert clear.answer is not None
    worth = replace(clear.answer.worth, unjudged=frozenset({whole}))
    unknown = clear._replace(answer=replace(clear.answer, worth=worth))
    assert run(HERE, unknown, unknown, unknown) == [FIRES, [], [], []]
    assert run(HERE, unknown, CLEAR, CLEAR) == [FIRES, [], [], RESOLVES]
    longer = replace(clear.answer.worth, unjudged=frozenset({"limit-breach/pod/shop/web"}))
    another = clear._replace(answer=replace(clear.answer, worth=longer))
    assert run(HERE, another, another) == [FIRES, [], RESOLVES]
