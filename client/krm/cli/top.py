"""`krm top`: what nodes, pods, containers and namespaces use now, as kubectl top prints it; and over a window.

What the rows lack is told below them on stderr: nodes that give no data, containers without a point, a
collector that is away. Exit code 3 where the collector is away and --stale-ok was not given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from krm.cli.opening import chosen_namespace, followed, open_client
from krm.cli.terminal import say
from krm.client.client import Client
from krm.client.errors import BadRequest, NoMeasurements
from krm.client.usage import CPU, MEMORY, Span, Usage, Used, level_of
from krm.model.layout import Columns
from krm.model.measures import CONTAINER, NAMESPACE, NODE, POD
from krm.model.trust import LIVE, STALE

EVERY = 2.0  # seconds between two tables of --watch
NOT_TRUSTED, ERROR = 3, 1
WHOLE = 0.9  # share of a window's points from which on it is taken as known
MIB = 1024 * 1024
UNKNOWN = "<unknown>"
_SHORT = {
    "po": "pods", "pod": "pods", "no": "nodes", "node": "nodes", "ns": "namespaces",
    "namespace": "namespaces", "container": "containers",
}  # fmt: skip


class Column(NamedTuple):
    """One column: its heading and what stands in a row."""

    heading: str
    cell: Callable[[Used], str]


def run(args: argparse.Namespace) -> int:
    """Exit codes: 0, 3 (the collector is away, or none runs), 1 (nothing found)."""
    what = str(_SHORT.get(args.what, args.what))
    if args.containers and what == "pods":
        what = "containers"
    level = level_of(what)
    if args.containers and level != CONTAINER:
        raise BadRequest(f"--containers is of pods: {what} have none of their own here")
    with open_client(args) as client, followed(client):
        while True:
            code = _show(args, client, what, level)
            if not args.watch:
                return code
            time.sleep(EVERY)
            if args.output != "json":
                print()


def _show(args: argparse.Namespace, client: Client, what: str, level: str) -> int:
    namespace = None if level in (NODE, NAMESPACE) else _namespace(client, args)
    found, no_history = _used(client, what, namespace, args)
    chosen = _selected(args, client, level, namespace)
    rows = [row for row in found.rows if chosen is None or (row.namespace, _owner(row)) in chosen]
    rows.sort(key=_order(args.sort_by))
    if args.output == "json":
        print(json.dumps({**found.to_dict(), "rows": [vars(row) for row in rows]}, default=vars), flush=True)
    elif found.state == LIVE or args.stale_ok:
        _print(args, rows, level, namespace is None)
    if no_history:
        say(f"krm: {no_history}")
    elif args.window:
        _tell_window(rows)
    code = _told(args, found, rows, level, namespace)
    return code or (ERROR if no_history else 0)


def _used(client: Client, what: str, namespace: Optional[str], args: argparse.Namespace) -> Tuple[Usage, str]:
    """The rows; where --window has no history to read, those of now and a sentence."""
    try:
        return client.usage(what, namespace, args.name, args.window), ""
    except NoMeasurements as error:
        return client.usage(what, namespace, args.name), str(error)


def _tell_window(rows: Sequence[Used]) -> None:
    """Where the history knows little of the window: an average of a minute is not that of an hour."""
    spans = [span for row in rows for span in row.spans.values()]
    if rows and not spans:
        say("krm: the history has no point in this window yet: it has one each 15 s")
        return
    best = max(spans, key=lambda span: span.points / span.of, default=None)
    if best is not None and best.points < WHOLE * best.of:
        say(f"krm: of this window at most {best.points} of {best.of} points are known (15 s each, kept for a day)")


def _namespace(client: Client, args: argparse.Namespace) -> Optional[str]:
    """-n, else all of them, but where one is named by its name: the kubeconfig's, else default."""
    found = chosen_namespace(client, args)
    return "default" if found is None and args.name and not args.all_namespaces else found


def _owner(row: Used) -> str:
    return row.namespace if row.level == NAMESPACE else row.name


def _selected(
    args: argparse.Namespace, client: Client, level: str, namespace: Optional[str]
) -> Optional[Set[Tuple[str, str]]]:
    """(namespace, name) of what -l chooses, None = it was not given."""
    if not args.selector:
        return None
    kind = {NODE: "nodes", NAMESPACE: "namespaces"}.get(level, "pods")
    objects = client.snapshot(kind, namespace, stale_ok=args.stale_ok).items(label_selector=args.selector)
    if level == NAMESPACE:
        return {(one.name, one.name) for one in objects}
    return {(one.namespace, one.name) for one in objects}


def _order(word: str) -> Callable[[Used], Tuple[float, str, str, str]]:
    """Largest first, what is not known last; by name where nothing else is asked for."""

    def key(row: Used) -> Tuple[float, str, str, str]:
        amount = {"cpu": row.cpu, "memory": row.memory, "name": 0.0, "": 0.0}[word]
        return (float("inf") if amount is None else -amount, row.namespace, row.name, row.container)

    return key


def _print(args: argparse.Namespace, rows: Sequence[Used], level: str, all_namespaces: bool) -> None:
    columns = _columns(args, level, all_namespaces)
    if args.output == "wide":
        columns += _wide(level, rows)
    lines = [] if args.no_headers else [[column.heading for column in columns]]
    lines += [[column.cell(row) for column in columns] for row in rows]
    if args.sum and rows:
        lines += _sum(rows, columns)
    for line in Columns().lines(lines):
        print(line)
    sys.stdout.flush()


def _columns(args: argparse.Namespace, level: str, all_namespaces: bool) -> List[Column]:
    columns: List[Column] = []
    if all_namespaces and level in (POD, CONTAINER):
        columns.append(Column("NAMESPACE", lambda row: row.namespace))
    if level == CONTAINER:
        columns += [Column("POD", lambda row: row.name), Column("NAME", lambda row: row.container)]
    else:
        columns.append(Column("NAME", lambda row: row.name))
    columns += _amounts(level)
    if args.window:
        for metric, name, show in ((CPU, "CPU", cores), (MEMORY, "MEMORY", mebibytes)):
            columns += _spans(metric, name, show)
    return columns


def _amounts(level: str) -> List[Column]:
    cpu, memory = (
        Column("CPU(cores)", lambda row: cores(row.cpu)),
        Column("MEMORY(bytes)", lambda row: mebibytes(row.memory)),
    )
    if level != NODE:
        return [cpu, memory]
    return [
        cpu,
        Column("CPU(%)", lambda row: percent(row.cpu, row.cpu_allocatable)),
        memory,
        Column("MEMORY(%)", lambda row: percent(row.memory, row.memory_allocatable)),
    ]


def _spans(metric: str, name: str, show: Callable[[Optional[float]], str]) -> List[Column]:
    def cell(pick: Callable[[Span], float]) -> Callable[[Used], str]:
        return lambda row: show(pick(row.spans[metric])) if metric in row.spans else UNKNOWN

    return [
        Column(f"{name}(avg)", cell(lambda span: span.average)),
        Column(f"{name}(p95)", cell(lambda span: span.p95)),
        Column(f"{name}(max)", cell(lambda span: span.maximum)),
    ]


def _wide(level: str, rows: Sequence[Used]) -> List[Column]:
    columns = [
        Column("CPU/REQ", lambda row: percent(row.cpu, row.cpu_request)),
        Column("CPU/LIM", lambda row: percent(row.cpu, row.cpu_limit)),
        Column("MEMORY/REQ", lambda row: percent(row.memory, row.memory_request)),
        Column("MEMORY/LIM", lambda row: percent(row.memory, row.memory_limit)),
    ]
    if level == NODE:
        columns += _beside("RUNTIME", "runtime", rows)
        columns.append(Column("RESERVED(cores)", lambda row: cores(row.values.get("cpu/node_reserved"))))
        columns.append(Column("RESERVED(bytes)", lambda row: mebibytes(row.values.get("memory/node_reserved"))))
    if level == POD:
        columns += _beside("OVERHEAD", "overhead", rows)
    if level in (POD, CONTAINER):
        columns.append(Column("NODE", lambda row: row.node))
    columns.append(Column("AGE", lambda row: _age(row.at)))
    columns.append(Column("SOURCE", lambda row: row.source or UNKNOWN))
    return columns


def _beside(heading: str, what: str, rows: Sequence[Used]) -> List[Column]:
    """What is used beside containers, where an agent tells of any: nobody else does."""
    if not any(f"{what}/memory" in row.values for row in rows):
        return []
    return [
        Column(f"{heading}(cores)", lambda row: cores(row.values.get(f"{what}/cpu_usage_rate"))),
        Column(f"{heading}(bytes)", lambda row: mebibytes(row.values.get(f"{what}/memory"))),
    ]


def _age(at: Optional[float]) -> str:
    return UNKNOWN if at is None else f"{max(0.0, time.time() - at):.0f}s"


def _sum(rows: Sequence[Used], columns: Sequence[Column]) -> List[List[str]]:
    """As kubectl: a rule below the numbers, and their sum; of what is known."""
    sums: Dict[str, str] = {
        "CPU(cores)": cores(_total(row.cpu for row in rows)),
        "MEMORY(bytes)": mebibytes(_total(row.memory for row in rows)),
    }
    rule = ["________" if column.heading in sums else "" for column in columns]
    return [rule, [sums.get(column.heading, "") for column in columns]]


def _total(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return sum(known) if known else None  # of nothing that is known the sum is not 0


def _told(
    args: argparse.Namespace, found: Usage, rows: Sequence[Used], level: str, namespace: Optional[str]
) -> int:
    for reason in found.reasons:
        say(f"krm: {reason}")
    if found.state == STALE and not args.stale_ok and args.output != "json":
        say("krm: --stale-ok shows what was measured last")
    if found.state != LIVE and not args.stale_ok:
        return NOT_TRUSTED
    known = sum(row.cpu is not None and row.memory is not None for row in rows)
    if args.sum and known < len(rows):
        say(f"krm: the sum is of what is known: {known} of {len(rows)} rows are whole")
    partial = [row for row in rows if row.covers]
    if partial and level != NODE:
        names = ", ".join(f"{_owner(row)} ({row.covers})" for row in partial[:5])
        say(f"krm: not all of these is measured: {names}" + (" and others" if len(partial) > 5 else ""))
    if found.state != LIVE:
        return NOT_TRUSTED
    if not rows and args.name:
        where = f" in namespace {namespace}" if namespace else ""
        say(f"krm: {args.name} is not measured{where}: is it there, and does it run?")
        return ERROR
    if not rows and level in (NODE, NAMESPACE):
        say(f"krm: no {level}s " + ("of these labels are measured" if args.selector else "are measured yet"))
    elif not rows:
        say("krm: no pods are measured here")
    return 0


def cores(millicores: Optional[float]) -> str:
    """`250m`, as kubectl: rounded up."""
    return UNKNOWN if millicores is None else f"{-int(-millicores // 1)}m"


def mebibytes(size: Optional[float]) -> str:
    """`64Mi`, as kubectl: cut."""
    return UNKNOWN if size is None else f"{int(size // MIB)}Mi"


def percent(part: Optional[float], whole: Optional[float]) -> str:
    """`25%`, cut; unknown where either is, or where there is no whole."""
    return UNKNOWN if part is None or not whole else f"{int(part * 100 // whole)}%"
