"""The node agent on a real node's worth of cgroups and processes: CPU of a turn, and memory.

Its cgroups and processes are real: containers that a shell and its sleeping children are in, made by hand. The peer
is what Node Problem Detector's DaemonSet asks for itself, the floor reads the same files and parses none.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

import psutil
from krm.agent.cgroupfs import v1, v2
from krm.agent.cgroupfs.hierarchy import V2, Hierarchy, Unreadable, open_hierarchy
from krm.agent.cgroupfs.places import place_of
from krm.agent.cgroupfs.walk import walk
from krm.agent.seen import CONTAINER, POD
from rig import Row, cpu, until

PODS, CONTAINERS, PROCESSES = 50, 2, 10  # of each pod, of each container: 100 containers, 1,000 processes
INTERVAL = 10.0  # seconds
# In six turns the limits are read once. What hardly changes of a process is read once in 30 to 60 turns, and is not
# in these: docs/performance.md says what it costs.
TURNS, TURNS_ASKED = 12, 6
SETTLED = 40.0  # seconds: a process that is younger is looked at whole each turn
WANTED_CPU, WANTED_MEMORY = 0.050, 40  # seconds of CPU a turn; MiB
PEER = "Node Problem Detector asks for 10 millicores", "Node Problem Detector asks for 80 MiB"
LIVES = 600  # seconds after which the processes end whatever becomes of this one
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuacct", "memory", "pids", "blkio", "io")  # of which an agent reads
NAME = f"krm-bench-{os.getpid()}"


class Cost(NamedTuple):
    """Of some minutes, a turn."""

    cpu: float  # seconds
    floor: float  # the same files read
    told: float  # what the agent says of itself: its turn alone
    memory: float  # MiB


def rows() -> List[Row]:
    """As root: who may make cgroups. Two minutes without readers, and one in which a collector asks each turn."""
    if os.geteuid() != 0:
        return [Row("agent", "not measured", "it takes root: the bench makes cgroups", "", None)]
    with loaded_node() as hierarchy, agent() as (process, url):
        time.sleep(SETTLED)
        alone, asked = (
            _cost(hierarchy, process, url, TURNS, False),
            _cost(hierarchy, process, url, TURNS_ASKED, True),
        )
    size = f"{PODS * CONTAINERS} containers in {PODS} pods, {PODS * CONTAINERS * PROCESSES:,} processes"
    bare = _rss_of([sys.executable, "-c", "import sys; sys.stdin.read()"])
    return [
        Row(
            f"agent: CPU of a turn each {INTERVAL:.0f} s, {size}",
            f"{alone.cpu * 1e3:.0f} ms ({alone.cpu / INTERVAL * 1e3:.1f} millicores)",
            f"reading the same files {alone.floor * 1e3:.0f} ms: {alone.cpu / alone.floor:.1f} times; {PEER[0]}",
            f"<= {WANTED_CPU * 1e3:.0f} ms",
            alone.cpu <= WANTED_CPU,
        ),
        Row(
            "the same, asked for all that it knows of containers and processes each turn",
            f"{asked.cpu * 1e3:.0f} ms ({asked.cpu / INTERVAL * 1e3:.1f} millicores)",
            f"of it the turn {asked.told * 1e3:.0f} ms; {PEER[0]}",
            f"<= {WANTED_CPU * 1e3:.0f} ms",
            asked.cpu <= WANTED_CPU,
        ),
        Row(
            "agent: memory (RSS), asked and not",
            f"{alone.memory:.0f} MiB; {asked.memory:.0f} MiB",
            f"a Python that does nothing {bare:.0f} MiB; {PEER[1]}",
            f"<= {WANTED_MEMORY} MiB",
            max(alone.memory, asked.memory) <= WANTED_MEMORY,
        ),
    ]


def _cost(hierarchy: Hierarchy, process: psutil.Process, url: str, turns: int, ask: bool) -> Cost:
    """`turns` turns, from the middle between two of them to the same place later."""
    told: List[float] = []
    floor: List[float] = []
    time.sleep(_until_half(url))
    began = cpu(process)
    for _ in range(turns):
        if ask:
            document = json.loads(_ask(f"{url}/v1/node"))
            _ask(f"{url}/v1/processes")
            told.append(document["turn_cpu_seconds"])
        spent = time.thread_time()
        _read_all(hierarchy)
        floor.append(time.thread_time() - spent)
        time.sleep(INTERVAL)
    used = (cpu(process) - began) / turns
    memory = process.memory_info().rss / 2**20
    return Cost(used, sum(floor) / turns, sum(told) / turns if told else 0.0, memory)


def _until_half(url: str) -> float:
    """Seconds until the middle of a turn's interval; two turns have passed, and all that is new was read."""
    first = json.loads(_ask(f"{url}/v1/node"))["time"]

    def newer() -> float:
        time.sleep(0.2)
        moment = float(json.loads(_ask(f"{url}/v1/node"))["time"])
        return moment if moment > first else 0.0

    until(newer, "the agent takes turns")
    return INTERVAL / 2


def _ask(url: str) -> bytes:
    """As the collector does."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: bytes = answer.read()
        return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def _read_all(hierarchy: Hierarchy) -> None:
    """What a turn must read: the usage of each pod and container, and each process."""
    usage = v2.USAGE if hierarchy.version == V2 else v1.USAGE
    for path, place in walk(hierarchy).places.items():
        if place.level in (POD, CONTAINER):
            for row in usage:
                with contextlib.suppress(FileNotFoundError, Unreadable):
                    hierarchy.read(row.controller, path, row.name)
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                _read(f"/proc/{name}/stat")


def _read(path: str) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(file, 4096)
    finally:
        os.close(file)


@contextlib.contextmanager
def agent() -> Iterator[Tuple[psutil.Process, str]]:
    """The real one, and where it serves."""
    every = f"{INTERVAL:.0f}s"
    command = [sys.executable, "-m", "krm.agent", "--every", every, "--processes-every", every, "--port", "0"]
    child = subprocess.Popen([*command, "--node", "bench"], stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        line = child.stderr.readline()
        address = line.split("serving ")[-1].strip()
        url = address if "://" in address else f"http://{address}"
        until(lambda: _answers(url), "the agent has taken a turn")
        yield psutil.Process(child.pid), url
    finally:
        child.terminate()
        child.wait(20)


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(_ask(f"{url}/v1/node"))
    return False


@contextlib.contextmanager
def loaded_node() -> Iterator[Hierarchy]:
    """PODS pods with their processes, in cgroups of this machine; all of it is gone in the end."""
    hierarchy = open_hierarchy(CGROUPS)
    tops = sorted({hierarchy.folder(name, f"/{NAME}") for name in CONTROLLERS if name in hierarchy.controllers})
    shells: List[subprocess.Popen[bytes]] = []
    try:
        for pod in range(PODS):
            uid = f"{pod:08x}-0000-4000-8000-{os.getpid():012x}"
            for container in range(CONTAINERS):
                place = f"kubepods/burstable/pod{uid}/{pod:032x}{container:032x}"
                assert place_of(f"/{NAME}/{place}").level == CONTAINER
                shells.append(_container([f"{top}/{place}" for top in tops]))
        wanted = PODS * CONTAINERS * PROCESSES
        until(lambda: _held(tops[0]) >= wanted, f"{wanted} processes run")
        yield hierarchy
    finally:
        _end(tops, shells)


def _container(folders: List[str]) -> subprocess.Popen[bytes]:
    for folder in folders:
        os.makedirs(folder)
        for parent in reversed(Path(folder).parents):
            if CGROUPS in parent.parents or parent == CGROUPS:
                _enable(parent / "cgroup.subtree_control")
    joins = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in folders)
    sleeps = f"i=1; while [ $i -lt {PROCESSES} ]; do sleep {LIVES} & i=$((i+1)); done; wait"
    return subprocess.Popen(["sh", "-c", f"{joins}; {sleeps}"], stdin=subprocess.DEVNULL)


def _enable(control: Path) -> None:
    """Version 2 keeps what its parents ask for."""
    for controller in CONTROLLERS if control.exists() else ():
        with contextlib.suppress(OSError):
            control.write_text(f"+{controller}")


def _pids(top: str) -> List[int]:
    return [int(word) for path in Path(top).rglob("cgroup.procs") for word in path.read_text().split()]


def _held(top: str) -> int:
    return len(_pids(top))


def _end(tops: List[str], shells: List[subprocess.Popen[bytes]]) -> None:
    """Only what lies in our own cgroups; children of a shell that was killed are in them still."""
    for shell in shells:
        shell.kill()
        shell.wait()

    def emptied() -> bool:
        pids = [pid for top in tops if os.path.isdir(top) for pid in _pids(top)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    until(emptied, "the processes of the bench end")
    for top in tops:
        for folder, _, _ in os.walk(top, topdown=False):
            until(lambda folder=folder: _removed(folder), f"{folder} is removed")  # type: ignore[misc]


def _removed(folder: str) -> bool:
    with contextlib.suppress(OSError):
        os.rmdir(folder)
        return True
    return not os.path.isdir(folder)


def _rss_of(command: List[str]) -> float:
    """MiB of a process that has started and waits for its input."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        time.sleep(1.0)
        return float(psutil.Process(child.pid).memory_info().rss) / 2**20
    finally:
        child.communicate(timeout=20)
