"""Issue 6, line 3: a container that is OOM-killed, and a child that is killed in a container that goes on, are each
in the ledger once, within 10 s, with cause; what containerd, the kubelet and the status say is the same event.

An agent with the kernel's log and one without watch the node; what the first knows goes to the collector's ledger,
as do the kubelet's page and the pods' statuses.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from agent.killed import KMSG, log_readable
from controlplane.plane import ControlPlane
from krm.agent.documents import kills_document, packed
from krm.agent.turn import Asked, Turns
from krm.collector.facts import pod_facts
from krm.collector.ledgers import Ledgers
from krm.collector.source import NoData, Target
from krm.collector.sources.agent_seen import kills_of
from krm.collector.sources.cadvisor import samples_of
from krm.model.kills import (
    ANCESTOR_LIMIT,
    CGROUP,
    CONTAINER_LIMIT,
    CRI,
    KERNEL_LOG,
    KUBELET,
    POD_LIMIT,
    STATUS,
    Kill,
)
from krm.store.latest_seen import ledger_of, unpack_kills
from node import machine
from node.real import NAME, Node, container

pytestmark = [pytest.mark.timeout(300)]
TURN = 5.0  # seconds: an agent's own pace
WITHIN = 10.0  # seconds from a kill until it is in the ledger
KNOWN = 60.0  # seconds until the kubelet and the status have told: a kubelet looks each 10 to 20 s
LIMIT = 32 << 20
ROOM = 40 << 20  # bytes that pods may use beyond what they do, under a limit on kubepods
FOREVER = "exec sleep 2147483647"
EAT = "tail /dev/zero"  # which looks for the end of a line, and keeps all of it
# It waits until it is seen to run, is killed, and runs in peace when it is started again.
ONCE = f"[ -e /data/done ] && {FOREVER}; : > /data/done; sleep 6; exec {EAT}"
CHILD = f"sleep 6; {EAT}; {FOREVER}"
LIMITED = {"resources": {"limits": {"memory": str(LIMIT)}}}
DATA = {"volumes": [{"name": "data", "emptyDir": {}}]}


class Watched:
    """Two agents, and a collector's ledger. When a kill was known first is kept."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.agents = {"counting": self._agent(""), "logging": self._agent(KMSG if log_readable() else "")}
        self.central = Ledgers()
        self.first: Dict[Tuple[str, str], float] = {}  # whose ledger and id of the kill -> when it was there
        self.known: Dict[str, Tuple[Kill, ...]] = {}
        self._next = 0.0
        self.look()

    def _agent(self, log: str) -> Turns:
        sockets = (str(self.node.runtime_socket),)
        return Turns(Asked(NAME, every=TURN, runtime_sockets=sockets, kernel_log=log))

    def look(self) -> None:
        """One turn of each, at an agent's pace."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + TURN
        seen = {whose: agent.turn(whole=True) for whose, agent in self.agents.items()}
        self.known = {whose: one.kills for whose, one in seen.items()}
        now, pods = time.time(), [pod_facts(pod) for pod in self.node.pods()]
        page = kills_of(packed(kills_document(seen["logging"])), NAME, pods, now)
        self.central.agent(NAME, page, now)
        try:
            samples = samples_of(self.node.page("/metrics/cadvisor").body, Target(f"node {NAME}", NAME), now)
        except NoData:
            samples = []
        self.central.counters(NAME, samples, now)
        self.central.statuses(pods, now)
        self.central.turn({NAME: ("read", "")}, 60.0, now)
        self.known["central"] = ledger_of(unpack_kills(NAME, self.central.packed[NAME])).kills
        for whose, kills in self.known.items():
            for kill in kills:
                self.first.setdefault((whose, kill.id), now)

    def until(self, there: Callable[[], Any], within: float) -> None:
        ends = time.monotonic() + within
        while not there() and time.monotonic() < ends:
            self.look()

    def of(self, whose: str, container_id: str) -> List[Kill]:
        return [kill for kill in self.known[whose] if kill.container_id == container_id]

    def close(self) -> None:
        for agent in self.agents.values():
            agent.close()


@pytest.fixture(scope="module")
def watched(node: Node, node_plane: ControlPlane) -> Iterator[Watched]:
    made = Watched(node)
    yield made
    made.close()


def id_of(node: Node, pod: str, name: str) -> str:
    found: str = node.status(pod, name)["containerID"].rpartition("/")[2]
    return found


def in_time(watched: Watched, whose: str, kill: Kill) -> bool:
    return watched.first[whose, kill.id] - kill.after <= WITHIN


def test_a_container_that_is_killed_is_one_event_whoever_tells_of_it(watched: Watched) -> None:
    node = watched.node
    mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    # With what the other may use, the pod's limit is not hit before the container's: its sandbox counts there too.
    node.run_pod(
        "eater", [container("eats", ONCE, **LIMITED, **mounted), container("rests", FOREVER, **LIMITED)], **DATA
    )
    own = id_of(node, "eater", "eats")
    watched.until(lambda: node.status("eater", "eats")["restartCount"] > 0, KNOWN)
    watched.until(lambda: any(STATUS in kill.witnesses for kill in watched.of("central", own)), KNOWN)
    watched.look()
    ended = node.status("eater", "eats")["lastState"]["terminated"]
    assert (ended["reason"], ended["containerID"].rpartition("/")[2]) == ("OOMKilled", own)
    (kill,) = watched.of("counting", own)
    assert (kill.container_ended, kill.pod, kill.container, kill.pid) == (True, "eater", "eats", None)
    assert CRI in kill.witnesses
    assert in_time(watched, "counting", kill)
    (kill,) = watched.of("central", own)
    assert (kill.namespace, kill.pod, kill.container, kill.container_ended) == ("default", "eater", "eats", True)
    assert {CRI, STATUS} <= set(kill.witnesses)
    if log_readable():
        assert KERNEL_LOG in kill.witnesses
        assert (kill.process, kill.scope, kill.limit) == ("tail", CONTAINER_LIMIT, LIMIT)
        assert kill.pid is not None
        assert kill.limited.endswith(f"/{own}")
        assert in_time(watched, "logging", kill)
        assert max(moment.working_set or 0 for moment in kill.before) > 0
    node.delete_pod("eater")


def test_a_child_is_killed_and_its_container_goes_on(watched: Watched) -> None:
    """Of which a pod's status says nothing, ever."""
    node = watched.node
    node.run_pod("parent", [container("goes-on", CHILD, **LIMITED)])
    own = id_of(node, "parent", "goes-on")
    watched.until(lambda: watched.of("central", own), KNOWN)
    watched.until(lambda: any(KUBELET in kill.witnesses for kill in watched.of("central", own)), KNOWN)
    watched.look()  # the turn after the kill's says that the container goes on
    status = node.status("parent", "goes-on")
    assert ("running" in status["state"], status["lastState"], status["restartCount"]) == (True, {}, 0)
    for whose in ("counting", "central"):
        (kill,) = watched.of(whose, own)
        assert (kill.container, kill.container_ended) == ("goes-on", False)
        assert CGROUP in kill.witnesses
        assert in_time(watched, whose, kill)
    assert KUBELET in kill.witnesses
    if log_readable():
        # The pod's limit is the sum of its containers', and its sandbox, too, uses some of it.
        assert (kill.process, kill.scope, kill.limit) == ("tail", POD_LIMIT, LIMIT)
    # When it ends, the runtime says OOMKilled of it: that is no second kill.
    node.restart_container("parent", "goes-on")
    watched.look()
    watched.look()
    for whose in ("counting", "central"):
        (kill,) = watched.of(whose, own)
        assert kill.container_ended is False
    node.delete_pod("parent")


def test_a_limit_on_kubepods_is_the_cause_that_is_told(watched: Watched) -> None:
    """Its other containers are told as OOMKilled by the runtime when they end: nobody killed anything in them."""
    node = watched.node
    node.run_pod("innocent", [container("stays", FOREVER)])
    innocent = id_of(node, "innocent", "stays")
    node.run_pod("greedy", [container("eats", f"sleep 8; exec {EAT}")], restartPolicy="Never")
    own = id_of(node, "greedy", "eats")
    with limited_kubepods() as path:
        watched.until(lambda: "terminated" in node.status("greedy", "eats")["state"], KNOWN)
    watched.until(lambda: any(CRI in kill.witnesses for kill in watched.of("central", own)), WITHIN)
    (kill,) = watched.of("central", own)
    if log_readable():
        assert (kill.scope, kill.limited, kill.process) == (ANCESTOR_LIMIT, path, "tail")
        assert in_time(watched, "logging", kill)
    assert watched.of("counting", own) or any(not one.container_id for one in watched.known["counting"])
    node.restart_container("innocent", "stays")
    watched.look()
    watched.look()
    assert [watched.of(whose, innocent) for whose in ("logging", "counting")] == [[], []]
    # The collector hears of it from the status alone, and says so.
    assert {kill.witnesses for kill in watched.of("central", innocent)} <= {(STATUS,)}
    for name in ("innocent", "greedy"):
        node.delete_pod(name)


@contextlib.contextmanager
def limited_kubepods() -> Iterator[str]:
    """A limit a little above what all pods use, on the cgroup that holds them; its path, as the kernel calls it."""
    v2 = (machine.CGROUPS / "cgroup.controllers").exists()
    base = machine.CGROUPS if v2 else machine.CGROUPS / "memory"
    folder = base / machine.CGROUP / "kubepods"
    limit, usage = ("memory.max", "memory.current") if v2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    before = (folder / limit).read_text().strip()
    (folder / limit).write_text(str(int((folder / usage).read_text()) + ROOM))
    try:
        yield f"/{folder.relative_to(base)}"
    finally:
        (folder / limit).write_text(before)
