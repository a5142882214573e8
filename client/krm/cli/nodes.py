"""`krm nodes`: how full nodes are and where pods should go; what still fits; what is evicted next, or drained.

pressure (the default), fragmentation, evictions, drain.
"""

from __future__ import annotations

import argparse
from typing import Callable, Dict

from krm.cli.answering import ask
from krm.client.errors import BadRequest


def _pressure(args: argparse.Namespace) -> int:
    return ask(args, "analyze_node_pressure", time_window=args.window)


def _evictions(args: argparse.Namespace) -> int:
    return ask(args, "predict_evictions", node=args.node or None, time_window=args.window)


def _fragmentation(args: argparse.Namespace) -> int:
    return ask(args, "analyze_fragmentation", shapes=args.shape, by=args.by)


def _drain(args: argparse.Namespace) -> int:
    return ask(args, "check_drain", node=args.node)


_SHOWN: Dict[str, Callable[[argparse.Namespace], int]] = {
    "pressure": _pressure,
    "fragmentation": _fragmentation,
    "evictions": _evictions,
    "drain": _drain,
}
_OF_ONE = ("evictions", "drain")


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    if args.node and args.what not in _OF_ONE:
        raise BadRequest(f"krm nodes {args.what} is of all nodes: NODE goes with {' and '.join(_OF_ONE)}")
    if args.what == "drain" and not args.node:
        raise BadRequest("krm nodes drain NODE: which node is meant?")
    return _SHOWN[args.what](args)
