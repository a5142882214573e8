"""The runtimes' own APIs, all that are asked: their names, figures and ended containers of one turn, as one answer.

A runtime that is silent costs its figures of that turn, and not the names that it told before: whose a container
is does not change.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from krm.agent.runtime_door import open_runtime
from krm.agent.runtimes import NOT_ASKED, Runtime, RuntimeSilent, RuntimeStats
from krm.agent.seen import Missing, Named
from krm.model.kills import Evidence

MAX_NAMES = 20_000  # containers: a runtime that tells of more is asked no further


class Told(NamedTuple):
    """What they told."""

    names: Mapping[str, Named]
    stats: Mapping[str, RuntimeStats]
    ended: Tuple[Evidence, ...]
    problems: Tuple[Missing, ...]


class Runtimes:
    """Asks each of the sockets in turn. Not for several threads."""

    def __init__(self, sockets: Sequence[str], node: str) -> None:
        self._sockets, self._node = tuple(sockets), node
        self._open: Dict[str, Runtime] = {}
        self._names: Dict[str, Mapping[str, Named]] = {}

    def turn(self) -> Told:
        """Never raises RuntimeSilent: who is silent is a problem."""
        stats: Dict[str, RuntimeStats] = {}
        ended: List[Evidence] = []
        problems: List[Missing] = [] if self._sockets else [NOT_ASKED]
        for socket in self._sockets:
            try:
                runtime = self._opened(socket)
                self._names[socket] = dict(list(runtime.names().items())[:MAX_NAMES])
                stats.update(runtime.stats())
                ended += runtime.ended()
            except RuntimeSilent as error:
                problems.append(Missing("runtime API", str(error)))
        names = {key: named for told in self._names.values() for key, named in told.items()}
        return Told(names, stats, tuple(ended), tuple(problems))

    def close(self) -> None:
        """Closes every connection."""
        for runtime in self._open.values():
            runtime.close()

    def _opened(self, socket: str) -> Runtime:
        if socket not in self._open:
            self._open[socket] = open_runtime(socket, self._node)
        return self._open[socket]
