"""krm's stages on a real API server, each as a user of its own with the least rights that docs/rbac.md gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence, Tuple

from acceptance.product import Product
from controlplane.plane import ControlPlane

# What each stage's user may do with its kinds.
VERBS = {"streamer": ("watch",), "verifier": ("list",)}
# (resource, group)
Resource = Tuple[str, str]


def grant(plane: ControlPlane, resources: Sequence[Resource], namespaces: Sequence[str] = ()) -> None:
    """Cluster-wide, or by Roles in these namespaces alone."""
    for stage, verbs in VERBS.items():
        for resource, group in resources:
            for namespace in namespaces or (None,):
                plane.grant(f"krm-{stage}", verbs, [resource], group, namespace)


def start_stages(
    krm: Product,
    plane: ControlPlane,
    kinds: Sequence[str],
    *verifying: str,
    common: Sequence[str] = (),
    watched: Optional[Path] = None,
) -> None:
    """All three; `verifying`: options of the verifier, `common`: of all. The aggregator knows no API server.

    `watched`: the streamer's kubeconfig, where it shall not ask the API server itself.
    """
    krm.stage("aggregator", kinds, *common)
    krm.stage("verifier", kinds, "--kubeconfig", str(plane.kubeconfig("krm-verifier")), *verifying, *common)
    krm.stage("streamer", kinds, "--kubeconfig", str(watched or plane.kubeconfig("krm-streamer")), *common)
