"""One process a history file: a lock of the operating system, which ends with its holder however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Optional

from krm.store.history.asked import NoHistory


class Held(NoHistory):
    """Another process has the file; the text names it."""


class FileLease:
    """The lock on FILE.lock, held until `release`. Raises Held, OSError."""

    def __init__(self, path: str) -> None:
        self._descriptor: Optional[int] = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip()
            self.release()
            raise Held(f"{path} is open in {holder or 'another process'}: one process writes it") from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Once more does nothing. The file stays: to remove it would let two hold two."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
