"""States of paper for questions about scheduling, of the bodies that a real scheduler was asked about."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from krm.analysis.inputs import History, Inputs, State

NOW = 1_800_000_000.0
_GROUPS = {"poddisruptionbudgets": ".policy", "storageclasses": ".storage.k8s.io", "csinodes": ".storage.k8s.io"}


def state(nodes: Sequence[Any], pods: Sequence[Any], **more: Sequence[Any]) -> State:
    """more: kinds by their resource alone; what is not given is not known."""
    kinds: Dict[str, Any] = {"nodes": nodes, "pods": pods}
    kinds.update({name + _GROUPS.get(name, ""): bodies for name, bodies in more.items()})
    return State(kinds, {}, {})


def inputs(found: State) -> Inputs:
    """With nothing measured."""
    return Inputs(NOW, "test", found, History(NOW - 60, NOW, {}))
