"""Makes each kind of OOM kill in the machine, one after another, under two agents: one that reads the kernel's log,
and one that has counters alone. Handed back: what was done, what the kernel wrote, and both ledgers.

All containers are there before, as they would be, and their processes wait to be told.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from inside import (
    MIB,
    ROOT,
    KernelLog,
    answer,
    cgroup,
    cgroupfs_path,
    ended,
    flat,
    grow,
    hold,
    start,
    systemd_path,
    wait_forever,
    wait_until,
    when_told,
)
from krm_agent import PAUSE, Agent

UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a%02x"
ID = "%02x" * 32
LIMIT = 24 * MIB
EVERY = 2.0  # seconds between two turns of the agents
BEFORE_SECONDS = 4 * EVERY  # how long the containers are looked at before anything is killed
SEEN_SECONDS = 40.0  # the test wants less, of a machine that is not starved
KILL_SECONDS = 60.0


class Kind(NamedTuple):
    """One container, and how it comes to a kill."""

    path: Callable[[str, str], str]  # of pod uid and container id
    victims: Dict[str, Callable[[], object]]  # name of process -> what it does when it is told to
    limits: Dict[str, object] = {}
    survivors: Tuple[str, ...] = ()  # processes that go on
    limited: int = 0  # whose limit is hit: so many levels up
    below: bool = False  # the container has cgroups of its own, and its processes are in these
    removed: bool = False  # its cgroup is gone as soon as its processes are
    node_wide: bool = False


def systemd(pod: str, container: str) -> str:
    return systemd_path("burstable", pod, f"cri-containerd-{container}")


def cgroupfs(pod: str, container: str) -> str:
    return cgroupfs_path("besteffort", pod, container)


def nested(pod: str, container: str) -> str:
    """In a node that is a container itself, as kind has it."""
    return f"/system.slice/docker-{'0e' * 32}.scope/kubelet.slice{cgroupfs(pod, container)}"


def hungry() -> None:
    """The one that the kernel chooses when the machine's own memory runs out."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    grow(4 * MIB)()


LIMITED = {"memory_max": LIMIT}
KINDS: Dict[str, Kind] = {
    "container": Kind(systemd, {"leaky": grow()}, LIMITED),
    "child": Kind(cgroupfs, {"worker": grow()}, LIMITED, ("server",)),
    "ancestor": Kind(systemd, {"greedy": grow()}, limited=3),
    "pod": Kind(systemd, {"sharing": grow()}, limited=1),
    "group": Kind(
        systemd,
        {"first": wait_forever, "second": hold(MIB), "third": grow()},
        {**LIMITED, "memory_oom_group": 1},
    ),
    "hostile": Kind(cgroupfs, {"a) x,task=b,pid": grow()}, LIMITED),
    "row": Kind(cgroupfs, {f"worker-{number}": grow() for number in range(3)}, LIMITED, ("server",)),
    "removed": Kind(systemd, {"brief": grow()}, LIMITED, removed=True),
    "nested": Kind(nested, {"deep": grow()}, LIMITED),
    "below": Kind(cgroupfs, {"unit": grow()}, LIMITED, ("systemd",), below=True),
    "node": Kind(cgroupfs, {"hungry": hungry}, node_wide=True),
}


class Case:
    """A kind with its container made and its processes waiting."""

    def __init__(self, number: int, kind: Kind) -> None:
        self.kind, self.pod_uid, self.container_id = kind, UID % number, ID % ((number,) * 32)
        self.path = kind.path(self.pod_uid, self.container_id)
        self.folder = cgroup(self.path, **kind.limits)
        first = cgroup(f"{self.path}/init.scope") if kind.below else self.folder
        self.own = cgroup(f"{self.path}/system.slice/unit.service") if kind.below else self.folder
        self.survivors = [start(first, name, wait_forever) for name in kind.survivors]
        self.victims = {start(self.own, name, when_told(does)): name for name, does in kind.victims.items()}

    def kill(self) -> Dict[str, Any]:
        """Does it; what was done."""
        limited, limit = self.folder, LIMIT
        for _ in range(self.kind.limited):
            limited = limited.parent
        if self.kind.limited:
            limit += int((limited / "memory.current").read_text()) // 4096 * 4096
            (limited / "memory.max").write_text(str(limit))
        before = self.events()
        began = time.time()
        for pid, name in self.victims.items():  # one after another, or they would share the limit
            os.kill(pid, signal.SIGUSR1)
            if "memory_oom_group" not in self.kind.limits:
                wait_until(lambda pid=pid: ended(pid), f"{name} is killed", KILL_SECONDS)  # type: ignore[misc]
        for pid, name in self.victims.items():
            wait_until(lambda pid=pid: ended(pid), f"{name} is killed", KILL_SECONDS)  # type: ignore[misc]
        done = time.time()
        after = self.events()
        if self.kind.removed:
            self.folder.rmdir()
        if self.kind.limited:
            (limited / "memory.max").write_text("max")
        return {
            "path": str(self.own)[len(str(ROOT)) :],
            "pod_uid": self.pod_uid,
            "container_id": self.container_id,
            "pids": sorted(self.victims),
            "names": self.victims,
            "alive": [pid for pid in self.survivors if not ended(pid)],
            "limited": "" if self.kind.node_wide else str(limited)[len(str(ROOT)) :],
            "limit": None if self.kind.node_wide else limit,
            "began": began,
            "ended": done,
            "counted": {key: after[key] - before[key] for key in after},
        }

    def events(self) -> Dict[str, int]:
        return flat(self.folder, "memory.events")


def main() -> None:
    cases = {name: Case(number, kind) for number, (name, kind) in enumerate(KINDS.items(), 0xA1)}
    every = ("--every", f"{EVERY}s", "--processes-every", "4s")
    agents = {"log": Agent(10260, *every, "--kernel-log", "/dev/kmsg"), "counters": Agent(10261, *every)}
    for agent in agents.values():
        agent.wait_ready()
    time.sleep(BEFORE_SECONDS)
    log = KernelLog()
    kills: Dict[str, Any] = {}
    for name, case in cases.items():
        told = case.kill()
        told["seen"] = seen(agents, told)
        told["kmsg"] = log.records()
        kills[name] = told
        print(name, told["began"], told["ended"] - told["began"], told["counted"], told["seen"], flush=True)
    documents = {which: agent.next_document("/v1/kills") for which, agent in agents.items()}
    answer(
        {
            "every": EVERY,
            "kills": kills,
            "documents": documents,
            "ended": [agent.stop() for agent in agents.values()],
        }
    )


def seen(agents: Dict[str, Agent], told: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """When each agent's ledger has as many kills of the container or its pod: seconds after the last of them (None:
    not within SEEN_SECONDS), and the times of the turns that were looked at, the last of which has them."""
    found: Dict[str, Dict[str, Any]] = {which: {"after": None, "turns": []} for which in agents}

    def all_there() -> bool:
        for which, agent in agents.items():
            if found[which]["after"] is None:
                document = agent.document("/v1/kills") or {"time": 0.0, "kills": []}
                if document["time"] > told["ended"] and document["time"] not in found[which]["turns"]:
                    found[which]["turns"].append(document["time"])
                if len(of(document, told)) >= len(told["pids"]):
                    found[which]["after"] = time.time() - told["ended"]
        return all(one["after"] is not None for one in found.values())

    try:
        wait_until(all_there, "the kills are in the ledgers", SEEN_SECONDS, PAUSE)
    except TimeoutError as error:
        print(error, flush=True)
    return found


def of(document: Any, told: Dict[str, Any]) -> List[Any]:
    """The kills of the container or its pod."""
    whose = (told["container_id"], told["pod_uid"])
    return [
        row for row in document["kills"] if row.get("container_id") == whose[0] or row.get("pod_uid") == whose[1]
    ]


if __name__ == "__main__":
    main()
