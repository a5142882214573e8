"""`krm pending`: why pods wait for a node, and the smallest change that would place them."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "explain_pending", pod=args.pod)
