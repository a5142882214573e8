"""Whose memory ran out in one OOM kill, and how surely that is known. Pure.

The kernel's log says whose limit was hit. Where no agent reads it, the container's last working set beside the
limits in force, and what the node had left, are all there is: the cause is then inferred and never surely known.
"""

from __future__ import annotations

import re
from typing import Callable, List, NamedTuple, Optional, Tuple

from krm.analysis.finding import HIGH, LOW, MEDIUM, SURENESS
from krm.analysis.inputs import Body
from krm.analysis.limits import words
from krm.model.amounts import MEMORY, NANO, Troubles, read
from krm.model.kills import (
    ANCESTOR_LIMIT,
    CONTAINER_LIMIT,
    KERNEL_LOG,
    NODE_WIDE,
    POD_LIMIT,
    STATUS,
    Kill,
)
from krm.model.podresources import LIMITS, REQUESTS, pod_resources
from krm.model.reading import mapping

OWN, POD, NODE, OTHER, UNKNOWN = CAUSES = ("own limit", "pod limit", "node pressure", "other limit", "unknown")
# kubepods, and its parts for the QoS classes: the kubelet limits them to what the node may give to pods.
_KUBEPODS = re.compile(r"(^|/|-)kubepods(-burstable|-besteffort)?(\.slice)?(/(burstable|besteffort))?$")
# Share of a limit from which on the last working set, seconds before the kill, makes it the likely cause.
_NEAR = 0.9
# Bytes: what the kubelet keeps free by default (memory.available<100Mi); a node with less has none left.
_EXHAUSTED = 100 * 1024 * 1024
_PRECISE = 10.0  # seconds


class Limits(NamedTuple):
    """In force now, bytes. None = there is none, or it is not known."""

    known: bool  # the pod is in the snapshot
    container: Optional[float] = None
    pod: Optional[float] = None  # that its spec gives to the pod as a whole
    requested: Optional[float] = None  # by the container
    alone: bool = False  # the pod has one container: its limit is the pod's


class Cause(NamedTuple):
    """What ran out, the limit that was hit where one was (bytes), how sure, and why not surer."""

    cause: str  # of CAUSES
    limit: Optional[float]
    sureness: str
    doubts: Tuple[str, ...]


def limits_of(pod: Optional[Body], container: str) -> Limits:
    """Of the pod in the snapshot; None = it is not there."""
    if pod is None:
        return Limits(False)
    found = pod_resources(dict(pod))
    held = next((one.in_force for one in found.containers if one.name == container), None)
    own, requested = (None if held is None else held[field].get(MEMORY) for field in (LIMITS, REQUESTS))
    spec = mapping(mapping(pod.get("spec")).get("resources"))
    whole = read(spec.get(LIMITS), Troubles(""), LIMITS).get(MEMORY) if spec else None
    return Limits(True, _bytes(own), _bytes(whole), _bytes(requested), len(found.containers) == 1)


def _bytes(amount: Optional[int]) -> Optional[float]:
    return amount / NANO if amount else None


def cause_of(kill: Kill, limits: Limits) -> Cause:
    """What the witnesses say, else what the last moment makes likely."""
    levels: List[str] = [HIGH]
    doubts: List[str] = []

    def doubt(level: str, sentence: str) -> None:
        levels.append(level)
        doubts.append(sentence)

    cause, limit = _told(kill), None if kill.limit is None else float(kill.limit)
    if cause == UNKNOWN:
        cause, limit = _inferred(kill, limits, doubt)
    elif KERNEL_LOG not in kill.witnesses:
        doubt(MEDIUM, f"the kernel's log was not read: it is told by {', '.join(kill.witnesses) or 'nobody'}")
    if kill.witnesses == (STATUS,):
        doubt(LOW, "the pod's status alone tells it: it is no proof that the kernel killed in this container")
    if kill.container_ended is None:
        doubt(HIGH, "whether the container ended by it is not known")
    if kill.at - kill.after > _PRECISE:
        doubt(HIGH, f"when it was is known within {kill.at - kill.after:.0f} s")
    if not kill.before:
        doubt(HIGH, "the minute before it was not seen: no agent watched this container then")
    return Cause(cause, limit, min(levels, key=SURENESS.index), tuple(doubts))


def _told(kill: Kill) -> str:
    if kill.scope == ANCESTOR_LIMIT:
        return NODE if _KUBEPODS.search(kill.limited) else OTHER
    return {CONTAINER_LIMIT: OWN, POD_LIMIT: POD, NODE_WIDE: NODE}.get(kill.scope, UNKNOWN)


def _inferred(kill: Kill, limits: Limits, say: Callable[[str, str], None]) -> Tuple[str, Optional[float]]:
    last = kill.before[-1] if kill.before else None
    used = max((one.working_set for one in kill.before if one.working_set is not None), default=None)
    left = None if last is None else last.node_available
    exhausted = left is not None and left < _EXHAUSTED
    say(MEDIUM, "whose limit was hit nobody tells: an agent with the kernel's log would (krm agent --kernel-log)")
    if limits.container is not None and used is not None and used >= _NEAR * limits.container:
        text = f"inferred: its working set of {words.amount(MEMORY, used)} was near its limit in force now"
        say(LOW if exhausted else MEDIUM, text + (", but the node had no memory left either" if exhausted else ""))
        return OWN, limits.container
    if exhausted and left is not None:
        say(LOW, f"inferred: the node had {words.amount(MEMORY, left)} left")
        return NODE, None
    say(LOW, "neither its last working set nor what the node had left explains it")
    return UNKNOWN, None
