"""Answers of reviews, kept for seconds: bounded, one question at a time, and told from each other by digests.

A verdict is as old as its question: what is revoked while the API server thinks must not be kept longer.
Nobody's token or name is a key, so neither can be found in memory or fill it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Generic, NamedTuple, Optional, TypeVar

from krm.cluster.errors import ClusterError, ServerError, TooManyRequests
from krm.server.statuses import ApiError, unavailable

T = TypeVar("T")

# Seconds that an answer counts, yes or no alike.
KEPT_FOR = 5.0
# Seconds for open watches, which ask again and again: those with one question share the answer.
AGAIN_FOR = 1.0
# Seconds in which the failure of a review answers all who ask the same, so that an API server that is
# down or busy is not asked by each request.
FAILED_FOR = 1.0
# Seconds from the question to 503. With KEPT_FOR below ten: so soon nothing is answered without a review.
ANSWER_WITHIN = 4.0
# Answers kept of each sort; one takes some 300 bytes, a user with 200 groups 20 KB.
MOST = 10_000
# Reviews under way, and waiting, of each sort: people with good tokens are not held up by many with bad ones.
THREADS, WAITING = 8, 500


class Kept(NamedTuple):
    """One answer, or why there is none. Monotonic seconds."""

    asked: float
    answer: object
    error: Optional[ApiError]


class Verdicts(Generic[T]):
    """The answers to one sort of question at one cluster. It belongs to the event loop."""

    def __init__(self, what: str, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        """`what`: the right that asking needs, for errors."""
        self._what, self._most, self._clock = what, most, clock
        self._secret = secrets.token_bytes(32)
        self._kept: Dict[bytes, Kept] = {}  # the oldest first
        self._asking: Dict[bytes, asyncio.Task[Kept]] = {}
        self.sent = self.hits = self.failed = 0  # reviews; answers from memory; answers that did not come
        self._pool = ThreadPoolExecutor(THREADS, f"krm {what}")

    def __len__(self) -> int:
        return len(self._kept)

    def digest(self, question: object) -> bytes:
        """What an answer is kept under: of no use without this process's secret."""
        return hashlib.blake2b(repr(question).encode("utf-8", "replace"), key=self._secret, digest_size=32).digest()

    async def get(self, question: object, ask: Callable[[float], T], age: float = KEPT_FOR) -> T:
        """The answer, asked at most `age` seconds ago. `ask(timeout)` runs in a thread and may raise ClusterError.

        Raises ApiError 503 where there is none within ANSWER_WITHIN.
        """
        key = self.digest(question)
        kept = self._kept.get(key)
        if kept is None or self._clock() - kept.asked >= (age if kept.error is None else FAILED_FOR):
            kept = await self._asked(key, ask)
        else:
            self.hits += 1
        if kept.error is not None:
            raise kept.error.with_traceback(None)  # one error for all who ask within the second
        return kept.answer  # type: ignore[return-value]

    def close(self) -> None:
        """No review begins any more."""
        self._pool.shutdown(wait=False)

    async def _asked(self, key: bytes, ask: Callable[[float], T]) -> Kept:
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= THREADS + WAITING:
                raise unavailable("too many requests wait for the API server's word on who may read: try again")
            task = asyncio.get_running_loop().create_task(self._ask(key, ask))
            self._asking[key] = task
        return await asyncio.shield(task)

    async def _ask(self, key: bytes, ask: Callable[[float], T]) -> Kept:
        self.sent += 1
        asked_at = self._clock()
        deadline = time.monotonic() + ANSWER_WITHIN
        given_up = threading.Event()

        def work() -> T:
            left = deadline - time.monotonic()
            if given_up.is_set() or left <= 0:
                raise TimeoutError
            return ask(left)

        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
            answer = await asyncio.wait_for(future, ANSWER_WITHIN)
            kept = Kept(asked_at, answer, None)
        except ClusterError as error:
            kept = Kept(self._clock(), None, self._unavailable(error))
        except (asyncio.TimeoutError, TimeoutError):
            sentence = f"the API server did not answer within {ANSWER_WITHIN:.0f} s who may read this: try again"
            kept = Kept(self._clock(), None, unavailable(sentence))
        finally:
            given_up.set()
            self._asking.pop(key, None)
        self.failed += kept.error is not None
        known = self._kept.get(key)
        # A question that failed takes nothing from an answer that still counts.
        if kept.error is None or known is None or self._clock() - known.asked >= KEPT_FOR:
            self._keep(key, kept)
        return kept

    def _keep(self, key: bytes, kept: Kept) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = kept

    def _unavailable(self, error: ClusterError) -> ApiError:
        """What a caller may know: nothing of the cluster behind. The log says more."""
        wait = error.retry_after if isinstance(error, (TooManyRequests, ServerError)) else None
        why = f"krm could not {self._what} at the API server ({type(error).__name__})"
        return unavailable(f"{why}: without its word nothing is shown", max(1, min(30, int(wait or 1))))
