"""From the word a person uses for a kind to the name that krm uses: `po`, `deploy`, `Ingress`, `widgets`."""

from __future__ import annotations

from typing import Dict, Iterable, List, Tuple

from krm.client.errors import BadRequest
from krm.model.kinds import BadKind, parse_kind

# kubectl's short names and singulars for the kinds that clusters have by themselves.
_WORDS: Dict[str, Tuple[str, ...]] = {
    "pods": ("po", "pod"),
    "services": ("svc", "service"),
    "nodes": ("no", "node"),
    "namespaces": ("ns", "namespace"),
    "persistentvolumeclaims": ("pvc", "persistentvolumeclaim"),
    "persistentvolumes": ("pv", "persistentvolume"),
    "configmaps": ("cm", "configmap"),
    "endpoints": ("ep",),
    "events": ("ev", "event"),
    "limitranges": ("limits", "limitrange"),
    "resourcequotas": ("quota", "resourcequota"),
    "serviceaccounts": ("sa", "serviceaccount"),
    "replicationcontrollers": ("rc", "replicationcontroller"),
    "deployments.apps": ("deploy", "deployment", "deployments"),
    "replicasets.apps": ("rs", "replicaset", "replicasets"),
    "statefulsets.apps": ("sts", "statefulset", "statefulsets"),
    "daemonsets.apps": ("ds", "daemonset", "daemonsets"),
    "jobs.batch": ("job", "jobs"),
    "cronjobs.batch": ("cj", "cronjob", "cronjobs"),
    "ingresses.networking.k8s.io": ("ing", "ingress", "ingresses"),
    "ingressclasses.networking.k8s.io": ("ingressclass", "ingressclasses"),
    "networkpolicies.networking.k8s.io": ("netpol", "networkpolicy", "networkpolicies"),
    "horizontalpodautoscalers.autoscaling": ("hpa", "horizontalpodautoscaler", "horizontalpodautoscalers"),
    "poddisruptionbudgets.policy": ("pdb", "poddisruptionbudget", "poddisruptionbudgets"),
    "priorityclasses.scheduling.k8s.io": ("pc", "priorityclass", "priorityclasses"),
    "storageclasses.storage.k8s.io": ("sc", "storageclass", "storageclasses"),
    "endpointslices.discovery.k8s.io": ("endpointslice", "endpointslices"),
    "leases.coordination.k8s.io": ("lease", "leases"),
    "customresourcedefinitions.apiextensions.k8s.io": ("crd", "crds", "customresourcedefinition"),
}
_KIND_OF: Dict[str, str] = {word: kind for kind, words in _WORDS.items() for word in words}
_CLUSTER_SCOPED = frozenset(
    (
        "nodes",
        "namespaces",
        "persistentvolumes",
        "priorityclasses.scheduling.k8s.io",
        "storageclasses.storage.k8s.io",
        "ingressclasses.networking.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    )
)


def resolve(word: str, kept: Iterable[str]) -> str:
    """The kind's name; what this Redis keeps (`kept`) decides where a plain word could mean several.

    `deployments.v1.apps` is taken as kubectl takes it. Raises BadRequest.
    """
    plain = word.lower()
    kinds = list(kept)
    if plain in kinds:
        return plain
    if plain in _KIND_OF:
        return _KIND_OF[plain]
    found = _matching(plain, kinds)
    if len(found) == 1:
        return found[0]
    if found:
        raise BadRequest(f"{word!r} could be any of {', '.join(found)}: write the whole name")
    try:
        return str(parse_kind(plain))
    except BadKind as error:
        raise BadRequest(str(error)) from None


def _matching(word: str, kinds: List[str]) -> List[str]:
    resource, _, rest = word.partition(".")
    plurals = (
        resource,
        resource + "s",
        resource + "es",
        resource[:-1] + "ies" if resource.endswith("y") else resource,
    )
    found = [kind for kind in kinds if kind.partition(".")[0] in plurals]
    if rest:  # a group, or VERSION.GROUP
        found = [kind for kind in found if kind.partition(".")[2] in (rest, rest.partition(".")[2])]
    return found


def is_namespaced(kind: str) -> bool:
    """Whether a built-in kind has namespaces; of others only their objects tell."""
    return kind in _WORDS and kind not in _CLUSTER_SCOPED


def is_cluster_scoped(kind: str) -> bool:
    """Whether a built-in kind has no namespaces; of others only their objects tell."""
    return kind in _CLUSTER_SCOPED
