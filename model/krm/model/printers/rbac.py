"""The columns of rbac.authorization.k8s.io."""

from __future__ import annotations

from typing import Dict, List

from krm.model.cells import CREATED, Cell, Object, Printer, age, layout, name_of, reference
from krm.model.reading import mapping, rows, text


def _binding(obj: Object, now: float) -> List[Cell]:
    bound: Dict[str, List[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for one in rows(obj.get("subjects")):
        kind, name = text(one.get("kind")), text(one.get("name"))
        if kind in bound:
            inside = "%s/" % text(one.get("namespace")) if kind == "ServiceAccount" else ""
            bound[kind].append(inside + name)
    return [name_of(obj), reference(mapping(obj.get("roleRef"))), age(obj, now), *map(", ".join, bound.values())]


_BINDING = Printer(layout("Name|Role|Age|*Users|*Groups|*ServiceAccounts"), _binding)
PRINTERS: Dict[str, Printer] = {
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterroles.rbac.authorization.k8s.io": CREATED,
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "roles.rbac.authorization.k8s.io": CREATED,
}
