"""What all quotas of a cluster allow, beside what its nodes have. Pure, exact."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from krm.analysis.inputs import Body
from krm.analysis.quota.rows import ClusterSum
from krm.analysis.quota.scopes import scopes_of
from krm.model.measures import Covers
from krm.model.quantities import BadQuantity, Quantity, read, total, write
from krm.model.reading import mapping, text

# A quota's resource -> its name where it has two, and the nodes' resource.
_SAME = {"cpu": "requests.cpu", "memory": "requests.memory", "ephemeral-storage": "requests.ephemeral-storage"}
_PREFIXES = ("requests.", "limits.")


def cluster_sums(
    quotas: Sequence[Body], nodes: Sequence[Body], namespaces: Optional[int]
) -> Tuple[ClusterSum, ...]:
    """A row a resource that nodes have and quotas bound. namespaces: how many there are, None = not known.

    Of one namespace the tightest quota without scopes counts; where all of them have scopes, their sum, which is at
    least what it may hold.
    """
    whole: Dict[str, Dict[str, Quantity]] = {}
    scoped: Dict[str, Dict[str, List[Quantity]]] = {}
    for quota in quotas:
        namespace = text(mapping(quota.get("metadata")).get("namespace"))
        for resource, hard in _hard(quota).items():
            if scopes_of(quota):
                scoped.setdefault(resource, {}).setdefault(namespace, []).append(hard)
                continue
            held = whole.setdefault(resource, {})
            if namespace not in held or hard.value < held[namespace].value:
                held[namespace] = hard
    offered = _offered(nodes)
    rows = []
    for resource in sorted(set(whole) | set(scoped)):
        of_node = _of_node(resource)
        if of_node not in offered:
            continue
        by_namespace = {name: total(several) for name, several in scoped.get(resource, {}).items()}
        by_namespace.update(whole.get(resource, {}))
        hard = total(by_namespace[name] for name in sorted(by_namespace))
        has = offered[of_node]
        share = float(hard.value / has.value) if has.value else None
        known = len(by_namespace)
        covers = Covers(known, known if namespaces is None else namespaces, "namespaces")
        rows.append(ClusterSum(resource, write(hard), write(has), share, covers))
    return tuple(rows)


def bounded(quotas: Sequence[Body]) -> Set[str]:
    """Namespaces with a ResourceQuota."""
    return {text(mapping(quota.get("metadata")).get("namespace")) for quota in quotas}


def _of_node(resource: str) -> str:
    for prefix in _PREFIXES:
        if resource.startswith(prefix):
            return resource[len(prefix) :]
    return resource


def _hard(quota: Mapping[str, Any]) -> Dict[str, Quantity]:
    found: Dict[str, Quantity] = {}
    for resource, written in sorted(mapping(mapping(quota.get("spec")).get("hard")).items()):
        name = _SAME.get(resource, resource)
        hard = quantity(written)
        if hard is not None and (name not in found or hard.value < found[name].value):
            found[name] = hard
    return found


def _offered(nodes: Sequence[Body]) -> Dict[str, Quantity]:
    """Allocatable of all nodes; a resource of which one number cannot be read is left out: no sum is too small."""
    found: Dict[str, List[Quantity]] = {}
    spoilt: Set[str] = set()
    for node in sorted(nodes, key=lambda one: text(mapping(one.get("metadata")).get("name"))):
        for resource, written in mapping(mapping(node.get("status")).get("allocatable")).items():
            one = quantity(written)
            if one is None:
                spoilt.add(resource)
            else:
                found.setdefault(resource, []).append(one)
    return {resource: total(several) for resource, several in found.items() if resource not in spoilt}


def quantity(written: Any) -> Optional[Quantity]:
    """None where it is no quantity."""
    try:
        return read(written)
    except (BadQuantity, TypeError):
        return None
