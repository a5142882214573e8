"""Whom a kubelet evicts first, and whom the kernel kills first: their own rules. Pure.

Memory and disks: pods that use more than they request before those that do not, then by priority, then by how much
more they use. Process IDs: by priority, then by how many processes. A pod without statistics goes first. Static
pods, mirror pods and critical priorities are never evicted. Equals are in no order of the kubelet's: here by name.
tests/oracles/eviction.json holds what the kubelet's own package makes of a table of cases.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from krm.analysis.nodes.thresholds import IMAGEFS_INODES, NODEFS_INODES, PIDS
from krm.model.amounts import CPU, MEMORY, NANO, STORAGE, Amounts, Troubles, read
from krm.model.podresources import REQUESTS, PodResources, pod_resources
from krm.model.reading import integer, mapping, rows, text

CRITICAL = 2_000_000_000  # a priority from which on pods are never evicted (SystemCriticalPriority)
_NODE_CRITICAL = 2_000_001_000
_MIRROR, _SOURCE = "kubernetes.io/config.mirror", "kubernetes.io/config.source"
GUARANTEED, BURSTABLE, BEST_EFFORT = "Guaranteed", "Burstable", "BestEffort"
_GUARANTEED_SCORE, _BEST_EFFORT_SCORE = -997, 1000


class Candidate(NamedTuple):
    """A pod of the node."""

    namespace: str
    name: str
    uid: str
    priority: int
    protected: str  # why it is never evicted; '' = it may be
    memory_request: Optional[int]  # thousand-millionths of a byte; 0 = none; None = not readable
    storage_request: Optional[int]  # alike
    request: Optional[int] = 0  # of what is short: one of these, or 0
    used: Optional[float] = None  # bytes, processes or inodes; None = not known

    @property
    def above(self) -> Optional[float]:
        """How much more it uses than it requests, in its unit; None = not known."""
        if self.used is None or self.request is None:
            return None
        return (round(self.used) * NANO - self.request) / NANO

    def of(self, resource: str, used: Optional[float]) -> Candidate:
        """Where this is short. `resource`: memory or ephemeral-storage; '' = of which nothing can be requested."""
        request = {MEMORY: self.memory_request, STORAGE: self.storage_request}.get(resource, 0)
        return self._replace(request=request, used=used)


def ranked(candidates: Sequence[Candidate], signal: str) -> List[Candidate]:
    """The first is evicted first; those that are never evicted are in their places too."""
    return sorted(candidates, key=lambda one: (*_key(one, signal), one.namespace, one.name))


def _key(one: Candidate, signal: str) -> Tuple[int, ...]:
    used = None if one.used is None else round(one.used)
    if signal == PIDS:
        return (one.priority, int(used is not None), -(used or 0))
    if used is None:
        return (0, 0, one.priority, 0)
    request = one.request or 0
    exceeds = used * NANO > request
    if signal in (NODEFS_INODES, IMAGEFS_INODES):
        # The kubelet takes the request of bytes off the number of inodes.
        exceeds, request = used > 0, one.storage_request or 0
    return (1, int(not exceeds), one.priority, request - used * NANO)


def candidate(pod: Mapping[str, Any], held: PodResources) -> Candidate:
    """Without what it uses: `of` says that."""
    metadata, spec = mapping(pod.get("metadata")), mapping(pod.get("spec"))
    asked = requests_of(dict(pod), held)
    return Candidate(
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        text(metadata.get("uid")),
        integer(spec.get("priority")),
        protected_by(pod),
        asked.get(MEMORY, 0),
        asked.get(STORAGE, 0),
    )


def protected_by(pod: Mapping[str, Any]) -> str:
    """Why it is never evicted; '' = it may be."""
    annotations = mapping(mapping(pod.get("metadata")).get("annotations"))
    if _MIRROR in annotations or annotations.get(_SOURCE, "api") != "api":
        return "a static pod"
    priority = integer(mapping(pod.get("spec")).get("priority"))
    return f"its priority {priority} is critical" if priority >= CRITICAL else ""


def requests_of(pod: Dict[str, Any], held: PodResources) -> Amounts:
    """As eviction counts them: what is asked for the pod as a whole stands alone where there is any of it, and
    overhead counts where something is requested."""
    spec = mapping(pod.get("spec"))
    if not spec.get("overhead") and not spec.get("resources"):
        return held.totals[REQUESTS]
    bare = pod_resources({**pod, "spec": {**spec, "overhead": None, "resources": None}}).totals[REQUESTS]
    whole = mapping(spec.get("resources"))
    if any(name in (CPU, MEMORY) for field in ("requests", "limits") for name in mapping(whole.get(field))):
        bare = read(whole.get("requests"), Troubles("pod"), "spec.resources")
    overhead = read(spec.get("overhead"), Troubles("pod"), "spec.overhead")
    made: Amounts = dict(bare)
    for name, more in overhead.items():
        own = made.get(name, 0)
        if own != 0:
            made[name] = None if own is None or more is None else own + more
    return made


def qos_of(pod: Mapping[str, Any]) -> str:
    """Its quality of service class, as its status has it, else as the kubelet works it out."""
    told = text(mapping(pod.get("status")).get("qosClass"))
    if told:
        return told
    spec = mapping(pod.get("spec"))
    whole = mapping(spec.get("resources"))
    parts = [whole] if whole else [
        mapping(one.get("resources")) for one in rows(spec.get("containers")) + rows(spec.get("initContainers"))
    ]  # fmt: skip
    trouble = Troubles("pod")
    asked = [
        tuple(_plain(read(part.get(field), trouble, field)) for field in ("requests", "limits")) for part in parts
    ]
    if not any(amounts for both in asked for amounts in both):
        return BEST_EFFORT
    sure = all(set(limits) == {CPU, MEMORY} and {**limits, **requests} == limits for requests, limits in asked)
    return GUARANTEED if sure else BURSTABLE


def _plain(amounts: Amounts) -> Amounts:
    return {name: amount for name, amount in amounts.items() if name in (CPU, MEMORY) and amount != 0}


def oom_scores(pod: Dict[str, Any], held: PodResources, capacity: Optional[int]) -> Dict[str, Optional[int]]:
    """container -> the oom_score_adj that its processes have: the kernel kills the highest sum of this and a
    thousandth of the memory in use first. capacity: bytes of the node, None = not known."""
    spec = mapping(pod.get("spec"))
    names = [one.name for one in held.containers]
    if integer(spec.get("priority")) == _NODE_CRITICAL or spec.get("priorityClassName") == "system-node-critical":
        return dict.fromkeys(names, _GUARANTEED_SCORE)
    qos = qos_of(pod)
    if qos != BURSTABLE:
        return dict.fromkeys(names, _GUARANTEED_SCORE if qos == GUARANTEED else _BEST_EFFORT_SCORE)
    if not capacity:
        return dict.fromkeys(names, None)
    share = _share_of_the_rest(pod, held)
    asked = {one.name: _bytes(one.asked[REQUESTS].get(MEMORY, 0)) for one in held.containers}
    regular = [asked[one.name] for one in held.containers if not one.is_init]
    least = min((one for one in regular if one is not None), default=0)
    scores: Dict[str, Optional[int]] = {}
    for one in held.containers:
        request = asked[one.name]
        if request is None or share is None:
            scores[one.name] = None
            continue
        score = _score(request + share, capacity)
        if one.is_init and one.restartable:
            score = min(score, _score(least + share, capacity))
        scores[one.name] = min(max(score, 1000 + _GUARANTEED_SCORE), _BEST_EFFORT_SCORE - 1)
    return scores


def _score(request: int, capacity: int) -> int:
    return 1000 - 1000 * request // capacity


def _share_of_the_rest(pod: Dict[str, Any], held: PodResources) -> Optional[int]:
    """What the pod as a whole requests beyond its containers, for each of them; bytes."""
    spec = mapping(pod.get("spec"))
    whole = read(mapping(spec.get("resources")).get("requests"), Troubles("pod"), "spec.resources")
    if not whole.get(MEMORY, 0):
        return 0
    bare = pod_resources({**pod, "spec": {**spec, "overhead": None, "resources": None}}).totals[REQUESTS]
    mine, theirs = _bytes(whole.get(MEMORY)), _bytes(bare.get(MEMORY, 0))
    if mine is None or theirs is None or not held.containers:
        return None
    return (mine - theirs) // len(held.containers)


def _bytes(amount: Optional[int]) -> Optional[int]:
    return None if amount is None else -(-amount // NANO)
