"""What walks share: a client, one more revision of a pod, and how a walk ends."""

from __future__ import annotations

import time
from typing import Any, Dict

from faults.paper import Paper, wait
from faults.pipeline import CLUSTER
from krm.client.client import Client, connect

WIDGETS = "widgets.example.com"


def healed(paper: Paper) -> None:
    """The end of a walk: everything equals the API server's list, and no reader saw a law broken."""
    paper.heal()
    paper.wait_converged()
    paper.finish_readers()
    violations = paper.violations()
    assert not violations, paper.told(violations)


def a_client(paper: Paper) -> Client:
    return connect(paper.pipeline.redis.url, CLUSTER)


def some_key(paper: Paper, number: int = 0) -> str:
    return paper.world.keys("pods")[number]


def touch(paper: Paper, key: str) -> int:
    """One more revision of a pod."""

    def edit(pod: Dict[str, Any]) -> None:
        labels = pod["metadata"].setdefault("labels", {})
        labels["touched"] = str(int(labels.get("touched", "0")) + 1)

    return paper.world.update("pods", key, edit).revision


def follows(paper: Paper) -> None:
    """The snapshot is as new as the world."""
    newest = paper.truth.newest_by("pods", time.time())
    wait("the snapshot is at the newest change", lambda: int(paper.views["pods"].head().rv or 0) >= newest)
