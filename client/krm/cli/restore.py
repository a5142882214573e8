"""`krm restore FILE`: a backup of the measurements' history into a place that is empty."""

from __future__ import annotations

import argparse

from krm.cli.terminal import say
from krm.client.errors import Unreachable
from krm.store.history.asked import NoHistory
from krm.store.history.backup import restore


def run(args: argparse.Namespace) -> int:
    """0 once the history is there, and is what the backup was."""
    try:
        digest = restore(args.file, args.history)
    except NoHistory as error:
        raise Unreachable(str(error)) from None
    say(f"{args.history}: digest {digest}; a collector goes on from it with --history {args.history}")
    return 0
