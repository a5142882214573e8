"""The runtimes' own APIs, all that are asked: their names, figures and ended containers of one turn, as one answer.

They are asked in a thread of their own, for which a turn waits a moment and no longer: a runtime that hangs holds
up no counter of OOM kills. A runtime that is silent costs its figures of that turn, and not the names that it told
before: whose a container is does not change.
"""

from __future__ import annotations

import threading
import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.agent.runtime.runtime_door import open_runtime
from krm.agent.runtime.runtimes import NOT_ASKED, Runtime, RuntimeSilent, RuntimeStats
from krm.agent.seen import Missing, Named
from krm.model.kills import Evidence

MAX_NAMES = 20_000  # containers: a runtime that tells of more is asked no further
PATIENCE = 1.0  # seconds that a turn waits; 100 containers take a tenth of that


class Told(NamedTuple):
    """What they told."""

    names: Mapping[str, Named]
    stats: Mapping[str, RuntimeStats]
    ended: Tuple[Evidence, ...]
    problems: Tuple[Missing, ...]
    seconds: float = 0.0  # of CPU that asking cost


class Runtimes:
    """Asks each of the sockets in turn. Not for several threads."""

    def __init__(self, sockets: Sequence[str], node: str) -> None:
        self._sockets, self._node = tuple(sockets), node
        self._open: Dict[str, Runtime] = {}
        self._names: Dict[str, Mapping[str, Named]] = {}
        self._worker: Optional[threading.Thread] = None
        self._began = 0.0  # monotonic
        self._answer = Told({}, {}, (), ())
        self._failed: Optional[Exception] = None

    def turn(self) -> Told:
        """The newest answer. Never raises RuntimeSilent: who is silent, or late, is a problem."""
        if not self._sockets:
            return Told({}, {}, (), (NOT_ASKED,))
        if self._worker is None:
            self._began = time.monotonic()
            self._worker = threading.Thread(target=self._work, name="runtimes", daemon=True)
            self._worker.start()
        self._worker.join(PATIENCE)
        if self._worker.is_alive():
            late = f"no answer for {time.monotonic() - self._began:.0f}s; its figures come when it answers"
            return Told(self._answer.names, {}, (), (Missing("runtime API", late),))
        self._worker = None
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        return self._answer

    def close(self) -> None:
        """Closes every connection, but for one that is being waited at: it ends with its deadline."""
        if self._worker is not None and self._worker.is_alive():
            return
        for runtime in self._open.values():
            runtime.close()

    def _work(self) -> None:
        try:
            self._answer = self._ask()
        except Exception as error:  # noqa: BLE001 - the turn that picks it up raises it
            self._failed = error

    def _ask(self) -> Told:
        began = time.thread_time()
        stats: Dict[str, RuntimeStats] = {}
        ended: List[Evidence] = []
        problems: List[Missing] = []
        for socket in self._sockets:
            try:
                runtime = self._opened(socket)
                self._names[socket] = dict(list(runtime.names().items())[:MAX_NAMES])
                ended += runtime.ended()
                stats.update(runtime.stats())
            except RuntimeSilent as error:
                problems.append(Missing("runtime API", str(error)))
        names = {key: named for told in self._names.values() for key, named in told.items()}
        return Told(names, stats, tuple(ended), tuple(problems), time.thread_time() - began)

    def _opened(self, socket: str) -> Runtime:
        if socket not in self._open:
            self._open[socket] = open_runtime(socket, self._node)
        return self._open[socket]
