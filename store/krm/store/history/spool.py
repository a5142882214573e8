"""What a remote history has not taken yet, on disk: whole batches, oldest first, within a number of bytes.

A batch is one gzip file, and these very bytes are what is sent, as often as it takes: a store that keeps
one point a series and moment is the same after the second time.

When is it safe? A batch is a file before the first attempt to send it, so a killed process loses none.
It is synced to the disk (fsync of file and folder) when the first attempt failed, so a power failure
loses at most the batch that was on its way. A file that was torn all the same is told by gzip's own
checksum when its turn comes, counted, and removed.

Of two processes one has the folder: it holds a lock until it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import zlib
from collections import deque
from pathlib import Path
from typing import Deque, List, NamedTuple, Optional, Tuple

MOST = 1 << 30  # bytes that are kept while the server is away: days of a middling cluster
_NAME = re.compile(r"^(\d{16})\.gz$")
_CHUNK = 256 * 1024
_MOST_BATCH = 64 * 1024 * 1024  # bytes of a batch once decompressed: none that krm wrote is larger


class Taken(Exception):
    """Another process has this folder."""


class Batch(NamedTuple):
    """One file."""

    number: int
    size: int  # bytes


class Spool:
    """One folder. For one thread. Errors of the disk are OSError; after one the spool is as it was."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        """Makes the folder (for its owner alone) where it is missing. Raises Taken, OSError."""
        self.folder, self._most = folder, most
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(str(folder / "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Taken(f"another process writes to {folder}") from None
        self.dropped = 0  # batches that had to make room
        self.torn = 0  # files that a crash tore
        self._batches: Deque[Batch] = deque()
        # Numbers: of the next batch, of the first that is this process' own, of the last that is synced.
        self._next, self._own, self._secured = 0, 0, -1
        try:
            self._look()
        except BaseException:
            self.close()
            raise
        self.bytes = sum(batch.size for batch in self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def put(self, batch: bytes) -> None:
        """Keeps a batch, as `pack` made it; the oldest ones make room, and are counted."""
        number, self._next = self._next, self._next + 1
        while self._batches and self.bytes + len(batch) > self._most:
            self._remove(self._batches[0])
            self.dropped += 1
        draft = self.folder / "draft"
        try:
            draft.write_bytes(batch)
            draft.chmod(0o600)
            draft.rename(self._path(number))
        except OSError:
            if draft.exists():
                draft.unlink()
            raise
        self._batches.append(Batch(number, len(batch)))
        self.bytes += len(batch)

    def oldest(self) -> Optional[Tuple[Batch, bytes]]:
        """The batch that is next to be sent; None = there is none. Raises OSError."""
        while self._batches:
            batch = self._batches[0]
            path = self._path(batch.number)
            try:
                if batch.number >= self._own or is_whole(path):
                    return batch, path.read_bytes()
            except FileNotFoundError:
                pass  # someone cleaned up by hand: it is as lost as a torn one
            self._remove(batch)
            self.torn += 1
        return None

    def done(self, name: Batch) -> None:
        """The store has it, or will never take it. Raises OSError."""
        self._remove(name)

    def secure(self) -> None:
        """All that is here survives a power failure once this returns. Raises OSError."""
        for batch in list(self._batches)[self._secured_from() :]:
            _sync(self._path(batch.number))
            self._secured = batch.number
        _sync(self.folder)

    def close(self) -> None:
        """Gives the folder free. What is in it stays."""
        os.close(self._lock)

    # --- parts

    def _look(self) -> None:
        """What an earlier process left."""
        found: List[Batch] = []
        for path in self.folder.iterdir():
            match = _NAME.match(path.name)
            if match:
                found.append(Batch(int(match.group(1)), path.stat().st_size))
        self._batches.extend(sorted(found))
        self._own = self._next = self._batches[-1].number + 1 if self._batches else 0

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:016d}.gz"

    def _remove(self, batch: Batch) -> None:
        path = self._path(batch.number)
        if path.exists():
            path.unlink()
        self._forget(batch)

    def _forget(self, batch: Batch) -> None:
        self._batches.remove(batch)
        self.bytes -= batch.size

    def _secured_from(self) -> int:
        """Index of the first batch that is not synced."""
        return next((at for at, one in enumerate(self._batches) if one.number > self._secured), len(self._batches))


def pack(lines: bytes) -> bytes:
    """A batch. The same lines give the same bytes."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)  # 31: with gzip's header and checksum, its time 0
    return packer.compress(lines) + packer.flush()


def is_whole(path: Path) -> bool:
    """Whether a file is one batch and nothing else. Raises OSError."""
    unpacker = zlib.decompressobj(31)
    size = 0
    with path.open("rb") as file:
        while not unpacker.eof:
            data = unpacker.unconsumed_tail or file.read(_CHUNK)
            if not data:
                return False
            try:
                size += len(unpacker.decompress(data, _CHUNK))
            except zlib.error:
                return False
            if size > _MOST_BATCH:
                return False
        return not (unpacker.unused_data or file.read(1))


def _sync(path: Path) -> None:
    handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
