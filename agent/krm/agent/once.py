"""`krm agent --once`: what this node's agent sees now, for a person on the node. Pure: turns in, text out."""

from __future__ import annotations

import json
from typing import Dict, List, Optional, Sequence, Tuple

from krm.agent.documents import Listed, kills_document, listed, node_document, plain, processes_document
from krm.agent.figures import UNLIMITED, Value
from krm.agent.seen import NO_VERSION, Cgroup, Process, Seen
from krm.model import times

TABLE, WIDE, JSON = "table", "wide", "json"
LARGEST = 15  # processes of the short table
LONGEST = 100  # characters of a command in it
UNKNOWN = "-"
_CORE = 1_000_000_000  # ns of CPU a second
Row = Sequence[str]


def shown(before: Seen, now: Seen, output: str, kernel: str) -> str:
    """Two turns a second or so apart. `kernel`: its release. The text ends with a line end."""
    if output == JSON:
        whole = {"node": node_document(now), "processes": processes_document(now), "kills": kills_document(now)}
        return json.dumps(whole, indent=2) + "\n"
    every = listed(now)
    parts = [[_header(now, every, kernel), *_node(before, now)], _missing(now), _containers(before, every)]
    parts += [_runtime(before, now), _processes(before, now, every, output == WIDE), _kills(now)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _header(seen: Seen, every: Listed, kernel: str) -> str:
    inside = sum(1 for process in seen.processes if process.container_id)
    processes = f"{_counted(len(seen.processes), 'process', 'es')}, {inside} of them in containers"
    if seen.processes_at is None:
        processes = "processes unknown"
    found = f"{_counted(len(every.containers), 'container')} of {_counted(len(every.pods), 'pod')}"
    if not every.containers:
        found = "containers unknown" if seen.version == NO_VERSION else "no container here"
    return f"{plain(seen.node)}: cgroup {seen.version}, kernel {plain(kernel)}, {found}, {processes}"


def _counted(number: int, what: str, more: str = "s") -> str:
    return f"{number} {what}{'' if number == 1 else more}"


def _node(before: Seen, now: Seen) -> List[str]:
    """What the node itself uses, as far as it is known: what the processes' memory is to be held against."""
    figures, early, seconds = now.node_figures, before.node_figures.get("cpu_usage_ns"), now.time - before.time
    late, told = figures.get("cpu_usage_ns"), []
    if isinstance(late, int) and isinstance(early, int) and seconds > 0 and late >= early:
        told.append(f"CPU {_cores((late - early) / seconds)}")
    memory, whole = figures.get("memory_working_set"), figures.get("memory_limit")
    if isinstance(memory, int):
        told.append(f"memory {_bytes(memory)}" + (f" of {_bytes(whole)}" if isinstance(whole, int) else ""))
    if isinstance(figures.get("memory_available"), int):
        told.append(f"{_bytes(figures['memory_available'])} available")
    kills = figures.get("oom_kills")
    if isinstance(kills, int):
        told.append(f"{_counted(kills, 'OOM kill')} since the boot")
    return [f"node: {', '.join(told)}"] if told else []


def _missing(seen: Seen) -> List[str]:
    missing = list(dict.fromkeys(seen.missing))
    return ["Not seen here:", *(f"  {plain(one.what)}: {plain(one.why)}" for one in missing)] if missing else []


def _containers(before: Seen, every: Listed) -> List[str]:
    if not every.containers:
        return []
    earlier = {cgroup.place.path: cgroup for cgroup in before.cgroups}
    head = ["NAMESPACE", "POD", "CONTAINER", "CPU", "OF", "THROTTLED", "MEMORY", "OF", "SHARE", "PIDS", "OOM KILLS"]
    rows: List[Row] = [head]
    for cgroup in sorted(every.containers, key=lambda one: _whose(one, every)):
        figures, was = cgroup.figures, earlier.get(cgroup.place.path)
        throttled = _grown("cpu_throttled_ns", cgroup, was)
        memory, limit = figures.get("memory_working_set"), figures.get("memory_limit")
        rows.append((
            *_whose(cgroup, every), _cores(_grown("cpu_usage_ns", cgroup, was)), _quota(cgroup),
            _percent(None if throttled is None else throttled / _CORE), _bytes(memory), _bytes(limit),
            _percent(_share(memory, limit)), _count(figures.get("pids")), _count(figures.get("oom_kills")),
        ))  # fmt: skip
    return table(rows)


def _whose(cgroup: Cgroup, every: Listed) -> Tuple[str, str, str]:
    """Namespace, pod, container: names, else the uid and the first of the id."""
    place = cgroup.place
    owner = every.owner(place.container_id, place.pod_uid)
    pod = owner.pod or place.pod_uid
    return owner.namespace or UNKNOWN, pod or UNKNOWN, owner.container or place.container_id[:12]


def _runtime(before: Seen, now: Seen) -> List[str]:
    if not now.runtime:
        return []
    earlier = {one.part: one.cpu_ns for one in before.runtime}
    seconds = (now.processes_at or 0) - (before.processes_at or 0)
    rows: List[Row] = [["RUNTIME", "PROCESSES", "CPU", "CPU TIME", "MEMORY"]]
    for one in now.runtime:
        was = earlier.get(one.part)
        # Less: a process of it has ended.
        used = None if was is None or seconds <= 0 or one.cpu_ns < was else (one.cpu_ns - was) / seconds
        time = f"{one.cpu_ns / _CORE:.1f}s"
        rows.append((one.part, str(one.processes), _cores(used), time, _bytes(one.rss)))
    return table(rows)


def _processes(before: Seen, now: Seen, every: Listed, whole: bool) -> List[str]:
    if not now.processes:
        return []
    earlier = {(one.pid, one.started_ticks): one.cpu_ns for one in before.processes}
    seconds = (now.processes_at or 0) - (before.processes_at or 0)
    largest = sorted(now.processes, key=lambda one: -one.rss)
    shown = largest if whole else largest[:LARGEST]
    # Last: it may be longer than all the rest.
    told = any(one.command for one in shown)
    head = ["PID", "INSIDE", "NAME", "S", "THREADS", "CPU", "MEMORY", "IN", "CONTAINER"]
    rows: List[Row] = [[*head, "COMMAND"] if told else head]
    for one in shown:
        was = earlier.get((one.pid, one.started_ticks))
        used = None if was is None or seconds <= 0 else max(0, one.cpu_ns - was) / seconds
        inside = UNKNOWN if one.pid_inside is None or one.pid_depth == 1 else str(one.pid_inside)
        rows.append((
            str(one.pid), inside, one.name, one.state, str(one.threads), _cores(used),
            _bytes(one.rss), *_holder(one, every), *([_command(one, whole)] if told else []),
        ))  # fmt: skip
    lines = table(rows)
    left = len(now.processes) - len(shown)
    return [*lines, f"and {left} smaller ones: -o wide shows all"] if left else lines


def _command(process: Process, whole: bool) -> str:
    command, cut = process.command, LONGEST - 2
    return command if whole or len(command) <= LONGEST else command[:cut] + ".."


def _holder(process: Process, every: Listed) -> Tuple[str, str]:
    if not process.container_id:
        return ("host", "") if not process.pod_uid else ("pod " + process.pod_uid, "")
    owner = every.owner(process.container_id, process.pod_uid)
    pod = f"{owner.namespace}/{owner.pod}" if owner.pod else process.pod_uid or UNKNOWN
    mark = " (pause)" if process.is_pause else ""
    return pod, (owner.container or process.container_id[:12]) + mark


def _kills(seen: Seen) -> List[str]:
    rows: List[Row] = [["KILLED", "PROCESS", "NAMESPACE", "POD", "CONTAINER", "LIMIT", "CONTAINER ENDED"]]
    for kill in seen.kills:
        ended = UNKNOWN if kill.container_ended is None else ("yes" if kill.container_ended else "no")
        rows.append((
            f"{times.age(max(0.0, seen.time - kill.at))} ago", kill.process or UNKNOWN, kill.namespace or UNKNOWN,
            kill.pod or kill.pod_uid or UNKNOWN, kill.container or kill.container_id[:12] or UNKNOWN,
            kill.scope, ended,
        ))  # fmt: skip
    return table(rows) if seen.kills else []


def _grown(figure: str, now: Cgroup, before: Optional[Cgroup]) -> Optional[float]:
    """How much a counter grew a second."""
    late, early = now.figures.get(figure), None if before is None else before.figures.get(figure)
    if before is None or not isinstance(late, int) or not isinstance(early, int) or now.at <= before.at:
        return None
    return (late - early) / (now.at - before.at) if late >= early else None  # less: it began anew


def _quota(cgroup: Cgroup) -> str:
    quota, period = cgroup.figures.get("cpu_quota_us"), cgroup.figures.get("cpu_period_us")
    if quota == UNLIMITED:
        return "unlimited"
    return (
        f"{quota / period * 1000:.0f}m"
        if isinstance(quota, int) and isinstance(period, int) and period
        else UNKNOWN
    )


def _share(part: Optional[Value], whole: Optional[Value]) -> Optional[float]:
    return part / whole if isinstance(part, int) and isinstance(whole, int) and whole else None


def _cores(nanoseconds: Optional[float]) -> str:
    """ns a second, in thousandths of a core."""
    return UNKNOWN if nanoseconds is None else f"{nanoseconds / _CORE * 1000:.0f}m"


def _bytes(value: Optional[Value]) -> str:
    if not isinstance(value, int):
        return UNKNOWN if value is None else value
    return f"{value / 2**20:.0f}Mi" if value >= 10 * 2**20 else f"{value / 2**10:.0f}Ki"


def _percent(share: Optional[float]) -> str:
    return UNKNOWN if share is None else f"{share:.0%}"


def _count(value: Optional[Value]) -> str:
    return UNKNOWN if value is None else str(value)


def table(rows: Sequence[Row]) -> List[str]:
    """Left-aligned, three spaces between columns, none at the end: as krm's other tables."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths: Dict[int, int] = {}
    for row in cells:
        for place, cell in enumerate(row):
            widths[place] = max(widths.get(place, 0), len(cell))
    return ["   ".join(cell.ljust(widths[place]) for place, cell in enumerate(row)).rstrip() for row in cells]
