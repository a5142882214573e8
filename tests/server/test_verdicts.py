"""Reviews that are kept: how long, how many, one at a time, and nothing that they were asked with."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, Awaitable, Callable, List, Optional

import pytest
from krm.cluster.errors import ServerError, TooManyRequests, Unreachable
from krm.server import verdicts
from krm.server.statuses import ApiError
from krm.server.verdicts import FAILED_FOR, KEPT_FOR, THREADS, WAITING, Verdicts


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Questions that reached the API server, and what it says."""

    def __init__(self, answer: object = True) -> None:
        self.answer, self.count = answer, 0

    def __call__(self, timeout: float) -> object:
        assert 0 < timeout <= verdicts.ANSWER_WITHIN
        self.count += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def in_loop(work: Callable[[Verdicts[Any], Clock], Awaitable[None]], most: int = 100) -> None:
    async def run() -> None:
        clock = Clock()
        made: Verdicts[Any] = Verdicts("create things", most, clock)
        try:
            await work(made, clock)
        finally:
            made.close()

    asyncio.run(run())


@pytest.mark.parametrize("answer", [True, False, None])
def test_an_answer_counts_for_five_seconds_whatever_it_is(answer: Optional[bool]) -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        ask = Asked(answer)
        for passed in (0.0, KEPT_FOR - 0.1, 0.2):
            clock.now += passed
            assert await kept.get("q", ask) is answer
        assert ask.count == 2

    in_loop(work)


def test_an_answer_is_as_old_as_its_question(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        def slow(_timeout: float) -> bool:
            clock.now += 3.0
            return True

        await kept.get("q", slow)
        clock.now += 2.0
        again = Asked()
        await kept.get("q", again)
        assert again.count == 1

    in_loop(work)


def test_who_wants_a_younger_answer_gets_one_and_others_share_it() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        ask = Asked()
        await kept.get("q", ask)
        clock.now += 1.0
        await kept.get("q", ask, 1.0)
        await kept.get("q", ask, 1.0)
        assert ask.count == 2

    in_loop(work)


def test_a_question_is_asked_once_however_many_wait_for_it() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        released, asked = threading.Event(), Asked()

        def held(timeout: float) -> object:
            released.wait(3)
            return asked(timeout)

        waiting = [asyncio.ensure_future(kept.get("q", held)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()  # one who goes away takes nothing from the others
        released.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert found[1:] == [True] * 49
        assert asked.count == 1

    in_loop(work)


@pytest.mark.parametrize(
    ("error", "wait"),
    [(Unreachable("down"), 1), (TooManyRequests("busy", 7.0), 7), (ServerError("bad", 9999.0), 30)],
)
def test_a_failure_is_503_with_retry_after_and_is_not_asked_again_for_a_second(error: Exception, wait: int) -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        ask = Asked(error)
        for _ in range(3):
            with pytest.raises(ApiError) as caught:
                await kept.get("q", ask)
            assert (caught.value.code, caught.value.retry_after) == (503, wait)
            assert str(error) not in caught.value.message
        assert ask.count == 1
        clock.now += FAILED_FOR
        ask.answer = True
        assert await kept.get("q", ask) is True

    in_loop(work)


def test_a_failure_takes_nothing_from_an_answer_that_still_counts() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        await kept.get("q", Asked())
        clock.now += 2.0
        with pytest.raises(ApiError):
            await kept.get("q", Asked(Unreachable("down")), 1.0)
        assert await kept.get("q", Asked(Unreachable("down"))) is True
        clock.now += 3.0
        with pytest.raises(ApiError):
            await kept.get("q", Asked(Unreachable("down")))

    in_loop(work)


def test_an_answer_that_does_not_come_is_503_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "ANSWER_WITHIN", 0.2)

    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        released = threading.Event()
        began = time.monotonic()
        with pytest.raises(ApiError) as caught:
            await kept.get("q", lambda _: released.wait(5))
        assert caught.value.code == 503
        assert time.monotonic() - began < 2
        released.set()

    in_loop(work)


def test_no_more_than_so_many_are_kept_and_the_oldest_go_first() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        for number in range(30):
            await kept.get(number, Asked())
            assert len(kept) <= 10
        young, old = Asked(), Asked()
        await kept.get(29, young)
        await kept.get(0, old)
        assert (young.count, old.count) == (0, 1)

    in_loop(work, most=10)


def test_reviews_run_a_few_at_a_time_and_a_bounded_line_waits() -> None:
    """The API server is spared, and so is our memory; the one who comes too late is told at once."""

    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        released, lock = threading.Event(), threading.Lock()
        running: List[int] = [0, 0]  # now, most

        def held(_timeout: float) -> bool:
            with lock:
                running[0] += 1
                running[1] = max(running)
            released.wait(3)
            with lock:
                running[0] -= 1
            return True

        line = [asyncio.ensure_future(kept.get(number, held)) for number in range(THREADS + WAITING)]
        await asyncio.sleep(0.05)
        with pytest.raises(ApiError) as caught:
            await kept.get("one more", held)
        assert caught.value.code == 503
        released.set()
        assert all(await asyncio.gather(*line))
        assert running[1] <= THREADS

    in_loop(work, most=10_000)


def test_what_was_asked_is_not_kept() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        await kept.get("a-secret-token", Asked())
        assert "a-secret-token" not in repr(vars(kept))
        assert [len(key) for key in kept._kept] == [32]

    in_loop(work)


def test_digests_of_one_process_are_of_no_use_in_another() -> None:
    async def work(kept: Verdicts[Any], clock: Clock) -> None:
        other: Verdicts[Any] = Verdicts("create things")
        assert kept.digest("token") != other.digest("token")
        assert kept.digest(("a", "bc")) != kept.digest(("ab", "c"))
        other.close()

    in_loop(work)
