"""What would keep an OOM kill from coming again. A number stands only where it rests on what is surely known. Pure.

The bump is that of the Vertical Pod Autoscaler after an OOM kill: what was used and 100 MiB, or 20 % above it, the
larger. A container that was killed at its own limit used all of it. Of a leak no limit is enough, so none is named.
"""

from __future__ import annotations

import math
from typing import Optional, Tuple

from krm.analysis.finding import LOW
from krm.analysis.inputs import State
from krm.analysis.limits import words
from krm.analysis.oom.cause import NODE, OTHER, OWN, POD, Cause, Limits
from krm.analysis.oom.growth import LEAK, Growth
from krm.model.amounts import MEMORY, NANO, Troubles, read
from krm.model.reading import mapping

MIB = 1024.0 * 1024
BUMP, BUMP_RATIO = 100 * MIB, 1.2  # vertical-pod-autoscaler 1.8.1: --oom-min-bump-up-bytes, --oom-bump-up-ratio
# Of its working set: what a kill at a limit of the node's asks for is a request of what it uses.
_PROOF = "; `krm recommend` proves it against nodes, quotas and LimitRanges"


def bumped(used: float) -> float:
    """Bytes, whole MiB."""
    return math.ceil(max(used + BUMP, used * BUMP_RATIO) / MIB) * MIB


def advice(cause: Cause, growth: Growth, limits: Limits, largest: Optional[float]) -> Tuple[str, Optional[float]]:
    """A sentence, and the limit that it names (bytes; None = it names none).

    largest: memory that the largest node may give to pods, bytes; None = not known.
    """
    if cause.cause in (OWN, POD) and growth.pattern == LEAK and growth.leak is not None:
        rate = words.amount(MEMORY, growth.leak.per_second * 3600)
        return f"find what leaks {rate} an hour: a higher limit is a later kill", None
    if cause.cause == OWN or (cause.cause == POD and limits.alone and limits.pod is None):
        return _limit("a memory limit", cause, limits.container, limits.known, largest)
    if cause.cause == POD and limits.pod is not None:
        return _limit("a memory limit of the pod (spec.resources)", cause, limits.pod, True, largest)
    if cause.cause == POD:
        return "higher memory limits: those of its containers together are the pod's, and these were used up", None
    if cause.cause == NODE:
        return _node(growth, limits), None
    if cause.cause == OTHER:
        return "look at what else runs below the cgroup whose limit was hit: it is no limit of Kubernetes", None
    return "an agent that reads the kernel's log (krm agent --kernel-log) tells whose limit the next one hits", None


def _limit(
    what: str, cause: Cause, now: Optional[float], known: bool, largest: Optional[float]
) -> Tuple[str, Optional[float]]:
    if cause.limit is None or cause.sureness == LOW:
        return f"{what} above what it uses: which one is not surely known", None
    wanted = bumped(cause.limit)
    if now is not None and now >= wanted:
        return f"its limit is {words.amount(MEMORY, now)} by now: watch whether that is enough", None
    if known and now is None and what == "a memory limit":
        return "it has no memory limit any more: what it uses is the node's to bear", None
    if largest is not None and wanted > largest:
        text = f"less use, or a larger node: {words.amount(MEMORY, wanted)} would be needed and no node has that"
        return text, None
    unproven = "" if largest is not None else ", if a node holds it, which is not known"
    return f"{what} of at least {words.amount(MEMORY, wanted)}{unproven}{_PROOF}", wanted


def _node(growth: Growth, limits: Limits) -> str:
    asked, peak = limits.requested, growth.peak
    if not limits.known or peak is None:
        return "requests of what pods use: the node was promised to more than it has"
    if asked is not None and peak <= asked:
        text = f"it used {words.amount(MEMORY, peak)} of the {words.amount(MEMORY, asked)} that it requests"
        return text + ": who used more than it requests took the node's memory"
    wanted = words.amount(MEMORY, math.ceil(peak / MIB) * MIB)
    had = "nothing" if asked is None else words.amount(MEMORY, asked)
    text = f"a memory request of at least {wanted}, which it used ({had} is requested)"
    return f"{text}, so that its node has it{_PROOF}"


def largest_node(state: State) -> Optional[float]:
    """Allocatable memory of the largest node, bytes; None = not known of one of them."""
    nodes = state.maybe("nodes")
    found = []
    for node in nodes or ():
        allocatable = mapping(mapping(mapping(node).get("status")).get("allocatable"))
        amount = read(allocatable, Troubles(""), "allocatable").get(MEMORY)
        if amount is None:
            return None
        found.append(amount / NANO)
    return max(found, default=None)
