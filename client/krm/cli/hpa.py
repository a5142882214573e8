"""`krm hpa`: what an HPA would scale on, why it did or did not scale, and when it will."""

from __future__ import annotations

import argparse

from krm.cli.answering import ask
from krm.client.errors import BadRequest


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    if args.what == "explain":
        return ask(args, "explain_hpa", hpa=args.name)
    if args.what == "predict":
        return ask(args, "predict_scaling", hpa=args.name, horizon=args.horizon)
    if not args.name:
        raise BadRequest("krm hpa metrics NAME: of which deployment?")
    return ask(
        args, "generate_hpa_metrics", deployment=args.name, metric_type=args.metric, aggregation=args.aggregation,
        time_window=args.window,
    )  # fmt: skip
