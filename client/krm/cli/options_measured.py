"""The grammar of what is measured: top, processes, kills, export, backup, restore."""

from __future__ import annotations

from typing import Any

from krm.cli.grammar import Parser, add_command, all_or_one_namespace, duration, trust, where
from krm.model.measures import LEVELS


def top(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "what nodes, pods, containers or namespaces use, as kubectl top prints"
    )
    command.add_argument("what", metavar="WHAT", help="nodes, pods, containers or namespaces")
    command.add_argument("name", metavar="NAME", nargs="?", default="", help="one of them (default: all)")
    all_or_one_namespace(command)
    command.add_argument("-l", "--selector", metavar="LABELS", default="", help="label selector, e.g. app=web")
    command.add_argument("--containers", action="store_true", help="of pods: a row a container")
    command.add_argument(
        "--sort-by", choices=("cpu", "memory", "name"), default="", help="largest first (default: by name)"
    )
    command.add_argument("--sum", action="store_true", help="the sum of the rows below them")
    command.add_argument(
        "--window", metavar="SPAN", help="average, 95th percentile and maximum of the last 5m, 1h ... too"
    )
    command.add_argument("--no-headers", action="store_true", help="no headings")
    command.add_argument(
        "-o", "--output", choices=("wide", "json"), default="",
        help="wide: share of requests and limits, node, age, source; json: everything",
    )  # fmt: skip
    command.add_argument("-w", "--watch", action="store_true", help="again each 2 s until interrupted")
    trust(command)
    where(command)


def processes(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "what runs in pods, process by process, as node agents see it")
    command.add_argument("--pod", metavar="POD", default="", help="of this pod (default: all)")
    command.add_argument("--node", metavar="NODE", default="", help="of this node (default: all)")
    command.add_argument("--host", action="store_true", help="what runs on nodes and belongs to no pod, instead")
    all_or_one_namespace(command)
    command.add_argument(
        "--sort-by", choices=("cpu", "memory"), default="", help="largest first (default: by pod and PID)"
    )
    _table(command, "wide: node, PID inside, parent, user, state, threads, age, what it is, command")


def kills(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "who was killed for want of memory in the last day, and why")
    command.add_argument("--pod", metavar="POD", default="", help="of this pod (default: all)")
    command.add_argument("--node", metavar="NODE", default="", help="on this node (default: all)")
    all_or_one_namespace(command)
    _table(command, "wide: node, PID, time, memory before, who saw it")


def _table(command: Parser, wide: str) -> None:
    command.add_argument("--no-headers", action="store_true", help="no headings")
    command.add_argument(
        "-o", "--output", choices=("wide", "json"), default="", help=f"{wide}; json: everything"
    )  # fmt: skip
    trust(command)
    where(command)


def export(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "write measurements as Parquet, for DuckDB, Spark or pandas")
    command.add_argument("file", metavar="FILE", help="the file; it is there once it is whole")
    command.add_argument("--metric", metavar="NAME", required=True, help="e.g. cpu/usage_rate (docs/metrics.md)")
    command.add_argument("--level", choices=LEVELS, default="pod", help="of what (default: pod)")
    moment = "RFC 3339, a date (its midnight, UTC), or a span ago (24h)"
    command.add_argument("--begin", metavar="TIME", default="24h", help=f"{moment} (default: 24h)")
    command.add_argument("--end", metavar="TIME", default="0s", help="the same, exclusive (default: now)")
    command.add_argument("--totals", action="store_true", help="sums over the whole time instead of points")
    command.add_argument("--every", metavar="SPAN", type=duration, help="sums over each 1h, 24h ... of it")
    command.add_argument("-n", "--namespace", metavar="NS", default="", help="this namespace (default: all)")
    command.add_argument("--history", metavar="URL", help="influxdb:// or victoriametrics:// (docs/history.md)")
    command.add_argument("--history-token-file", metavar="FILE", help="token of the collector's history")
    where(command, contexts=False)


def backup(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "copy the measurements' history, while it is written")
    command.add_argument("file", metavar="FILE", help="the copy; nothing that exists is written over")
    command.add_argument(
        "--history", metavar="FILE", help="of this file, which no collector has open (default: the collector's own)"
    )
    command.add_argument("--history-token-file", metavar="FILE", help="token of the collector's history")
    where(command, contexts=False)


def restore(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "put a backup of the history back, where there is none")
    command.add_argument("file", metavar="FILE", help="what krm backup wrote")
    command.add_argument(
        "--history",
        metavar="FILE",
        required=True,
        help="where the history goes; nothing that exists is written over",
    )
