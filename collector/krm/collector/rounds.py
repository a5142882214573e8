"""Which source asks whom, and how often."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, NamedTuple, Optional

from krm.collector.schedule import Job, Name
from krm.collector.source import Source, Target
from krm.collector.sources.agent_seen import AgentPages, KillPage, ProcessPage
from krm.collector.sources.configz import Configz
from krm.collector.world import World


class Round(NamedTuple):
    """One source, whom it asks in a world, and its interval in seconds."""

    source: Source
    targets: Callable[[World], Mapping[str, Target]]
    every: float


class Pages(NamedTuple):
    """What agents tell beside numbers, and how often each is asked, in seconds."""

    processes: AgentPages[ProcessPage]
    processes_every: float
    kills: AgentPages[KillPage]
    kills_every: float


class Rounds:
    """The sources that are switched on."""

    def __init__(
        self, rounds: List[Round], pages: Optional[Pages] = None, settings: Optional[Configz] = None
    ) -> None:
        """`pages`: those of `rounds` that read what agents tell beside numbers; None = agents are not asked.
        `settings`: the one that reads kubelets' settings; None = they are not asked for them."""
        self._rounds, self.pages, self.settings = rounds, pages, settings

    def jobs(self, world: World) -> Dict[Name, Job]:
        """Whom to ask in this world."""
        return {
            (one.source.name, target.name): Job(one.source, target, one.every)
            for one in self._rounds
            for target in one.targets(world).values()
        }
