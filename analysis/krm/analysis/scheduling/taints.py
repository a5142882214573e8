"""Taints and tolerations. Pure."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence

Taint = Mapping[str, Any]
_KEEPS_AWAY = ("NoSchedule", "NoExecute")
CORDONED = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
# Put by Kubernetes itself for what is the matter with a node: what helps is to mend that.
OF_CONDITIONS = "node.kubernetes.io/"


def untolerated(taints: Sequence[Taint], tolerations: Sequence[Mapping[str, Any]]) -> List[Taint]:
    """Those that keep a pod with these tolerations away."""
    return [
        taint
        for taint in taints
        if taint.get("effect") in _KEEPS_AWAY and not any(tolerates(one, taint) for one in tolerations)
    ]


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """Gt and Lt are an alpha feature, off by default: they tolerate nothing."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Equal":
        return (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(operator == "Exists")


def written(taint: Taint) -> str:
    """`key=value:effect`, as kubectl writes it."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"
