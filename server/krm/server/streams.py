"""Open watches: who may have one, how long it runs, and what ends it.

ends when    the client's timeoutSeconds are over; the replica lost its place (410 in the stream);
             the API server serves the kind no longer;
             the right to watch is revoked; the reader takes nothing for too long; the server stops
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import contextmanager
from typing import Awaitable, Callable, Dict, Iterator, List, Optional

from krm.model.trust import is_unserved
from krm.server.catalog import Served
from krm.server.identity import User
from krm.server.replica import Replica
from krm.server.serving import Serving
from krm.server.statuses import ApiError, too_many_requests, unavailable
from krm.server.watches import LIFE_LEAST, Plan, Watch, error_line
from krm.server.web import Header, Stream

# Seconds between two reviews of an open watch, and until one must be answered. A review may share the answer of
# another that was asked up to 1 s before (verdicts.AGAIN_FOR): so a watch ends at most 9.5 s after its right.
REVIEW_EVERY, REVIEW_WITHIN = 4.0, 4.5
# Seconds between two looks of a watcher at the news, for each watcher that is open: 1,000 of them look five times a
# second, at all that has come until then, each at a moment of its own. Less cost more looks than it saved waiting.
PAUSE_EACH = 0.00018
# Share of that pause by which a look may come too early, as timers of milliseconds wake: it is not repeated then.
EARLY = 0.1
# Watchers that are written to before others of the event loop get their turn, some 0.1 ms each.
TURNS = 8
# Open watches in all, and of one user.
WATCHES_MOST, WATCHES_EACH = 5_000, 1_000

# Asks again who it is and what they may do.
Review = Callable[[], Awaitable[None]]
Write = Callable[[bytes], Awaitable[None]]


class Streams:
    """The watches of one cluster. It belongs to the event loop."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._open: Dict[str, int] = {}  # user -> open watches
        self.by_kind: Counter[str] = Counter()  # open watches
        self.sent = 0  # lines
        self._closing = False
        self._writing: Optional[asyncio.Semaphore] = None

    def close(self) -> None:
        """Every watch ends; no new one begins."""
        self._closing = True
        self._serving.ring_all()

    @property
    def open(self) -> int:
        """Watches that run now."""
        return sum(self._open.values())

    async def watch(self, user: User, review: Review, served: Served, replica: Replica, plan: Plan) -> Stream:
        """The answer to a watch; `review` raises ApiError once it is not theirs. Raises 404, 429, 503, 504."""
        serving, asked = self._serving, plan.options
        if asked.initial_events:
            try:
                await serving.fresh(replica, asked.version)
            except ApiError as error:  # the API server has said 200 by then, and tells it in the stream
                return _told(error, serving.headers(replica, serving.trust(replica)))
        trust = serving.trust(replica)
        self.admit(user)
        lines = serving.lines(served, replica)
        deadline = time.monotonic() + _life(asked.timeout)
        watch = Watch(replica, lines, plan, deadline, time.monotonic, lambda: serving.is_live(replica))

        async def run(write: Write) -> None:
            with self.counted(user, replica.kind):
                await self._run(watch, replica, review, write)

        return Stream(run, headers=serving.headers(replica, trust))

    async def _run(self, watch: Watch, replica: Replica, review: Review, write: Write) -> None:
        watch.start(time.time())
        review_at = time.monotonic() + REVIEW_EVERY
        phase = random.random()
        while not self._closing:
            await write(b"")  # until the reader has taken what it was sent
            if time.monotonic() >= review_at:
                if not await _passes(review):
                    return
                review_at = time.monotonic() + REVIEW_EVERY
            async with self._turns():
                told = watch.told
                burst = watch.next(time.time())
                more = watch.behind
                if burst:
                    await write(burst)
            if burst is None:
                return
            self.sent += watch.told - told
            if more:
                await asyncio.sleep(0)
                continue
            if not watch.behind:
                if is_unserved(replica.head):
                    return  # as the API server's ends: who asks again is told that the kind is gone
                left = min(watch.wait(), max(0.0, review_at - time.monotonic()))
                await self._serving.bell(replica).wait(left)
            await asyncio.sleep(self._until(phase))  # what came while this was written waits for the next look

    def _until(self, phase: float) -> float:
        """Seconds until the next look of a watcher: if all looked at once, the last would wait for all others."""
        pause = self.open * PAUSE_EACH
        share = (phase - time.monotonic() / pause) % 1
        return pause * (share if share > EARLY else share + 1)

    def _turns(self) -> asyncio.Semaphore:
        if self._writing is None:
            self._writing = asyncio.Semaphore(TURNS)  # here, since before 3.10 it belongs to the loop of its maker
        return self._writing

    @property
    def closing(self) -> bool:
        """Whether what is open must end."""
        return self._closing

    @contextmanager
    def counted(self, user: User, kind: str) -> Iterator[None]:
        """One more is open for so long; `admit` it first."""
        self._open[user.name] = self._open.get(user.name, 0) + 1
        self.by_kind[kind] += 1
        try:
            yield
        finally:
            self.by_kind[kind] -= 1
            self._open[user.name] -= 1
            if not self._open[user.name]:
                del self._open[user.name]

    def admit(self, user: User) -> None:
        """Raises ApiError 429 and 503 where no more may be opened."""
        if self._closing:
            raise unavailable("this server is stopping: ask another")
        if self.open >= WATCHES_MOST:
            raise too_many_requests(f"{WATCHES_MOST} watches are open here: try again later")
        if self._open.get(user.name, 0) >= WATCHES_EACH:
            raise too_many_requests(f"you have {WATCHES_EACH} watches open here: close some")


async def _passes(review: Review) -> bool:
    try:
        await asyncio.wait_for(review(), REVIEW_WITHIN)
    except (ApiError, asyncio.TimeoutError):
        return False
    return True


def _told(error: ApiError, headers: List[Header]) -> Stream:
    """A watch that ends with its first line."""

    async def run(write: Write) -> None:
        await write(error_line(error))

    return Stream(run, headers=headers)


def _life(timeout: Optional[float]) -> float:
    """Seconds; a negative timeout ends a watch at once, as at the API server."""
    return random.uniform(LIFE_LEAST, 2 * LIFE_LEAST) if timeout is None else max(0.0, timeout)
