"""`krm efficiency`: what is used of what is requested, and what is wasted."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "get_efficiency", by=args.by, time_window=args.window)
