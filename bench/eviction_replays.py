"""Memory pressure as it comes over a node: 60 cases on paper, from a fixed seed, up to the moment of the eviction.

A node of 8 to 64 GiB with 6 to 20 pods of which some leak, some swing, most stand still, and in every fifth case
one bursts in the last minute. What each pod uses at any moment is a formula, so that what the kubelet sees at the
moment when memory.available falls below its threshold is known exactly. tests/oracles/eviction.json has the order
in which the kubelet's own package evicts then. docs/findings.md says what comes of it.
"""

from __future__ import annotations

import math
import random
from typing import Any, Dict, List, NamedTuple, Optional

SEED, COUNT = 4711, 60
MIB, GIB = 2.0**20, 2.0**30
START = 1_800_000_000.0 - 7200  # Unix seconds
LOOK = 10.0  # seconds between two looks of the kubelet
LONGEST = 4 * 3600.0  # seconds after START by which each has evicted
THRESHOLD = 100 * MIB


class ReplayPod(NamedTuple):
    """One pod, and what it uses: base + leak x seconds + swing, and a burst from `burst_at` on."""

    name: str
    priority: int
    request: Optional[int]  # MiB
    base: float  # bytes
    leak: float  # bytes a second
    swing: float  # bytes, half of it
    period: float  # seconds
    phase: float
    burst_at: float  # Unix seconds
    burst: float  # bytes

    def used(self, at: float) -> int:
        """Bytes of its working set."""
        turn = 2 * math.pi * (at - START) / self.period + self.phase
        held = self.base + self.leak * (at - START) + self.swing * (1 + math.sin(turn))
        return int(held + (self.burst if at >= self.burst_at else 0.0))

    def body(self, node: str) -> Dict[str, Any]:
        """The object."""
        requests = {} if self.request is None else {"memory": f"{self.request}Mi"}
        return {
            "metadata": {"name": self.name, "namespace": "lab", "uid": self.name},
            "spec": {
                "nodeName": node,
                "priority": self.priority,
                "containers": [{"name": "app", "image": "x", "resources": {"requests": requests}}],
            },
            "status": {"phase": "Running"},
        }


class Replay(NamedTuple):
    """One case."""

    number: int
    pods: List[ReplayPod]
    system: float  # bytes that no pod uses
    capacity: int  # bytes
    at: float  # Unix seconds of the look at which the kubelet finds too little
    bursts: bool

    def working_set(self, at: float) -> float:
        """Of the node, bytes."""
        return self.system + sum(pod.used(at) for pod in self.pods)


def replays() -> List[Replay]:
    """All of them."""
    draw = random.Random(SEED)
    return [_replay(number, random.Random(draw.random())) for number in range(COUNT)]


def _replay(number: int, draw: random.Random) -> Replay:
    size, bursts = draw.uniform(8, 64) * GIB, number % 5 == 4
    count = draw.randint(6, 20)
    end = START + draw.uniform(1.2, 3.5) * 3600
    pods = [_pod(place, size / count, draw) for place in range(count)]
    leaking = draw.randrange(count)
    pods[leaking] = pods[leaking]._replace(leak=0.3 * size / count / 3600 * draw.uniform(0.3, 3))
    if bursts:
        place = draw.randrange(count)
        pods[place] = pods[place]._replace(burst_at=end - 30, burst=draw.uniform(0.5, 2) * size / count)
    system = draw.uniform(0.5, 2) * GIB
    made = Replay(number, pods, system, 0, 0.0, bursts)
    capacity = int(made.working_set(end) + THRESHOLD)
    at = START
    while made._replace(capacity=capacity).working_set(at) <= capacity - THRESHOLD and at < START + LONGEST:
        at += LOOK
    return made._replace(capacity=capacity, at=at)


def _pod(place: int, share: float, draw: random.Random) -> ReplayPod:
    base = share * draw.uniform(0.2, 0.9)
    request = None if draw.random() < 0.25 else max(1, int(base / MIB * draw.choice([0.6, 0.9, 1.1, 1.5])))
    leaks = draw.random() < 0.2
    return ReplayPod(
        f"p{place:02d}",
        draw.choice([0, 0, 0, 0, -10, 100, 1000]),
        request,
        base,
        0.1 * share / 3600 * draw.uniform(0.1, 1) if leaks else 0.0,
        base * draw.choice([0.0, 0.01, 0.03, 0.1]),
        draw.uniform(300, 3600),
        draw.uniform(0, 2 * math.pi),
        math.inf,
        0.0,
    )
