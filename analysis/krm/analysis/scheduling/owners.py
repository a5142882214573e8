"""Whose a pod is. Pure."""

from __future__ import annotations

from typing import NamedTuple

from krm.analysis.scheduling.parsed import Pod
from krm.model.reading import mapping, rows, text

MIRROR = "kubernetes.io/config.mirror"  # an annotation: the kubelet made it of a file of its own


class Owner(NamedTuple):
    """The controller. kind '' = it has none."""

    kind: str
    name: str
    uid: str


NOBODY = Owner("", "", "")


def owner_of(pod: Pod) -> Owner:
    """The owner that controls it."""
    for one in rows(mapping(pod.body.get("metadata")).get("ownerReferences")):
        if one.get("controller") is True:
            return Owner(text(one.get("kind")), text(one.get("name")), text(one.get("uid")))
    return NOBODY


def is_of_daemon_set(pod: Pod) -> bool:
    """It runs on each node, and is not moved."""
    return owner_of(pod).kind == "DaemonSet"


def is_static(pod: Pod) -> bool:
    """The kubelet made it, and the API server only shows it."""
    annotations = mapping(mapping(pod.body.get("metadata")).get("annotations"))
    return MIRROR in annotations or owner_of(pod).kind == "Node"
