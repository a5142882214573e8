"""The replay equals a real kube-controller-manager: replicas, status, conditions, in every recorded turn.

tests/oracles/hpa.json was written by tests/oracles/hpa/record.py, which puts scenarios before the real controller.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.analysis.hpa.behavior import Memory
from krm.analysis.hpa.replica import Decision, Scale, current_metrics, decide
from krm.analysis.hpa.reported import Reported, from_api
from krm.analysis.hpa.spec import Settings, Spec, milli, read_spec

ORACLE = json.loads((Path(__file__).resolve().parents[2] / "oracles" / "hpa.json").read_text())
SCENARIOS: List[Dict[str, Any]] = ORACLE["scenarios"]


def replayed(scenario: Dict[str, Any]) -> List[Decision]:
    memory, found = Memory(), []
    for turn in scenario["turns"]:
        spec = read_spec(turn["hpa"])
        scale = Scale(turn["replicas"], turn["status_replicas"], turn["pods"])
        rivals = [f"{spec.namespace}/app{number + 1}" for number in range(scenario["rivals"])]
        decision = decide(spec, scale, _reported(spec, turn), memory, turn["at"], _settings(scenario), rivals)
        memory = decision.memory
        found.append(decision)
    return found


def _settings(scenario: Dict[str, Any]) -> Settings:
    return Settings(**scenario["settings"])


def _reported(spec: Spec, turn: Dict[str, Any]) -> List[Reported]:
    answers = turn["answers"] or [{"code": 404, "body": {}}] * len(spec.metrics)
    return [from_api(one, answer["code"], answer["body"]) for one, answer in zip(spec.metrics, answers)]


def test_there_are_enough_of_a_real_one() -> None:
    assert ORACLE["head"]["version"] == "v1.36.3"
    assert len(SCENARIOS) >= 50
    assert len({one["name"] for one in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one["name"].replace(" ", "-") for one in SCENARIOS])
def test_every_turn_is_decided_alike(scenario: Dict[str, Any]) -> None:
    for turn, decision in zip(scenario["turns"], replayed(scenario)):
        after, before = turn["after"], turn["hpa"]["status"]
        status = after["status"]
        assert decision.desired == after["replicas"], decision.steps
        assert decision.current == status.get("currentReplicas", 0)
        # Where nothing could be reckoned the number of before stays there; so does one that was never told.
        wanted = before.get("desiredReplicas", 0) if decision.error else decision.desired
        assert wanted == status.get("desiredReplicas", 0)
        assert _conditions(decision, before) == {one["type"]: _condition(one) for one in status["conditions"]}
        assert current_metrics(decision) == [_current(one) for one in status.get("currentMetrics") or []]


def _conditions(decision: Decision, before: Dict[str, Any]) -> Dict[str, Any]:
    """A condition that a turn does not touch stays as it was."""
    found = {one["type"]: _condition(one) for one in before.get("conditions") or []}
    for name, one in decision.conditions.items():
        told = {"status": str(one.status), "reason": one.reason, "message": one.message}
        found[name] = _condition({"type": name, **told})
    return found


def _condition(one: Dict[str, Any]) -> Any:
    """The words for what failed hold those of other servers, and the order of a map: the reason counts."""
    fails = one["type"] == "ScalingActive" and one["status"] == "False"
    return one["status"], one["reason"], "" if fails and one["reason"] != "ScalingDisabled" else one["message"]


def _current(one: Dict[str, Any]) -> Dict[str, Any]:
    field = next((name for name in one if name != "type"), "")
    values = one.get(field, {}).get("current", {})
    if not one.get("type"):
        return {}
    found = {name: value if name == "averageUtilization" else milli(value) for name, value in values.items()}
    return {"type": one["type"], "field": field, **found}


def test_a_decision_says_why() -> None:
    """Each step has a sentence, and the last one is what happened."""
    for scenario in SCENARIOS:
        for decision in replayed(scenario):
            assert all(step.why for step in decision.steps), scenario["name"]
            assert decision.steps[-1].what == "result"
            assert decision.steps[-1].replicas == (None if decision.error else decision.desired)


def test_the_order_of_pods_does_not_matter() -> None:
    for scenario in SCENARIOS:
        turned = [{**turn, "pods": turn["pods"][::-1]} for turn in scenario["turns"]]
        assert replayed({**scenario, "turns": turned}) == replayed(scenario), scenario["name"]
