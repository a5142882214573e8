"""`python -m krm.cluster check`: can krm keep a cluster's kinds from here, and if not, what to do."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Iterable, List, Optional, Sequence

from krm.cluster.check import Line, run_checks
from krm.cluster.credentials import connect
from krm.cluster.errors import ClusterError
from krm.model.kinds import DEFAULT_KINDS, BadKind, Kind, parse_kind


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Exit code: 0 when all checks passed, 1 when one failed, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        cluster = connect(options.kubeconfig, options.context, options.in_cluster, stage="check")
    except ClusterError as error:
        return _report([Line(False, "credentials", type(error).__name__, str(error))], options.json)
    return _report(run_checks(cluster, options.kinds, options.namespaces), options.json)


def _report(lines: Iterable[Line], as_json: bool) -> int:
    failed = 0
    for line in lines:
        failed += not line.ok
        print(json.dumps(line._asdict()) if as_json else _text(line), flush=True)
    return 1 if failed else 0


def _text(line: Line) -> str:
    mark = "ok  " if line.ok else "FAIL"
    remedy = f"\n     {line.remedy}" if line.remedy else ""
    return f"{mark} {line.check}: {line.found}{remedy}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m krm.cluster", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    check = commands.add_parser(
        "check", help="look at reachability, version, clock, rights, kinds, reads", description=run_checks.__doc__
    )
    check.add_argument(
        "--kubeconfig", metavar="F", help="files with ':' between (default: $KUBECONFIG, then ~/.kube/config)"
    )
    check.add_argument("--context", metavar="NAME", help="default: the kubeconfig's current one")
    check.add_argument("--in-cluster", action="store_true", help="as the service account of the pod this runs in")
    check.add_argument(
        "--kinds",
        metavar="A,B",
        type=_kinds,
        default=list(DEFAULT_KINDS),
        help=f"RESOURCE or RESOURCE.GROUP (default: {','.join(map(str, DEFAULT_KINDS))})",
    )
    check.add_argument(
        "--namespaces", metavar="A,B", type=_names, default=[], help="only these (default: the whole cluster)"
    )
    check.add_argument("--json", action="store_true", help="a JSON object a line: ok, check, found, remedy")
    return parser


def _kinds(text: str) -> List[Kind]:
    try:
        return [parse_kind(name) for name in _names(text)]
    except BadKind as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _names(text: str) -> List[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
