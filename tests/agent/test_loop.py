"""The agent's rhythm: cgroups each turn, processes less often, nothing made up for; health says when it ends."""

from __future__ import annotations

import json
import threading
import time
from typing import Callable, List

import pytest
from agent.turns import seen
from krm.agent import loop as module
from krm.agent.loop import Loop, answers_of
from krm.agent.seen import Seen


class Taken:
    """Turns on paper: which were whole, and an end after some."""

    def __init__(self, stop: threading.Event, turns: int, slow: float = 0.0) -> None:
        self.whole: List[bool] = []
        self._stop, self._turns, self._slow = stop, turns, slow
        self.closed = 0

    def turn(self, whole: bool) -> Seen:
        self.whole.append(whole)
        time.sleep(self._slow)
        if len(self.whole) == self._turns:
            self._stop.set()
        return seen(time=float(len(self.whole)))

    def close(self) -> None:
        self.closed += 1


def run(turns: int, every: float, whole_every: float, slow: float = 0.0) -> Taken:
    stop = threading.Event()
    taken = Taken(stop, turns, slow)
    Loop(taken.turn, every, whole_every, stop, taken.close).run()
    return taken


def test_processes_are_read_each_second_turn() -> None:
    taken = run(7, 0.1, 0.2)
    assert taken.whole == [True, False, True, False, True, False, True]
    assert taken.closed == 1


def test_slow_turns_are_not_made_up_for() -> None:
    began = time.monotonic()
    taken = run(5, 0.05, 0.1, slow=0.12)
    assert time.monotonic() - began >= 5 * 0.12
    assert all(taken.whole)


def test_the_newest_turn_is_what_is_served() -> None:
    stop = threading.Event()
    taken = Taken(stop, 3)
    loop = Loop(taken.turn, 0.01, 0.02, stop, taken.close)
    assert loop.answers() == {}
    loop.run()
    assert json.loads(loop.answers()["/v1/node"].body(False))["time"] == 3.0


def test_a_turn_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    loop = Loop(lambda whole: seen(), 5.0, 10.0, threading.Event(), lambda: None)
    assert loop.ill() == ""
    clock[0] += 59.0
    assert loop.ill() == ""
    clock[0] += 2.0
    assert loop.ill() == "the newest turn ended 61s ago"


def test_every_path_of_the_contract_is_served() -> None:
    answers = answers_of(seen())
    assert set(answers) == {"/v1/node", "/v1/processes", "/v1/kills", "/metrics"}
    for path, answer in answers.items():
        body: Callable[[bool], bytes] = answer.body
        assert body(False)
        assert answer.media.startswith("application/json" if path != "/metrics" else "text/plain; version=0.0.4")
