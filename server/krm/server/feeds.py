"""From Redis to the replicas: a thread a pipeline, on one blocking connection, never a Redis read a request.

state      on                                              to
reading    nothing to read yet                             reading, after a pause
           a snapshot: the replica is loaded               following
following  versions: applied, one after the other          following
           Expired (rebuilt, trimmed, Redis went back)     reading
           an entry, or a head, that cannot be read        reading, after a pause
any        Redis does not answer                           the same, after a pause; the replica grows old
           stop                                            ended

The clock is told with each read, also where its head has run ahead of the replica: what is held is then
judged by an old head and the right time. A clock kept with the head would stand still while a feed catches up.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Callable, List, Optional

from krm.model.head import Head
from krm.model.messages import BadMessage
from krm.server.replica import Replica, log_budget
from krm.store.backlog import backlog
from krm.store.connect import Database
from krm.store.errors import Corrupt, Expired, StoreError
from krm.store.follow import Follower, Step
from krm.store.keys import Keys
from krm.store.read import Reader, SnapshotData

# Seconds between attempts while Redis is away or holds nothing yet.
RETRY = 0.3
# Seconds within which Redis answers, a read that blocks for one second included. What took longer was held up.
PROMPT = 2.0

log = logging.getLogger("krm.server")

# Runs a function on the thread that owns the replicas, and waits until it is done. Raises what it raises.
OnLoop = Callable[[Callable[[], Any]], Any]
# Takes a replica that was told something, and the Redis clock less our monotonic one.
Changed = Callable[[Replica, float], None]


class Feed:
    """One pipeline's thread. `changed` is called on the replica's own thread after each change of it."""

    def __init__(self, database: Database, keys: Keys, replica: Replica, on_loop: OnLoop, changed: Changed) -> None:
        self.replica = replica
        self.error = ""  # of the last attempt, '' = none
        self._database, self._keys, self._on_loop, self._changed = database, keys, on_loop, changed
        self._reader = Reader(database, keys)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed {keys}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread within a second or two; `join` waits for it."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._read():
                    self._follow()
            except Expired as error:
                log.info("%s is read anew: %s", self._keys, error)
                continue
            except (StoreError, BadMessage) as error:
                self._failed(error)
            except RuntimeError:  # the event loop has ended
                if not self._stop.is_set():
                    raise
            self._stop.wait(RETRY)

    def _read(self) -> bool:
        data = self._reader.snapshot()
        self.error = ""
        made = self._made(data) if data is not None else None
        asked = time.monotonic()
        read = self._reader.head()  # its time alone where there is a snapshot: that one took long to read and make
        offset = offset_of(read.time, asked)
        if made is None:
            self._tell(lambda: self.replica.lost(read.head), offset)
            return False
        self._tell(lambda: self.replica.adopt(made), offset)
        return True

    def _made(self, data: SnapshotData) -> Replica:
        """The snapshot with its newest events: watches of another server, or of this one before, go on here."""
        budget = log_budget(sum(len(one.body) for one in data.objects.values()))
        try:
            made = Replica(self.replica.kind, self.replica.namespace)
            made.load(data, backlog(self._reader, self._keys, data, budget))
        except (BadMessage, Corrupt, ValueError) as error:
            log.warning("%s: watches begin at %s, for its past cannot be read: %s", self._keys, data.token, error)
            made = Replica(self.replica.kind, self.replica.namespace)
            made.load(data)
        return made

    def _follow(self) -> None:
        follower = Follower(self._database, self._keys, self.replica.token)
        try:
            while not self._stop.is_set():
                asked = time.monotonic()
                try:
                    steps = follower.turn(1.0)
                except (Expired, Corrupt):
                    raise  # read again it would be no better: a load begins behind it
                except StoreError as error:
                    self._failed(error)
                    self._stop.wait(RETRY)
                    continue
                self.error = ""
                offset = offset_of(follower.time, asked)
                self._take(steps, follower.head, offset)
        finally:
            follower.close()

    def _take(self, steps: List[Step], head: Optional[Head], offset: float) -> None:
        def take() -> None:
            for step in steps:
                self.replica.apply(step.version, step.entry)
            if head is not None:
                self.replica.told(head)

        self._tell(take, offset)

    def _tell(self, change: Callable[[], None], offset: float) -> None:
        def told() -> None:
            change()
            self._changed(self.replica, offset)

        self._on_loop(told)

    def _failed(self, error: Exception) -> None:
        if type(error).__name__ != self.error:
            log.warning("%s: %s", self._keys, error)
        self.error = type(error).__name__


def offset_of(redis: float, asked: float) -> float:
    """The Redis clock less our monotonic one: `redis` was read since `asked`, and just now.

    Where the answer was held up (this process was stopped, the link is slow) nobody knows for how long: then it
    counts from the asking. So what is held may look older than it is, and younger by less than PROMPT.
    """
    now = time.monotonic()
    return redis - (now if now - asked <= PROMPT else asked)
