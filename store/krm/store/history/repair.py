"""A file that SQLite cannot read any more: what can be read is copied into a new one, the rest is told.

SQLite has no digests of its pages: a page that holds a part of a blob is found by the blob's own digest
(krm.store.history.blobs) and costs that blob. Where a page of the trees is broken SQLite says that the
file is malformed. Then rows are read as far as the trees lead, and those that they lead to no more are
looked for in the file's leaves, where each blob says of itself what it is and proves that it is whole.
The old file stays beside the new one, the newest of such alone.
"""

from __future__ import annotations

import mmap
import os
import sqlite3
from pathlib import Path
from typing import Dict, Iterator, NamedTuple, Optional, Set, Tuple, cast

from krm.store.history.blobs import POINTS, Damaged, decode
from krm.store.history.leaves import last_blobs
from krm.store.history.sqlite import File, is_malformed, readonly
from krm.store.history.steps import HOUR_STEPS, WHOLE, hour_of, part_key, part_of

_SIDES = ("-wal", "-shm")
_KEYS = {"points": ("namespace", "hour", "part"), "sums": ("namespace", "hour")}
Key = Tuple[object, ...]


class Repaired(NamedTuple):
    """What came of it."""

    saved: int  # blobs
    lost: int  # blobs whose keys are known: they stand in the table `damaged`
    aside: str  # where the old file is now

    def __str__(self) -> str:
        lost = f"{self.lost} blobs are lost" if self.lost else "no blob is known to be lost"
        return (
            f"the history's file was damaged: {self.saved} blobs were saved, {lost}; the old file is {self.aside}"
        )


def finish(path: str) -> None:
    """Ends a repair that was cut off: a new file is whole as soon as the old one is out of the way."""
    new = f"{path}.mending"
    if os.path.exists(new) and not os.path.exists(path):
        os.replace(new, path)
    for each in (new, *(new + side for side in _SIDES)):
        if os.path.exists(each):
            os.unlink(each)


def repair(path: str) -> Repaired:
    """The file, mended. Nobody else may have it open. Raises OSError, sqlite3.Error: it is as it was."""
    new, aside = f"{path}.mending", f"{path}.damaged"
    finish(path)
    try:
        made = File(new)
        try:
            saved, lost = _copied(path, made)
        finally:
            made.close()
    except BaseException:
        finish(path)
        raise
    for side in ("", *_SIDES):
        if os.path.exists(aside + side):
            os.unlink(aside + side)
    for side in (*_SIDES, ""):
        if os.path.exists(path + side):
            os.replace(path + side, aside + side)
    os.replace(new, path)
    return Repaired(saved, lost, aside)


def _copied(path: str, made: File) -> Tuple[int, int]:
    """How many blobs were saved and lost."""
    saved: Dict[str, Set[Key]] = {table: set() for table in _KEYS}
    listed: Dict[str, Optional[Set[Key]]] = {}
    old = readonly(path)
    try:
        with made.transaction() as writer:
            for row in _rows(old, '"table", namespace, hour, part, why, blob', "damaged"):
                writer.execute("insert into damaged values (?, ?, ?, ?, ?, ?)", row)
            for table, fields in _KEYS.items():
                for row in _rows(old, f"{', '.join(fields)}, blob", table):
                    _put(writer, table, row)
                    saved[table].add(row[:-1])
                listed[table] = _listed(old, table)
    finally:
        old.close()
    with made.transaction() as writer:
        for table, row in _found(path, saved, listed):
            _put(writer, table, row)
            saved[table].add(row[:-1])
        lost = [(table, key) for table, keys in listed.items() for key in (keys or set()) - saved[table]]
        for table, key in lost:
            namespace, hour, part = (*key, 0)[:3]
            why = "a page of the file was damaged"
            writer.execute("insert into damaged values (?, ?, ?, ?, ?, null)", (table, namespace, hour, part, why))
    return sum(map(len, saved.values())), len(lost)


def _put(writer: sqlite3.Connection, table: str, row: Key) -> None:
    marks = ", ".join("?" * len(row))
    writer.execute(f"insert or replace into {table} values ({marks})", row)  # noqa: S608


def _rows(old: sqlite3.Connection, columns: str, table: str) -> Iterator[Key]:
    """As far as the trees lead."""
    try:
        yield from old.execute(f"select {columns} from {table} not indexed")  # noqa: S608
    except sqlite3.DatabaseError as error:
        if not _is_broken(error):
            raise


def _listed(old: sqlite3.Connection, table: str) -> Optional[Set[Key]]:
    """Keys by the index, which is a tree of its own; None where that is broken too."""
    try:
        return set(
            old.execute(
                f"select {', '.join(_KEYS[table])} from {table} indexed by sqlite_autoindex_{table}_1"  # noqa: S608
            )
        )
    except sqlite3.DatabaseError as error:
        if not _is_broken(error):
            raise
        return None


def _is_broken(error: sqlite3.DatabaseError) -> bool:
    """Malformed; or the list of tables is, so that one is not known any more."""
    return is_malformed(error) or "no such" in str(error)


def _found(
    path: str, saved: Dict[str, Set[Key]], listed: Dict[str, Optional[Set[Key]]]
) -> Iterator[Tuple[str, Key]]:
    """Rows in the leaves that are missing; of two the newer one is the last."""
    rows: Dict[Tuple[str, Key], Tuple[int, bytes]] = {}
    with open(path, "rb") as file:
        if not Path(path).stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            for number, blob in last_blobs(cast(bytes, raw)):
                place = _place(blob)
                if place is None:
                    continue
                table, key = place
                keys = listed[table]
                if key in saved[table] or (keys is not None and key not in keys):
                    continue
                if place not in rows or rows[place][0] <= number:
                    rows[place] = (number, blob)
    for (table, key), (_, blob) in rows.items():
        yield table, (*key, blob)


def _place(blob: bytes) -> Optional[Tuple[str, Key]]:
    """Where a blob belongs, by what it says of itself; None = it is none, or not whole."""
    try:
        packed = decode(blob)
    except Damaged:
        return None
    if packed.kind != POINTS:
        return "sums", (packed.namespace, packed.first)
    if packed.width == HOUR_STEPS:
        return "points", (packed.namespace, hour_of(packed.first), WHOLE)
    return "points", (packed.namespace, *part_key(part_of(packed.first)))
