"""Measurements on their way to a place outside: a thread that never holds up a turn.

`offer` puts a turn's work into a short queue and returns. The thread makes batches of it, lets each wait
in a `Waiting` (on disk: krm.store.history.spool; in memory: `InMemory`), and sends from there, oldest first.
What the place takes is gone from there; what it will never take is counted and gone; anything else is
tried again, ever less often, while new batches line up behind it.
"""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Iterable, List, Optional, Protocol, Tuple

from krm.store.history.spool import Taken

QUEUE = 12  # turns: a minute of them, at 5 s
IN_MEMORY = 120  # batches that wait in memory, where there is no disk for them
PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until the second attempt, doubled for each later one
DRAIN = 3.0  # seconds that `close` gives the thread: a stage ends within 5
# HTTP statuses that pass: by time, or by somebody who mends the account or makes the place. As every 5xx does.
PASSING = frozenset((401, 403, 404, 408, 429))

log = logging.getLogger("krm.history")


class NotNow(Exception):
    """The place is away, or refuses for a reason that passes or that someone will mend. Words without a secret."""


class Never(Exception):
    """The place will not take this batch, today or tomorrow; or took but a part of it. The same."""


class Outlet(Protocol):
    """What is at the other end. Used by one thread."""

    @property
    def name(self) -> str:
        """As people name it, without a secret."""
        ...

    def send(self, batch: Any) -> None:
        """Raises NotNow, Never."""
        ...

    def complaints(self) -> List[str]:
        """Sentences about what could not be written."""
        ...


class Waiting(Protocol):
    """Batches that were not sent yet. For one thread; raises OSError where it is on a disk."""

    dropped: int  # batches that had to make room
    torn: int  # batches that a crash tore

    def __len__(self) -> int: ...

    def put(self, batch: Any) -> None:
        """Keeps it; the oldest make room."""
        ...

    def oldest(self) -> Optional[Tuple[Any, Any]]:
        """(its name for `done`, the batch); None = there is none."""
        ...

    def done(self, name: Any) -> None:
        """It need not be kept."""
        ...

    def secure(self) -> None:
        """All of it survives a power failure, where it can."""
        ...

    def close(self) -> None:
        """It is not used again."""
        ...


class InMemory:
    """Batches in memory: those of the last minutes; a restart loses them."""

    torn = 0

    def __init__(self, most: int = IN_MEMORY) -> None:
        self.dropped, self._first = 0, 0
        self._batches: Deque[Any] = deque()
        self._most = most

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, batch: Any) -> None:
        if len(self._batches) >= self._most:
            self._batches.popleft()
            self._first += 1
            self.dropped += 1
        self._batches.append(batch)

    def oldest(self) -> Optional[Tuple[int, Any]]:
        return (self._first, self._batches[0]) if self._batches else None

    def done(self, name: int) -> None:
        if name == self._first:
            self._batches.popleft()
            self._first += 1

    def secure(self) -> None:
        """Nothing can be done."""

    def close(self) -> None:
        """Nothing is open."""


class Sender:
    """One outlet, and its thread."""

    def __init__(self, outlet: Outlet, waiting: Callable[[], Waiting], pause: float = PAUSE) -> None:
        """waiting: makes the Waiting; the thread calls it, again while it raises. pause: seconds, see PAUSE."""
        self._outlet, self._make_waiting, self._first_pause = outlet, waiting, pause
        self._turns: queue.Queue[Callable[[], Iterable[Any]]] = queue.Queue(QUEUE)
        self._stopping = threading.Event()
        self._waiting: Optional[Waiting] = None
        self._again_at, self._failures = 0.0, 0  # of time.monotonic
        self._lost_turns = self._lost_batches = self._refused = 0
        self._trouble = self._refusal = self._disk = ""  # '' = all is well
        self._thread = threading.Thread(target=self._run, name=f"to {outlet.name}", daemon=True)
        self._thread.start()

    def offer(self, batches: Callable[[], Iterable[Any]]) -> None:
        """A turn: the thread asks it for its batches. It is lost, and counted, where that is a minute behind."""
        try:
            self._turns.put_nowait(batches)
        except queue.Full:
            self._lost_turns += 1

    def health(self) -> List[str]:
        """Sentences about what is wrong now, and about all that was lost."""
        waiting = self._waiting
        waits, dropped, torn = (0, 0, 0) if waiting is None else (len(waiting), waiting.dropped, waiting.torn)
        dropped += self._lost_batches
        said = [self._disk] if self._disk else []
        if self._trouble:
            said.append(f"{self._trouble}; {waits} batches wait")
        if not self._thread.is_alive() and not self._stopping.is_set():
            said.append("nothing is sent any more, since its thread ended: a defect, told in the log")
        if self._refused:
            said.append(f"{self._refused} batches were refused, the last one: {self._refusal}")
        if dropped:
            said.append(f"{dropped} batches were lost for want of room while they waited")
        if torn:
            said.append(f"{torn} batches that waited were torn by a crash, and are lost")
        if self._lost_turns:
            said.append(f"{self._lost_turns} turns came faster than they were written, and are lost")
        return [f"{self._outlet.name}: {one}" for one in said + self._outlet.complaints()]

    def close(self, drain: float = DRAIN) -> None:
        """What was recorded is sent, or waits on the disk, when this returns; it takes at most `drain` seconds."""
        self._stopping.set()
        try:
            self._turns.put_nowait(tuple)  # wakes the thread: a turn of nothing
        except queue.Full:
            pass  # then the thread has enough to wake for
        self._thread.join(drain)

    # --- the thread's own

    def _run(self) -> None:
        try:
            waiting = self._open()
            while waiting is None and not self._stopping.wait(self._first_pause):
                waiting = self._open()
            if waiting is None:
                return
            self._waiting = waiting
            self._send_all(waiting)  # what an earlier process left, before the first turn asks how far it came
            while not self._stopping.is_set():
                self._once(waiting)
            while self._take(waiting, 0.0):
                pass
            self._secure(waiting)
            self._send_all(waiting)
        except Exception:
            log.exception("%s: the thread that sends ended", self._outlet.name)
        finally:
            if self._waiting is not None:
                self._waiting.close()

    def _open(self) -> Optional[Waiting]:
        try:
            waiting = self._make_waiting()
        except Taken as error:
            self._disk = f"{error}: nothing is sent from here"
        except OSError as error:
            self._disk = f"no place for what waits to be sent: {error}"
        else:
            self._disk = ""
            return waiting
        return None

    def _once(self, waiting: Waiting) -> None:
        left = max(0.0, self._again_at - time.monotonic())
        came = self._take(waiting, min(left, 1.0) if len(waiting) else 1.0)
        if time.monotonic() >= self._again_at:
            self._send_all(waiting)
        elif came:
            self._secure(waiting)

    def _take(self, waiting: Waiting, wait: float) -> bool:
        """One turn from the queue into what waits; False = none came within `wait` seconds."""
        try:
            turn = self._turns.get(timeout=wait) if wait else self._turns.get_nowait()
        except queue.Empty:
            return False
        for batch in turn():
            try:
                waiting.put(batch)
                self._disk = ""
            except OSError as error:
                self._disk = f"what waits to be sent cannot be kept on the disk: {error}"
                if time.monotonic() < self._again_at or self._try(batch) is None:
                    self._lost_batches += 1
        return True

    def _send_all(self, waiting: Waiting) -> None:
        """Until nothing waits or the place does not take it; what comes meanwhile lines up."""
        while not (self._stopping.is_set() and self._failures):
            try:
                found = waiting.oldest()
                if found is None or self._try(found[1]) is None:
                    break
                waiting.done(found[0])
            except OSError as error:
                self._disk = f"what waits to be sent cannot be read: {error}"
                self._again_at = time.monotonic() + self._first_pause
                return
            if self._turns.qsize() > QUEUE // 2:
                self._take(waiting, 0.0)
        if self._failures:
            self._secure(waiting)

    def _secure(self, waiting: Waiting) -> None:
        try:
            waiting.secure()
        except OSError as error:
            self._disk = f"what waits to be sent cannot be synced to the disk: {error}"

    def _try(self, batch: Any) -> Optional[bool]:
        """True = taken, False = never will be, None = not now."""
        try:
            self._outlet.send(batch)
        except NotNow as error:
            if not self._failures:
                log.warning("%s: %s; what is measured waits", self._outlet.name, error)
            self._trouble = str(error)
            pause = min(LONGEST_PAUSE, self._first_pause * 2.0 ** min(self._failures, 16))
            self._failures += 1
            self._again_at = time.monotonic() + pause * random.uniform(0.75, 1.0)
            return None
        except Never as error:
            if str(error) != self._refusal:
                log.warning("%s: %s", self._outlet.name, error)
            self._refused += 1
            self._refusal = str(error)
            taken = False
        else:
            taken = True
        if self._failures:
            log.info("%s takes what is measured again", self._outlet.name)
        self._failures, self._trouble = 0, ""
        return taken
