"""The API groups that are built into the API server."""

from __future__ import annotations

# The API server writes their lists by its typed encoder: `kind` first, and none in the items. All others are
# custom resources: keys in byte order, kind and apiVersion in each item.
BUILT_IN = frozenset(
    (
        "", "apps", "batch", "autoscaling", "policy", "admissionregistration.k8s.io", "apiextensions.k8s.io",
        "apiregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io",
        "coordination.k8s.io", "discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io", "resource.k8s.io", "scheduling.k8s.io",
        "storage.k8s.io", "internal.apiserver.k8s.io", "storagemigration.k8s.io",
        "metrics.k8s.io",  # of metrics-server, which is made of the same library
    )
)  # fmt: skip
