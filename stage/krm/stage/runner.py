"""One process of krm: a thread a pipeline, signals, an end within seconds, health on a port.

A pipeline is one kind of one cluster (of one namespace, where namespaces are named). Its loop is
told to stop by an Event and ends by itself; a loop that raises something unforeseen is logged and
begun anew, because one kind's trouble must not stop the others.
"""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import sys
import threading
import time
from typing import Callable, Dict, Iterator, List, Protocol, Sequence, Tuple

from krm.stage.metrics import Figures, serve

# Seconds that a stopping process gives its loops before it ends without them.
DRAIN = 5.0
# Seconds before a loop that failed is begun anew: doubled, up to the second, by half at random.
RESTART_FIRST, RESTART_MOST = 0.5, 30.0
# A loop that ran this long (seconds) had recovered: the next failure waits the first pause again.
RESTART_FORGET = 120.0

log = logging.getLogger("krm")


def configure_logging(stage: str, level: str = "INFO") -> None:
    """One line an event on stderr."""
    logging.basicConfig(
        stream=sys.stderr, level=level, format=f"%(asctime)s {stage} %(levelname)s %(message)s", force=True
    )


def die_with_parent() -> None:
    """Where KRM_PARENT_PID is set, end when that process does, by SIGKILL too (Linux)."""
    parent = os.environ.get("KRM_PARENT_PID", "")
    if not parent.isdigit():
        return
    pr_set_pdeathsig = 1  # linux/prctl.h
    try:
        ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGTERM)
    except (OSError, AttributeError):
        log.warning("this system cannot end a child with its parent")
    if os.getppid() != int(parent):
        log.warning("process %s of KRM_PARENT_PID is not, or no longer, the parent of this one: it ends", parent)
        sys.exit(0)


class Loop(Protocol):
    """One pipeline's work."""

    def run(self) -> None:
        """Until its stop event is set."""

    def figures(self) -> Figures:
        """What /metrics tells of it, from any thread."""
        ...


# A pipeline's name, and what makes its loop; a maker may raise, as the loop may.
Maker = Tuple[str, Callable[[threading.Event], Loop]]


class Runner:
    """Runs one callable a pipeline until SIGTERM or SIGINT. Made in the main thread, once a process."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())
        self._failures: Dict[str, str] = {}
        self._loops: Dict[str, Loop] = {}
        self._threads: List[threading.Thread] = []

    def run(self, makers: Sequence[Maker], address: str = "127.0.0.1", port: int = 0) -> int:
        """Blocks until stopped; returns the exit status. `port` 0: no health, no metrics."""
        if port:
            serve(address, port, self._figures, lambda: ", ".join(self._failures))
        for name, make in makers:
            thread = threading.Thread(target=self._keep, args=(name, make), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        while not self.stop.wait(0.5):
            pass
        return self._drain()

    def _figures(self) -> Iterator[Tuple[str, Figures]]:
        for name, loop in list(self._loops.items()):
            yield name, loop.figures()

    def _keep(self, name: str, make: Callable[[threading.Event], Loop]) -> None:
        pause = RESTART_FIRST
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                self._loops[name] = make(self.stop)
                self._failures.pop(name, None)
                self._loops[name].run()
                return
            except Exception as error:
                self._failures[name] = type(error).__name__
                log.exception("%s: the loop failed and is begun anew", name)
            if time.monotonic() - began > RESTART_FORGET:
                pause = RESTART_FIRST
            self.stop.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, RESTART_MOST)

    def _drain(self) -> int:
        deadline = time.monotonic() + DRAIN
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        late = [thread.name for thread in self._threads if thread.is_alive()]
        if late:
            log.warning("ended without waiting longer for %s", ", ".join(late))
        return 1 if late else 0


def pipelines(kinds: Sequence[str], namespaces: Sequence[str]) -> List[Tuple[str, str]]:
    """(kind, namespace) of each pipeline; the namespace is '' where none are named."""
    return [(kind, namespace) for kind in kinds for namespace in (namespaces or ("",))]
