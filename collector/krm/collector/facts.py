"""What the collector needs to know of an object, and no more: 5,000 pods whole would be 200 MB. Pure."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from krm.model import times
from krm.model.reading import integer, mapping, rows, text

KUBELET_PORT = 10250  # where status.daemonEndpoints names none
_ENDED = ("Succeeded", "Failed")
# Annotations that say how a pod is scraped.
_SCRAPING = ("prometheus.io/", "krm.io/")


class ContainerFacts(NamedTuple):
    """One container as the pod's status tells it."""

    name: str
    started: Optional[float]  # Unix seconds; None = it does not run
    id: str = ""  # the runtime's, without what it calls itself


class PodFacts(NamedTuple):
    """One pod."""

    namespace: str
    name: str
    uid: str
    node: str  # '' = not scheduled
    ip: str
    host_network: bool
    ended: bool  # Succeeded or Failed: it holds nothing any more
    containers: Tuple[ContainerFacts, ...]
    annotations: Mapping[str, str]  # those of scraping alone
    ready: bool
    app: str = ""  # what it says it is: label app.kubernetes.io/name, else app
    port: int = 0  # the one TCP port that it declares; 0 = none, or several

    @property
    def running(self) -> Tuple[str, ...]:
        """Names of its containers that run."""
        return tuple(one.name for one in self.containers if one.started is not None)


class NodeFacts(NamedTuple):
    """One node."""

    name: str
    address: str  # its InternalIP, else its Hostname; '' = none is told
    port: int  # of its kubelet
    ready: bool


def pod_facts(pod: Mapping[str, Any]) -> PodFacts:
    """Of an object as the API server gives it; what has another type than the schema's reads as absent."""
    metadata, spec, status = mapping(pod.get("metadata")), mapping(pod.get("spec")), mapping(pod.get("status"))
    labels = mapping(metadata.get("labels"))
    statuses = [
        *rows(status.get("initContainerStatuses")),
        *rows(status.get("containerStatuses")),
        *rows(status.get("ephemeralContainerStatuses")),
    ]
    return PodFacts(
        namespace=text(metadata.get("namespace")),
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        node=text(spec.get("nodeName")),
        ip=text(status.get("podIP")),
        host_network=spec.get("hostNetwork") is True,
        ended=status.get("phase") in _ENDED,
        containers=tuple(_container(one) for one in statuses),
        annotations=_annotations(mapping(metadata.get("annotations"))),
        ready=_condition(status, "Ready"),
        app=text(labels.get("app.kubernetes.io/name")) or text(labels.get("app")),
        port=_port(spec),
    )


def node_facts(node: Mapping[str, Any]) -> NodeFacts:
    """Of an object as the API server gives it."""
    status = mapping(node.get("status"))
    addresses = {text(one.get("type")): text(one.get("address")) for one in rows(status.get("addresses"))}
    kubelet = mapping(mapping(status.get("daemonEndpoints")).get("kubeletEndpoint"))
    return NodeFacts(
        name=text(mapping(node.get("metadata")).get("name")),
        address=addresses.get("InternalIP") or addresses.get("Hostname", ""),
        port=integer(kubelet.get("Port")) or KUBELET_PORT,
        ready=_condition(status, "Ready"),
    )


def _container(status: Mapping[str, Any]) -> ContainerFacts:
    running = mapping(status.get("state")).get("running")
    started = times.known(mapping(running).get("startedAt")) if isinstance(running, dict) else None
    # A running container whose start is not told runs all the same.
    since = (started or 0.0) if isinstance(running, dict) else None
    return ContainerFacts(text(status.get("name")), since, text(status.get("containerID")).rpartition("://")[2])


def _port(spec: Mapping[str, Any]) -> int:
    ports = [port for one in rows(spec.get("containers")) for port in rows(one.get("ports"))]
    numbers = {integer(port.get("containerPort")) for port in ports if port.get("protocol", "TCP") == "TCP"}
    return numbers.pop() if len(numbers) == 1 else 0


def _annotations(found: Mapping[str, Any]) -> Dict[str, str]:
    return {name: text(value) for name, value in found.items() if name.startswith(_SCRAPING)}


def _condition(status: Mapping[str, Any], kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in rows(status.get("conditions")))
