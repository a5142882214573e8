"""`krm changes`: a line a change, from what is kept and then as they come."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any, Dict, Optional

from krm.cli.durations import span
from krm.cli.get import NOT_TRUSTED, Teller
from krm.cli.opening import chosen_namespace, followed, open_client, resolve
from krm.client.moments import published
from krm.client.watch import Change
from krm.model.layout import Columns

# Cells, padding included: a time, ADDED to DELETED, NAMESPACE/POD, then what stays short. Of the token,
# which comes last, no width need be known.
_WIDTHS = (30, 11, 38, 10, 11, 8, 9)
_HEADINGS = ("PUBLISHED", "TYPE", "OBJECT", "RV", "PREVIOUS", "DELAY", "NOTE", "TOKEN")


def run(args: argparse.Namespace) -> int:
    """Exit code 3 where it answered but the kind was not live, at the start or later."""
    client = open_client(args)
    kind, namespace = resolve(client, args.kind), chosen_namespace(client, args)
    teller = Teller(kind, client.checked_trust(kind, namespace, args.stale_ok))
    deadline: Optional[float] = None if args.seconds is None else time.monotonic() + args.seconds
    kept = client.changes(kind, args.since, namespace, stale_ok=args.stale_ok)
    printer = _Printer(args.output)
    for change in kept:
        printer.show(change)
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    with followed(client):
        for change in client.watch(
            kind, kept.token, namespace, stale_ok=args.stale_ok, timeout=left, on_trust=teller.take
        ):
            printer.show(change)
    return NOT_TRUSTED if teller.doubtful else 0


class _Printer:
    def __init__(self, output: Optional[str]) -> None:
        self._json = output == "json"
        self._columns = Columns(_WIDTHS)
        if not self._json:
            self._line(_HEADINGS)

    def show(self, change: Change) -> None:
        if self._json:
            print(json.dumps(as_json(change)))
            sys.stdout.flush()
            return
        previous = change.previous_resource_version or "-"
        note = "repair" if change.repair else "-"
        obj, when = change.object, published(change.published_at)
        self._line(
            (when, change.type, obj.key, obj.resource_version, previous, span(change.delay), note, change.token)
        )

    def _line(self, cells: Any) -> None:
        print(self._columns.lines([cells])[0])
        sys.stdout.flush()


def as_json(change: Change) -> Dict[str, Any]:
    """One change for `-o json`; times are seconds of the Redis clock, null is unknown."""
    return {
        "type": change.type,
        "namespace": change.object.namespace,
        "name": change.object.name,
        "uid": change.object.uid,
        "resourceVersion": change.object.resource_version,
        "previousResourceVersion": change.previous_resource_version or None,
        "publishedAt": change.published_at,
        "delay": change.delay,
        "repair": change.repair,
        "token": change.token,
    }
