"""Which pods can go elsewhere, and what stands in the way. Pure."""

from __future__ import annotations

from typing import List

from krm.analysis.inputs import State
from krm.analysis.owners import POD, Owner, Owners
from krm.analysis.scheduling.parsed import Pod
from krm.model.reading import mapping, rows, text

_DIRECT = Owners(State({}, {}, {}))  # what the pod alone says
_MIRROR = "kubernetes.io/config.mirror"  # an annotation: a kubelet runs it from a file of its own
_LOCAL = ("emptyDir", "hostPath")


def owner_of(pod: Pod) -> Owner:
    """As far as the pod alone tells."""
    return _DIRECT.of(pod.body)


def is_of_daemon_set(pod: Pod) -> bool:
    """It runs on each node, and is not moved."""
    return owner_of(pod).kind.split(".")[0] == "daemonset"


def is_static(pod: Pod) -> bool:
    """A kubelet runs it from a file, and the API server only shows it."""
    metadata = mapping(pod.body.get("metadata"))
    of_node = any(one.get("kind") == "Node" for one in rows(metadata.get("ownerReferences")))
    return _MIRROR in mapping(metadata.get("annotations")) or of_node


def is_unmanaged(pod: Pod) -> bool:
    """Nothing makes it again when it is gone."""
    return owner_of(pod).kind == POD and not is_static(pod)


def local_volumes(pod: Pod) -> List[str]:
    """Names of volumes whose content stays on the node, or goes with the pod."""
    volumes = rows(mapping(pod.body.get("spec")).get("volumes"))
    return [text(one.get("name")) for one in volumes if any(one.get(kind) is not None for kind in _LOCAL)]
