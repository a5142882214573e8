"""`krm quota`: what is used of each ResourceQuota, since when too much, and when it is used up."""

from __future__ import annotations

import argparse
from typing import Tuple

from krm.cli.answering import ask
from krm.client.errors import BadRequest


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return ask(args, "get_quota_usage", time_window=args.window, thresholds=percents(args.thresholds))


def percents(text: str) -> Tuple[float, ...]:
    """`80,95`. Raises BadRequest."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadRequest(f"--thresholds {text!r}: percents are meant, e.g. 80,95") from None
