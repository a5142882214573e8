"""`krm neighbours`: who took CPU or memory from whom on which node."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "find_noisy_neighbours", node=args.node, time_window=args.window)
