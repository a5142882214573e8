"""What a container runtime's own API can be asked, whichever runtime it is: the shapes, and what its silence is.

Optional, and off by default: whoever may open the socket of a runtime may start containers as root on the node.
The agent sends read-only calls alone (`cri.CALLS`, `docker.CALLS`). `runtime_door.open_runtime` opens one.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Protocol, Sequence

from krm.agent.seen import Missing, Named
from krm.model.kills import Evidence

NOT_ASKED = Missing(
    "runtime API",
    "no container runtime is asked: --runtime-socket turns it on, with the socket's path; names of pods and "
    "containers come from it, and figures to compare with. The socket gives power over the node, so it is off",
)

# A runtime may learn of an OOM kill after the end of its container: for so long it is asked of it again.
SETTLED_SECONDS = 60.0
KILLED = 128 + 9  # exit code of what SIGKILL ended


class RuntimeSilent(Exception):
    """A runtime gave no answer that can be used. str() is a sentence for people: what failed and what to do."""


class RuntimeLate(RuntimeSilent):
    """No answer came in time."""


class RuntimeStats(NamedTuple):
    """What a runtime tells of one container. What it does not tell is not in `figures`: never 0."""

    figures: Mapping[str, int]  # names and units as in figures.py: cpu_usage_ns, memory_working_set, ...
    cpu_at: Optional[float]  # Unix seconds at which it read cpu_usage_ns, by the node's clock; None = not told
    memory_at: Optional[float]  # the same of the memory figures


class Runtime(Protocol):
    """One runtime behind one socket. Each call asks anew, is bounded in bytes and time, and raises RuntimeSilent.

    Not for several threads, and best in one of its own: Docker 20.10 takes a second to tell of its containers.
    After a RuntimeSilent the next call connects anew.
    """

    @property
    def name(self) -> str:
        """As it calls itself, with its version: `containerd 1.6.20`, `cri-o 1.30.0`, `docker 20.10.24`."""
        ...

    def names(self) -> Mapping[str, Named]:
        """Container id -> whose it is; sandboxes too, and containers that have ended and are still kept."""
        ...

    def stats(self) -> Mapping[str, RuntimeStats]:
        """Container id -> its figures, of containers that run."""
        ...

    def ended(self) -> Sequence[Evidence]:
        """Containers still kept that ended, and of which it says that there was an OOM kill, the oldest first.

        The same ones in each answer. A runtime knows that the cgroup had an OOM event, and when the container
        ended, so the kill was in (start, end]; `container_ended` is True where SIGKILL ended it, None where it
        ended of something else, later.
        """
        ...

    def close(self) -> None:
        """Closes the connection, where there is one."""
        ...
