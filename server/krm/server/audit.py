"""The audit log: one JSON line a request, once it has ended. Never a body, a token, a header or a query.

field         what
time          when it came, RFC 3339 in UTC
user          who asked, null where that was not found out; `peer` is their address
verb          as an authoriser sees it: get, list, watch; of a path the method in lower case
kind, namespace, name, path   what for; a path where it is no resource; null where it was not asked for
cluster, code, bytes, milliseconds   of the answer: its bytes without its head, and the time until its end
age           seconds since what was served was proven current; null = nothing was served, or it is unknown

The event loop only appends to a queue. A thread writes, so that a full disk or a slow pipe holds up nobody;
lines that find no room are counted, and the count stands in a line of its own.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
import time
from collections import deque
from typing import Any, Deque, Dict, List, Optional

from krm.model import times
from krm.server.web import Reply, Request, Send

STDOUT = "-"
# Seconds for which a line may wait. A log that is read minutes later loses nothing by it.
FLUSH_EVERY = 0.2
MOST_WAITING = 20_000  # lines, some 10 MB
# Characters. Names of Kubernetes have at most 253; a caller can make a path of any length.
LONGEST = 512

log = logging.getLogger("krm.server")


class CannotWrite(OSError):
    """The file cannot be opened; the text says why."""


class Audit:
    """Of one process. `begin` belongs to the event loop."""

    def __init__(self, path: str) -> None:
        """`path`: `-` is standard output. Raises CannotWrite."""
        self._path = path
        self._waiting: Deque[str] = deque()
        self._dropped = 0
        self._number, self._torn, self._failed, self._reopen = self._opened(), False, "", False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
        self._thread.start()

    def begin(self, request: Request, send: Send) -> Line:
        """A request has come; `send` is where its answer will go."""
        return Line(self, request, send)

    def put(self, line: str) -> None:
        """A whole line, without its end. Never waits."""
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
        else:
            self._waiting.append(line)

    def reopen(self) -> None:
        """Somebody moved the file away: the next line goes into a new one. Seen without being told, too."""
        self._reopen = True

    def close(self) -> None:
        """Writes what waits, for a second at most."""
        self._ended.set()
        self._thread.join(1.0)

    # The thread

    def _run(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(FLUSH_EVERY)
            lines = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(json.dumps({"time": times.write(time.time()), "dropped": dropped}))
            if lines:
                self._write(lines)

    def _write(self, lines: List[str]) -> None:
        try:
            if self._path != STDOUT and (self._reopen or self._moved()):
                self._reopen = False
                os.close(self._number)
                self._number = self._opened()
            data = memoryview((("\n" if self._torn else "") + "\n".join(lines) + "\n").encode())
            while data:
                written = os.write(self._number, data)
                self._torn = True  # until all of it stands there
                data = data[written:]
            self._torn = False
            if self._failed:
                log.warning("the audit log is written again")
            self._failed = ""
        except OSError as error:
            self._dropped += len(lines)
            if self._failed != type(error).__name__:
                log.error("the audit log cannot be written, and lines of it are lost: %s", error)
            self._failed = type(error).__name__

    def _moved(self) -> bool:
        try:
            there, ours = os.stat(self._path), os.fstat(self._number)
        except OSError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _opened(self) -> int:
        if self._path == STDOUT:
            return sys.stdout.fileno()
        # Without O_NONBLOCK a FIFO that nobody reads would hold us; for files and devices it means nothing.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
        try:
            number = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise CannotWrite(f"the audit log {self._path} cannot be opened: {error.strerror}") from None
        kind = os.fstat(number).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISCHR(kind)):
            os.close(number)
            raise CannotWrite(f"the audit log {self._path} is no file: name one, or - for standard output")
        return number


class Line:
    """One request's, from its beginning to its end."""

    def __init__(self, audit: Audit, request: Request, send: Send) -> None:
        self._audit, self._request, self._send = audit, request, send
        self._time, self._begun = time.time(), time.monotonic()
        self._bytes = 0

    async def send(self, message: Dict[str, Any]) -> None:
        """Passes it on, and counts."""
        self._bytes += len(message.get("body", b""))
        await self._send(message)

    def end(self, reply: Reply) -> None:
        """The answer has gone, whole or cut."""
        self._audit.put(written(self._fields(reply)))

    def _fields(self, reply: Reply) -> Dict[str, Any]:
        request, asked = self._request, self._request.asked
        resource = asked is not None and not asked.path
        return {
            "time": times.write(self._time),
            "user": request.user.name if request.user is not None else None,
            "impersonator": request.impersonator.name if request.impersonator is not None else None,
            "peer": request.peer,
            "cluster": request.cluster or None,
            "verb": asked.verb if asked is not None else request.method.lower(),
            "kind": str(asked.kind) if asked is not None and resource else None,
            "namespace": asked.namespace or None if asked is not None else None,
            "name": asked.name or None if asked is not None else None,
            "path": None if resource else request.path if request.cluster else request.whole_path,
            "code": getattr(reply, "status", 200),
            "age": _age(reply),
            "bytes": self._bytes,
            "milliseconds": round((time.monotonic() - self._begun) * 1000, 3),
        }


def written(fields: Dict[str, Any]) -> str:
    """One line of ASCII: whatever a caller named, nothing in it is a line end or speaks to a terminal."""
    cut = {name: value[:LONGEST] if isinstance(value, str) else value for name, value in fields.items()}
    return json.dumps(cut, separators=(",", ":")).replace("\x7f", "\\u007f")


def _age(reply: Reply) -> Optional[float]:
    for name, value in reply.headers:
        if name == "Krm-Age-Seconds":
            try:
                return float(value)
            except ValueError:  # unknown
                return None
    return None
