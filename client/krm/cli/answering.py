"""Prints an answer of the analysis, and says with the exit code what it found.

0 all is live and nothing is at --fail-on or above; 4 such findings exist; 3 it is not live and --stale-ok was not
given. What the answer lacks stands on stderr, a sentence each.
"""

from __future__ import annotations

import argparse
from typing import Any

from krm.analysis.answer import Answer
from krm.cli.opening import chosen_namespace, open_client
from krm.cli.output import dump_json, dump_yaml
from krm.cli.terminal import say, write
from krm.model.layout import Columns
from krm.model.trust import LIVE
from krm.monitor import K8sResourceMonitor

OK, NOT_TRUSTED, FOUND = 0, 3, 4


def ask(args: argparse.Namespace, method: str, **asked: Any) -> int:
    """Asks the facade's method of this name and shows the answer. Raises KrmError, ValueError (arguments)."""
    with open_client(args) as client:
        if hasattr(args, "all_namespaces"):
            asked["namespace"] = chosen_namespace(client, args)
        answer: Answer = getattr(K8sResourceMonitor(client), method)(**asked)
    return show(answer, args)


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
        for one in answer.findings:
            say(f"{one.severity}: {one.sentence}")
        if not answer.table and answer.worth.state == LIVE:
            say(f"krm: {answer.NOTHING}")
