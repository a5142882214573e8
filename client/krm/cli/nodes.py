"""`krm nodes`: how full nodes are and where pods should go; what is evicted next.

pressure (the default), evictions.
"""

from __future__ import annotations

import argparse
from typing import Callable, Dict

from krm.cli.answering import ask


def _pressure(args: argparse.Namespace) -> int:
    return ask(args, "analyze_node_pressure", time_window=args.window)


def _evictions(args: argparse.Namespace) -> int:
    return ask(args, "predict_evictions", time_window=args.window)


_SHOWN: Dict[str, Callable[[argparse.Namespace], int]] = {"pressure": _pressure, "evictions": _evictions}


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    return _SHOWN[args.what](args)
