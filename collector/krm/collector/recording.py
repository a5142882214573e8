"""The history's own thread: a flush that takes a second delays no turn.

What does not fit waits a little; then it is lost, and told.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import List, Optional, Sequence, Tuple

from krm.model.measures import Sample
from krm.store.history.asked import Recorder

WAITING = 60  # turns that may wait: a minute of a disk that does not answer
DRAIN = 4.0  # seconds that what waits is given at the end

log = logging.getLogger("krm")


class Recording:
    """A Recorder before another one. `close` writes what waits, within DRAIN."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._queue: queue.Queue[Optional[Tuple[List[Sample], float]]] = queue.Queue(WAITING)
        self._lost = 0
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def record(self, samples: Sequence[Sample], now: float) -> None:
        """Never waits."""
        try:
            self._queue.put_nowait((list(samples), now))
        except queue.Full:
            self._lost += len(samples)

    def health(self) -> List[str]:
        """What is wrong now, in sentences."""
        told = [self._failure] if self._failure else []
        if self._lost:
            told.append(f"{self._lost} samples were not kept: the history was too slow to take them")
        return told + list(self._recorder.health())

    def close(self) -> None:
        """The recorder's own close follows it."""
        try:
            self._queue.put(None, timeout=DRAIN)
        except queue.Full:
            log.warning("the history did not take its last samples")
        self._thread.join(DRAIN)

    def _run(self) -> None:
        for samples, now in iter(self._queue.get, None):
            try:
                self._recorder.record(samples, now)
                self._failure = ""
            except Exception as error:  # the live values go on whatever becomes of the history
                log.exception("the history did not take a turn")
                self._failure = f"the history did not take a turn ({type(error).__name__}): the log says why"
