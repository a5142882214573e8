"""Whose a pod is: the workload that made it. Pure.

A ReplicaSet's pods are its Deployment's, a Job's its CronJob's, as far as the kinds between are known. Where
ReplicaSets are not kept, the name tells it: a Deployment writes the hash of its template behind its own name, and
on the pods as a label. A pod without a controller, or one that a kubelet runs from a file, is its own.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple, Optional, Tuple

from krm.analysis.inputs import Body, State
from krm.model.reading import mapping, rows, text

POD = "pod"
# What stands between a pod and its workload: kind of the owner -> the kind that is kept.
BETWEEN: Mapping[str, str] = {"replicaset.apps": "replicasets.apps", "job.batch": "jobs.batch"}
_HASH = "pod-template-hash"


class Owner(NamedTuple):
    """A workload. Its namespace is the pod's."""

    kind: str  # deployment.apps, statefulset.apps, cronjob.batch, pod, a custom one: singular.group
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


class Owners:
    """Of one state."""

    def __init__(self, state: State) -> None:
        """`state`: with the kinds of BETWEEN, as far as they are known."""
        self._above: Dict[Tuple[str, str, str], Optional[Owner]] = {}
        for singular, kind in BETWEEN.items():
            for body in state.maybe(kind) or ():
                metadata = mapping(body.get("metadata"))
                key = (singular, text(metadata.get("namespace")), text(metadata.get("name")))
                self._above[key] = _controller(metadata)

    def of(self, pod: Body) -> Owner:
        """The topmost that is known."""
        metadata = mapping(pod.get("metadata"))
        namespace = text(metadata.get("namespace"))
        found = _controller(metadata)
        if found is None or found.kind == "node":
            return Owner(POD, text(metadata.get("name")))
        key = (found.kind, namespace, found.name)
        if key in self._above:
            return self._above[key] or found
        template = text(mapping(metadata.get("labels")).get(_HASH))
        if found.kind == "replicaset.apps" and template and found.name.endswith("-" + template):
            return Owner("deployment.apps", found.name[: -len(template) - 1])
        return found


def _controller(metadata: Mapping[str, object]) -> Optional[Owner]:
    for one in rows(metadata.get("ownerReferences")):
        if one.get("controller") is True and text(one.get("kind")) and text(one.get("name")):
            group, _, version = text(one.get("apiVersion")).rpartition("/")
            kind = text(one.get("kind")).lower()
            return Owner(f"{kind}.{group}" if group and version else kind, text(one.get("name")))
    return None
