"""Whom to ask: kubelets of the nodes, as the snapshots name them. Pure."""

from __future__ import annotations

from typing import Dict, Iterable

from krm.collector.facts import NodeFacts
from krm.collector.schedule import Job, Name
from krm.collector.source import Source, Target

CLUSTER = Target("the cluster")  # of sources that tell of all at once


def kubelets(nodes: Iterable[NodeFacts]) -> Dict[str, Target]:
    """One target a node that has an address; its name is the node's."""
    return {
        node.name: Target(
            name=f"node {node.name}",
            node=node.name,
            url=f"https://{_host(node.address)}:{node.port}",
        )
        for node in nodes
        if node.address
    }


def jobs(source: Source, targets: Iterable[Target], every: float) -> Dict[Name, Job]:
    """Each target asked each `every` seconds."""
    return {(source.name, target.name): Job(source, target, every) for target in targets}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
