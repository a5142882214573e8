"""`krm kills`: who was killed for want of memory, by which limit, and who saw it. Kept for a day.

What the rows lack is told below them on stderr, as of `krm processes`.
"""

from __future__ import annotations

import argparse
import json
from typing import Callable, Dict, List, NamedTuple, Optional

from krm.cli.opening import open_client
from krm.cli.running import named_namespace, show, size, told
from krm.cli.terminal import say
from krm.cli.top import UNKNOWN
from krm.model import times
from krm.model.kills import UNKNOWN as UNKNOWN_SCOPE
from krm.model.kills import Kill
from krm.model.trust import LIVE

_ENDED: Dict[Optional[bool], str] = {True: "yes", False: "no", None: UNKNOWN}


class Column(NamedTuple):
    """One column: its heading and what stands in a row."""

    heading: str
    cell: Callable[[Kill], str]


def run(args: argparse.Namespace) -> int:
    """Exit codes: 0, 3 (the collector is away, or none runs)."""
    with open_client(args) as client:
        namespace = named_namespace(client, args)
        found = client.kills(namespace, args.pod, args.node)
    if args.output == "json":
        print(json.dumps(found.to_dict()))
    elif found.state == LIVE or args.stale_ok:
        columns = _columns(args, namespace is None, found.now)
        rows = [[column.cell(kill) for column in columns] for kill in found.rows]
        show([column.heading for column in columns], rows, args)
    code = told(found, args)
    if not code and not found.rows:
        say("krm: no OOM kills of the last day are known here")
    return code


def _columns(args: argparse.Namespace, all_namespaces: bool, now: float) -> List[Column]:
    columns = [Column("AGE", lambda kill: times.age(max(0.0, now - kill.at)))]
    if all_namespaces:
        columns.append(Column("NAMESPACE", lambda kill: kill.namespace or "-"))
    columns += [
        Column("POD", lambda kill: kill.pod or "-"),
        Column("CONTAINER", lambda kill: kill.container or kill.container_id[:12] or "-"),
        Column("PROCESS", lambda kill: kill.process or UNKNOWN),
        Column("MEMORY(bytes)", lambda kill: size(kill.rss)),
        Column("CAUSE", _cause),
        Column("ENDED", lambda kill: _ENDED[kill.container_ended]),
    ]
    return columns + _wide() if args.output == "wide" else columns


def _wide() -> List[Column]:
    return [
        Column("NODE", lambda kill: kill.node),
        Column("PID", lambda kill: UNKNOWN if kill.pid is None else str(kill.pid)),
        Column("TIME", _time),
        Column("BEFORE", _before),
        Column("WITNESSES", lambda kill: ", ".join(kill.witnesses)),
    ]


def _cause(kill: Kill) -> str:
    if kill.scope == UNKNOWN_SCOPE:
        return UNKNOWN
    return kill.scope if kill.limit is None else f"{kill.scope} {size(kill.limit)}"


def _time(kill: Kill) -> str:
    """Where a counter alone tells it, the span that it was within."""
    within = kill.at - kill.after
    return times.write(kill.at // 1) + (f" (within {within:.0f}s)" if within >= 1 else "")


def _before(kill: Kill) -> str:
    """The last moment before it: the container's working set, how much of the time its tasks waited for memory, and
    what the node had left."""
    if not kill.before:
        return UNKNOWN
    last = kill.before[-1]
    told_of = [
        f"working set {size(last.working_set)}" if last.working_set is not None else "",
        f"waiting {last.waiting:.0%}" if last.waiting is not None else "",
        f"node has {size(last.node_available)}" if last.node_available is not None else "",
    ]
    return ", ".join(word for word in told_of if word) or UNKNOWN
