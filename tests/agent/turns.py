"""One turn of the agent, made up: what tests of documents, metrics and tables begin with."""

from typing import Any, Dict

from krm.agent.figures import UNLIMITED
from krm.agent.seen import (
    BURSTABLE,
    CONTAINER,
    CONTAINERD,
    OTHER,
    POD,
    QOS,
    Cgroup,
    Difference,
    Missing,
    Named,
    Place,
    PodOverhead,
    Process,
    RuntimeCost,
    Seen,
)
from krm.model.kills import CGROUP, CONTAINER_LIMIT, KERNEL_LOG, Kill, Moment

ID = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PAUSE = "1" * 64
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
AT_POD = f"/kubepods/burstable/pod{UID}"
AT_CONTAINER = f"{AT_POD}/{ID}"
NOW = 1800000000.25
NAMED = {
    ID: Named("shop", "web-0", "web", UID, image="web:1"),
    PAUSE: Named("shop", "web-0", "", UID, sandbox=True),
}


def cgroup(level: str, path: str, figures: Dict[str, Any], **place: str) -> Cgroup:
    return Cgroup(Place(level, path, **place), NOW - 0.125, 1799990000.0, figures)


def process(pid: int, **fields: Any) -> Process:
    first = Process(pid, 99000000 + pid, 1, "web", "S", 9, 67108864, 123450000000, 1799990000.5, None)
    return first._replace(**fields)


def seen(**fields: Any) -> Seen:
    place = {"qos": BURSTABLE, "pod_uid": UID}
    whole = Seen(
        "worker-1", NOW, 5.0, "v1", 1799000000.0, {"cpu_usage_ns": 10, "memory_limit": UNLIMITED},
        (
            cgroup(QOS, "/kubepods/burstable", {"pids": 20}, qos=BURSTABLE),
            cgroup(POD, AT_POD, {"pids": 18}, **place),
            cgroup(CONTAINER, AT_CONTAINER, {"pids": 17, "pids_limit": UNLIMITED, "memory_usage": 5},
                   container_id=ID, runtime=CONTAINERD, **place),
            cgroup(CONTAINER, f"{AT_POD}/{PAUSE}", {"pids": 1}, container_id=PAUSE, **place),
            cgroup(OTHER, "/system.slice/containerd.service", {"pids": 9}),
        ),
        NAMED,
        (process(1), process(4711, container_id=ID, pod_uid=UID, cgroup=AT_CONTAINER, pid_inside=1, pid_depth=2,
                             is_init=True, uid=1000)),
        (RuntimeCost("containerd-shim", 1, 5, 6),),
        (PodOverhead(UID, 7, None, 1, 8, 9),),
        (Difference(ID, "memory_usage", 5, 6, 0.5, 0.2),),
        (
            Kill("k", "worker-1", NOW, NOW, ID, UID, "shop", "web-0", "web", 4720, "a", 9, CONTAINER_LIMIT,
                 AT_CONTAINER, 10, False, (KERNEL_LOG, CGROUP), (Moment(NOW, 1, 2, None, 3, 0.5),)),
        ),
        (Missing("kernel log", "it may not be read: give --kernel-log"),) * 2,
        0.02,
        NOW - 3,
    )  # fmt: skip
    return whole._replace(**fields)
