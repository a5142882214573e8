"""A copy of the history while it is written, and the way back.

The copy is of one moment: it is read in one transaction, beside which the writer goes on. Its digest is
of what it holds, not of its pages, stands in it, and is proved before anything is restored from it. A
file appears under its name when it is whole, never before.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Callable, Iterator

from krm.store.history.asked import NoHistory
from krm.store.history.sqlite import readonly

_PAGES = 256  # that are copied at once: 1 MiB, so that other threads run in between
_COPY = ".copy-"  # follows the name of the file that a copy to be sent is of
_SIZE = 16  # bytes of a digest
_DIGEST = "digest"  # its name in `meta`
_ORDERS = {
    "meta": "select name, value from meta where name <> 'digest' order by name",
    "points": "select namespace, hour, part, blob from points order by namespace, hour, part",
    "sums": "select namespace, hour, blob from sums order by namespace, hour",
    "damaged": 'select "table", namespace, hour, part, why, blob from damaged'
    ' order by "table", namespace, hour, part, why',
}


class CannotCopy(NoHistory):
    """No backup, or none that can be restored; the text says why."""


def backup(source: str, target: str) -> str:
    """Copies the history at `source` to a new file, and answers its digest. Raises CannotCopy.

    What the process that writes it took since its last flush is not in the file yet, nor in the copy.
    """
    if not os.path.exists(source):
        raise CannotCopy(f"{source}: there is no history")
    with _new_file(target) as partial:
        _copy(source, partial)
        return _stamped(partial)


def fetched(copy: Callable[[BinaryIO], None], target: str) -> str:
    """A backup from elsewhere, such as RemoteHistory.copy brings, proved. Raises CannotCopy, NoHistory."""
    with _new_file(target) as partial:
        with open(partial, "wb") as file:
            copy(file)
        return _proved(partial, target)


def restore(source: str, target: str) -> str:
    """A backup into an empty place. Answers its digest. Raises CannotCopy, with the place as it was."""
    if not os.path.exists(source):
        raise CannotCopy(f"{source}: there is no backup")
    with _new_file(target) as partial:
        _copy(source, partial)
        return _proved(partial, source)


def digest(path: str) -> str:
    """Of what a history holds, whichever way its pages lie. Raises CannotCopy."""
    with _reading(path) as connection:
        return _digest(connection)


@contextmanager
def copied(source: str) -> Iterator[BinaryIO]:
    """A backup open for reading, that is gone afterwards. Raises CannotCopy."""
    target = f"{source}{_COPY}{os.getpid()}-{threading.get_ident()}"
    backup(source, target)
    try:
        with open(target, "rb") as file:
            yield file
    finally:
        os.unlink(target)


def _proved(partial: str, name: str) -> str:
    wanted, found = _stamp(partial), digest(partial)
    if wanted != found:
        raise CannotCopy(f"{name} is no whole backup: its digest is {found}, and it says {wanted or 'none'}")
    return found


def swept(source: str) -> None:
    """Removes copies that were left when the process that has the file was killed. Raises OSError."""
    place = Path(source)
    for left in place.parent.iterdir():
        if left.name.startswith(place.name + _COPY):
            left.unlink()


@contextmanager
def _new_file(target: str) -> Iterator[str]:
    """A file beside it, which takes its name at the end. Nothing that exists is written over."""
    partial = f"{target}.partial-{os.getpid()}"
    for side in ("", "-wal", "-journal"):  # a log without its file would be taken for the new one's
        if os.path.lexists(target + side):
            raise CannotCopy(f"{target}{side} exists: nothing is written over")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield partial
        _flushed(partial)
        os.link(partial, target)  # unlike a rename it fails where somebody was quicker
    except (OSError, sqlite3.Error) as error:
        raise CannotCopy(f"{target} cannot be written: {error}") from None
    finally:
        for side in ("", "-journal"):
            if os.path.exists(partial + side):
                os.unlink(partial + side)


def _copy(source: str, partial: str) -> None:
    with _reading(source) as old:
        made = sqlite3.connect(partial, isolation_level=None)
        try:
            old.execute("begin")
            old.execute("select count(*) from meta").fetchone()  # from here on it sees one moment
            old.backup(made, pages=_PAGES, sleep=0)
            made.execute("pragma journal_mode = delete")  # one file, without a log beside it
        finally:
            made.close()


def _stamped(partial: str) -> str:
    made = sqlite3.connect(partial, isolation_level=None)
    try:
        found = _digest(made)
        made.execute("insert or replace into meta values (?, ?)", (_DIGEST, found))
    finally:
        made.close()
    return found


def _stamp(path: str) -> str:
    with _reading(path) as connection:
        row = connection.execute("select value from meta where name = ?", (_DIGEST,)).fetchone()
    return str(row[0]) if row else ""


@contextmanager
def _reading(path: str) -> Iterator[sqlite3.Connection]:
    try:
        connection = readonly(path)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise CannotCopy(f"{path} cannot be read as a history: {error}") from None


def _digest(connection: sqlite3.Connection) -> str:
    found = blake2b(digest_size=_SIZE)
    for table, select in _ORDERS.items():
        found.update(table.encode())
        for row in connection.execute(select):
            for value in row:
                raw = value if isinstance(value, bytes) else str(value).encode()
                found.update(b"%d:" % len(raw))
                found.update(raw)
    return found.hexdigest()


def _flushed(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
