"""Work in threads: bounded, in turn, and never what a process waits for at its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import Any, List

import pytest
from krm.server.threads import Full, Threads


def test_what_work_gives_or_raises_is_given_or_raised() -> None:
    async def ask() -> None:
        threads = Threads("t", 1, 1)
        assert await threads.run(lambda: 7, 10) == 7
        with pytest.raises(KeyError):
            await threads.run(lambda: {}["x"], 10)
        assert await threads.run(lambda: 8, 10) == 8

    asyncio.run(ask())


def test_so_many_are_at_work_so_many_wait_and_others_are_told() -> None:
    free, lock = threading.Event(), threading.Lock()
    at_once: List[int] = [0, 0]  # now, most

    def work() -> int:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        free.wait(10)
        with lock:
            at_once[0] -= 1
        return 1

    async def crowd() -> List[Any]:
        threads = Threads("t", 2, 3)
        asks = [asyncio.ensure_future(threads.run(work, 10)) for _ in range(9)]
        await asyncio.sleep(0)
        free.set()
        return await asyncio.gather(*asks, return_exceptions=True)

    told = asyncio.run(crowd())
    assert [isinstance(one, Full) for one in told] == [False] * 5 + [True] * 4
    assert told[:5] == [1] * 5
    assert at_once[1] <= 2


def test_work_that_nobody_waits_for_any_more_is_not_begun_and_makes_room_when_it_ends() -> None:
    free, done = threading.Event(), []

    async def ask() -> None:
        threads = Threads("t", 1, 1)
        with pytest.raises(asyncio.TimeoutError):
            await threads.run(lambda: free.wait(10), 0.02)
        with pytest.raises(asyncio.TimeoutError):
            await threads.run(lambda: done.append("late"), 0.02)  # waits behind the first
        free.set()
        assert await threads.run(lambda: 9, 10) == 9
        assert done == []

    asyncio.run(ask())


def test_a_process_ends_though_a_thread_still_waits() -> None:
    code = """
import asyncio, threading
from krm.server.threads import Threads
async def main():
    try:
        await Threads("t", 1, 1).run(lambda: threading.Event().wait(60), 0.1)
    except asyncio.TimeoutError:
        print("late")
asyncio.run(main())
"""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("late\n", 0), done.stderr
    assert time.monotonic() - begun < 30
