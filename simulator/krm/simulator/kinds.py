"""The kinds that the paper cluster serves, as discovery describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple


@dataclass(frozen=True)
class Kind:
    """One resource of one group and version. `name` is krm's way to write it: `pods`, `deployments.apps`."""

    resource: str
    group: str
    version: str
    kind: str
    namespaced: bool = True
    short: Tuple[str, ...] = ()
    categories: Tuple[str, ...] = ()
    custom: bool = False  # a CRD: sorted keys everywhere, kind and apiVersion in list items too
    list_kind: str = ""
    status: bool = True  # has a status subresource
    fields: Tuple[str, ...] = ()  # field selectors beside metadata.name and metadata.namespace
    verbs: Tuple[str, ...] = ()  # none: all of them

    @property
    def name(self) -> str:
        return self.resource + "." + self.group if self.group else self.resource

    @property
    def api_version(self) -> str:
        return self.group + "/" + self.version if self.group else self.version

    @property
    def list_name(self) -> str:
        return self.list_kind or self.kind + "List"

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def head(self) -> bytes:
        """How a whole object of a built-in kind begins; a list item lacks exactly this."""
        return ('{"kind":"%s","apiVersion":"%s",' % (self.kind, self.api_version)).encode()


_ALL = ("all",)
_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)

BUILT_IN: Tuple[Kind, ...] = (
    Kind("configmaps", "", "v1", "ConfigMap", True, ("cm",), status=False),
    Kind("endpoints", "", "v1", "Endpoints", True, ("ep",), status=False),
    Kind("events", "", "v1", "Event", True, ("ev",), status=False, fields=_EVENT_FIELDS),
    Kind("limitranges", "", "v1", "LimitRange", True, ("limits",), status=False),
    Kind("namespaces", "", "v1", "Namespace", False, ("ns",), fields=("status.phase",)),
    Kind("nodes", "", "v1", "Node", False, ("no",), fields=("spec.unschedulable",)),
    Kind("persistentvolumeclaims", "", "v1", "PersistentVolumeClaim", True, ("pvc",)),
    Kind("pods", "", "v1", "Pod", True, ("po",), _ALL, fields=_POD_FIELDS),
    Kind("resourcequotas", "", "v1", "ResourceQuota", True, ("quota",)),
    Kind("services", "", "v1", "Service", True, ("svc",), _ALL, fields=("spec.clusterIP", "spec.type")),
    Kind("daemonsets", "apps", "v1", "DaemonSet", True, ("ds",), _ALL),
    Kind("deployments", "apps", "v1", "Deployment", True, ("deploy",), _ALL),
    Kind("replicasets", "apps", "v1", "ReplicaSet", True, ("rs",), _ALL, fields=("status.replicas",)),
    Kind("statefulsets", "apps", "v1", "StatefulSet", True, ("sts",), _ALL, fields=("status.successful",)),
    Kind("horizontalpodautoscalers", "autoscaling", "v2", "HorizontalPodAutoscaler", True, ("hpa",), _ALL),
    Kind("jobs", "batch", "v1", "Job", True, (), _ALL, fields=("status.successful",)),
    Kind("ingresses", "networking.k8s.io", "v1", "Ingress", True, ("ing",)),
    Kind("priorityclasses", "scheduling.k8s.io", "v1", "PriorityClass", False, ("pc",), status=False),
    Kind("endpointslices", "discovery.k8s.io", "v1", "EndpointSlice", True, (), status=False),
)


def built_in() -> Dict[str, Kind]:
    """The built-in kinds by name."""
    return {kind.name: kind for kind in BUILT_IN}


def custom_kind(name: str, kind: str = "", version: str = "v1", namespaced: bool = True) -> Kind:
    """A CRD's kind from `widgets.example.com`; the Go name defaults to `Widget`."""
    resource, _, group = name.partition(".")
    if not group:
        raise ValueError("a custom kind is resource.group, not %r" % name)
    go_name = kind or resource.rstrip("s").capitalize()
    return Kind(resource, group, version, go_name, namespaced, custom=True, list_kind=go_name + "List")
