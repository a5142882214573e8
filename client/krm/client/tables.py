"""A kind as the rows that kubectl prints. A server writes them itself, so no object travels; of Redis they are
made here, one object after the other, so none is kept."""

from __future__ import annotations

import json
from typing import List, NamedTuple, Optional, Sequence, Tuple

from krm.client.errors import Damaged
from krm.client.pipelines import Pipelines, allowed
from krm.client.selection import Selection
from krm.client.source import TableRow, Tabulated
from krm.client.worst import worst
from krm.model import columns
from krm.model.cells import Cell, Column, Object, Printer
from krm.model.kinds import split_key
from krm.model.trust import Trust
from krm.store.read import SnapshotData

# What stands for every cell but the name of an object whose bytes do not parse.
UNREADABLE = "<unreadable>"


class Table(NamedTuple):
    """The rows of one kind at one version, in the order of the API server. `trust`, `damaged`: as of a Snapshot."""

    kind: str
    columns: Tuple[Column, ...]
    rows: List[TableRow]
    trust: Trust
    damaged: Tuple[str, ...]


def read(pipelines: Pipelines, kind: str, selection: Selection, stale_ok: bool) -> Table:
    """The rows that `selection` chooses. Raises as Client.table."""
    namespace = selection.namespace
    parts, trusts = [], []
    for pipeline in pipelines.of(kind, namespace):
        found = pipelines.reader(kind, pipeline).table(namespace, selection)
        trusts.append((pipeline, pipelines.judged(kind, pipeline, found.head, found.time)))
        if found.something:
            parts.append(found)
    return _joined(kind, parts, allowed(kind, worst(trusts), stale_ok, len(parts) == len(trusts)))


def tabulated(printer: Printer, data: SnapshotData, selection: Selection) -> Tabulated:
    """The rows of what was read, with ages as of then. Raises BadObject for labels that rotted."""
    chosen = [
        (key, one.body)
        for key, one in sorted(data.objects.items(), key=lambda row: row[0].encode())
        if selection.matches(key, one.labels, one.fields)
    ]
    if printer.order is not None:
        order = printer.order
        chosen.sort(key=lambda row: order(_decoded(row[1]) or {}))
    rows = [TableRow(key, cells_of(printer, key, body, data.time)) for key, body in chosen]
    damaged = [key for key in data.corrupt if selection.namespace in (None, split_key(key)[0])]
    return Tabulated(data.head, data.time, True, printer.columns, rows, tuple(damaged))


def cells_of(printer: Printer, key: str, body: bytes, now: float) -> Sequence[Cell]:
    """The cells of one object at `now`, epoch seconds; of one that does not parse its name, and UNREADABLE."""
    found = _decoded(body)
    if found is not None:
        return printer.cells(found, now)
    return [split_key(key)[1]] + [UNREADABLE] * (len(printer.columns) - 1)


def _decoded(body: bytes) -> Optional[Object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else None


def _joined(kind: str, parts: Sequence[Tabulated], trust: Trust) -> Table:
    """One table of several pipelines'. Raises Damaged where a server's differ in their columns."""
    shown = parts[0].columns if parts else columns.columns(kind)
    if any(part.columns != shown for part in parts):
        raise Damaged(f"the tables of {kind} differ in their columns from namespace to namespace: try again")
    rows = [row for part in parts for row in part.rows]
    if len(parts) > 1:
        rows.sort(key=lambda row: row.key.encode())
    return Table(kind, shown, rows, trust, tuple(key for part in parts for key in part.damaged))
