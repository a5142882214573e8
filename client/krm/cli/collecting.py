"""What `krm status` and `krm doctor` say of measurements: whether they come, of how many nodes, who is silent."""

from __future__ import annotations

from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from krm.cli.checks import Line
from krm.client.client import Client
from krm.client.errors import KrmError
from krm.client.usage import ABSENT
from krm.model.measures import Covers, Silence
from krm.model.trust import LIVE

UNKNOWN = "unknown"
_SHOWN = 3  # silent targets that are named


class Collecting(NamedTuple):
    """What is known of a cluster's collector."""

    state: str  # live, stale (it is away), absent (none ever ran), unknown (that cannot be read)
    reasons: Tuple[str, ...]  # why it is not live, or what it rests on that is not
    nodes: Optional[Covers]  # how many are measured; None = not known
    silences: Tuple[Silence, ...]  # targets that give no data; those of pods too
    history: Tuple[str, ...] = ()  # what is wrong with the history
    agents: Optional[Covers] = None  # nodes whose agents answer; None = not known

    def as_json(self) -> Dict[str, Any]:
        """For `-o json`; null is not known."""
        return {
            "state": self.state,
            "reasons": list(self.reasons),
            "nodes": None if self.nodes is None else {"measured": self.nodes.known, "of": self.nodes.of},
            "agents": None if self.agents is None else {"answer": self.agents.known, "of": self.agents.of},
            "history": list(self.history),
            "silences": [silence._asdict() for silence in self.silences],
        }

    def sentence(self) -> str:
        """One line for people. Who is away tells nothing of now."""
        if self.state != LIVE:
            return f"measurements: {self.state}: {'; '.join(self.reasons)}"
        return f"measurements: {self.state}; " + "; ".join(self._covered())

    def _covered(self) -> Iterator[str]:
        if self.nodes is not None:
            yield f"{self.nodes} are measured"
        if self.agents is not None and self.agents.known:  # none at all is a choice, and no trouble
            yield f"agents answer on {self.agents}"
        if self.silences:
            yield f"no data from {len(self.silences)}: {', '.join(map(_named, self.silences[:_SHOWN]))}" + (
                " and others" if len(self.silences) > _SHOWN else ""
            )
        yield from self.reasons
        yield from (f"history: {wrong}" for wrong in self.history)


def _named(silence: Silence) -> str:
    return f"{silence.target} ({silence.source}: {silence.reason})"


def collecting(client: Client) -> Collecting:
    """Where it cannot be read (no right to it, nobody answers), that it is unknown, and why."""
    try:
        found = client.usage("nodes")
    except KrmError as error:
        return Collecting(UNKNOWN, (str(error),), None, ())
    live = found.state == LIVE
    # Of one that is live the others are of nodes: they are counted here.
    reasons = (
        [reason for reason in found.reasons if reason.startswith("the snapshot of ")]
        if live
        else [found.reasons[0]]
    )
    nodes, agents = (found.nodes, found.agents) if live else (None, None)
    return Collecting(found.state, tuple(reasons), nodes, found.silences, found.history, agents)


def check(client: Client) -> Line:
    """For `krm doctor`: who measures nothing on purpose is well."""
    found = collecting(client)
    whole = (
        found.state == LIVE
        and not (found.silences or found.reasons or found.history)
        and (found.nodes is None or found.nodes.whole)
        and (found.agents is None or found.agents.whole or not found.agents.known)
    )
    sentence = found.sentence().partition(": ")[2]
    if whole or found.state == ABSENT:
        return Line(True, "measurements", sentence)
    remedy = "look at the collector's log; docs/kubelets.md and docs/agent.md say what it needs of nodes and agents"
    return Line(False, "measurements", sentence, remedy)
