"""The grammar of the command line: every subcommand, option, default and unit."""

from __future__ import annotations

import argparse
from typing import Any, Dict, NoReturn, Tuple

from krm.model.measures import LEVELS

# Subcommand -> the module whose run(args) does it.
COMMANDS: Dict[str, str] = {
    "get": "krm.cli.get",
    "describe": "krm.cli.describe",
    "status": "krm.cli.status",
    "changes": "krm.cli.changes",
    "diff": "krm.cli.diff",
    "explain-trust": "krm.cli.explain",
    "doctor": "krm.cli.doctor",
    "export": "krm.cli.export",
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
    "server": ("krm.server", "serve what is kept as the Kubernetes API does (replaces this process)"),
}
OUTPUTS = "wide, json, yaml, name, jsonpath=TEMPLATE, custom-columns=HEADER:PATH,..."


def duration(text: str) -> float:
    """argparse's view of a span of time, in seconds, above 0."""
    from krm.model.durations import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is no time at all")
    return seconds


def _port(text: str) -> int:
    """argparse's view of a TCP port."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


class Parser(argparse.ArgumentParser):
    """Abbreviated options are refused: a script must not change its meaning when an option is added."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self.commands: Dict[str, Parser] = {}

    def error(self, message: str) -> NoReturn:
        """With what to do about a value that looks like an option: `-l -x`."""
        if "expected one argument" in message:
            message += " (a value that begins with - is written --option=-value)"
        super().error(message)


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


def _command(top: Parser, commands: Any, name: str, text: str) -> Parser:
    command: Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    top.commands[name] = command
    return command


def _where(command: Parser, contexts: bool = True) -> None:
    """`contexts`: it reads from a krm server as well, and from a place that `krm config` knows."""
    group = command.add_argument_group("where to read")
    group.add_argument(
        *(("--redis", "--url") if contexts else ("--redis",)),
        dest="redis",
        metavar="URL",
        help="of Redis" + (", or https:// of a krm server" if contexts else "")
        + " (default: $KRM_REDIS, a context, else the `krm up` that runs on this machine)",
    )  # fmt: skip
    if contexts:
        for option, name, metavar, text in _OF_SERVERS:
            group.add_argument(option, dest=name, metavar=metavar, help=text)
    group.add_argument(
        "--cluster", metavar="NAME", help="cluster name (default: $KRM_CLUSTER, else the only one there)"
    )


# Option, attribute, metavar, help.
_OF_SERVERS = (
    (
        "--context",
        "place",
        "NAME",
        "of --kubeconfig, else of `krm config` (default: $KRM_CONTEXT, else the current one)",
    ),
    ("--kubeconfig", "server_kubeconfig", "FILE", "of a krm server, as `krm up --kubeconfig-out` writes it"),
    ("--token-file", "server_token", "FILE", "file with the token for a krm server"),
    ("--ca", "server_ca", "FILE", "certificate authorities of a krm server (default: the system's)"),
)


def _trust(command: Parser) -> None:
    command.add_argument(
        "--stale-ok", action="store_true", help="answer from what is held even where it is not live (exit code 3)"
    )


def _one(command: Parser) -> None:
    command.add_argument(
        "-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's, else default)"
    )


def _all(command: Parser) -> None:
    command.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces, whatever -n says")


def _all_or_one(command: Parser) -> None:
    command.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's, else all)")
    _all(command)


def _get(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "show objects as kubectl get does, from the verified copy")
    command.add_argument(
        "kind", metavar="KIND", help="pods, po, deployments.apps, widgets.example.com ... or KIND/NAME, each"
    )
    command.add_argument("names", metavar="NAME", nargs="*", default=[], help="objects by name (default: all)")
    _one(command)
    _all(command)
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
    _trust(command)
    _where(command)


def _describe(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "one object in full, its events, and what the answer is worth")
    command.add_argument("kind", metavar="KIND", help="pods, po, deployments.apps ... or KIND/NAME")
    command.add_argument("name", metavar="NAME", nargs="?", default="")
    _one(command)
    _trust(command)
    _where(command)


def _explain(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "say why an answer about a kind can, or cannot, be trusted now")
    command.add_argument("kind", metavar="KIND")
    _all_or_one(command)
    _where(command)


def _config(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "places to read from, by name (contexts)")
    actions = ("get-contexts", "current-context", "use-context", "set-context", "delete-context", "path")
    command.add_argument("action", metavar="ACTION", choices=actions, help=", ".join(actions))
    command.add_argument("name", metavar="NAME", nargs="?", default="", help="the context")
    command.add_argument("--url", metavar="URL", help="redis://, rediss://, unix:// or https://")
    command.add_argument("--cluster", metavar="NAME", help="cluster name")
    command.add_argument("--kubeconfig", metavar="FILE", help="whose current context gives CA and credentials")
    command.add_argument("--ca", metavar="FILE", help="certificate authorities of an https:// server")
    command.add_argument("--token-file", metavar="FILE", help="file with the token for an https:// server")


def _completion(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "print what makes a shell complete krm's commands, kinds and names")
    command.add_argument("shell", metavar="SHELL", choices=("bash", "zsh", "fish"), help="bash, zsh or fish")


def _status(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "how fresh and how verified each kind is")
    command.add_argument("--check", action="store_true", help="exit with 3 where any kind is not live")
    command.add_argument("-o", "--output", choices=("json",), help="machine-readable")
    command.add_argument("-w", "--watch", action="store_true", help="again each second until interrupted")
    _where(command)


def _changes(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "print the changes of a kind, a line each, and go on as they come")
    command.add_argument("kind", metavar="KIND")
    command.add_argument("--since", metavar="TOKEN", help="from this token on (default: all that is kept)")
    _all_or_one(command)
    command.add_argument(
        "--for", dest="seconds", metavar="SPAN", type=duration, help="stop after 20s, 5m ... (default: never)"
    )
    command.add_argument("-o", "--output", choices=("json",), help="one JSON object a line")
    _trust(command)
    _where(command)


def _diff(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "what changed between two moments")
    command.add_argument("kind", metavar="KIND")
    command.add_argument("a", metavar="A", help="token, time (RFC 3339), or a span ago (5m)")
    command.add_argument("b", metavar="B", nargs="?", help="the same (default: now)")
    _all_or_one(command)
    command.add_argument("-o", "--output", choices=("json",), help="one JSON object a line")
    _trust(command)
    _where(command)


def _doctor(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "look at Redis, the API server and the rights, and say what to do")
    command.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, ~/.kube/config)")
    command.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    command.add_argument("--in-cluster", action="store_true", help="use the pod's service account")
    command.add_argument(
        "--kinds", metavar="A,B", help="kinds to check (default: those kept, else the 17 of krm up)"
    )
    _where(command, contexts=False)


def _export(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "write measurements to a Parquet file, for DuckDB, Spark or pandas")
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
    _where(command, contexts=False)


def _up(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "run everything for one cluster, or several, on this machine")
    source = command.add_argument_group("which cluster")
    source.add_argument(
        "--demo", action="store_true", help="a simulated cluster: 10 nodes, 300 pods, one injected loss"
    )
    source.add_argument("--kubeconfig", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, ~/.kube/config)")
    source.add_argument(
        "--context",
        metavar="NAME",
        action="append",
        help="context of the kubeconfig; again for a further cluster (default: its current one)",
    )
    source.add_argument("--in-cluster", action="store_true", help="use the pod's service account")
    source.add_argument(
        "--cluster",
        metavar="NAME",
        help="name in Redis (default: $KRM_CLUSTER, the context's name, demo, in-cluster)",
    )
    command.add_argument("--redis", metavar="URL", help="Redis URL (default: $KRM_REDIS, else an embedded one)")
    command.add_argument("--kinds", metavar="A,B", help="kinds to keep (default: the 17 of `krm streamer --help`)")
    command.add_argument(
        "--namespaces", metavar="A,B", help="keep these namespaces alone (default: the whole cluster)"
    )
    command.add_argument(
        "--verify-every",
        metavar="SPAN",
        type=duration,
        help="span between verifying lists (default: 60s; 3s in --demo)",
    )
    command.add_argument(
        "--env-values",
        choices=("redact", "keep"),
        default="redact",
        help="values of environment variables in pods (default: redact)",
    )
    served = command.add_argument_group("what it serves, on 127.0.0.1, over TLS, to whoever has its kubeconfig")
    served.add_argument(
        "--kubeconfig-out",
        metavar="FILE",
        help="where to write that kubeconfig, mode 0600 (default: in the folder of the logs)",
    )
    served.add_argument("--server-port", metavar="PORT", type=_port, help="port to serve on (default: a free one)")
    served.add_argument("--no-server", action="store_true", help="start no server")
    measured = command.add_argument_group("what it measures, where pods and nodes are kept of the whole cluster")
    measured.add_argument(
        "--history", metavar="FILE", help="file of the measurements' history (default: one that goes at the end)"
    )
    measured.add_argument("--no-collector", action="store_true", help="measure nothing")
    command.add_argument(
        "--for",
        dest="seconds",
        metavar="SPAN",
        type=duration,
        help="stop after 20s, 5m ...; exit code 0 only if all is verified, no gap open (default: never)",
    )


def _version(top: Parser, commands: Any, name: str) -> None:
    command = _command(top, commands, name, "the versions of krm, Python and redis-py")
    command.add_argument("-o", "--output", choices=("json",), help="machine-readable")


_ADDERS = (
    ("get", _get),
    ("describe", _describe),
    ("status", _status),
    ("changes", _changes),
    ("diff", _diff),
    ("explain-trust", _explain),
    ("doctor", _doctor),
    ("export", _export),
    ("up", _up),
    ("config", _config),
    ("completion", _completion),
    ("version", _version),
)
