"""The scheduler's own sentence about a pod that it could not place, written and read. Pure."""

from __future__ import annotations

import re
from typing import Dict, Iterable, Mapping, Optional, Tuple

from krm.analysis.scheduling.predicates import TAINTS, Cycle, Refusal
from krm.analysis.scheduling.preemption import Tried

NO_NODES = "no nodes available to schedule pods"
# Devices come before preemption in the scheduler, since 1.34: of a pod without device claims it says this.
_DEVICES = "no new claims to deallocate"
# ... and this where the pod was refused before any node was looked at.
_DEVICES_UNKNOWN = "not found"
_HEAD = re.compile(r"0/(\d+) nodes are available: ?(.*)", re.DOTALL)
# Before 1.36 each taint was named.
_ONE_TAINT = "node(s) had untolerated taint {"
_COUNT = re.compile(r"(\d+) (.+)", re.DOTALL)


def message(cycle: Cycle, refusals: Mapping[str, Optional[Refusal]], tried: Optional[Tried]) -> str:
    """As kube-scheduler 1.36 writes it into the event. tried: None = refused before any node was looked at."""
    total = len(cycle.board.nodes)
    if not total:
        return NO_NODES
    refused = cycle.refused()
    if refused or tried is None:
        return f"0/{total} nodes are available: {refused}. {_DEVICES_UNKNOWN}"
    counts = count(reason for one in refusals.values() if one for reason in one.reasons)
    head = f"0/{total} nodes are available: {_listed(counts)}."
    if tried.victims:
        return head
    if tried.refused:
        return f"{head} {_DEVICES}, preemption: {tried.refused}"
    last = _listed(count(reason for reasons in tried.reasons.values() for reason in reasons))
    return f"{head} {_DEVICES}, preemption: 0/{total} nodes are available: {last}."


def count(reasons: Iterable[str]) -> Dict[str, int]:
    """Reason -> nodes."""
    counts: Dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(sorted(f"{number} {reason}" for reason, number in counts.items()))


def read_message(text: str) -> Optional[Tuple[int, Dict[str, int]]]:
    """(nodes, reason -> nodes) of a scheduler's sentence, of any version; None = it is of another form.

    What it says of preemption is left out: that part differs between versions.
    """
    match = _HEAD.match(text)
    if match is None:
        return None
    counts: Dict[str, int] = {}
    for part in match.group(2).split(". ")[0].rstrip(".").split(", "):
        one = _COUNT.fullmatch(part)
        if one is None:
            return None
        reason = TAINTS if one.group(2).startswith(_ONE_TAINT) else one.group(2)
        counts[reason] = counts.get(reason, 0) + int(one.group(1))
    return int(match.group(1)), counts
