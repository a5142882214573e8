"""The gate of each cluster, as the settings say. A gate knows one cluster: what lets somebody into one is
worth nothing at another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Callable, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.cluster.credentials import connect
from krm.cluster.errors import ClusterError
from krm.cluster.requests import Cluster
from krm.server.identity import Gate, Open
from krm.server.tokenfile import BadTokenFile, TokenFile

NONE, TOKEN_FILE, KUBERNETES = "none", "token-file", "kubernetes"
CHOICES = (NONE, TOKEN_FILE, KUBERNETES)

if TYPE_CHECKING:
    from krm.server.authorities import Authorities
    from krm.server.reviewed import Reviewed

# Told which cluster's CAs of client certificates are now these, as PEM.
Trust = Callable[[str, str], None]
Held = Callable[[str], Set[str]]


class BadGate(ValueError):
    """Settings by which nobody can be let in rightly: krm refuses to start."""


class GateSettings(NamedTuple):
    """One value of a tuple a cluster, in the order of the clusters."""

    auth: str = NONE
    token_file: Tuple[str, ...] = ()
    kubeconfig: str = ""
    context: Tuple[str, ...] = ()
    in_cluster: bool = False
    audience: Tuple[str, ...] = ()


class Gates:
    """All clusters' gates, and what runs for them. It belongs to the event loop."""

    def __init__(self, settings: GateSettings, clusters: Sequence[str], trust: Trust, held: Held) -> None:
        """`held`: the uids of the cluster whose state is served under a name, as far as they are known."""
        self._held = held
        self._settings, self._clusters, self._trust = settings, list(clusters), trust
        self._loop = asyncio.get_running_loop()
        self._reviewed: List[Reviewed] = []
        self._authorities: List[Authorities] = []
        check(settings, clusters)

    async def open(self) -> List[Gate]:
        """In the order of the clusters. Raises BadGate, in a sentence."""
        gates: List[Gate] = []
        for number, name in enumerate(self._clusters):
            gates.append(await self._gate(number, name))
        return gates

    def close(self) -> None:
        """No review begins any more."""
        for one in self._reviewed:
            one.close()
        for authorities in self._authorities:
            authorities.stop()

    async def _gate(self, number: int, name: str) -> Gate:
        settings = self._settings
        if settings.auth == NONE:
            return Open()
        if settings.auth == TOKEN_FILE:
            try:
                return TokenFile(settings.token_file[number])
            except BadTokenFile as error:
                raise BadGate(str(error)) from None
        return await self._reviewing(name, settings.context[number] if settings.context else None)

    async def _reviewing(self, name: str, context: Optional[str]) -> Gate:
        from krm.server.authorities import Authorities
        from krm.server.reviewed import Reviewed

        settings = self._settings

        def connected() -> Cluster:
            return connect(settings.kubeconfig or None, context, settings.in_cluster, "server")

        try:
            cluster = await self._loop.run_in_executor(None, connected)
        except ClusterError as error:
            raise BadGate(f"no API server to review who may read {name}: {error}") from None
        authorities = Authorities(name, cluster, lambda pem: self._trust(name, pem), self._loop)
        authorities.start()
        self._authorities.append(authorities)
        gate = Reviewed(cluster, authorities, settings.audience, lambda: self._held(name))
        self._reviewed.append(gate)
        return gate


def check(settings: GateSettings, clusters: Sequence[str]) -> None:
    """Raises BadGate for settings that leave open which gate is whose."""
    count = len(clusters)
    if settings.auth == TOKEN_FILE and len(settings.token_file) != count:
        given = len(settings.token_file)
        raise BadGate(
            "--auth token-file needs a --token-file for each cluster, in the order of --cluster"
            f" (clusters: {count}, files: {given})"
        )
    if settings.auth != KUBERNETES:
        return
    if settings.in_cluster and (settings.context or count > 1):
        raise BadGate("--in-cluster reviews for the cluster that krm runs in: name one --cluster and no --context")
    if len(settings.context) not in ((0, 1) if count == 1 else (count,)):
        given = len(settings.context)
        raise BadGate(
            "--auth kubernetes needs a --context for each cluster, in the order of --cluster"
            f" (clusters: {count}, contexts: {given})"
        )
    if len(set(settings.context)) != len(settings.context):
        raise BadGate("--context names one context twice: two clusters would share their reviews")
