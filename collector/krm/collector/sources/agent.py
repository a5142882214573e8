"""What a node's agent serves at /v1/node: cgroup figures of the node and its containers.

docs/dev/agent-protocol.md says what that is.

An agent knows cgroups: a container's id and its pod's uid. Whose they are the snapshots say: a container is
the one whose status has that id, else the one that the agent names in a pod that this node has. What is
neither is left out, so an agent speaks of its own node alone.
"""

from __future__ import annotations

import math
import time
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from krm.cluster.endpoints import Endpoints
from krm.collector.facts import PodFacts
from krm.collector.source import NoData, Target
from krm.collector.sources.annotated import Reach, alive, own_url, pod_target
from krm.collector.sources.asking import body_of, decoded
from krm.collector.sources.moments import AHEAD, joined
from krm.model.measures import CONTAINER, NODE, Sample, Subject
from krm.model.metrics import TABLE
from krm.model.reading import mapping, rows, text

SOURCE = "agent"
PATH, PORT, VERSION = "/v1/node", 10260, 1
APP = "krm-agent"  # label app.kubernetes.io/name of its pods, and whom its certificate names
MOST = 8 * 1024 * 1024  # bytes; 100 containers are about 60 KiB
MAX_CONTAINERS = 4000
TIMEOUT = 4.0  # seconds: its turn is 5
_MAX_FIGURE = 2.0**64  # above it a counter of the kernel is none

# figure of the document -> metric, and how many of the figure are one of its unit
FIGURES: Dict[str, Tuple[str, float]] = {
    "cpu_usage_ns": ("cpu/usage", 1),
    "cpu_periods": ("cpu/periods", 1),
    "cpu_throttled_periods": ("cpu/throttled_periods", 1),
    "cpu_throttled_ns": ("cpu/throttled_time", 1e9),
    "memory_usage": ("memory/usage", 1),
    "memory_working_set": ("memory/working_set", 1),
    "memory_rss": ("memory/rss", 1),
    "memory_cache": ("memory/cache", 1),
    "memory_page_faults": ("memory/page_faults", 1),
    "memory_major_page_faults": ("memory/major_page_faults", 1),
    "swap_usage": ("swap/usage", 1),
    "pids": ("pids/usage", 1),
    "pids_limit": ("pids/limit", 1),
    "oom_kills": ("oom/kills", 1),
    **{
        f"{what}_{how}_us": (f"pressure/{what}_{how}_time", 1e6)
        for what in ("cpu", "memory", "io")
        for how in ("waiting", "stalled")
    },
}
# Parts of the runtime that stay: what runs for moments alone (runc) has no sum that rises.
PARTS = ("containerd", "containerd-shim", "conmon", "cri-dockerd", "cri-o", "docker-proxy", "dockerd", "kubelet")
_AT_LEVEL = {
    level: {name: one for name, one in FIGURES.items() if level in TABLE[one[0]].levels}
    for level in (NODE, CONTAINER)
}


class Owner(NamedTuple):
    """Whose a container, or a process, is."""

    pod: PodFacts
    container: str  # '' = the pod's own, as a sandbox


def agent_targets(pods: Iterable[PodFacts], namespace: str) -> Dict[str, Target]:
    """name -> target, one a node: the agents that run in krm's own `namespace`, since they are given a token."""
    found = (pod for pod in pods if pod.app == APP and pod.namespace == namespace and pod.running and pod.node)
    targets = [pod_target(pod)._replace(name=f"node {pod.node}", server_name=APP) for pod in found]
    return {target.name: target for target in targets}


class Agents:
    """A Source. One for all nodes; threads may call it at once."""

    name = SOURCE

    def __init__(
        self,
        door: Endpoints,
        look: Callable[[str, str], Optional[PodFacts]],
        pods_of: Callable[[str], Iterable[PodFacts]],
        nodes: Callable[[], FrozenSet[str]],
        reach: Reach,
    ) -> None:
        """`door`: one with the agents' CA and token. `pods_of`: node -> its pods. The rest as in Scraper."""
        self._door, self._look, self._pods_of = door, look, pods_of
        self._nodes, self._reach = nodes, reach

    def __call__(self, target: Target, now: float) -> List[Sample]:
        agent = alive(self._look, target)
        url = own_url(agent, self._reach, self._nodes(), "https", agent.port or PORT, PATH)
        began = time.monotonic()
        raw = body_of(self._door, target._replace(url=url), PATH, MOST, TIMEOUT, gzip=True)
        return samples_of(raw, target.node, self._pods_of(target.node), now + time.monotonic() - began)


def samples_of(raw: bytes, node: str, pods: Iterable[PodFacts], now: float) -> List[Sample]:
    """`pods`: those of the node. `now`: Unix seconds. Raises NoData where the document is none of this node."""
    page, at = document(raw, node, now)
    containers = rows(page.get("containers"))
    if len(containers) > MAX_CONTAINERS:
        raise NoData(f"its agent tells of {len(containers)} containers: at most {MAX_CONTAINERS} are read")
    samples = _samples(Subject(node=node), mapping(page.get("node_figures")), at, now)
    owners = owners_of(pods)
    seen = set()
    for container in sorted(containers, key=lambda one: text(one.get("id")) not in owners):
        owner = owner_of(text(container.get("id")), container, owners)
        if owner is None or not owner.container:
            continue
        pod = owner.pod
        subject = Subject(pod.namespace, pod.name, pod.uid, owner.container, node)
        if subject not in seen:  # what a status knows by its id comes before what is only named alike
            seen.add(subject)
            samples += _samples(subject, container, at, now)
    if not samples:
        raise NoData("its agent tells of nothing on this node: does it see the cgroups of the host?")
    read = moment(page.get("processes_at"), now)  # the same counters at another time would be another rate
    if read is not None:
        samples += _runtime(node, rows(page.get("runtime")), read)
        samples += _overheads(rows(page.get("overheads")), owners, read, node)
    return samples


def _runtime(node: str, costs: List[Dict[str, Any]], at: float) -> List[Sample]:
    """What the runtime uses, a part and in all. A part that is told twice counts once."""
    known: Dict[str, Tuple[float, float]] = {}
    for cost in costs:
        part, cpu, memory = text(cost.get("part")), number(cost.get("cpu_ns")), number(cost.get("rss"))
        if part in PARTS and cpu is not None and memory is not None:
            known[part] = cpu, memory
    if not known:
        return []
    whole = tuple(map(sum, zip(*known.values())))
    each = [(part, used) for part, used in sorted(known.items())]
    return [
        Sample(
            Subject(node=node, resource_id=part),
            at,
            dict(zip(("runtime/cpu_usage", "runtime/memory"), used)),
            SOURCE,
        )
        for part, used in [("", whole), *each]
    ]


def _overheads(told: List[Dict[str, Any]], owners: Mapping[str, Owner], at: float, node: str) -> List[Sample]:
    """What pods cost beyond their containers. A figure of which a part is not known is not known."""
    found: Dict[Subject, Sample] = {}
    for row in told[:MAX_CONTAINERS]:
        owner = owners.get(f"{text(row.get('pod_uid'))}/")
        if owner is None:
            continue
        values: Dict[str, float] = {}
        for metric, parts in (
            ("overhead/cpu_usage", ("cpu_ns", "shim_cpu_ns")),
            ("overhead/memory", ("memory", "shim_rss")),
        ):
            figures = [number(row.get(part)) for part in parts]
            known = [figure for figure in figures if figure is not None]
            if len(known) == len(figures):
                values[metric] = sum(known)
        pod = owner.pod
        subject = Subject(pod.namespace, pod.name, pod.uid, "", node)
        if values:
            found.setdefault(subject, Sample(subject, at, values, SOURCE))
    return list(found.values())


def document(raw: bytes, node: str, now: float) -> Tuple[Mapping[str, Any], float]:
    """What an agent serves, and its moment in Unix seconds. Raises NoData where it is none of this node."""
    page = decoded(raw)
    if not isinstance(page, dict):
        raise NoData("what its agent serves is no JSON object")
    if page.get("version") != VERSION:
        raise NoData("its agent speaks version %.20r: this krm reads version %d" % (page.get("version"), VERSION))
    if page.get("node") != node:
        raise NoData("its agent calls itself that of node %.80r" % (page.get("node"),))
    at = moment(page.get("time"), now)
    if at is None:
        raise NoData("its agent's document has no time, or one that is a day ahead")
    return page, at


def owners_of(pods: Iterable[PodFacts], former: bool = False) -> Dict[str, Owner]:
    """Container's id, pod's uid and container's name, and pod's uid alone -> whose it is.

    `former`: containers whose place another instance has taken, too.
    """
    owners: Dict[str, Owner] = {}
    for pod in pods:
        uids = (pod.uid, pod.static) if pod.static else (pod.uid,)
        owners.update((f"{uid}/", Owner(pod, "")) for uid in uids)
        for one in pod.containers:
            owner = Owner(pod, one.name)
            owners.update((f"{uid}/{one.name}", owner) for uid in uids)
            ids = (one.former, one.id) if former else (one.id,)
            owners.update((container_id, owner) for container_id in ids if container_id)
    return owners


def owner_of(container_id: str, row: Mapping[str, Any], owners: Mapping[str, Owner]) -> Optional[Owner]:
    """Whose a row of a document is; without a container's name where it is of the pod alone, as its sandbox."""
    by_id = owners.get(container_id) if container_id else None
    if by_id is not None:
        return by_id
    uid, name = text(row.get("pod_uid")), text(row.get("container"))
    return (owners.get(f"{uid}/{name}") or owners.get(f"{uid}/")) if uid else None


def _samples(subject: Subject, figures: Mapping[str, Any], at: float, now: float) -> List[Sample]:
    values: Dict[str, float] = {}
    for name, (metric, scale) in _AT_LEVEL[subject.level].items():
        figure = number(figures.get(name))
        if figure is not None:
            values[metric] = figure / scale
    own = moment(figures["at"], now) if "at" in figures else at
    started = moment(figures.get("started"), now)
    return [] if own is None else joined(subject, [(own, values)], SOURCE, started)


def number(value: Any) -> Optional[float]:
    """A figure; None for null, what is absent and what is none: `max` is no limit and no number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= _MAX_FIGURE:
        return None
    return float(value)


def moment(value: Any, now: float) -> Optional[float]:
    """Unix seconds."""
    found = number(value)
    return found if found and math.isfinite(found) and found <= now + AHEAD else None
