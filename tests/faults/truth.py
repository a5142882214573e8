"""What really happened in the simulator's world, as the validators ask for it."""

from __future__ import annotations

import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.simulator.world import World

# Seconds: how far the clocks of the world, of Redis and of the stages' measured offsets may be apart here.
CLOCK_TOLERANCE = 0.3
Rvs = Dict[str, int]  # namespace/name -> resourceVersion


class Fact(NamedTuple):
    """One change that truly happened."""

    rv: int
    key: str  # namespace/name, "/name" where cluster-scoped
    deleted: bool
    at: float  # seconds since the epoch


class Timeline:
    """One kind's facts of one epoch: a rollback ends it and begins another."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = list(facts)

    def states(self, revisions: Sequence[int]) -> Iterator[Tuple[int, Rvs]]:
        """(revision, state at it) for revisions in ascending order; the dict is the caller's until the next."""
        state: Rvs = {}
        position = 0
        for revision in revisions:
            while position < len(self.facts) and self.facts[position].rv <= revision:
                fact = self.facts[position]
                if fact.deleted:
                    state.pop(fact.key, None)
                else:
                    state[fact.key] = fact.rv
                position += 1
            yield revision, state


class Truth:
    """A world's history of one kind after the other, its rollbacks, and which events were lost on purpose."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ended: Dict[str, List[Timeline]] = {}
        self.eaten: Dict[str, Set[int]] = {}  # kind -> revisions that a proxy lost
        # Spans in which the world had gone back and nobody can know yet: (from, to), seconds since the epoch.
        self.doubts: List[Tuple[float, Optional[float]]] = []

    def timelines(self, kind: str) -> List[Timeline]:
        """All epochs, the present one last."""
        return [*self._ended.get(kind, ()), self.present(kind)]

    def present(self, kind: str) -> Timeline:
        return Timeline([Fact(c.revision, _key(c.key), c.now is None, c.at) for c in self.world.history(kind)])

    def roll_back(self, revision: int) -> None:
        """The world becomes what it was at `revision`; until `doubt_over` nobody can be asked for the truth."""
        for kind in self.world.kinds():
            self._ended.setdefault(kind.name, []).append(self.present(kind.name))
        self.doubts.append((time.time(), None))
        self.world.rollback(revision)

    def doubt_over(self) -> None:
        began, _ = self.doubts[-1]
        self.doubts[-1] = (began, time.time())

    def doubtful(self, at: float) -> bool:
        """Whether a record of this moment may be of either side of a rollback."""
        return any(began <= at and (ended is None or at <= ended) for began, ended in self.doubts)

    def lost(self, kind: str) -> Set[int]:
        """Revisions whose events no watch was told of."""
        with self.world.lock:
            dropped = set(self.world.faults.dropped(kind))
        return dropped | self.eaten.get(kind, set())

    def uncertain(self, kind: str, timeline: Timeline, verified: int, rv: int) -> Set[str]:
        """Keys of which an event in (verified, rv] was lost: until the next list nobody can know."""
        lost = self.lost(kind)
        if not lost:
            return set()
        return {fact.key for fact in timeline.facts if verified < fact.rv <= rv and fact.rv in lost}

    def newest_by(self, kind: str, moment: float) -> int:
        """The newest revision of the kind that was written before `moment`; 0 = none."""
        newest = 0
        for fact in self.present(kind).facts:
            if fact.at > moment:
                break
            newest = fact.rv
        return newest


def _key(world_key: str) -> str:
    """As krm writes it: the world calls a cluster-scoped object by its name alone."""
    return world_key if "/" in world_key else "/" + world_key
