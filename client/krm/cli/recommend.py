"""`krm recommend`: requests and limits that were tested on the past; as a table, JSON, patches. Never applied."""

from __future__ import annotations

import argparse

from krm.analysis.sizing.patches import kustomization, patches
from krm.analysis.sizing.recommendations import Recommendations
from krm.cli.answering import FOUND, NOT_TRUSTED, OK, show
from krm.cli.opening import chosen_namespace, open_client
from krm.cli.output import dump_yaml
from krm.cli.terminal import say, write
from krm.model.trust import LIVE
from krm.monitor import K8sResourceMonitor


def run(args: argparse.Namespace) -> int:
    """Exit codes: krm.cli.answering."""
    with open_client(args) as client:
        answer = K8sResourceMonitor(client).get_resource_recommendations(
            chosen_namespace(client, args), args.target, args.strategy, args.selector
        )
    return _patched(answer, args) if args.output in ("patch", "kustomize") else show(answer, args)


def _patched(answer: Recommendations, args: argparse.Namespace) -> int:
    """Patches of what is not live are not printed: nobody should apply them unasked."""
    live = answer.worth.state == LIVE
    if live or args.stale_ok:
        found = patches(answer.rows)
        if args.output == "kustomize":
            write(dump_yaml(kustomization(found, dump_yaml)))
        else:
            write("---\n".join(dump_yaml(one) for one in found.documents))
        for sentence in found.left_out:
            say(f"krm: {sentence}")
        if not answer.rows:
            say(f"krm: {answer.NOTHING}")
    for reason in answer.worth.reasons:
        say(f"krm: {reason}")
    if not live:
        say(f"krm: the answer is {answer.worth.state}" + ("" if args.stale_ok else ": --stale-ok shows it"))
        return NOT_TRUSTED
    return FOUND if args.fail_on and answer.found(args.fail_on) else OK
