"""Makes each kind of OOM kill in the machine, one after another, and hands back what the kernel said of them."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List

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
)

UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a%02x"
ID = "%02x" * 32


def main() -> None:
    log = KernelLog()
    document: Dict[str, Any] = {"kills": {}}
    for number, (name, make) in enumerate(KINDS.items(), 0xA1):
        began = time.time()
        told = make(UID % number, ID % ((number,) * 32))
        told["began"], told["ended"] = began, time.time()
        told["kmsg"] = log.records()
        document["kills"][name] = told
        print(name, {key: value for key, value in told.items() if key != "kmsg"}, flush=True)
    answer(document)


def whole_container(pod: str, container: str) -> Dict[str, Any]:
    """Its one process asks for more than memory.max."""
    path = systemd_path("burstable", pod, f"cri-containerd-{container}")
    folder = cgroup(path, memory_max=24 * MIB)
    pid = start(folder, "leaky", grow())
    wait_until(lambda: ended(pid), "leaky is killed")
    return _told(path, [pid])


def child(pod: str, container: str) -> Dict[str, Any]:
    """A child is killed, its container goes on."""
    path = cgroupfs_path("burstable", pod, container)
    folder = cgroup(path, memory_max=24 * MIB)
    first = start(folder, "server", wait_forever)
    worker = start(folder, "worker", grow())
    wait_until(lambda: ended(worker), "worker is killed")
    assert not ended(first)
    return {**_told(path, [worker]), "alive": [first]}


def ancestor(pod: str, container: str) -> Dict[str, Any]:
    """The limit that is hit is kubepods.slice's."""
    path = systemd_path("besteffort", pod, f"cri-containerd-{container}")
    folder, top = cgroup(path), cgroup("/kubepods.slice")
    (top / "memory.max").write_text(str(int((top / "memory.current").read_text()) + 24 * MIB))
    pid = start(folder, "greedy", grow())
    wait_until(lambda: ended(pid), "greedy is killed")
    limit = int((top / "memory.max").read_text())
    (top / "memory.max").write_text("max")
    return {**_told(path, [pid]), "limited": "/kubepods.slice", "limit": limit}


def pod_limit(pod: str, container: str) -> Dict[str, Any]:
    """The limit that is hit is the pod's, the sum of its containers'."""
    path = systemd_path("burstable", pod, f"cri-containerd-{container}")
    folder = cgroup(path)
    (folder.parent / "memory.max").write_text(str(24 * MIB))
    pid = start(folder, "tmpfs-writer", grow())
    wait_until(lambda: ended(pid), "the process is killed")
    return {**_told(path, [pid]), "limited": os.path.dirname(path), "limit": 24 * MIB}


def group(pod: str, container: str) -> Dict[str, Any]:
    """memory.oom.group: all processes of the cgroup, as kubelets of 1.28 and newer set it."""
    path = systemd_path("burstable", pod, f"cri-containerd-{container}")
    folder = cgroup(path, memory_max=24 * MIB, memory_oom_group=1)
    pids = [start(folder, "first", wait_forever), start(folder, "second", hold(MIB))]
    pids.append(start(folder, "third", grow()))
    for pid in pids:
        wait_until(lambda pid=pid: ended(pid), "the whole group is killed")  # type: ignore[misc]
    return _told(path, pids)


def hostile(pod: str, container: str) -> Dict[str, Any]:
    """The name of the process is made to look like another record's end."""
    path = cgroupfs_path("besteffort", pod, container)
    folder = cgroup(path, memory_max=24 * MIB)
    pid = start(folder, "a) x,task=b,pid", grow())
    wait_until(lambda: ended(pid), "the process is killed")
    return _told(path, [pid])


def node_wide(pod: str, container: str) -> Dict[str, Any]:
    """No limit: the machine's own memory runs out. Its score makes it the one that dies."""
    path = systemd_path("besteffort", pod, f"cri-containerd-{container}")
    folder = cgroup(path)

    def does() -> None:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        grow(4 * MIB)()

    pid = start(folder, "hungry", does)
    wait_until(lambda: ended(pid), "hungry is killed", 60.0)
    return {**_told(path, [pid]), "limited": "", "limit": None}


def _told(path: str, pids: List[int]) -> Dict[str, Any]:
    folder = ROOT / path[1:]
    limit = (folder / "memory.max").read_text().strip()
    return {
        "path": path,
        "pids": pids,
        "limited": path,
        "limit": None if limit == "max" else int(limit),
        "events": flat(folder, "memory.events"),
        "events_local": flat(folder, "memory.events.local"),
    }


KINDS: Dict[str, Callable[[str, str], Dict[str, Any]]] = {
    "container": whole_container,
    "child": child,
    "ancestor": ancestor,
    "pod": pod_limit,
    "group": group,
    "hostile": hostile,
    "node": node_wide,
}

if __name__ == "__main__":
    main()
