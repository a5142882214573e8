"""1,000 watchers of one server while 200 pods a second change: when they are told, and what that costs.

Two kinds of watchers, for 1,000 times every pod whole would be a gigabyte a second: a twentieth of the
pods each (a namespace, whole objects), and all pods each (their metadata). Delays are from the change in
the simulated cluster to its line at a watcher, through streamer, Redis, aggregator and server.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

import psutil
from krm.simulator.world import World
from krm.store.connect import connect
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.read import Reader, Token
from rig import CLUSTER, Row, cpu, pipeline, redis_server, simulated
from serving import server

PODS, WATCHERS, RATE = 5_000, 1_000, 200
IDLE = 10  # watchers that never read
SECONDS = 12.0  # of each run
STEP = 0.02  # seconds between two portions of changes
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
WANTED = 0.25  # seconds, p99


class Run(NamedTuple):
    """One run."""

    told: List[float]  # seconds from a change to its line, sorted
    published: List[float]  # seconds from a change's receipt to its publication, sorted
    cpu: float  # share of a core that the server took
    grown: float  # MiB that the server grew by
    ended: int
    bytes: float  # MiB a second


def rows() -> List[Row]:
    """Two lines for the watchers, one for those that never read."""
    with redis_server() as (url, _), simulated(PODS) as (world, kubeconfig), pipeline(url, kubeconfig) as stages:
        stages.wait_live("pods")
        with server(url, "") as (address, _ca, process):
            spaces = sorted({key.partition("/")[0] for key in world.keys("pods")})
            paths = [f"/api/v1/namespaces/{space}/pods?watch=true&resourceVersion=%s" for space in spaces]
            every = "/api/v1/pods?watch=true&resourceVersion=%s"
            whole = _run(world, url, address, process, paths, "application/json", 0)
            meta = _run(world, url, address, process, [every], METADATA, 0)
            slow = _run(world, url, address, process, [every], METADATA, IDLE)
    return [
        _told("a namespace each, whole pods", whole),
        _told("all pods each, their metadata", meta),
        _idle(meta, slow),
    ]


def _run(
    world: World, redis: str, address: str, process: psutil.Process, paths: Sequence[str], accept: str, idle: int
) -> Run:
    follower = Follower(connect(redis, name="krm-bench"), Keys(CLUSTER, "pods"), _token(redis))
    before, resident = cpu(process), process.memory_info().rss
    rv = str(world.revision)
    script = str(Path(__file__).with_name("watching.py"))
    command = [sys.executable, script, address, "-", *[path % rv for path in paths]]
    command += ["--accept", accept, "--count", str(WATCHERS - idle), "--idle", str(idle), "--seconds", str(SECONDS)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    opened = child.stderr.readline()
    if b"open" not in opened:
        raise RuntimeError(f"the watchers did not open: {opened!r} {child.stderr.read()!r}")
    before, began = cpu(process), time.monotonic()
    times: Dict[int, float] = {}
    over = threading.Event()
    delays: List[float] = []
    listener = threading.Thread(target=_listen, args=(follower, over, delays), daemon=True)
    listener.start()
    while time.monotonic() - began < SECONDS - 1:
        first = world.revision + 1
        last = world.burst("pods", int(RATE * STEP))
        times.update(dict.fromkeys(range(first, last + 1), time.time()))
        time.sleep(STEP)
    took, used = time.monotonic() - began, cpu(process) - before
    grown = (process.memory_info().rss - resident) / 2**20
    said = json.loads(child.stdout.read())
    child.wait(20)
    over.set()
    listener.join(5)
    told = sorted(at - times[rv] for rv, at in said["told"] if rv in times)
    return Run(told, sorted(delays), used / took, grown, said["ended"], said["bytes"] / took / 2**20)


def _token(redis: str) -> Token:
    data = Reader(connect(redis, name="krm-bench"), Keys(CLUSTER, "pods")).snapshot()
    if data is None:
        raise RuntimeError("there is no snapshot of pods")
    return data.token


def _listen(follower: Follower, over: threading.Event, delays: List[float]) -> None:
    while not over.is_set():
        delays += [step.entry.delay for step in follower.turn(0.2)]


def _p(found: Sequence[float], share: float) -> float:
    return found[min(len(found) - 1, int(len(found) * share))]


def _told(what: str, run: Run) -> Row:
    p50, p99 = _p(run.told, 0.5), _p(run.told, 0.99)
    return Row(
        f"{WATCHERS:,} watchers ({what}), {RATE} changes a second: ms until told, p50 and p99",
        f"{1000 * p50:.0f}; {1000 * p99:.0f}",
        f"{run.bytes:.0f} MiB/s; server: {run.cpu:.2f} of a core, {run.grown:+.0f} MiB; {run.ended} ended",
        f"p99 < {1000 * WANTED:.0f}",
        p99 < WANTED and not run.ended,
    )


def _idle(without: Run, with_: Run) -> Row:
    before, after = _p(without.published, 0.99), _p(with_.published, 0.99)
    told_before, told_after = _p(without.told, 0.99), _p(with_.told, 0.99)
    return Row(
        f"the same, {IDLE} of them never read: publisher's p99, ms",
        f"{1000 * after:.1f}",
        f"without them {1000 * before:.1f}: {after / before - 1:+.0%}; readers' p99 {1000 * told_after:.0f}"
        f" beside {1000 * told_before:.0f}; server {with_.grown:+.0f} MiB",
        "within 10 %",
        after <= 1.1 * before,
    )
