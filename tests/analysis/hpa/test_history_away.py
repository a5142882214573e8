"""What is made of the past alone is not live where none of it could be read."""

from __future__ import annotations

import pytest
from krm.analysis.inputs import History, Inputs, Needs, State
from krm.analysis.worth import worth_of
from paper_inputs import NOW, trust

CPU = ("cpu/usage_rate", "pod")
AWAY = ("cpu/usage_rate of each pod: no history: the collector cannot be reached (TimeoutError)",)


def paper(history: History) -> Inputs:
    return Inputs(NOW, "paper", State({"pods": []}, {"pods": trust()}, {}), history)


@pytest.mark.parametrize(("by_history", "state"), [(True, "absent"), (False, "live")])
def test_the_collector_is_away(by_history: bool, state: str) -> None:
    needs = Needs(("pods",), points=(CPU,), window=300.0)
    away = paper(History(NOW - 300, NOW, {}, lacks=AWAY))
    assert worth_of(away, needs, by_history).state == state
    assert worth_of(paper(History(NOW - 300, NOW, {CPU: []}, lacks=AWAY)), needs, by_history).state == "live"
