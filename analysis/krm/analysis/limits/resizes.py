"""Resizes of running pods that are not done: pending, infeasible, in progress. Pure.

The kubelet tells it with the conditions PodResizePending (reason Deferred or Infeasible) and PodResizeInProgress
(reason Error where it failed), before 1.33 with status.resize.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from krm.analysis.finding import HIGH, INFO, WARNING, About, Evidence, Finding
from krm.analysis.limits import words
from krm.analysis.limits.efficiency import UNITS
from krm.analysis.limits.pods import Holder, in_units
from krm.model import times
from krm.model.podresources import FIELDS, Container
from krm.model.reading import mapping, rows, text

RULE = "resize"
# What the kubelet says -> how bad, and what it means.
_MEANS: Dict[str, Sequence[str]] = {
    "Infeasible": (WARNING, "its node can never give it", "ask for less, or let the pod go to a larger node"),
    "Deferred": (WARNING, "its node has no room for it now", "room on the node: others that end or shrink"),
    "Error": (WARNING, "the kubelet failed to do it and tries again", "what the kubelet's message says"),
    "InProgress": (INFO, "the kubelet is about to do it", "nothing: it takes a moment"),
    "Proposed": (INFO, "the kubelet has not looked at it yet", "nothing, unless the node is gone"),
}


class _Told(NamedTuple):
    reason: str
    message: str
    since: Optional[float]  # Unix seconds


def findings(held: Sequence[Holder]) -> List[Finding]:
    """One a pod whose resize is not done."""
    found = []
    for one in held:
        told = _told(mapping(one.body.get("status")))
        if told is not None:
            found.append(_finding(one, told))
    return found


def _told(status: Dict[str, Any]) -> Optional[_Told]:
    """What hinders comes first."""
    conditions = {
        text(row.get("type")): row for row in rows(status.get("conditions")) if row.get("status") == "True"
    }
    for kind, otherwise in (("PodResizePending", "Proposed"), ("PodResizeInProgress", "InProgress")):
        row = conditions.get(kind)
        if row is not None:
            reason = text(row.get("reason")) or otherwise
            known = reason if reason in _MEANS else otherwise
            return _Told(known, text(row.get("message")), times.known(row.get("lastTransitionTime")))
    before = text(status.get("resize"))
    return _Told(before, "", None) if before in _MEANS else None


def _finding(one: Holder, told: _Told) -> Finding:
    severity, means, would = _MEANS[told.reason]
    evidence: List[Evidence] = []
    changes: List[str] = []
    for container in one.resources.containers:
        for field in FIELDS:
            _differences(container, field, evidence, changes)
    what = f" ({'; '.join(changes)})" if changes else ""
    said = f": {told.message}" if told.message else ""
    doubts = [] if evidence else ["which resources it is about is not in the pod's status"]
    if told.since is not None:
        evidence.append(Evidence("since", told.since, "seconds", "status", told.since))
    return Finding(
        RULE, severity, About("pod", one.namespace, one.name, part="resize"),
        f"{one.namespace}/{one.name}: a resize is {told.reason}{what}: {means}{said}",
        tuple(evidence), HIGH, tuple(doubts), would,
    )  # fmt: skip


def _differences(container: Container, field: str, evidence: List[Evidence], changes: List[str]) -> None:
    for resource in UNITS:
        asked, held = (in_units(amounts[field], resource) for amounts in (container.asked, container.in_force))
        if asked != held:
            unit = UNITS[resource]
            name = f"{container.name} {resource} {field[:-1]}"
            evidence.append(Evidence(f"{name} asked for", asked, unit, "spec"))
            evidence.append(Evidence(f"{name} in force", held, unit, "status"))
            shown = [words.amount(resource, value) if value is not None else "none" for value in (held, asked)]
            changes.append(f"{name} {shown[0]} to {shown[1]}")
