"""Memory is given back after many connections have ended, once in a while, and never for a few."""

from __future__ import annotations

from typing import Any, Callable, List, Tuple

from krm.server.memory import ENOUGH, EVERY, SOON, Returns


class Loop:
    """A loop whose clock a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: List[Tuple[float, Callable[..., None], Any]] = []
        self.given = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, work: Callable[..., None], *arguments: Any) -> None:
        self.due.append((when, work, arguments))

    def run_in_executor(self, _: None, work: Callable[[int], int], argument: int) -> None:
        work(argument)

    def move(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = (
            [one for one in self.due if one[0] <= self.now],
            [one for one in self.due if one[0] > self.now],
        )
        for _, work, arguments in due:
            work(*arguments)


def test_a_crowd_that_goes_is_one_return_and_the_next_waits_its_time() -> None:
    loop: Any = Loop()
    given: List[float] = []
    returns = Returns(lambda _: given.append(loop.now) or 1)
    for _ in range(ENOUGH - 1):
        returns.ended(loop)
    loop.move(100)
    assert given == []
    for _ in range(1000):
        returns.ended(loop)
    loop.move(SOON)
    assert given == [200.0 + SOON]
    for _ in range(1000):
        returns.ended(loop)
    loop.move(EVERY - 0.1)
    assert len(given) == 1
    loop.move(0.2)
    assert len(given) == 2
