"""Reads that no replica can answer, from Redis: the past, differences, the last verified state.

They are rare and heavy, so a few threads do them, a few more wait, and whoever comes then is told to try
again. Each read opens its own sockets and closes them: no thread holds a place in Redis while it rests.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Type, TypeVar

from krm.client import errors
from krm.client.direct import RedisPipeline
from krm.client.errors import KrmError
from krm.server.replica import Replica
from krm.server.statuses import ApiError, too_many_requests
from krm.store.connect import Database
from krm.store.keys import Keys

# Threads, and reads that may wait for one. A read of 50,000 objects holds a few hundred MB.
THREADS, WAITING = 4, 16
# Seconds that a read may take, its waiting included.
WITHIN = 20.0

T = TypeVar("T")
log = logging.getLogger("krm.server")


class Past:
    """One server's reads of Redis. It belongs to the event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="past")
        self._open = 0

    def close(self) -> None:
        """Takes no more; what runs may end by itself."""
        self._pool.shutdown(wait=False)

    async def read(self, cluster: str, replica: Replica, work: Callable[[RedisPipeline], T]) -> T:
        """What `work` makes of the replica's pipeline, in a thread. Raises ApiError, 429 and 504 among them."""
        if self._open >= THREADS + WAITING:
            raise too_many_requests(f"{self._open} reads of the past are under way: try again later")
        keys = Keys(cluster, replica.kind, replica.namespace)

        def run() -> T:
            pipeline = RedisPipeline(self._database, keys)
            try:
                return work(pipeline)
            finally:
                pipeline.close()

        self._open += 1
        running = asyncio.get_running_loop().run_in_executor(self._pool, run)
        running.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(running), WITHIN)
        except KrmError as error:
            raise told(error) from None
        except asyncio.TimeoutError:
            message = f"{keys}: the past was not read within {WITHIN:.0f} s: ask for less, or later"
            raise ApiError(504, "Timeout", message, {"retryAfterSeconds": 1}, 1) from None

    def _done(self, running: asyncio.Future[T]) -> None:
        self._open -= 1
        if not running.cancelled() and isinstance(running.exception(), BaseException):
            log.debug("a read of the past: %s", running.exception())


# Error of the client -> HTTP code. `reason` is the error's own name.
CODES: Dict[Type[KrmError], int] = {
    errors.BadRequest: 400,
    errors.UnknownKind: 404,
    errors.Absent: 404,
    errors.Reset: 409,
    errors.Expired: 410,
    errors.Damaged: 500,
    errors.Busy: 503,
    errors.Unreachable: 503,
    errors.NotTrusted: 503,
}


def told(error: KrmError) -> ApiError:
    """The client's error as an answer: the same name, the same words, and a state's trust."""
    details: Dict[str, Any] = {}
    message = str(error)
    if isinstance(error, errors.Unreachable):  # where Redis is, is for whoever runs this server
        log.warning("%s", error)
        message = "Redis does not answer, and what was asked for is not in this server's memory: try again"
    code = next((code for one, code in CODES.items() if isinstance(error, one)), 500)
    if isinstance(error, errors.NotTrusted):
        details = {"kind": error.kind, "trust": error.trust.to_dict()}
    retry = 1 if code == 503 else None
    return ApiError(code, type(error).__name__, message, details, retry)
