"""Whom to ask: kubelets of the nodes, as the snapshots name them; or all at once. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterable

from krm.collector.facts import NodeFacts
from krm.collector.source import Target

_IS_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}|[A-Fa-f0-9:.]{1,44})|::[A-Fa-f0-9:.]{1,43}").fullmatch
CLUSTER = Target("the cluster")  # of sources that tell of all at once


def kubelets(nodes: Iterable[NodeFacts]) -> Dict[str, Target]:
    """One target a node, by the node's name; without a URL, and so silent, where it has no address to ask at."""
    return {node.name: Target(f"node {node.name}", node.name, url=_url(node)) for node in nodes}


def _url(node: NodeFacts) -> str:
    """A node says its address itself: it chooses whom krm asks there (whose certificate tells), never a path."""
    if not _IS_HOST(node.address):
        return ""
    host = f"[{node.address}]" if ":" in node.address else node.address
    return f"https://{host}:{node.port}"
