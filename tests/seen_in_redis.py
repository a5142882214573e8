"""Processes and kills as a collector writes them, for tests of what readers make of them."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

from krm.model.kill_ledger import Ledger
from krm.model.kills import CGROUP, CONTAINER_LIMIT, KERNEL_LOG, NODE_WIDE, STATUS, Kill, Moment
from krm.model.measures import Covers
from krm.store.connect import Database
from krm.store.latest import CollectorState
from krm.store.latest_seen import (
    NO_AGENT,
    READ,
    SILENT,
    NodeKills,
    NodeProcesses,
    Running,
    pack_kills,
    pack_processes,
)
from krm.store.latest_writer import LatestWriter, Turn

NOW = float(int(time.time()))
MIB = 1024 * 1024
STATE = CollectorState("", "", 3600.0, (), {}, (), Covers(4, 4, "nodes"), agents=Covers(1, 4, "nodes"))


def process(pid: int, name: str, rss: int = MIB, cpu: Optional[float] = None, **more: Any) -> Running:
    window = None if cpu is None else 10.0
    return Running(pid, 100 + pid, 1, name, "S", 2, rss, 10**9, NOW - 300, cpu, window, **more)


WEB: Dict[str, Any] = {
    "namespace": "shop", "pod": "web-0", "container": "web", "container_id": "9f86d081884c7d65", "pod_uid": "u1",
}  # fmt: skip
N1 = NodeProcesses(
    "n1",
    READ,
    "",
    NOW - 4,
    NOW - 3,
    (
        process(900, "kubelet", 90 * MIB, 31.2),
        process(4711, "nginx", 64 * MIB, 250.4, pid_inside=1, pid_depth=2, uid=101, is_init=True, **WEB),
        process(4712, "worker\x1b[31m", 600 * 1024, pid_inside=7, pid_depth=2, uid=101, **WEB),
        process(
            4700, "pause", 500 * 1024, 0.0, is_pause=True, **{**WEB, "container": "", "container_id": "ab" * 8}
        ),
        process(5000, "job", 5 * MIB, 12.0, namespace="lab", pod="job", container="run", container_id="c1"),
        process(6000, "rogue", MIB, container_id="dead00beef00cafe"),
    ),
    2,
    (("io of processes", "it needs CAP_SYS_PTRACE"),),
)
PROCESSES = [
    N1,
    NodeProcesses("n2", SILENT, "it does not answer"),
    NodeProcesses("w1", NO_AGENT, "it runs Windows"),
    NodeProcesses("w2", NO_AGENT, "it runs Windows"),
]
BEFORE = (Moment(NOW - 601, 255 * MIB, 256 * MIB, 0.31, 6144 * MIB, 0.0),)
KILLS = [
    Kill(
        "n1/1", "n1", NOW - 600, NOW - 600, WEB["container_id"], "u1", "shop", "web-0", "web", 4720, "worker",
        248 * MIB, CONTAINER_LIMIT, "/kubepods/x", 256 * MIB, False, (KERNEL_LOG, CGROUP), BEFORE,
    ),
    Kill(
        "n1/2", "n1", NOW - 60, NOW - 60, pid=950, process="backup", rss=MIB, scope=NODE_WIDE,
        witnesses=(KERNEL_LOG,),
    ),
    Kill(
        "w1/3", "w1", NOW - 30, NOW - 45, "c1", "u2", "lab", "job", "run", container_ended=True,
        witnesses=(STATUS,),
    ),
]  # fmt: skip


def packed_processes(nodes: List[NodeProcesses]) -> Dict[str, bytes]:
    return {one.node: pack_processes(one) for one in nodes}


def packed_kills(nodes: List[NodeProcesses], kills: List[Kill]) -> Dict[str, bytes]:
    return {
        one.node: pack_kills(
            NodeKills(one.node, one.state, one.why, missing=one.missing),
            Ledger().tell([kill for kill in kills if kill.node == one.node], NOW),
        )
        for one in nodes
    }


def write(
    database: Database,
    cluster: str,
    nodes: Optional[List[NodeProcesses]] = None,
    kills: Optional[List[Kill]] = None,
    state: CollectorState = STATE,
) -> LatestWriter:
    """One turn of a collector."""
    nodes, kills = PROCESSES if nodes is None else nodes, KILLS if kills is None else kills
    writer = LatestWriter(database, cluster)
    assert writer.take()
    writer.write(Turn({}, {}, {}, state, packed_processes(nodes), packed_kills(nodes, kills)))
    return writer
