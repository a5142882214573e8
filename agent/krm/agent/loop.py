"""The agent's loop: turns in a steady rhythm, the newest of them ready to be served."""

from __future__ import annotations

import time
from functools import partial
from threading import Event
from typing import Callable, Dict, Mapping

from krm.agent.documents import kills_document, node_document, packed, processes_document
from krm.agent.exposition import MEDIA, exposition
from krm.agent.seen import Seen
from krm.agent.serving import Answer

# Turns that may be late before it is ill: a node without CPU is not the agent's fault, one without turns is.
LATE_TURNS, LATE_LEAST = 6, 60.0  # seconds


class Loop:
    """Turns until it is told to stop. `answers` and `ill` are for other threads."""

    def __init__(
        self, turn: Callable[[bool], Seen], every: float, whole_every: float, stop: Event, close: Callable[[], None]
    ) -> None:
        """`turn`: Turns.turn; `close`: what ends it. `every`, `whole_every`: seconds."""
        self._turn, self._every, self._whole_every = turn, every, whole_every
        self._stop, self._close = stop, close
        self._answers: Mapping[str, Answer] = {}
        self._ended = time.monotonic()

    def run(self) -> None:
        """Until stopped. Turns that were missed are not made up for."""
        due = whole_due = time.monotonic()
        try:
            while not self._stop.is_set():
                now = time.monotonic()
                whole = now >= whole_due - self._every / 2
                seen = self._turn(whole)
                self._answers, self._ended = answers_of(seen), time.monotonic()
                if whole:
                    whole_due = max(whole_due + self._whole_every, now)
                due = max(due + self._every, time.monotonic())
                self._stop.wait(due - time.monotonic())
        finally:
            self._close()

    def answers(self) -> Mapping[str, Answer]:
        """The newest turn's, by path; empty before there is one."""
        return self._answers

    def ill(self) -> str:
        """Why it is not well, else ""."""
        late = time.monotonic() - self._ended
        return f"the newest turn ended {late:.0f}s ago" if late > max(LATE_LEAST, LATE_TURNS * self._every) else ""

    def figures(self) -> Mapping[str, float]:
        """None: /metrics of the agent is a document of its turn."""
        return {}


def answers_of(seen: Seen) -> Dict[str, Answer]:
    """What is served of one turn, by path."""
    return {
        "/v1/node": Answer(lambda: packed(node_document(seen))),
        "/v1/processes": Answer(lambda: packed(processes_document(seen))),
        "/v1/kills": Answer(lambda: packed(kills_document(seen))),
        "/metrics": Answer(partial(exposition, seen), MEDIA),
    }
