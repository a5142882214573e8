"""`krm processes`: what runs in pods, or beside them on nodes, process by process, as node agents see it.

What the rows lack is told below them on stderr: nodes without an agent and why, agents that are silent, a collector
that is away. Exit code 3 where the collector is away and --stale-ok was not given, and where nobody tells.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple, Union

from krm.cli.opening import chosen_namespace, open_client
from krm.cli.terminal import say
from krm.cli.top import ERROR, NOT_TRUSTED, UNKNOWN, cores
from krm.client.client import Client
from krm.client.errors import BadRequest
from krm.client.seen import Kills, Process, Processes
from krm.model import times
from krm.model.layout import Columns
from krm.model.trust import LIVE, STALE

KIB = 1024


class Column(NamedTuple):
    """One column: its heading and what stands in a row."""

    heading: str
    cell: Callable[[Process], str]


def run(args: argparse.Namespace) -> int:
    """Exit codes: 0, 3 (the collector is away; no collector or no agent runs), 1 (nothing of that name)."""
    if args.host and (args.pod or args.namespace is not None):
        raise BadRequest("--host shows what belongs to no pod: it goes with --node, and not with --pod or -n")
    with open_client(args) as client:
        namespace = None if args.host else named_namespace(client, args)
        found = client.processes(namespace, args.pod, args.node, args.host)
    rows = sorted(found.rows, key=_order(args.sort_by))
    if args.output == "json":
        print(json.dumps({**found.to_dict(), "rows": [vars(row) for row in rows]}))
    elif found.state == LIVE or args.stale_ok:
        columns = _columns(args, namespace is None, found.now)
        show([column.heading for column in columns], [[one.cell(row) for one in columns] for row in rows], args)
    code = told(found, args)
    if not code and not rows:
        return _nothing(args, found, namespace)
    return code


def named_namespace(client: Client, args: argparse.Namespace) -> Optional[str]:
    """-n, else all of them, but where a pod is named: the kubeconfig's, else default."""
    found = chosen_namespace(client, args)
    return "default" if found is None and args.pod and not args.all_namespaces else found


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], args: argparse.Namespace) -> None:
    """A table; without rows nothing, for what is lacking stands on stderr."""
    if rows:
        for line in Columns().lines([*([] if args.no_headers else [headings]), *rows]):
            print(line)
    sys.stdout.flush()


def told(found: Union[Processes, Kills], args: argparse.Namespace) -> int:
    """What the rows lack, on stderr, and the exit code; with -o wide what agents cannot see, too."""
    state = found.state
    for reason in found.reasons:
        say(f"krm: {reason}")
    for one in found.unseen if args.output == "wide" else ():
        where = f" ({', '.join(one.nodes[:3])}{' and others' if len(one.nodes) > 3 else ''})" if one.nodes else ""
        say(f"krm: not seen by agents{where}: {one.what}: {one.why}")
    if state == STALE and not args.stale_ok and args.output != "json":
        say("krm: --stale-ok shows what was seen last")
    return 0 if state == LIVE else NOT_TRUSTED


def _nothing(args: argparse.Namespace, found: Processes, namespace: Optional[str]) -> int:
    if args.pod:
        where = f" in namespace {namespace}" if namespace else ""
        say(f"krm: no process of pod {args.pod} is known{where}: is it there, and does an agent run on its node?")
        return ERROR
    if found.nodes is not None and found.nodes.known:
        say("krm: no processes are known here")
    return 0


def _order(word: str) -> Callable[[Process], Tuple[float, str, str, str, str, int]]:
    """Largest first, what is not known last; by name where nothing else is asked for."""

    def key(row: Process) -> Tuple[float, str, str, str, str, int]:
        amount = {"cpu": row.cpu, "memory": float(row.rss), "": 0.0}[word]
        largest = float("inf") if amount is None else -amount
        return (largest, row.namespace, row.pod, row.container, row.node, row.pid)

    return key


def _columns(args: argparse.Namespace, all_namespaces: bool, now: float) -> List[Column]:
    columns: List[Column] = []
    if args.host:
        columns.append(Column("NODE", lambda row: row.node))
    else:
        if all_namespaces:
            columns.append(Column("NAMESPACE", lambda row: row.namespace))
        columns += [Column("POD", lambda row: row.pod), Column("CONTAINER", lambda row: row.container or "-")]
    columns += [
        Column("PID", lambda row: str(row.pid)),
        Column("PROCESS", lambda row: row.name),
        Column("CPU(cores)", lambda row: cores(row.cpu)),
        Column("MEMORY(bytes)", lambda row: size(row.rss)),
    ]
    return columns + _wide(args, now) if args.output == "wide" else columns


def _wide(args: argparse.Namespace, now: float) -> List[Column]:
    columns = [] if args.host else [Column("NODE", lambda row: row.node)]
    return [
        *columns,
        Column("INSIDE", lambda row: UNKNOWN if row.pid_inside is None else str(row.pid_inside)),
        Column("PPID", lambda row: str(row.ppid)),
        Column("UID", lambda row: UNKNOWN if row.uid is None else str(row.uid)),
        Column("STATE", lambda row: row.state),
        Column("THREADS", lambda row: str(row.threads)),
        Column("AGE", lambda row: times.age(row.at - row.started)),
        Column("READ", lambda row: f"{max(0.0, now - row.at):.0f}s"),
        Column("IS", _is),
        Column("COMMAND", lambda row: row.command or "-"),
    ]


def _is(row: Process) -> str:
    words = ["pause"] if row.is_pause else []
    if row.is_init:
        words.append("init")
    if row.shares_pids_with:
        words.append(f"shares PIDs with {row.shares_pids_with[:12]}")
    if row.container_id and not row.pod:
        words.append(f"in container {row.container_id[:12]}")
    return ", ".join(words) or "-"


def size(count: Optional[float]) -> str:
    """`600Ki`, `64Mi`, cut: processes are smaller than pods."""
    if count is None:
        return UNKNOWN
    return f"{int(count // KIB)}Ki" if count < KIB * KIB else f"{int(count // KIB // KIB)}Mi"
