"""Deployments, StatefulSets, DaemonSets and HorizontalPodAutoscalers as kube-state-metrics tells of them. Pure."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

from krm.model.reading import mapping, text
from krm.monitor.exporter.families import GAUGE, Row, Samples


class Field(NamedTuple):
    """One number of an object."""

    name: str  # of the family
    path: Tuple[str, str]
    about: str
    absent: object = 0  # what stands for a count that is not written: Kubernetes leaves out 0; None = not known


_OF: Dict[str, Tuple[str, Tuple[Field, ...]]] = {
    "deployments.apps": ("deployment", (
        Field("kube_deployment_spec_replicas", ("spec", "replicas"), "Pods that are wanted.", None),
        Field("kube_deployment_status_replicas", ("status", "replicas"), "Pods of a deployment."),
        Field("kube_deployment_status_replicas_ready", ("status", "readyReplicas"), "Pods that are ready."),
        Field("kube_deployment_status_replicas_available", ("status", "availableReplicas"),
              "Pods that are available."),
        Field("kube_deployment_status_replicas_unavailable", ("status", "unavailableReplicas"),
              "Pods that are not available."),
        Field("kube_deployment_status_replicas_updated", ("status", "updatedReplicas"),
              "Pods of the newest template."),
        Field("kube_deployment_status_observed_generation", ("status", "observedGeneration"),
              "Generation that its controller has seen.", None),
        Field("kube_deployment_metadata_generation", ("metadata", "generation"),
              "Generation of what is wanted.", None),
    )),
    "statefulsets.apps": ("statefulset", (
        Field("kube_statefulset_replicas", ("spec", "replicas"), "Pods that are wanted.", None),
        Field("kube_statefulset_status_replicas", ("status", "replicas"), "Pods of a stateful set."),
        Field("kube_statefulset_status_replicas_ready", ("status", "readyReplicas"), "Pods that are ready."),
        Field("kube_statefulset_status_replicas_available", ("status", "availableReplicas"),
              "Pods that are available."),
        Field("kube_statefulset_status_replicas_current", ("status", "currentReplicas"),
              "Pods of the current revision."),
        Field("kube_statefulset_status_replicas_updated", ("status", "updatedReplicas"),
              "Pods of the update revision."),
    )),
    "daemonsets.apps": ("daemonset", (
        Field("kube_daemonset_status_desired_number_scheduled", ("status", "desiredNumberScheduled"),
              "Nodes that should have a pod of it."),
        Field("kube_daemonset_status_current_number_scheduled", ("status", "currentNumberScheduled"),
              "Nodes that have one, and should."),
        Field("kube_daemonset_status_number_available", ("status", "numberAvailable"),
              "Nodes whose pod of it is available."),
        Field("kube_daemonset_status_number_misscheduled", ("status", "numberMisscheduled"),
              "Nodes that have one, and should not."),
        Field("kube_daemonset_status_number_ready", ("status", "numberReady"), "Nodes whose pod of it is ready."),
        Field("kube_daemonset_status_number_unavailable", ("status", "numberUnavailable"),
              "Nodes that should have one that is available, and have none."),
    )),
    "horizontalpodautoscalers.autoscaling": ("horizontalpodautoscaler", (
        Field("kube_horizontalpodautoscaler_spec_max_replicas", ("spec", "maxReplicas"), "Pods at most.", None),
        Field("kube_horizontalpodautoscaler_spec_min_replicas", ("spec", "minReplicas"), "Pods at least.", None),
        Field("kube_horizontalpodautoscaler_status_current_replicas", ("status", "currentReplicas"),
              "Pods that there are."),
        Field("kube_horizontalpodautoscaler_status_desired_replicas", ("status", "desiredReplicas"),
              "Pods that it wants."),
    )),
}  # fmt: skip

ROWS: Tuple[Row, ...] = tuple(
    Row(field.name, GAUGE, field.about, ("namespace", label), f"one a {label}")
    for label, fields in _OF.values()
    for field in fields
)


def _teller(fields: Tuple[Field, ...]) -> Callable[[Mapping[str, Any], Samples], None]:
    def tell(body: Mapping[str, Any], samples: Samples) -> None:
        metadata = mapping(body.get("metadata"))
        place = (text(metadata.get("namespace")), text(metadata.get("name")))
        for field in fields:
            part, name = field.path
            # Before its controller has written a status, none of its counts is known.
            there = mapping(body.get(part))
            value = there.get(name, field.absent if there else None)
            known = isinstance(value, int) and not isinstance(value, bool)
            samples.add(field.name, value if known else None, *place)

    return tell


TELLERS: Dict[str, Callable[[Mapping[str, Any], Samples], None]] = {
    kind: _teller(fields) for kind, (_, fields) in _OF.items()
}
