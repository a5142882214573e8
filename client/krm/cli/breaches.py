"""`krm breaches`: who came near its limits, or above its requests, over a window."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "detect_limit_breaches", threshold_percent=args.threshold, time_window=args.window)
