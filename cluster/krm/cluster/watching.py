"""WATCH: one connection's complete lines, as bytes, as soon as they are there.

A line is one event: `{"type":"ADDED","object":{...}}`. It is not parsed here; that an ERROR event
came is the caller's to see (errors.from_error_event gives its meaning). An incomplete last line is
dropped: the next watch, from the last resourceVersion, brings it again.
"""

from __future__ import annotations

import random
import time
from typing import List, Optional

from krm.cluster.errors import Malformed, Unreachable
from krm.cluster.requests import Cluster
from krm.model.kinds import UNCACHED_KINDS, Resource

# Seconds that a watch lives, picked at random so that watches of one start do not all end at once.
LIFE = (300, 600)
# Seconds past its life after which a server that does not close the watch is given up.
GRACE = 10.0
# Seconds without a byte: a bookmark comes about each minute, so silence means a dead connection.
INACTIVITY = 90.0
# Seconds for the headers. A resourceVersion ahead of the server's cache is waited for 3 s.
HEADERS_TIMEOUT = 30.0
# Bytes of one line. etcd's limit is 1.5 MiB an object in protobuf; JSON may be several times that.
MAX_LINE = 16 * 1024 * 1024
# Bytes a poll hands over: about 30 events of 8 KB. With 1 MiB an event costs half as much CPU again.
MOST = 256 * 1024


class WatchClosed(Exception):
    """The watch ended as watches do: connect again from the last resourceVersion.

    `lived`: seconds since it was asked for. `lines`: complete lines it gave. `cause`: `server` (it closed
    the stream), `deadline` (it should have), `here` (close() was called).
    """

    def __init__(self, lived: float, lines: int, cause: str) -> None:
        super().__init__(f"the watch was closed ({cause}) after {lived:.1f} s and {lines} lines")
        self.lived = lived
        self.lines = lines
        self.cause = cause


class Watch:
    """One watch connection. One thread polls; any thread may close."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        namespace: Optional[str],
        from_rv: str,
        timeout_seconds: Optional[int] = None,
        inactivity: Optional[float] = None,
    ) -> None:
        """Connects. Events later than `from_rv` come, and bookmarks.

        `timeout_seconds` defaults to a random 300..600; `inactivity` (seconds without a byte, then
        Unreachable) to 90, and to no limit for kinds that get no bookmarks. Raises ClusterError.
        """
        if from_rv in ("", "0"):
            raise ValueError("a watch without a resourceVersion starts with events in no order: give one")
        life = random.randint(*LIFE) if timeout_seconds is None else timeout_seconds
        quiet = float("inf") if resource.kind in UNCACHED_KINDS else INACTIVITY
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": from_rv,
            "timeoutSeconds": str(life),
        }
        self._inactivity = quiet if inactivity is None else inactivity
        self._started = self._last_byte = time.monotonic()
        self._deadline = self._started + life + GRACE
        self._lines = 0
        self._partial: List[bytes] = []
        self._partial_size = 0
        self._body = cluster.stream(resource.path(namespace), query, HEADERS_TIMEOUT)

    @property
    def silent_for(self) -> float:
        """Seconds since the last byte."""
        return time.monotonic() - self._last_byte

    def poll(self, timeout: float) -> List[bytes]:
        """The complete lines that are there, without their newlines, about MOST bytes at most.

        Waits up to `timeout` seconds for the first one; [] when none came. Raises WatchClosed at the
        end, once all complete lines were given; Unreachable on a reset, or after `inactivity`;
        Malformed on a line over MAX_LINE or a broken framing.
        """
        self._check_limits()
        until = min(time.monotonic() + timeout, self._deadline, self._last_byte + self._inactivity)
        while True:
            lines = self._cut(self._body.read(max(0.0, until - time.monotonic()), MOST))
            if lines:
                return lines
            if self._body.closing or self._body.ended:
                raise self._closed("here" if self._body.closing else "server")
            if time.monotonic() >= until:
                self._check_limits()
                return []

    def close(self) -> None:
        """Ends the watch from any thread; a poll that waits raises WatchClosed at once."""
        self._body.close()

    def _closed(self, cause: str) -> WatchClosed:
        self._body.close()
        return WatchClosed(time.monotonic() - self._started, self._lines, cause)

    def _check_limits(self) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            raise self._closed("deadline")
        if now - self._last_byte >= self._inactivity:
            self._body.close()
            raise Unreachable(
                f"{self._body.what} gave no byte for {self._inactivity:.0f} s, not even a bookmark: "
                "the connection is dead, watch again"
            )

    def _cut(self, pieces: List[bytes]) -> List[bytes]:
        """Complete lines; what follows the last newline is kept for the next pieces."""
        if pieces:
            self._last_byte = time.monotonic()
        lines: List[bytes] = []
        for piece in pieces:  # mostly one chunk, one event, one line: so no joining of all first
            parts = piece.split(b"\n")
            if self._partial and len(parts) > 1:
                parts[0] = b"".join([*self._partial, parts[0]])
                self._partial, self._partial_size = [], 0
            tail = parts.pop()
            if tail:
                self._partial.append(tail)
                self._partial_size += len(tail)
                self._check_line(self._partial_size)
            lines += parts
        if b"" in lines:  # an empty line is white space between two documents
            lines = [line for line in lines if line]
        self._lines += len(lines)
        return lines

    def _check_line(self, size: int) -> None:
        if size > MAX_LINE:
            self._body.close()
            raise Malformed(f"{self._body.what} gave a line of over {MAX_LINE} bytes: no object can be that large")
