"""Runs the known load for a minute of the machine, and reads each of its cgroups at both ends with krm's reader
between two readings by other hands."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Dict, List

import independent
from inside import ROOT, answer, recorded
from krm.agent.hierarchy import open_hierarchy
from krm.agent.reading import read_cgroup
from krm.agent.walk import walk
from loads import loads, run_loads

SECONDS = 60.0


def main() -> None:
    run_loads()
    hierarchy = open_hierarchy(ROOT)
    samples = [sample(hierarchy)]
    end = time.monotonic() + SECONDS
    tree = recorded(ROOT)
    time.sleep(max(0.0, end - time.monotonic()))
    samples.append(sample(hierarchy))
    answer(
        {
            "version": hierarchy.version,
            "controllers": dict(hierarchy.controllers),
            "loads": {name: load._replace(processes=()) for name, load in loads().items()},
            "loads_fields": list(next(iter(loads().values()))._fields),
            "samples": samples,
            "tree": tree,
            "pressure": {what: Path("/proc/pressure", what).read_text() for what in ("cpu", "memory", "io")},
        }
    )


def sample(hierarchy: Any) -> Dict[str, Any]:
    """path -> place, before, read, after."""
    walked = walk(hierarchy)
    rows: Dict[str, Any] = {}
    for path, place in walked.places.items():
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
    problems: List[str] = [str(one) for one in walked.problems]
    return {"rows": rows, "problems": problems}


if __name__ == "__main__":
    main()
