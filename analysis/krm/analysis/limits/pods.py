"""Pods that hold something: their containers, what is in force of each, and of the pod as a whole. Pure."""

from __future__ import annotations

from typing import Iterator, List, NamedTuple, Optional, Tuple

from krm.analysis.inputs import Body, State, of_namespace
from krm.analysis.owners import Owner, Owners
from krm.model import times
from krm.model.amounts import CPU, MILLI, NANO, RESIZABLE, Amounts, Troubles, read
from krm.model.podresources import FIELDS, Container, Held, PodResources, has_ended, pod_resources
from krm.model.reading import mapping, text

# Amounts in one unit of krm.model.metrics: millicores, else bytes or a count.
_UNIT = {CPU: MILLI}
Place = Tuple[str, str, str]  # namespace, pod, container; container '' = the pod as a whole


class Holder(NamedTuple):
    """One pod that has not ended."""

    namespace: str
    name: str
    uid: str
    node: str  # '' = not bound
    owner: Owner
    created: Optional[float]  # Unix seconds; None = not told
    started: Optional[float]  # Unix seconds: when the kubelet took it
    resources: PodResources
    whole: Held  # by field: what is in force of the pod as a whole, where its spec says so; else empty
    body: Body

    def lasting(self) -> Iterator[Container]:
        """Its containers and sidecars: init containers that end hold nothing once it runs."""
        return (one for one in self.resources.containers if not one.is_init or one.restartable)


def holders(state: State, namespace: Optional[str]) -> List[Holder]:
    """Of the namespace (None = all), in order of their names. Raises NotKnown."""
    owners = Owners(state)
    pods = of_namespace((one for one in state.objects("pods") if isinstance(one, dict)), namespace)
    found = [_holder(pod, owners) for pod in pods if not has_ended(dict(pod))]
    return sorted(found, key=lambda one: (one.namespace, one.name, one.uid))


def _holder(pod: Body, owners: Owners) -> Holder:
    metadata, spec, status = (mapping(pod.get(part)) for part in ("metadata", "spec", "status"))
    return Holder(
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        text(metadata.get("uid")),
        text(spec.get("nodeName")),
        owners.of(pod),
        times.known(metadata.get("creationTimestamp")),
        times.known(status.get("startTime")),
        pod_resources(dict(pod)),
        _whole(spec, status),
        pod,
    )


def _whole(spec: Body, status: Body) -> Held:
    """What spec.resources says, and what the kubelet has applied of it where it tells (status.resources)."""
    asked = mapping(spec.get("resources"))
    if not asked:
        return {field: {} for field in FIELDS}
    applied = mapping(status.get("resources"))
    silent = Troubles("")  # told by pod_resources already
    found: Held = {}
    for field in FIELDS:
        amounts = {**read(asked.get(field), silent, field), **read(applied.get(field), silent, field)}
        found[field] = {name: amount for name, amount in amounts.items() if name in RESIZABLE}
    return found


def in_units(amounts: Amounts, resource: str) -> Optional[float]:
    """Millicores, bytes or a count; None where it is not there, or not known."""
    amount = amounts.get(resource)
    return None if amount is None else amount / _UNIT.get(resource, NANO)


def unknown(amounts: Amounts, resource: str) -> bool:
    """It is there, and could not be read."""
    return resource in amounts and amounts[resource] is None
