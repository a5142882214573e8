"""What one turn of the agent saw: the values that pass between its readers, its documents and its ledger.

Pure values. The readers make them, `turn.py` puts them together, documents, metrics and tables show them.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Optional, Tuple

from krm.agent.figures import Figures
from krm.model.kills import Kill

# Levels of a cgroup.
NODE, QOS, POD, CONTAINER, OTHER = "node", "qos", "pod", "container", "other"
GUARANTEED, BURSTABLE, BEST_EFFORT = "guaranteed", "burstable", "besteffort"
DOCKER, CONTAINERD, CRIO = "docker", "containerd", "cri-o"
NO_VERSION = "none"  # of cgroups: none are mounted where they are looked for


class Place(NamedTuple):
    """What the path of a cgroup says: whose it is. Of pure text; `places.py` reads it."""

    level: str
    path: str  # below the hierarchy's root, begins with /; the same for all controllers of version 1
    qos: str = ""  # of pods and containers of Kubernetes
    pod_uid: str = ""  # with dashes; of a static pod the kubelet's own hash, not the API's uid
    container_id: str = ""  # without containerd://
    runtime: str = ""  # DOCKER, CONTAINERD, CRIO; "" = the path does not say
    outer: str = ""  # container id of the container that it lies in, innermost: of nested (kind) nodes


class Cgroup(NamedTuple):
    """One cgroup, as it was read."""

    place: Place
    at: float  # Unix seconds at which it was read
    started: Optional[float]  # Unix seconds at which it was made: since then its counters count
    figures: Figures


class Named(NamedTuple):
    """Whose a container is, as its runtime says."""

    namespace: str
    pod: str
    container: str  # "" for a sandbox
    pod_uid: str
    sandbox: bool = False  # a pause container, which holds a pod's namespaces and runs nothing
    image: str = ""
    handler: str = ""  # how the runtime runs it, where not as usual: a machine of its own, another program


class Process(NamedTuple):
    """One process. (node, pid, started_ticks) is its identity: a PID that is used again is another one."""

    pid: int  # on the host
    started_ticks: int  # clock ticks from boot to its start (/proc/PID/stat, field 22)
    ppid: int
    name: str  # comm, at most 15 bytes; what is not UTF-8 escaped
    state: str  # R, S, D, Z, T, ...
    threads: int
    rss: int  # bytes
    cpu_ns: int  # user and system, of itself and not of children; a tick is 10 ms
    started: float  # Unix seconds
    pid_inside: Optional[int]  # in its innermost PID namespace; None = not known
    pid_depth: int = 1  # how many PID namespaces it is seen in: 1 = the host's alone
    uid: Optional[int] = None
    cgroup: str = ""  # path below the root, "" = not known
    container_id: str = ""  # "" = a process of the host
    pod_uid: str = ""
    is_pause: bool = False  # what holds a pod's namespaces open
    is_init: bool = False  # process 1 of its own PID namespace
    # Where containers of a pod share one PID namespace: the id of the container whose process 1 it is (the
    # sandbox's, or the first's). "" = its own, the host's, or not known.
    shares_pids_with: str = ""
    command: str = ""  # arguments, secrets masked; "" = not asked for


class Missing(NamedTuple):
    """A figure that cannot be seen here, why, and what turns it on."""

    what: str  # io of processes, the kernel's log, CRI socket
    why: str  # a sentence that ends with what to do, where something can be done


class RuntimeCost(NamedTuple):
    """What one part of the runtime itself uses."""

    part: str  # dockerd, cri-dockerd, docker-proxy, containerd, containerd-shim, cri-o, conmon, runc, crun, kubelet
    processes: int
    cpu_ns: int  # of the processes that run now
    rss: int  # bytes
    # Where the part has a cgroup of its own (a system service): that cgroup's figures; else empty.
    figures: Figures = {}


class PodOverhead(NamedTuple):
    """What a pod costs beyond its containers."""

    pod_uid: str
    # Pod cgroup less containers, sandbox included: a counter since the pod was seen first, or began if later.
    cpu_ns: Optional[int]
    memory: Optional[int]  # working set, bytes; of one moment only nearly
    shims: int  # processes of its shims, which run beside the pod's cgroup
    shim_cpu_ns: int
    shim_rss: int


class Difference(NamedTuple):
    """A figure as the cgroup has it and as the runtime's API tells it."""

    container_id: str
    figure: str  # cpu_usage_ns, memory_working_set, ...
    cgroup: Optional[int]
    runtime: Optional[int]
    apart: Optional[float]  # seconds between the two readings
    share: Optional[float]  # (runtime - cgroup) / cgroup; None where either is not known, or the cgroup's is 0


class Seen(NamedTuple):
    """One turn, whole."""

    node: str
    time: float  # Unix seconds of its end
    turn: float  # seconds between two turns
    version: str  # of cgroups: v1, v2, hybrid or NO_VERSION
    booted: Optional[float]
    node_figures: Figures
    cgroups: Tuple[Cgroup, ...]  # QoS classes, pods, containers (sandboxes too), and OTHER ones with runtimes
    named: Mapping[str, Named]  # container id -> whose, as far as a runtime said
    processes: Tuple[Process, ...]
    runtime: Tuple[RuntimeCost, ...]
    overheads: Tuple[PodOverhead, ...]
    differences: Tuple[Difference, ...]
    kills: Tuple[Kill, ...]  # the newest last
    missing: Tuple[Missing, ...]
    seconds: float = 0.0  # CPU seconds that this turn cost
    processes_at: Optional[float] = None  # Unix seconds at which the processes were read: less often than cgroups
    kills_since: Optional[float] = None  # Unix seconds since when no kill is missed; None = some may be
