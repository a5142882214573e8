"""What kubelets said of their settings, and why others did not: kept apart from numbers. No clock, no I/O."""

from __future__ import annotations

from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from krm.collector.schedule import Name, Outcome
from krm.collector.sources.configz import EVERY, NAME, Configz
from krm.model.kubelets import NodeKubelet
from krm.store.latest_kubelets import pack_kubelet

# Seconds for which settings count that could not be read again: two looks that failed, and a bit.
LASTS = 2.5 * EVERY


class Configured:
    """One cluster's. A refusal is no silence of the node: its numbers are there."""

    def __init__(self, source: Optional[Configz]) -> None:
        """`source`: None = kubelets are not asked for their settings."""
        self._source = source
        self._known: Dict[str, NodeKubelet] = {}
        self._packed: Dict[str, Tuple[NodeKubelet, bytes]] = {}

    def take(self, outcomes: Iterable[Outcome]) -> List[Outcome]:
        """Takes what is no number; the rest comes back."""
        rest: List[Outcome] = []
        for outcome in outcomes:
            if outcome.job.source.name != NAME:
                rest.append(outcome)
                continue
            node = outcome.job.target.node
            former = self._known.get(node, NodeKubelet(node, None))
            if outcome.reason:
                lasts = former.at is not None and outcome.at - former.at <= LASTS
                self._known[node] = former._replace(config=former.config if lasts else None, why=outcome.reason)
        if self._source is not None:
            self._known.update(self._source.came())
        return rest

    def told(self, jobs: Iterable[Name]) -> Mapping[str, bytes]:
        """node -> packed, of nodes that are asked. `jobs`: all that are asked now."""
        asked = {target for source, target in jobs if source == NAME}
        self._known = {node: one for node, one in self._known.items() if f"node {node}" in asked}
        for node, one in self._known.items():
            if self._packed.get(node, (None,))[0] != one:
                self._packed[node] = (one, pack_kubelet(one))
        self._packed = {node: row for node, row in self._packed.items() if node in self._known}
        return {node: row[1] for node, row in self._packed.items()}
