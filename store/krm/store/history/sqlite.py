"""The file: its tables, its one writer, and readers beside it. Blobs go in and out unopened.

    points   (namespace, hour, part) -> blob; part 0 is the whole hour, 1..12 are its parts as they grow
    sums     (namespace, hour) -> blob
    damaged  what was set aside, and why
    meta     name -> value: the form of the file

Write-ahead log, synchronous=NORMAL: whoever kills the process takes nothing that was committed; a power
cut may take the last seconds, and never tears what is older. Errors of SQLite go through as they are.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from krm.store.history.asked import NoHistory

FORM = "1"  # of the tables; another one is refused
_BUSY = 5.0  # seconds: another process has no business here, but a backup may look
_MOST_READERS = 8  # connections that are kept for the next reader
_CACHE = 8 * 1024  # KiB of pages, a connection
_LOG = 64 * 2**20  # bytes that the log keeps after it was copied into the file
_CORRUPT_CODES = frozenset((11, 26))  # SQLITE_CORRUPT, SQLITE_NOTADB
_CORRUPT_TEXTS = ("malformed", "not a database")
_SCHEMA = """
create table if not exists meta (name text primary key, value text not null);
create table if not exists points (
    namespace text not null, hour integer not null, part integer not null, blob blob not null,
    primary key (namespace, hour, part));
create index if not exists points_hour on points (hour, part, namespace);
create table if not exists sums (
    namespace text not null, hour integer not null, blob blob not null, primary key (namespace, hour));
create index if not exists sums_hour on sums (hour, namespace);
create table if not exists damaged (
    "table" text not null, namespace text not null, hour integer not null, part integer not null,
    why text not null, blob blob);
"""


class PointsRow(NamedTuple):
    """One blob of points by its key."""

    namespace: str
    hour: int
    part: int
    blob: Optional[bytes]  # None = its page is damaged


class SumsRow(NamedTuple):
    """One blob of sums by its key."""

    namespace: str
    hour: int
    blob: Optional[bytes]  # the same


class Finding(NamedTuple):
    """A blob that cannot be read."""

    table: str  # points, sums
    namespace: str
    hour: int
    part: int  # of points
    why: str


def is_malformed(error: BaseException) -> bool:
    """The file itself is broken; not: locked, full, away."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # since Python 3.11; its low byte is the kind
    if code is not None:
        return code & 0xFF in _CORRUPT_CODES
    return any(text in str(error) for text in _CORRUPT_TEXTS)


def readonly(path: str) -> sqlite3.Connection:
    """To read a file whatever is wrong with it: no pragma is written. Raises sqlite3.Error."""
    connection = sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=rw", uri=True, isolation_level=None)
    connection.text_factory = _text
    connection.execute("pragma query_only = on")
    return connection


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _where(found: Finding) -> Tuple[str, Tuple[object, ...]]:
    if found.table == "points":
        return "namespace = ? and hour = ? and part = ?", (found.namespace, found.hour, found.part)
    return "namespace = ? and hour = ?", (found.namespace, found.hour)


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """What is read in it is of one moment."""
    connection.execute("begin")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("commit")


class File:
    """The connections. Writing is for one thread, reading for any."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._idle: List[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self.malformed = False  # somebody met a damaged page
        self._writer = self._connect()
        try:
            self._prepare()
        except BaseException:
            self._writer.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        connection.execute(f"pragma cache_size = -{_CACHE}")
        connection.text_factory = _text
        return connection

    def _prepare(self) -> None:
        writer = self._writer
        writer.execute("pragma journal_mode = wal")
        writer.execute("pragma synchronous = normal")
        writer.execute(f"pragma journal_size_limit = {_LOG}")
        writer.executescript(_SCHEMA)
        writer.execute("insert or ignore into meta values ('form', ?)", (FORM,))
        found = writer.execute("select value from meta where name = 'form'").fetchone()
        if found is None or found[0] != FORM:
            raise NoHistory(
                f"{self.path} has form {found and found[0]}, this krm reads {FORM}: use the krm that wrote it"
            )

    # Writing ------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it, or nothing."""
        self._writer.execute("begin immediate")
        try:
            yield self._writer
            self._writer.execute("commit")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("rollback")
            raise

    def put(self, points: Iterable[PointsRow], sums: Iterable[SumsRow]) -> None:
        """What is there under the same keys is replaced."""
        with self.transaction() as writer:
            writer.executemany("insert or replace into points values (?, ?, ?, ?)", points)
            writer.executemany("insert or replace into sums values (?, ?, ?)", sums)

    def put_whole(self, whole: PointsRow) -> None:
        """An hour in the place of its parts."""
        with self.transaction() as writer:
            writer.execute("delete from points where namespace = ? and hour = ?", whole[:2])
            writer.execute("insert into points values (?, ?, ?, ?)", whole)

    def drop_before(self, points_hour: int, sums_hour: int) -> None:
        """What is older than is kept."""
        with self.transaction() as writer:
            writer.execute("delete from points where hour < ?", (points_hour,))
            writer.execute("delete from sums where hour < ?", (sums_hour,))
            writer.execute("delete from damaged where hour < ?", (sums_hour,))

    def set_aside(self, found: Finding) -> None:
        """A blob that cannot be read, out of the way. Where its page is broken, it stays until the repair."""
        table, where, key = found.table, *_where(found)
        with self.transaction() as writer:
            writer.execute(
                f"insert into damaged select ?, ?, ?, ?, ?, blob from {table} where {where}",  # noqa: S608
                (*found, *key),
            )
            writer.execute(f"delete from {table} where {where}", key)  # noqa: S608

    # Reading ------------------------------------------------------------------------------------

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone, until the end of the block."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._connect()
            connection.execute("pragma query_only = on")
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed and len(self._idle) < _MOST_READERS:
                self._idle.append(connection)
                return
        connection.close()

    def points(self, namespaces: Optional[Sequence[str]], first: int, last: int) -> Iterator[PointsRow]:
        """Blobs of these hours, the whole before the parts, in order of time. None = all namespaces."""
        yield from map(PointsRow._make, self._rows("points", ("hour", "part"), namespaces, first, last))

    def sums(self, namespaces: Optional[Sequence[str]], first: int, last: int) -> Iterator[SumsRow]:
        """Blobs of these hours, in order of time."""
        yield from map(SumsRow._make, self._rows("sums", ("hour",), namespaces, first, last))

    def _rows(
        self, table: str, order: Sequence[str], namespaces: Optional[Sequence[str]], first: int, last: int
    ) -> Iterator[Tuple[object, ...]]:
        """Keys by their index, then each blob by itself: a damaged page costs one. All as of one moment."""
        fields = ["namespace", *order]
        fetch = f"select blob from {table} where {' and '.join(field + ' = ?' for field in fields)}"  # noqa: S608
        with self.reader() as connection, _snapshot(connection):
            for key in self._keys(connection, table, order, namespaces, first, last):
                try:
                    row = connection.execute(fetch, key).fetchone()
                except sqlite3.DatabaseError as error:
                    if not is_malformed(error):
                        raise
                    row = None
                if row is None:
                    self.malformed = True
                yield (*key, row[0] if row else None)

    def _keys(
        self,
        connection: sqlite3.Connection,
        table: str,
        order: Sequence[str],
        namespaces: Optional[Sequence[str]],
        first: int,
        last: int,
    ) -> List[Tuple[object, ...]]:
        select = f"select namespace, {', '.join(order)} from {table} where hour between ? and ?"  # noqa: S608
        by = f" order by {', '.join(order)}"
        try:
            if namespaces is None:
                return connection.execute(select + by, (first, last)).fetchall()
            return [
                key
                for namespace in namespaces
                for key in connection.execute(f"{select} and namespace = ?{by}", (first, last, namespace))
            ]
        except sqlite3.DatabaseError as error:
            self.malformed = self.malformed or is_malformed(error)
            raise

    def lost(self, table: str, namespaces: Optional[Sequence[str]], first: int, last: int) -> List[Tuple[str, int]]:
        """(namespace, hour) of what was set aside."""
        with self.reader() as connection:
            found = connection.execute(
                'select distinct namespace, hour from damaged where "table" = ? and hour between ? and ?',
                (table, first, last),
            ).fetchall()
        return sorted(key for key in found if namespaces is None or key[0] in namespaces)

    def row(self, found: Finding) -> Union[PointsRow, SumsRow, None]:
        """One blob; None where there is none under its key any more."""
        where, key = _where(found)
        with self.reader() as connection:
            row = connection.execute(f"select blob from {found.table} where {where}", key).fetchone()  # noqa: S608
        if row is None:
            return None
        if found.table == "points":
            return PointsRow(found.namespace, found.hour, found.part, row[0])
        return SumsRow(found.namespace, found.hour, row[0])

    def unfinished(self, before: int) -> List[Tuple[str, int]]:
        """(namespace, hour) of closed hours that are still in parts."""
        with self.reader() as connection:
            return connection.execute(
                "select distinct namespace, hour from points where hour < ? and part > 0 order by hour", (before,)
            ).fetchall()

    def oldest(self, table: str) -> Optional[int]:
        """The first hour that is there."""
        with self.reader() as connection:
            found: Optional[int] = connection.execute(f"select min(hour) from {table}").fetchone()[0]  # noqa: S608
        return found

    def newest_sums(self) -> Optional[int]:
        """The last hour that is there."""
        with self.reader() as connection:
            found: Optional[int] = connection.execute("select max(hour) from sums").fetchone()[0]
        return found

    def damage(self) -> int:
        """How many blobs are set aside."""
        with self.reader() as connection:
            return int(connection.execute("select count(*) from damaged").fetchone()[0])

    def close(self) -> None:
        """The log is copied into the file as the last connection goes."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._writer.close()
