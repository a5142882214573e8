"""What agents tell beside numbers, cluster-wide: processes and OOM kills, and which nodes have no agent and why."""

from __future__ import annotations

from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set

from krm.collector.ledgers import Ledgers
from krm.collector.newest import GRACE, PodName
from krm.collector.processes import NodesProcesses, Standing
from krm.collector.rounds import Pages
from krm.collector.schedule import Job, Name, Outcome
from krm.collector.sources import agent_seen, cadvisor
from krm.collector.world import World
from krm.model.measures import Covers
from krm.store.errors import Corrupt
from krm.store.latest_seen import NO_AGENT, READ, SILENT, NodeKills, ledger_of

NOT_ASKED = (
    "agents are not asked: the collector has no token for them (--agent-token-file), or its --sources"
    " leave them out"
)
NOT_YET = "its agent has not answered yet"
_PAGES = frozenset({agent_seen.PROCESSES, agent_seen.KILLS})


class Told(NamedTuple):
    """For Redis: node -> packed. Snapshots: they change no more."""

    processes: Mapping[str, bytes]
    kills: Mapping[str, bytes]
    agents: Covers  # nodes whose processes are known


class Seeing:
    """One cluster's."""

    def __init__(
        self, world: World, pages: Optional[Pages], left: Callable[[], Iterable[NodeKills]], agent_namespace: str
    ) -> None:
        """`pages`: None = agents are not asked. `left`: the kills as Redis has them; it raises StoreError."""
        self._world, self._pages, self._left = world, pages, left
        self._no_pod = f"no agent runs on it: there is no krm-agent pod in namespace {agent_namespace}"
        self._processes, self._ledgers = NodesProcesses(), Ledgers()
        self._restored = False
        self._reasons: Dict[Name, str] = {}  # (source, node) -> why its last question failed

    @property
    def kills(self) -> int:
        """How many are kept."""
        return self._ledgers.kills()

    def begin(self, now: float) -> None:
        """Before the first turn that writes: the kills that the collector before this one knew.

        Raises StoreError: then the turn must not write, for its write replaces them."""
        if self._restored:
            return
        for one in self._left():
            try:
                ledger = ledger_of(one)
            except Corrupt:
                continue  # what agents and statuses still tell of is put together anew
            self._ledgers.restore(one.node, ledger.add((), now))
        self._restored = True

    def forget(self) -> None:
        """Another collector goes on."""
        if self._restored:
            self._processes.forget()
            self._ledgers.forget()
            self._restored = False
        if self._pages is not None:
            self._pages.processes.came()
            self._pages.kills.came()

    def take(self, outcomes: Iterable[Outcome], now: float) -> List[Outcome]:
        """Takes what is no number; the rest comes back."""
        rest: List[Outcome] = []
        for outcome in outcomes:
            source, node = outcome.job.source.name, outcome.job.target.node
            if source in _PAGES:
                self._reasons.pop((source, node), None)
                if outcome.reason:
                    self._reasons[source, node] = outcome.reason
                continue
            if source == cadvisor.NAME and not outcome.reason:
                self._ledgers.counters(node, outcome.samples, now)
            rest.append(outcome)
        if self._pages is not None:
            for node, page in self._pages.processes.came().items():
                self._processes.take(node, page, now)
            for node, kills in self._pages.kills.came().items():
                self._ledgers.agent(node, kills, now)
        return rest

    def turn(self, jobs: Mapping[Name, Job], changed: Set[PodName], now: float) -> Told:
        """`changed`: pods that came, changed or went since the last turn."""
        self._ledgers.statuses(self._world.killed(changed), now)
        asked = {(source, job.target.node) for (source, _), job in jobs.items() if source in _PAGES}
        self._reasons = {name: why for name, why in self._reasons.items() if name in asked}
        processes: Dict[str, Standing] = {}
        kills: Dict[str, Standing] = {}
        for kept in self._world.all_nodes():
            name, why = kept.facts.name, kept.facts.no_agent
            for source, standings in ((agent_seen.PROCESSES, processes), (agent_seen.KILLS, kills)):
                standings[name] = self._standing((source, name), asked, why)
        every = (10.0, 4.0) if self._pages is None else (self._pages.processes_every, self._pages.kills_every)
        self._processes.turn(processes, 2 * every[0] + GRACE, now)
        self._ledgers.turn(kills, 2 * every[1] + GRACE, now)
        known = self._processes.known
        return Told(self._processes.packed, self._ledgers.packed, Covers(known, len(processes), "nodes"))

    def _standing(self, name: Name, asked: Set[Name], why: str) -> Standing:
        if name in asked:
            reason = self._reasons.get(name)
            return (SILENT, reason) if reason else (READ, NOT_YET)
        return NO_AGENT, why or (NOT_ASKED if self._pages is None else self._no_pod)
