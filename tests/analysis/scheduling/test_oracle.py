"""Line 2: what a real kube-scheduler 1.36 said of each recorded scenario, word for word."""

import json
import random
from pathlib import Path
from typing import Any, Dict, List

import pytest
from krm.analysis.inputs import State
from krm.analysis.scheduling.board import read_board
from krm.analysis.scheduling.predicates import Cycle
from krm.analysis.scheduling.preemption import preempt
from krm.analysis.scheduling.wording import message, read_message

RECORDED = json.loads((Path(__file__).resolve().parents[2] / "oracles/scheduler.json").read_text())
SCENARIOS: List[Dict[str, Any]] = RECORDED["scenarios"]


def said(state: State) -> str:
    """Our sentence about the one pod that waits."""
    board, waiting, _ = read_board(state)
    (pod,) = waiting
    cycle = Cycle(board, pod)
    refusals = cycle.refusals()
    return message(cycle, refusals, None if cycle.refused() else preempt(cycle, refusals))


def test_there_are_enough_scenarios_and_each_has_its_own_name() -> None:
    assert len({one["name"] for one in SCENARIOS}) == len(SCENARIOS) >= 40
    assert "kube-scheduler" in RECORDED["of"]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one["name"])
def test_our_sentence_is_the_schedulers(scenario: Dict[str, Any]) -> None:
    assert said(State(scenario["state"], {}, {})) == scenario["message"]
    told = read_message(scenario["message"])
    assert told is None or sum(told[1].values()) >= told[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_objects_changes_nothing(seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    for scenario in SCENARIOS:
        state = {kind: source.sample(bodies, len(bodies)) for kind, bodies in scenario["state"].items()}
        assert said(State(state, {}, {})) == scenario["message"], scenario["name"]
