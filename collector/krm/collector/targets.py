"""Whom to ask: kubelets of the nodes, as the snapshots name them; or all at once. Pure."""

from __future__ import annotations

from typing import Dict, Iterable

from krm.collector.facts import NodeFacts
from krm.collector.source import Target

CLUSTER = Target("the cluster")  # of sources that tell of all at once


def kubelets(nodes: Iterable[NodeFacts]) -> Dict[str, Target]:
    """One target a node that has an address, by the node's name."""
    return {
        node.name: Target(f"node {node.name}", node.name, url=f"https://{_host(node.address)}:{node.port}")
        for node in nodes
        if node.address
    }


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
