"""OOM kills: what each witness saw, and one kill a process that died. Pure values; `merge` is in kill_ledger.py.

Witnesses see the same kill differently: a cgroup's counter knows how many and when within a turn, the kernel's log
knows the process and the limit, the kubelet's counter repeats the log, a pod's status knows that a container ended
of it, a runtime's API the same. A kill of a child that leaves its container running is in the first three alone.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

# Witnesses, the one that knows most first.
KERNEL_LOG, CGROUP, KUBELET, STATUS, CRI, DOCKER = WITNESSES = (
    "kernel log", "cgroup", "kubelet", "status", "cri", "docker",
)  # fmt: skip
# Whose limit was hit. ANCESTOR_LIMIT: of any other cgroup; of kubepods, of a QoS class, of a service of the host.
CONTAINER_LIMIT, POD_LIMIT, ANCESTOR_LIMIT, NODE_WIDE, UNKNOWN = (
    "container limit", "pod limit", "ancestor limit", "node-wide", "unknown",
)  # fmt: skip
MOST_BEFORE = 30  # moments: a minute of turns of 2 s


class Moment(NamedTuple):
    """Memory and pressure before a kill. None = not known."""

    at: float  # Unix seconds
    working_set: Optional[int]  # the container's, bytes
    usage: Optional[int]
    waiting: Optional[float]  # memory PSI `some` of the container, share of the time since the moment before
    node_available: Optional[int]  # MemAvailable, bytes
    node_waiting: Optional[float]  # memory PSI `some` of the node, alike


class Evidence(NamedTuple):
    """What one witness saw: `kills` kills in (after, at]."""

    witness: str
    node: str
    at: float  # Unix seconds, by the witness' clock
    after: float  # as early as it can have been; at, where the witness knows the moment
    kills: int = 1
    container_id: str = ""  # "" = the witness does not say, or a process of the host
    pod_uid: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    cgroup: str = ""  # path of the cgroup that the process was in
    pid: Optional[int] = None  # on the host
    process: str = ""  # its comm
    rss: Optional[int] = None  # bytes that it held
    scope: str = UNKNOWN
    limited: str = ""  # path of the cgroup whose limit was hit
    limit: Optional[int] = None  # bytes
    container_ended: Optional[bool] = None  # the whole container ended by it; None = the witness cannot tell
    key: str = ""  # what names it for ever, where the witness has such a name: of the log, boot and sequence number
    elsewhere: bool = False  # another kernel than the node's may have done it: of a pod with a runtime of its own
    before: Tuple[Moment, ...] = ()  # the minute before, oldest first


class Kill(NamedTuple):
    """One process that was killed for want of memory, and all that is known of it."""

    id: str  # the same in each answer: node and a number, or of the first witness
    node: str
    at: float  # Unix seconds, of the witness that knows it best
    after: float  # as early as it can have been
    container_id: str = ""
    pod_uid: str = ""
    namespace: str = ""
    pod: str = ""
    container: str = ""
    pid: Optional[int] = None
    process: str = ""
    rss: Optional[int] = None
    scope: str = UNKNOWN
    limited: str = ""
    limit: Optional[int] = None
    container_ended: Optional[bool] = None
    witnesses: Tuple[str, ...] = ()
    before: Tuple[Moment, ...] = ()  # the minute before, oldest first
