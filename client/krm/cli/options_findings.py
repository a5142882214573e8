"""The grammar of what is the matter: breaches, oom, neighbours, nodes, pending."""

from __future__ import annotations

from typing import Any, Tuple

from krm.cli.grammar import Parser, add_command, all_or_one_namespace, examples, trust, where

FORMATS = ("wide", "json", "yaml", "name")
SEVERITIES = ("info", "warning", "critical")  # of krm.analysis.finding, which no grammar waits for


def answered(
    command: Parser, wide: str, namespaced: bool = True, more: Tuple[str, ...] = (), about: str = ""
) -> None:
    """What every subcommand that answers a question takes. wide: what -o wide shows besides. more: formats of its
    own, and what they are."""
    if namespaced:
        all_or_one_namespace(command)
    command.add_argument("--no-headers", action="store_true", help="no headings")
    command.add_argument(
        "-o", "--output", choices=FORMATS + more, default="",
        help=f"wide: {wide}; json, yaml: everything, with evidence and worth; name: whom findings are about{about}",
    )  # fmt: skip
    command.add_argument(
        "--fail-on", choices=SEVERITIES, default="", help="exit with 4 where a finding of this severity or above is"
    )
    trust(command)
    where(command)


def breaches(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "containers near or above their limits and requests over a window"
    )
    command.add_argument(
        "--threshold", metavar="PERCENT", type=float, default=90.0, help="of the limit (default: 90)"
    )
    command.add_argument("--window", metavar="SPAN", default="5m", help="30s, 5m, 1h ... (default: 5m)")
    answered(command, "peak, longest run, points that are there, node, workload")
    examples(
        command,
        "krm breaches                             of the last 5 minutes, from 90 % of a limit on",
        "krm breaches -n shop --threshold 80 --window 1h -o wide",
        "krm breaches --fail-on critical          exit 4 where memory is at its limit",
    )


def efficiency(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "what is used of what is requested, and what is wasted")
    command.add_argument(
        "--by", metavar="LEVEL", choices=("container", "pod", "workload", "namespace", "node", "cluster"),
        default="workload", help="container, pod, workload (default), namespace, node, cluster",
    )  # fmt: skip
    command.add_argument("--window", metavar="SPAN", default="", help="the mean of 1h, 24h ... (default: now)")
    answered(command, "container, what those use that request nothing")
    examples(
        command,
        "krm efficiency                           of each workload, now",
        "krm efficiency -n shop --by container --window 24h -o wide",
        "krm efficiency --by cluster              all of it",
    )


def neighbours(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(parser, commands, name, "who took CPU or memory from whom on which node")
    command.add_argument("--node", metavar="NODE", default="", help="this one alone (default: all)")
    command.add_argument("--window", metavar="SPAN", default="15m", help="5m, 15m, 1h ... (default: 15m)")
    answered(command, "what the victim used and requests, growth and correlation of the suspect")
    examples(
        command,
        "krm neighbours                           of the last 15 minutes, on all nodes",
        "krm neighbours -n shop --window 1h       who took something from pods of shop",
        "krm neighbours --node worker-1 -o wide   with what each used and requests",
    )


def oom(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "the case file of each OOM kill: whose memory ran out, and what came before"
    )
    command.add_argument("pod", metavar="POD", nargs="?", default="", help="of this pod (default: all)")
    command.add_argument("--node", metavar="NODE", default="", help="on this node (default: all)")
    answered(command, "process, peak, rise, what the node had, who grew beside it, node, witnesses")
    examples(
        command,
        "krm oom -A -o wide                       every kill of the last day, with the minute before it",
        "krm oom web-0 -n shop                    of one pod, also of one that is gone",
        "krm oom -A --fail-on critical            exit 4 where one is killed again and again, or a node ran out",
    )


def pending(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "why pods wait for a node, and the smallest change that would place them"
    )
    command.add_argument("pod", metavar="POD", nargs="?", default="", help="this one, node by node (default: all)")
    answered(command, "the scheduler's sentence, as it would say it and as it said it")
    examples(
        command,
        "krm pending                              every pod that waits, and what would place it",
        "krm pending web-7d9f -n shop             one, with the reason of each node",
        "krm pending --fail-on warning            exit 4 where a pod finds no node",
    )


NODES = ("pressure", "fragmentation", "evictions", "drain")


def nodes(parser: Parser, commands: Any, name: str) -> None:
    command = add_command(
        parser, commands, name, "how full nodes are, what still fits, what is evicted next or drained"
    )
    command.add_argument(
        "what", metavar="WHAT", nargs="?", choices=NODES, default="pressure",
        help=f"{', '.join(NODES)} (default: pressure)",
    )  # fmt: skip
    command.add_argument("node", metavar="NODE", nargs="?", default="", help="of drain, and of evictions")
    command.add_argument(
        "--shape", metavar="SIZE", action="append", default=[],
        help="fragmentation: a pod instead of the cluster's typical ones, cpu=2,memory=4Gi; several may be given",
    )  # fmt: skip
    command.add_argument(
        "--by", choices=("node", "shape"), default="node", help="fragmentation: what the rows are (default: node)"
    )
    command.add_argument(
        "--window", metavar="SPAN", default="1h", help="of the past that trends are made of: 1h, 6h (default: 1h)"
    )
    answered(command, "what is free, why a node is to be avoided, who is evicted next", namespaced=False)
    examples(
        command,
        "krm nodes                                requested and used by node, pressure, hints",
        "krm nodes fragmentation                  what of the free resources no typical pod can use",
        "krm nodes fragmentation --by shape       how many more of each typical pod fit",
        "krm nodes drain n1                       where its pods would go, and what stands in the way",
        "krm nodes evictions --window 6h          when thresholds are reached, and who goes first",
        "krm nodes evictions --fail-on critical   exit code 4 where a node evicts within 15 minutes",
    )
