"""Of a look at a kubelet's cadvisor: a rise of its OOM counter is a kill, and its numbers go on as before."""

from __future__ import annotations

import threading
from typing import List, cast

from krm.cluster.endpoints import Endpoints
from krm.collector.schedule import Job, Outcome
from krm.collector.seeing import Seeing
from krm.collector.source import Target
from krm.collector.sources.cadvisor import Cadvisor, samples_of
from krm.collector.world import World
from krm.model.kills import KUBELET
from krm.store.connect import Database
from krm.store.latest_seen import NodeKills, unpack_kills

NOW = 1_800_000_000.0
TARGET = Target("node n1", "n1")
CGROUP = "/kubepods/pod5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11/c1"
LABELS = f'container="web",id="{CGROUP}",namespace="shop",pod="web-0",name="c1"'


def look(kills: int, at: float) -> Outcome:
    page = (
        f"container_oom_events_total{{{LABELS}}} {kills} {int(at * 1000)}\n"
        f"container_memory_rss{{{LABELS}}} 4096 {int(at * 1000)}\n"
        f"container_start_time_seconds{{{LABELS}}} 1.7999e+09 {int(at * 1000)}\n"
    )
    job = Job(Cadvisor(cast(Endpoints, None)), TARGET, 15.0)
    return Outcome(job, at, samples_of(page.encode(), TARGET, at), "")


def test_a_rise_of_the_kubelets_counter_is_a_kill_and_its_numbers_go_on() -> None:
    none: List[NodeKills] = []
    world = World(cast(Database, None), "c", (), threading.Event())
    seeing = Seeing(world, None, lambda: none, "krm")
    seeing.begin(NOW)
    for kills, at in ((3, NOW - 30), (4, NOW - 15), (4, NOW)):
        outcome = look(kills, at)
        assert seeing.take([outcome], NOW) == [outcome]
    told = seeing.turn({}, set(), NOW).kills
    (kill,) = unpack_kills("n1", told["n1"]).kills
    assert (kill.witnesses, kill.after, kill.at) == ((KUBELET,), NOW - 30, NOW - 15)
    assert (kill.namespace, kill.pod, kill.container) == ("shop", "web-0", "web")
    assert seeing.kills == 1
    seeing.forget()
    assert seeing.kills == 0, "another collector goes on"
