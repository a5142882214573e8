"""`krm oom`: the case file of each OOM kill: whose memory ran out, what came before, what would change it."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "get_oom_events", pod=args.pod, node=args.node)
