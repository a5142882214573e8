"""Prints an answer of the analysis, and says with the exit code what it found.

0 all is live and nothing is at --fail-on or above; 4 such findings exist; 3 it is not live and --stale-ok was not
given; 1 there is no such namespace. What the answer lacks stands on stderr, a sentence each.
"""

from __future__ import annotations

import argparse
from typing import Any, Optional

from krm.analysis.answer import Answer
from krm.analysis.finding import SEVERITIES
from krm.cli.opening import chosen_namespace, open_client
from krm.cli.output import dump_json, dump_yaml
from krm.cli.terminal import say, write
from krm.client.client import Client
from krm.client.errors import KrmError
from krm.model.layout import Columns
from krm.model.trust import LIVE
from krm.monitor import K8sResourceMonitor

OK, NOT_TRUSTED, FOUND = 0, 3, 4
MOST_SAID = 20  # findings that are told below a table: of hundreds nobody reads the worst one


class NoNamespace(KrmError):
    """The namespace that is named is not there: that nothing is found in it would read as if all were well."""


def ask(args: argparse.Namespace, method: str, **asked: Any) -> int:
    """Asks the facade's method of this name and shows the answer. Raises KrmError, ValueError (arguments)."""
    with open_client(args) as client:
        if hasattr(args, "all_namespaces"):
            asked["namespace"] = chosen_namespace(client, args)
            require_namespace(client, asked["namespace"])
        answer: Answer = getattr(K8sResourceMonitor(client), method)(**asked)
    return show(answer, args)


def require_namespace(client: Client, name: Optional[str]) -> None:
    """Where it is known which ones there are. Raises NoNamespace."""
    if name is None:
        return
    try:
        namespaces = client.snapshot("namespaces")
    except KrmError:
        return  # not kept, not live, or not for this reader
    if namespaces.get(name) is None and not namespaces.damaged:
        raise NoNamespace(f"there is no namespace {name}")


def show(answer: Answer, args: argparse.Namespace) -> int:
    """Prints it; the exit code."""
    trusted = answer.worth.state == LIVE or args.stale_ok
    if args.output in ("json", "yaml"):
        write((dump_json if args.output == "json" else dump_yaml)(answer.to_dict()))
    elif trusted:
        _print(answer, args)
    for reason in answer.worth.reasons:
        say(f"krm: {reason}")
    if answer.worth.state != LIVE:
        say(f"krm: the answer is {answer.worth.state}" + ("" if trusted else ": --stale-ok shows it"))
        return NOT_TRUSTED
    return FOUND if args.fail_on and answer.found(args.fail_on) else OK


def _print(answer: Answer, args: argparse.Namespace) -> None:
    if args.output == "name":
        rows = [[str(one.about)] for one in answer.findings]
    else:
        rows = answer.cells(args.output == "wide")[1 if args.no_headers else 0 :]
    write("".join(line + "\n" for line in Columns().lines(rows)))
    if args.output != "name":
        worst = sorted(answer.findings, key=lambda one: -SEVERITIES.index(one.severity))
        for one in worst[:MOST_SAID]:
            say(f"{one.severity}: {one.sentence}")
        if worst[MOST_SAID:]:
            say(f"krm: {len(worst) - MOST_SAID} more findings are in -o json")
        if not answer.table and answer.worth.state == LIVE:
            say(f"krm: {answer.NOTHING}")
