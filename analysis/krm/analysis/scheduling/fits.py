"""Whether a node holds a pod: the scheduler's filters for one pod and one node. Pure."""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence, Tuple

from krm.analysis.inputs import Body
from krm.analysis.scheduling.board import Board, World
from krm.analysis.scheduling.parsed import node_of, pod_of
from krm.analysis.scheduling.predicates import Cycle
from krm.model.podresources import has_ended


def fits(pod: Body, node: Body, placed: Sequence[Body], world: Optional[World] = None) -> Tuple[str, ...]:
    """Reasons in the scheduler's words; () = it fits.

    placed: the pods on this node; those that have ended, or are of another node, count for nothing. A template
    (`spec.template` of a Deployment) is a pod: `spec.nodeName` empty. Spread and affinity between pods are judged
    by this node alone: with several nodes ask krm.analysis.scheduling.predicates.Cycle. world: volumes and
    namespaces (krm.analysis.scheduling.board.world_of); None = not known, and not judged.
    """
    wanted, place = pod_of(_unplaced(pod)), node_of(node)
    here = [
        other
        for other in map(pod_of, (one for one in placed if not has_ended(dict(one))))
        if other.node == place.name
    ]
    cycle = Cycle(Board({place.name: place}, {place.name: here}, world or World()), wanted)
    if cycle.refused():
        return (cycle.refused(),)
    refusal = cycle.refusal(place.name)
    return refusal.reasons if refusal else ()


def _unplaced(pod: Body) -> Body:
    spec: Dict[str, Any] = dict(pod.get("spec") or {})
    spec.pop("nodeName", None)
    return {**pod, "spec": spec}
