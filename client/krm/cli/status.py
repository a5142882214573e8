"""`krm status`: one line a kind, what is wrong below, `--check` for scripts."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import List

from krm.cli.collecting import collecting
from krm.cli.live import Table, as_json, details, grouped
from krm.cli.opening import open_client
from krm.cli.silence import Silence
from krm.client.client import Client
from krm.client.errors import Unreachable
from krm.client.source import KindStatus, Source
from krm.model.trust import LIVE

_EVERY = 1.0  # seconds between two tables of --watch


def run(args: argparse.Namespace) -> int:
    """Exit code 3 with --check where any kind is not live, or none is kept."""
    client = open_client(args)
    directory = client.directory
    table = Table(in_place=args.watch)
    statuses = directory.status()
    _show(args, client, table, statuses)
    silence = Silence([(status.cluster, status.kind, status.namespace) for status in statuses])
    silence.heard(statuses)
    while args.watch:
        time.sleep(_EVERY)
        _show(args, client, table, _read(directory, silence))
    trusted = bool(statuses) and all(status.trust.state == LIVE for status in statuses)
    return 3 if args.check and not trusted else 0


def _read(directory: Source, silence: Silence) -> List[KindStatus]:
    """What each kind is worth now; where nobody answers, that nothing is known: it may answer again."""
    try:
        statuses = directory.status()
    except Unreachable:
        silence.began()
        return silence.unknown()
    silence.heard(statuses)
    return statuses


def _show(args: argparse.Namespace, client: Client, table: Table, statuses: List[KindStatus]) -> None:
    if args.output == "json":
        answer = {
            "cluster": client.cluster,
            "kinds": [as_json(status) for status in statuses],
            "measurements": collecting(client).as_json(),
        }
        print(json.dumps(answer, indent=None if args.watch else 2), flush=True)
        return
    if not statuses:
        print(f"No kinds of {client.cluster} are kept yet: is `krm up` running?", file=sys.stderr)
        return
    measured = collecting(client).sentence()
    table.draw(statuses, [*grouped(statuses, len(statuses)), measured] if args.watch else ())
    if not args.watch:
        for line in [*details(statuses), measured]:
            table.tell(line)
