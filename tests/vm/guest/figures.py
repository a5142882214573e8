"""Runs the known load for a minute of the machine, under krm's agent as it is deployed, and beside it readings by
other hands.

Handed back: what krm's readers say of each cgroup at both ends, each between two other readings (`samples`); the
agent's documents of both ends (`documents`), and the other readings in between (`followed`); the tree as files.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List

import independent
from inside import ROOT, answer, recorded
from krm.agent.cgroupfs.hierarchy import Hierarchy, open_hierarchy
from krm.agent.cgroupfs.reading import read_cgroup
from krm.agent.cgroupfs.walk import walk
from krm_agent import Agent
from loads import loads, run_loads

SECONDS = 60.0
PAUSE = 0.5  # seconds between two readings by other hands
FOLLOWED = ("cpu_usage_ns", "memory_usage", "memory_working_set", "memory_rss")


def main() -> None:
    pids = run_loads()
    hierarchy = open_hierarchy(ROOT)
    tree = recorded(ROOT)
    agent = Agent(10260, "--every", "3s", "--processes-every", "6s", "--kernel-log", "/dev/kmsg", as_pod=True)
    agent.wait_ready()
    samples = [sample(hierarchy)]
    followed: List[Dict[str, Any]] = [follow()]
    documents = [agent.next_document("/v1/node")]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        followed.append(follow())
        time.sleep(PAUSE)
    documents.append(agent.next_document("/v1/node"))
    followed.append(follow())
    processes = agent.document("/v1/processes")
    samples.append(sample(hierarchy))
    answer(
        {
            "version": hierarchy.version,
            "controllers": dict(hierarchy.controllers),
            "loads": {name: load._replace(processes=())._asdict() for name, load in loads().items()},
            "pids": pids,
            "samples": samples,
            "documents": documents,
            "processes": processes,
            "followed": followed,
            "tree": tree,
            "pressure": {what: Path("/proc/pressure", what).read_text() for what in ("cpu", "memory", "io")},
            "agent_ended": agent.stop(),
        }
    )


def sample(hierarchy: Hierarchy) -> Dict[str, Any]:
    """path -> place, and its figures before, as krm reads them, and after."""
    rows: Dict[str, Any] = {}
    for path, place in walk(hierarchy).places.items():
        before = independent.figures(path)
        cgroup = read_cgroup(hierarchy, place, time.time(), True)
        after = independent.figures(path)
        rows[path] = {
            "place": place._asdict(),
            "at": cgroup.at if cgroup else None,
            "figures": dict(cgroup.figures) if cgroup else None,
            "before": before,
            "after": after,
        }
    return rows


def follow() -> Dict[str, Any]:
    """name of the load -> [Unix seconds, FOLLOWED...]."""
    found = {}
    for name, load in loads().items():
        now = time.time()
        figures = independent.figures(load.path)
        found[name] = [now, *(figures[figure] for figure in FOLLOWED)]
    return found


if __name__ == "__main__":
    main()
