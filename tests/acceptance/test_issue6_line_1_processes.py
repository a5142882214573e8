"""Issue 6, line 1: on a real node every process of every pod is mapped to the right pod and container.

What is right containerd says itself (`ctr tasks ps`, and whose a container is by the labels that its CRI gave it),
the API server (statuses of pods), and /proc, where root may read what the agent may not: PID namespaces.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Set, Tuple

import pytest
from agent.lesser import UID, as_agent
from controlplane.processes import wait_until
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.cgroupfs.walk import walk
from krm.agent.process.processes import Processes
from node.machine import CGROUPS, FOLDER
from node.real import NAME, NAMESPACE, Node, container

pytestmark = pytest.mark.timeout(400)
# A container of several processes, which stay.
SEVERAL = "sleep 2147483647 & sh -c 'sleep 2147483647; true' & wait"
SHARING, APART, HOSTS, BRIEF = "sharing", "apart", "hosts", "brief"
# Two of three short-lived processes are in containers that share a PID namespace, the third is on the host.
SHORT, LOOPS = 3400, 20
SECONDS = 240.0
Row = Dict[str, Any]


class Told(NamedTuple):
    """What containerd says of a container."""

    uid: str
    namespace: str
    pod: str
    name: str  # "" of a sandbox
    pids: Tuple[int, ...]


def told(node: Node) -> Dict[str, Told]:
    """By id, of all that run."""
    found: Dict[str, Told] = {}
    for id_ in node.ctr("tasks", "ls", "-q").split():
        labels = json.loads(node.ctr("containers", "info", id_))["Labels"]
        lines = node.ctr("tasks", "ps", id_).splitlines()[1:]
        whose = [labels.get(f"io.kubernetes.{key}", "") for key in ("pod.uid", "pod.namespace", "pod.name")]
        sandbox = labels["io.cri-containerd.kind"] == "sandbox"
        name = "" if sandbox else labels["io.kubernetes.container.name"]
        found[id_] = Told(whose[0], whose[1], whose[2], name, tuple(int(line.split()[0]) for line in lines))
    return found


@pytest.fixture(scope="module")
def pods(node: Node) -> Iterator[Node]:
    """Pods whose containers share a PID namespace, whose have their own, and whose are in the host's."""
    containers = [container("one", SEVERAL), container("two", SEVERAL)]
    made = []
    try:
        for name, spec in ((SHARING, {"shareProcessNamespace": True}), (APART, {}), (HOSTS, {"hostPID": True})):
            made.append(name)
            node.run_pod(name, containers, **spec)
        yield node
    finally:
        for name in made:
            node.delete_pod(name)


@pytest.fixture(scope="module")
def rows(pods: Node) -> Dict[int, Row]:
    """What `krm agent --once` says, by PID."""
    command = [sys.executable, "-m", "krm.agent", "--once", "-o", "json", "--node", NAME]
    command += ["--runtime-socket", str(pods.runtime_socket)]
    printed = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE).stdout
    document = json.loads(printed)["processes"]
    assert not [one for one in document["missing"] if one["what"] == "runtime API"], document["missing"]
    return {row["pid"]: row for row in document["processes"]}


def test_every_process_of_every_pod_is_mapped_as_containerd_says(rows: Dict[int, Row], pods: Node) -> None:
    truth = told(pods)
    assert sum(len(one.pids) for one in truth.values()) >= 3 + 6 * 4
    for id_, one in truth.items():
        for pid in one.pids:
            row = rows[pid]
            assert (row["container_id"], row["pod_uid"]) == (id_, one.uid)
            assert (row["namespace"], row["pod"], row.get("container", "")) == (one.namespace, one.pod, one.name)
            assert row["cgroup"].endswith(f"/pod{one.uid}/{id_}")
            assert row["cgroup"] in Path(f"/proc/{pid}/cgroup").read_text()
        assert {pid for pid, row in rows.items() if row.get("container_id") == id_} == set(one.pids)
    in_containers = {pid for one in truth.values() for pid in one.pids}
    assert {pid for pid, row in rows.items() if "container_id" in row} >= in_containers


def test_the_api_server_calls_them_so_too(rows: Dict[int, Row], pods: Node) -> None:
    by_id = {row["container_id"]: row for row in rows.values() if "container_id" in row}
    for name in (SHARING, APART, HOSTS):
        pod = pods.pod(name)
        for status in pod["status"]["containerStatuses"]:
            row = by_id[status["containerID"].rpartition("/")[2]]
            expected = (pod["metadata"]["uid"], NAMESPACE, name, status["name"])
            assert (row["pod_uid"], row["namespace"], row["pod"], row["container"]) == expected


def sandbox_of(truth: Dict[str, Told], pod: str) -> str:
    (found,) = [id_ for id_, one in truth.items() if one.pod == pod and not one.name]
    return found


def namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")


def test_containers_with_a_shared_pid_namespace_are_told_apart(rows: Dict[int, Row], pods: Node) -> None:
    truth = told(pods)
    sandbox = sandbox_of(truth, SHARING)
    shared = namespace(truth[sandbox].pids[0])
    of_sharing = [one for one in truth.values() if one.pod == SHARING and one.name]
    assert sorted(one.name for one in of_sharing) == ["one", "two"]
    inside: Set[int] = {1}
    for one in of_sharing:
        for pid in one.pids:
            assert namespace(pid) == shared
            assert (rows[pid]["container"], rows[pid]["shares_pids_with"]) == (one.name, sandbox)
            assert rows[pid]["pid_inside"] not in inside
            inside.add(rows[pid]["pid_inside"])
    others = {pid for pid, row in rows.items() if "shares_pids_with" in row}
    assert others == {pid for one in of_sharing for pid in one.pids}


def test_pids_inside_pause_and_init(rows: Dict[int, Row], pods: Node) -> None:
    truth, host = told(pods), namespace(os.getpid())
    for one in truth.values():
        for pid in one.pids:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            (pids,) = [line.split()[1:] for line in lines if line.startswith("NSpid:")]
            row = rows[pid]
            assert (row["pid_inside"], row.get("pid_depth", 1)) == (int(pids[-1]), len(pids))
            assert row.get("is_init", False) == (pids[-1] == "1")
            assert (row.get("pid_depth", 1) == 1) == (namespace(pid) == host) == (one.pod == HOSTS)
    pauses = {pid for pid, row in rows.items() if row.get("is_pause")}
    assert pauses == {pid for one in truth.values() if not one.name for pid in one.pids}


def test_a_host_process_is_a_host_process(rows: Dict[int, Row], pods: Node) -> None:
    """The kubelet, containerd, its shims, this test; and nothing that containerd does not list is a pod's."""
    truth = told(pods)
    of_node = {pid for pid in rows if str(FOLDER).encode() in arguments(pid)}
    in_containers = {pid for one in truth.values() for pid in one.pids}
    assert {"kubelet", "containerd", "containerd-shim"} <= {rows[pid]["name"] for pid in of_node}
    for pid in (os.getpid(), 1, *of_node):
        assert "container_id" not in rows[pid]
        assert "pod_uid" not in rows[pid]
    for pid, row in rows.items():
        assert (row.get("container_id") in truth) == (pid in in_containers), row
    assert rows[1]["is_init"]
    assert lasting(max(row["started_ticks"] for row in rows.values())) <= set(rows)


def arguments(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def lasting(started: int) -> Set[int]:
    """PIDs of what runs now and began before that tick, zombies left out."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (path / "stat").read_bytes()
            words = stat[stat.rindex(b")") + 2 :].split()
            if int(words[19]) < started and words[0] != b"Z":
                found.add(int(path.name))
    return found


def test_the_agents_user_sees_where_each_is_without_the_runtime(pods: Node) -> None:
    """UID 64123 has no right to the socket: then there are no names, and all else is the same."""

    def look() -> Dict[int, Tuple[str, str, str, bool]]:
        assert os.getuid() == UID
        hierarchy = open_hierarchy(CGROUPS)
        found, _ = Processes(Path("/proc"), False, hierarchy).turn(walk(hierarchy).places, {}, time.time())
        return {row.pid: (row.container_id, row.pod_uid, row.shares_pids_with, row.is_init) for row in found}

    truth, seen = told(pods), as_agent(look)
    sandbox = sandbox_of(truth, SHARING)
    for id_, one in truth.items():
        for pid in one.pids:
            shares = sandbox if one.pod == SHARING and one.name else ""
            assert seen[pid][:3] == (id_, one.uid, shares)
    assert len([row for row in seen.values() if row[0] in truth]) == sum(len(one.pids) for one in truth.values())


def short_lived(name: str, folder: str, times: int) -> str:
    """A script of loops that start a program of that name `times` times, each of which lives for 100 ms."""
    program = f"{folder}/{name}"
    return (
        f"busybox mkfifo {folder}/nothing; "
        f"printf '#!/bin/busybox sh\\nread -t 0.1 x <>{folder}/nothing\\n' > {program}; "
        f"busybox chmod 755 {program}; "
        + f"(i=0; while [ $i -lt {times // LOOPS} ]; do {program}; i=$((i+1)); done) & " * LOOPS
        + "wait"
    )


@pytest.fixture
def agent(pods: Node) -> Iterator[str]:
    """The URL of one that looks as often as it can."""
    command = [sys.executable, "-m", "krm.agent", "--node", NAME, "--port", "0", "--every", "100ms"]
    command += ["--processes-every", "100ms", "--runtime-socket", str(pods.runtime_socket)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        yield child.stderr.readline().split("serving ")[1].strip()
    finally:
        child.terminate()
        child.wait(20)


def test_ten_thousand_short_lived_processes_leave_no_wrong_row(pods: Node, agent: str, tmp_path: Path) -> None:
    """A name says where its process has to be, for each is started in one place alone."""
    stay = "; exec sleep 2147483647"
    containers = [container(name, short_lived(f"in-{name}", "/tmp", SHORT) + stay) for name in ("one", "two")]
    pods.run_pod(BRIEF, containers, shareProcessNamespace=True)
    host = subprocess.Popen(["busybox", "sh", "-c", short_lived("on-host", str(tmp_path), SHORT)])
    try:
        ids = {name: pods.status(BRIEF, name)["containerID"].rpartition("/")[2] for name in ("one", "two")}
        places = {"in-one": ids["one"], "in-two": ids["two"], "on-host": None}
        first = {line.split()[0]: line.split()[1] for line in pods.ctr("tasks", "ls").splitlines()[1:]}
        seen: Dict[str, Set[Tuple[int, int]]] = {name: set() for name in places}
        times: Set[float] = set()
        ends = time.monotonic() + SECONDS
        loops = [f"/proc/{first[id_]}/comm" for id_ in ids.values()]
        while host.poll() is None or any(Path(path).read_text() == "sh\n" for path in loops):
            document = processes_of(agent)
            times.add(document["time"])
            for row in document["processes"]:
                if row["name"] in places:
                    assert row.get("container_id") == places[row["name"]], row
                    seen[row["name"]].add((row["pid"], row["started_ticks"]))
            assert time.monotonic() < ends, "the loops do not end"
            time.sleep(0.05)
        counts = {name: len(identities) for name, identities in seen.items()}
        print(f"\n{len(times)} turns while {3 * SHORT} processes came and went; seen: {counts}")
        assert min(counts.values()) > 20, counts
        ended = time.time()
        wait_until(lambda: processes_of(agent)["time"] > ended, 20, "another turn has been taken", pause=0.1)
        assert not [row for row in processes_of(agent)["processes"] if row["name"] in places]
    finally:
        host.kill()
        host.wait()
        pods.delete_pod(BRIEF)


def processes_of(agent: str) -> Row:
    with urllib.request.urlopen(f"{agent}/v1/processes", timeout=10) as answer:
        found: Row = json.loads(answer.read())
        return found
