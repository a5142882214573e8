"""A finding: what is the matter, with whom, on which evidence, how sure, and what would change it. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from krm.model.measures import Covers

INFO, WARNING, CRITICAL = SEVERITIES = ("info", "warning", "critical")
LOW, MEDIUM, HIGH = SURENESS = ("low", "medium", "high")


@dataclass(frozen=True)
class About:
    """Whom a finding is about. What is filled says what it is."""

    kind: str  # pod, node, namespace, deployment.apps, resourcequota, cluster
    namespace: str = ""
    name: str = ""
    container: str = ""  # of a pod
    part: str = ""  # of the object: a resource (memory, requests.cpu), a filesystem; '' = all of it

    def __str__(self) -> str:
        """`pod shop/web-0 container app memory`."""
        place = f"{self.namespace}/{self.name}" if self.namespace and self.name else self.namespace or self.name
        words = [self.kind, place, f"container {self.container}" if self.container else "", self.part]
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Evidence:
    """One number that a finding rests on."""

    what: str  # working set, limit, throttled share
    value: Optional[float]  # None = not known
    unit: str  # of krm.model.metrics: millicores, bytes, share, seconds, count
    source: str  # kubelet/resource, agent, spec, status, history
    at: Optional[float] = None  # Unix seconds, by the source's clock: of the newest reading in it
    window: float = 0.0  # seconds that it was taken over; 0 = an instant
    covers: Optional[Covers] = None  # points, pods, nodes that are in it, of how many


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know."""

    rule: str  # limit-breach, oom-kill, quota-exhaustion: docs/findings.md has a row for each
    severity: str  # of SEVERITIES
    about: About
    sentence: str  # what is the matter, with numbers and units, in one sentence
    evidence: Tuple[Evidence, ...]
    sureness: str  # of SURENESS
    doubts: Tuple[str, ...] = ()  # why it is not surer, a sentence each
    would_change: str = ""  # what would change it, or what to do about it

    @property
    def id(self) -> str:
        """The same for as long as the same thing is the matter: alerts fire and resolve by it."""
        about = self.about
        return "/".join((self.rule, about.kind, about.namespace, about.name, about.container, about.part))


def at_least(severity: str, least: str) -> bool:
    """Whether `severity` is `least` or above."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)
