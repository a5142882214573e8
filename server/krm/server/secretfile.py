"""Files that say who may come in: opened with care, told apart from changed ones. The sentences hold no secret."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple, Tuple

# What tells a file from a changed one.
Signature = Tuple[int, ...]


class Unfit(ValueError):
    """The file cannot be used; the text says why."""


class Content(NamedTuple):
    """What a file held when it was read."""

    text: str
    signature: Signature


def content(path: str, most: int, option: str) -> Content:
    """A regular file of at most `most` bytes that only its owner can change and no other can read.
    `option`: where people set it. Raises Unfit."""
    try:
        # Without O_NONBLOCK a FIFO would hold the server until somebody writes into it.
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Unfit(f"it cannot be opened ({type(error).__name__}): check {option}") from None
    try:
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise Unfit("it is no regular file")
        if found.st_mode & 0o027:
            raise Unfit("others may read it or its group may write it: chmod 600")
        if found.st_uid not in (0, os.geteuid()):
            raise Unfit("it belongs to another user than the one that krm runs as")
        raw = _read_all(number, most)
    except OSError as error:
        raise Unfit(f"it cannot be read ({type(error).__name__})") from None
    finally:
        os.close(number)
    if len(raw) > most:
        raise Unfit(f"it has more than {most} bytes")
    try:
        return Content(raw.decode("utf-8"), _signature(found))
    except UnicodeDecodeError:
        raise Unfit("it is no UTF-8 text") from None


def changed(path: str, signature: Signature) -> bool:
    """Whether the file is another one than when it had this signature, or is gone."""
    try:
        return _signature(os.stat(path)) != signature
    except OSError:
        return True


def _read_all(number: int, most: int) -> bytes:
    """At most a byte more than `most`."""
    pieces, size = [], 0
    while size <= most:
        piece = os.read(number, most + 1 - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _signature(found: os.stat_result) -> Signature:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
