"""The Redis that `krm up` runs for itself: started again on the same socket where it died."""

from __future__ import annotations

import os
import socket
import time
from typing import List, Optional

from krm.cli.processes import FIRST_BACKOFF, LAST_BACKOFF
from krm.client.direct import told
from krm.client.errors import KrmError
from krm.store.embedded import Embedded, start_embedded

_UNIX = "unix://"


class PrivateRedis:
    """Raises KrmError where none can be started."""

    def __init__(self) -> None:
        with told():
            first = start_embedded()
        self._servers: List[Embedded] = [first]  # the first owns the folder, so it is the last to be stopped
        self.url, self.how, self.warning = first.url, first.how, first.warning
        self._socket = first.url[len(_UNIX) :]
        self._again_at, self._backoff = 0.0, FIRST_BACKOFF

    @property
    def died(self) -> bool:
        """Whether it was started again: what it counted before is gone."""
        return len(self._servers) > 1

    def tend(self) -> Optional[str]:
        """Called where it does not answer; a sentence where it had died. A slow one is left alone."""
        now = time.monotonic()
        if now < self._again_at or not self._is_dead():
            return None
        self._again_at, self._backoff = now + self._backoff, min(LAST_BACKOFF, self._backoff * 2)
        try:
            with told():
                self._servers.append(start_embedded(os.path.dirname(self._socket)))
        except KrmError as error:
            return f"the Redis of this krm up died, and cannot be started again: {error}"
        return "the Redis of this krm up died; it was started again, empty: every kind is listed anew"

    def stop(self) -> None:
        """Ends it; the newest server first."""
        for server in reversed(self._servers):
            server.stop()

    def _is_dead(self) -> bool:
        # Whoever is only busy still takes a connection: the kernel does it for them.
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(self._socket)
            except (ConnectionRefusedError, FileNotFoundError):
                return True
            except OSError:
                return False
        return False
