"""Read a simulator's watch line by line, and wait for things without sleeping."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional

from krm.simulator.server import Server

Json = Dict[str, Any]
PATIENCE = 10.0  # seconds, far more than anything here takes


class Ended(Exception):
    """The server closed the watch. `left`: bytes of an unfinished line."""

    def __init__(self, left: bytes) -> None:
        super().__init__(repr(left[:80]))
        self.left = left


class Listener:
    """An open watch."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.response = response
        self.status = response.status

    def raw(self) -> bytes:
        """The next line. Ended at the end, TimeoutError where none comes."""
        try:
            line = self.response.readline()
        except (http.client.IncompleteRead, ConnectionError) as error:
            raise Ended(getattr(error, "partial", b"")) from None
        if not line.endswith(b"\n"):
            raise Ended(line)
        return line

    def next(self) -> Json:
        parsed: Json = json.loads(self.raw())
        return parsed

    def told(self, count: int) -> List[str]:
        """`count` events as "TYPE name"."""
        lines = [self.next() for _ in range(count)]
        return ["%s %s" % (line["type"], line["object"]["metadata"].get("name", "")) for line in lines]


@contextmanager
def listening(
    server: Server, path: str, version: Optional[int], patience: float = PATIENCE, **query: object
) -> Iterator[Listener]:
    """A watch of `path` from `version`, its answer's head already read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=patience)
    parameters = ["watch=1"] + ["%s=%s" % pair for pair in query.items()]
    if version is not None:
        parameters.append("resourceVersion=%d" % version)
    connection.request("GET", path + "?" + "&".join(parameters))
    response = connection.getresponse()
    try:
        yield Listener(response)
    finally:
        response.close()
        connection.close()


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for a condition that no event announces."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError("never: " + what)
        time.sleep(0.01)
