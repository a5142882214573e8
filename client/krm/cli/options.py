"""The grammar of the command line: every subcommand, option, default and unit."""

from __future__ import annotations

import argparse
from typing import Any, Dict, Tuple

from krm.cli import options_advice, options_findings, options_measured, options_running
from krm.cli.grammar import (
    Parser,
    add_command,
    all_namespaces,
    all_or_one_namespace,
    duration,
    one_namespace,
    trust,
    where,
)

# Subcommand -> the module whose run(args) does it.
COMMANDS: Dict[str, str] = {
    "get": "krm.cli.get",
    "describe": "krm.cli.describe",
    "status": "krm.cli.status",
    "top": "krm.cli.top",
    "processes": "krm.cli.running",
    "kills": "krm.cli.kills",
    "oom": "krm.cli.oom",
    "breaches": "krm.cli.breaches",
    "nodes": "krm.cli.nodes",
    "neighbours": "krm.cli.neighbours",
    "efficiency": "krm.cli.efficiency",
    "quota": "krm.cli.quota",
    "recommend": "krm.cli.recommend",
    "pending": "krm.cli.pending",
    "alerts": "krm.cli.alerts",
    "report": "krm.cli.report",
    "hpa": "krm.cli.hpa",
    "exporter": "krm.cli.exporter",
    "bill": "krm.cli.bill",
    "changes": "krm.cli.changes",
    "diff": "krm.cli.diff",
    "explain-trust": "krm.cli.explain",
    "doctor": "krm.cli.doctor",
    "export": "krm.cli.export",
    "backup": "krm.cli.backup",
    "restore": "krm.cli.restore",
    "up": "krm.cli.up",
    "config": "krm.cli.config",
    "completion": "krm.cli.completion",
    "version": "krm.cli.version",
}
# Subcommand -> the module that replaces this process, and one line of help.
STAGES: Dict[str, Tuple[str, str]] = {
    "streamer": ("krm.streamer", "watch kinds and hand their events to Redis (replaces this process)"),
    "verifier": ("krm.verifier", "list kinds and hand verified lists to Redis (replaces this process)"),
    "aggregator": ("krm.aggregator", "merge events and lists into snapshots (replaces this process)"),
    "collector": ("krm.collector", "measure nodes, pods and containers (replaces this process)"),
    "agent": ("krm.agent", "see what runs on this node, process by process (replaces this process)"),
    "server": ("krm.server", "serve what is kept as the Kubernetes API does (replaces this process)"),
}
OUTPUTS = "wide, json, yaml, name, jsonpath=TEMPLATE, custom-columns=HEADER:PATH,..."


def build_parser(epilog: str) -> Parser:
    """`krm` and its subcommands."""
    top = Parser(
        prog="krm",
        description="A verified copy of a Kubernetes cluster's state, read from Redis.",
        epilog=epilog + "\n\nStart with:  krm up --demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, add in _ADDERS:
        add(top, commands, name)
    for name, (_, text) in STAGES.items():
        # Never parsed here: main replaces the process first. Listed so that --help is whole.
        commands.add_parser(name, help=text, add_help=False)
    return top


def _get(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "show objects as kubectl get does, from the verified copy")
    command.add_argument(
        "kind", metavar="KIND", help="pods, po, deployments.apps, widgets.example.com ... or KIND/NAME, each"
    )
    command.add_argument("names", metavar="NAME", nargs="*", default=[], help="objects by name (default: all)")
    one_namespace(command)
    all_namespaces(command)
    command.add_argument(
        "-l", "--selector", metavar="LABELS", default="", help="label selector, e.g. app=web,tier!=db"
    )
    command.add_argument(
        "--field-selector", metavar="FIELDS", default="", help="field selector, e.g. status.phase=Running"
    )
    command.add_argument("-o", "--output", metavar="FORMAT", default="", help=f"{OUTPUTS} (default: a table)")
    command.add_argument("-w", "--watch", action="store_true", help="after the list, show changes as they come")
    command.add_argument(
        "--at", metavar="TOKEN|TIME", help="a past version or moment (RFC 3339, or 5m = that long ago)"
    )
    command.add_argument(
        "--verified-only", action="store_true", help="the state that a list of the API server confirmed"
    )
    command.add_argument("--no-headers", action="store_true", help="no headings")
    trust(command)
    where(command)


def _describe(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "one object in full, its events, and what the answer is worth")
    command.add_argument("kind", metavar="KIND", help="pods, po, deployments.apps ... or KIND/NAME")
    command.add_argument("name", metavar="NAME", nargs="?", default="")
    one_namespace(command)
    trust(command)
    where(command)


def _explain(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "say why an answer about a kind can, or cannot, be trusted now")
    command.add_argument("kind", metavar="KIND")
    all_or_one_namespace(command)
    where(command)


def _completion(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "print what makes a shell complete krm's commands, kinds and names")
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def _status(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "how fresh and how verified each kind is")
    command.add_argument("--check", action="store_true", help="exit with 3 where any kind is not live")
    command.add_argument("-o", "--output", choices=("json",), help="machine-readable")
    command.add_argument("-w", "--watch", action="store_true", help="again each second until interrupted")
    where(command)


def _changes(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "print the changes of a kind, a line each, and go on as they come")
    command.add_argument("kind", metavar="KIND")
    command.add_argument("--since", metavar="TOKEN", help="from this token on (default: all that is kept)")
    all_or_one_namespace(command)
    command.add_argument(
        "--for", dest="seconds", metavar="SPAN", type=duration, help="stop after 20s, 5m ... (default: never)"
    )
    command.add_argument("-o", "--output", choices=("json",), help="one JSON object a line")
    trust(command)
    where(command)


def _diff(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "what changed between two moments")
    command.add_argument("kind", metavar="KIND")
    command.add_argument("a", metavar="A", help="token, time (RFC 3339), or a span ago (5m)")
    command.add_argument("b", metavar="B", nargs="?", help="the same (default: now)")
    all_or_one_namespace(command)
    command.add_argument("-o", "--output", choices=("json",), help="one JSON object a line")
    trust(command)
    where(command)


def _version(top: Parser, commands: Any, name: str) -> None:
    command = add_command(top, commands, name, "the versions of krm, Python and redis-py")
    command.add_argument("-o", "--output", choices=("json",), help="machine-readable")


_ADDERS = (
    ("get", _get),
    ("describe", _describe),
    ("status", _status),
    ("top", options_measured.top),
    ("processes", options_measured.processes),
    ("kills", options_measured.kills),
    ("oom", options_findings.oom),
    ("breaches", options_findings.breaches),
    ("nodes", options_findings.nodes),
    ("neighbours", options_findings.neighbours),
    ("efficiency", options_findings.efficiency),
    ("quota", options_advice.quota),
    ("recommend", options_advice.recommend),
    ("pending", options_findings.pending),
    ("alerts", options_advice.alerts),
    ("report", options_advice.report),
    ("hpa", options_advice.hpa),
    ("exporter", options_advice.exporter),
    ("bill", options_advice.bill),
    ("changes", _changes),
    ("diff", _diff),
    ("explain-trust", _explain),
    ("doctor", options_running.doctor),
    ("export", options_measured.export),
    ("backup", options_measured.backup),
    ("restore", options_measured.restore),
    ("up", options_running.up),
    ("config", options_running.config),
    ("completion", _completion),
    ("version", _version),
)
