"""The one way to a container runtime: opens its socket and finds out whether the CRI or Docker is behind it."""

from __future__ import annotations

from krm.agent.runtime.cri import Cri
from krm.agent.runtime.docker import Docker
from krm.agent.runtime.runtimes import Runtime, RuntimeLate, RuntimeSilent


def open_runtime(path: str, node: str) -> Runtime:
    """The runtime that listens on the unix socket `path`. `node`: the node's name, for evidence.

    Raises RuntimeSilent; that may be asked again at each turn.
    """
    try:
        return Cri(path, node)
    except RuntimeLate:  # who does not answer one question is not asked another, which would take as long again
        raise
    except RuntimeSilent as of_cri:
        try:
            return Docker(path, node)
        except RuntimeSilent as of_docker:
            if str(of_docker) == str(of_cri):  # the socket itself
                raise
            raise RuntimeSilent(f"{of_cri}; and asked as Docker: {of_docker}") from of_docker
