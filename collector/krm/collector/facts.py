"""What the collector needs to know of an object, and no more: 5,000 pods whole would be 200 MB. Pure."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from krm.model import times
from krm.model.reading import integer, mapping, rows, text

KUBELET_PORT = 10250  # where status.daemonEndpoints names none
_ENDED = ("Succeeded", "Failed")
_MIRROR = "kubernetes.io/config.mirror"
_OOM_KILLED = "OOMKilled"
# Labels of nodes that are none of a machine's: managed ones, of which there is only what a kubelet would say.
_SERVERLESS = {
    ("type", "virtual-kubelet"): "a virtual node (type=virtual-kubelet)",
    ("kubernetes.azure.com/mode", "virtual"): "a virtual node of Azure",
    ("eks.amazonaws.com/compute-type", "fargate"): "a node of AWS Fargate",
    ("alibabacloud.com/virtual-node", "true"): "a virtual node of Alibaba Cloud",
}
# Annotations that say how a pod is scraped.
_SCRAPING = ("prometheus.io/", "krm.io/")


class Ended(NamedTuple):
    """An instance of a container that ended for want of memory, as the pod's status tells it."""

    id: str
    at: Optional[float]  # Unix seconds, cut to whole ones; None = not told
    started: Optional[float] = None  # the same, of its start
    code: int = 0  # with which it ended


class ContainerFacts(NamedTuple):
    """One container as the pod's status tells it."""

    name: str
    started: Optional[float]  # Unix seconds; None = it does not run
    id: str = ""  # the runtime's, without what it calls itself
    former: str = ""  # id of the instance before this one
    killed: Tuple[Ended, ...] = ()  # this instance, the one before, as far as OOMKilled is their reason


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
    static: str = ""  # of a static pod: what its kubelet, and so its cgroup, calls it instead of its uid
    runtime: str = ""  # its RuntimeClass, by which it may run in a machine of its own; '' = the node's usual one

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
    no_agent: str = ""  # why no agent of krm can run there, a sentence; '' = one can


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
        static=text(mapping(metadata.get("annotations")).get(_MIRROR)),
        runtime=text(spec.get("runtimeClassName")),
    )


def node_facts(node: Mapping[str, Any]) -> NodeFacts:
    """Of an object as the API server gives it."""
    metadata, status = mapping(node.get("metadata")), mapping(node.get("status"))
    addresses = {text(one.get("type")): text(one.get("address")) for one in rows(status.get("addresses"))}
    kubelet = mapping(mapping(status.get("daemonEndpoints")).get("kubeletEndpoint"))
    return NodeFacts(
        name=text(metadata.get("name")),
        address=addresses.get("InternalIP") or addresses.get("Hostname", ""),
        port=integer(kubelet.get("Port")) or KUBELET_PORT,
        ready=_condition(status, "Ready"),
        no_agent=_no_agent(mapping(metadata.get("labels")), mapping(status.get("nodeInfo"))),
    )


def _no_agent(labels: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    system = labels.get("kubernetes.io/os") or labels.get("beta.kubernetes.io/os") or info.get("operatingSystem")
    if system == "windows":
        return "it runs Windows: the agent reads a Linux kernel"
    for (label, value), what in _SERVERLESS.items():
        if labels.get(label) == value:
            return f"it is {what}: no DaemonSet's pod runs there, and it has no kernel that krm could read"
    return ""


def _container(status: Mapping[str, Any]) -> ContainerFacts:
    state, last = mapping(status.get("state")), mapping(status.get("lastState"))
    running = state.get("running")
    started = times.known(mapping(running).get("startedAt")) if isinstance(running, dict) else None
    # A running container whose start is not told runs all the same.
    since = (started or 0.0) if isinstance(running, dict) else None
    ended = [mapping(one.get("terminated")) for one in (last, state)]
    return ContainerFacts(
        text(status.get("name")),
        since,
        _id(status.get("containerID")),
        _id(ended[0].get("containerID")),
        tuple(
            Ended(
                _id(one.get("containerID")),
                times.known(one.get("finishedAt")),
                times.known(one.get("startedAt")),
                integer(one.get("exitCode")),
            )
            for one in ended
            if one.get("reason") == _OOM_KILLED
        ),
    )


def _id(told: Any) -> str:
    return text(told).rpartition("://")[2]


def _port(spec: Mapping[str, Any]) -> int:
    ports = [port for one in rows(spec.get("containers")) for port in rows(one.get("ports"))]
    numbers = {integer(port.get("containerPort")) for port in ports if port.get("protocol", "TCP") == "TCP"}
    return numbers.pop() if len(numbers) == 1 else 0


def _annotations(found: Mapping[str, Any]) -> Dict[str, str]:
    return {name: text(value) for name, value in found.items() if name.startswith(_SCRAPING)}


def _condition(status: Mapping[str, Any], kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in rows(status.get("conditions")))
