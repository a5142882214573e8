"""Words that several subcommands' grammars share."""

from __future__ import annotations

import argparse
from typing import Any, Dict, NoReturn

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


def port(text: str) -> int:
    """argparse's view of a TCP port."""
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def add_command(top: Parser, commands: Any, name: str, text: str) -> Parser:
    command: Parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    top.commands[name] = command
    return command


def examples(command: Parser, *lines: str) -> None:
    """Below the help, as they are typed."""
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    command.epilog = "examples:\n" + "\n".join(f"  {line}" for line in lines)


def where(command: Parser, contexts: bool = True) -> None:
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


def trust(command: Parser) -> None:
    command.add_argument(
        "--stale-ok", action="store_true", help="answer from what is held even where it is not live (exit code 3)"
    )


def one_namespace(command: Parser) -> None:
    command.add_argument(
        "-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's, else default)"
    )


def all_namespaces(command: Parser) -> None:
    command.add_argument("-A", "--all-namespaces", action="store_true", help="all namespaces, whatever -n says")


def all_or_one_namespace(command: Parser) -> None:
    command.add_argument("-n", "--namespace", metavar="NS", help="namespace (default: the kubeconfig's, else all)")
    all_namespaces(command)
