"""A file that SQLite cannot read any more: what can be read is copied into a new one, the rest is told.

SQLite has no digests of its pages: a page that holds a part of a blob is found by the blob's own digest
(krm.store.history.blobs) and costs that blob. A page of the trees between them makes SQLite say that the
file is malformed; then rows are read one range of numbers after another, ranges that fail are halved, and
what is lost is a few rows. The old file stays beside the new one, the newest of such alone.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from krm.store.history.sqlite import File, is_malformed, readonly

_MOST_PROBES = 200_000  # ranges that are tried: some seconds
_HIGHEST = 2**47  # no row has a number beyond: 140 million years of flushes
_SIDES = ("-wal", "-shm")


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
        Path(each).unlink() if os.path.exists(each) else None


def repair(path: str) -> Repaired:
    """The file, mended. Nobody else may have it open. Raises OSError, sqlite3.Error: it is as it was."""
    new, aside = f"{path}.mending", f"{path}.damaged"
    finish(path)
    try:
        saved, lost = _copied(path, new)
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


def _copied(path: str, new: str) -> Tuple[int, int]:
    saved = lost = 0
    made = File(new)
    try:
        old = readonly(path)
        try:
            for table, columns in _TABLES.items():
                found = list(_rows(old, table, columns)) if table == "damaged" else _rows(old, table, columns)
                keys: Set[Tuple[object, ...]] = set()
                with made.transaction() as writer:
                    for row in found:
                        writer.execute(
                            f"insert or replace into {table} values ({','.join('?' * len(row))})",  # noqa: S608
                            row,
                        )
                        keys.add(row[: columns.count(",")])
                        saved += table != "damaged"
                    for key in _listed(old, table) - keys if table != "damaged" else ():
                        lost += 1
                        namespace, hour, part = (*key, 0)[:3]
                        writer.execute(
                            "insert into damaged values (?, ?, ?, ?, ?, null)",
                            (table, namespace, hour, part, "a page of the file was damaged"),
                        )
        finally:
            old.close()
    finally:
        made.close()
    return saved, lost


_TABLES: Dict[str, str] = {
    "damaged": '"table", namespace, hour, part, why, blob',
    "points": "namespace, hour, part, blob",
    "sums": "namespace, hour, blob",
}


def _rows(old: sqlite3.Connection, table: str, columns: str) -> Iterator[Tuple[object, ...]]:
    """All that can be read, by halves."""
    ranges: List[Tuple[int, int]] = [(0, _HIGHEST)]
    probes = 0
    while ranges and probes < _MOST_PROBES:
        first, last = ranges.pop()
        probes += 1
        after: Optional[int] = None
        try:
            for row in old.execute(
                f"select rowid, {columns} from {table} where rowid between ? and ? order by rowid",  # noqa: S608
                (first, last),
            ):
                after = row[0]
                yield row[1:]
            continue
        except sqlite3.DatabaseError as error:
            if not is_malformed(error):
                raise
        first = first if after is None else after + 1
        if first >= last:
            continue
        middle = (first + last) // 2
        ranges += [(middle + 1, last), (first, middle)]


def _listed(old: sqlite3.Connection, table: str) -> Set[Tuple[object, ...]]:
    """Keys by the index, which is a tree of its own; none where that is broken too."""
    key = "namespace, hour, part" if table == "points" else "namespace, hour"
    try:
        return set(old.execute(f"select {key} from {table} indexed by sqlite_autoindex_{table}_1"))  # noqa: S608
    except sqlite3.DatabaseError:
        return set()
