"""`krm bill`: what a month cost, and whom; closes months, shows closed ones and proves them.

Exit codes: 0; 1 where a closed month is not what is derived now, or cannot be read; 3 where the bill rests on what
is not live and --stale-ok was not given.
"""

from __future__ import annotations

import argparse
import os
from typing import Tuple

from krm.analysis.billing.bill import Bill, document, opened
from krm.analysis.billing.csvout import DEFAULT, MAX_MAPPING, CsvColumn, read_columns, to_csv
from krm.cli.opening import open_client
from krm.cli.terminal import say, write
from krm.client.client import Client
from krm.client.errors import BadRequest, KrmError
from krm.model.layout import Columns
from krm.model.trust import LIVE
from krm.monitor import billing
from krm.store.bills import Bills, Closed, NoBill

OK, NOT_TRUSTED = 0, 3
FOLDER = "KRM_BILLS"


class CannotRead(KrmError):
    """A closed month is not there, or not readable."""


def run(args: argparse.Namespace) -> int:
    """One of: show a closed bill, prove it, derive one, and close it."""
    _require(args)
    columns = _columns(args.csv_columns)
    with open_client(args) as client:
        try:
            if args.closed or args.verify:
                return _of_closed(client, args, columns)
            return _derived(client, args, columns)
        except NoBill as error:
            raise CannotRead(str(error)) from None


def _require(args: argparse.Namespace) -> None:
    if (args.closed and args.verify) or (args.close and (args.closed or args.verify)):
        raise BadRequest("--close, --closed and --verify: give one of them")
    if args.correct and not args.close:
        raise BadRequest("--correct goes with --close")
    if not args.prices and not (args.closed or args.verify):
        raise BadRequest("--prices FILE is needed to derive a bill (docs/billing.md)")
    if args.csv_columns and args.output != "csv":
        raise BadRequest("--csv-columns goes with -o csv")


def _bills(args: argparse.Namespace) -> Bills:
    folder = args.folder or os.environ.get(FOLDER, "")
    if not folder:
        raise BadRequest(f"--folder DIR or ${FOLDER} names where closed months are kept")
    return Bills(folder)


def _of_closed(client: Client, args: argparse.Namespace, columns: Tuple[CsvColumn, ...]) -> int:
    closed = _bills(args).read(client.cluster, args.month, args.bill_version)
    if args.verify:
        billing.prove(client, closed)
        say(f"krm: {_named(closed)} is what its inputs give, byte for byte")
        return OK
    if args.output == "json":
        write(closed.bill)
    else:
        _show(opened(closed.bill), args, columns)
    say(f"krm: {_named(closed)}, closed at {closed.closed_at}" + (f": {closed.reason}" if closed.reason else ""))
    return OK


def _named(closed: Closed) -> str:
    return f"{closed.month} of {closed.cluster}, version {closed.version}"


def _derived(client: Client, args: argparse.Namespace, columns: Tuple[CsvColumn, ...]) -> int:
    options = billing.options_of(args.by, args.charge, args.idle, args.cost_centre)
    made = billing.make(client, args.month, args.timezone, billing.read_file(args.prices), options)
    trusted = made.bill.worth.state == LIVE
    if trusted or args.stale_ok:
        if args.output == "json":
            write(document(made.bill).decode())
        else:
            _show(made.bill, args, columns)
    for reason in made.bill.worth.reasons:
        say(f"krm: {reason}")
    if not trusted:
        say(f"krm: the labels of nodes and namespaces are {made.bill.worth.state}"
            + ("" if args.stale_ok else ": --stale-ok shows the bill"))  # fmt: skip
        return NOT_TRUSTED
    if args.close:
        closed, new = billing.close(client, made, _bills(args), args.correct)
        say(f"krm: {_named(closed)} " + ("is closed" if new else "is closed already, with the same bytes"))
    return OK


def _show(bill: Bill, args: argparse.Namespace, columns: Tuple[CsvColumn, ...]) -> None:
    if args.output == "csv":
        write(to_csv(bill, columns))
        return
    rows = bill.cells(args.output == "wide")[1 if args.no_headers else 0 :]
    write("".join(line + "\n" for line in Columns().lines(rows)))
    say(f"krm: {bill.month.name} ({bill.month.zone}): {bill.total} {bill.currency} for {bill.hours} of"
        f" {bill.month.hours} hours")  # fmt: skip
    for note in bill.notes:
        say(f"krm: {note}")


def _columns(path: str) -> Tuple[CsvColumn, ...]:
    if not path:
        return DEFAULT
    try:
        return read_columns(billing.read_file(path, MAX_MAPPING))
    except BadRequest:
        raise
    except ValueError as error:
        raise BadRequest(f"{path}: {error}") from None
