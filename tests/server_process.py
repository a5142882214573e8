"""A real `python -m krm.server` over a cluster that is kept on paper."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import ssl
import subprocess
import sys
import threading
from typing import Dict, Iterator, List, NamedTuple, Optional

from kept_cluster import KeptCluster, wait_until
from krm.model.served import pack_facts

_AT = re.compile(r"serving .* at (https?)://(?:\S+):(\d+)$")
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"}


class Got(NamedTuple):
    status: int
    headers: Dict[str, str]
    body: bytes


def tell_facts(kept: KeptCluster) -> None:
    """What a verifier tells of each kind: without it none can be served."""
    for kind in kept.kinds:
        kind.head(facts=pack_facts(kind.canon.resource, _VERSION))


class Server:
    """One that runs. `lines`: what it logged."""

    def __init__(self, process: subprocess.Popen[str], scheme: str, port: int, lines: List[str]) -> None:
        self.process, self.scheme, self.port, self.lines = process, scheme, port, lines
        self.url = f"{scheme}://127.0.0.1:{port}"

    def connection(self, context: Optional[ssl.SSLContext] = None, port: int = 0) -> http.client.HTTPConnection:
        if context is None:
            return http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        return http.client.HTTPSConnection("127.0.0.1", port or self.port, timeout=10, context=context)

    def get(
        self,
        path: str,
        headers: Optional[Dict[str, str]] = None,
        context: Optional[ssl.SSLContext] = None,
        port: int = 0,
    ) -> Got:
        connection = self.connection(context, port)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return Got(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ready(self, context: Optional[ssl.SSLContext] = None) -> None:
        wait_until(lambda: self.get("/readyz", context=context).status == 200, 30)


def command(kept: KeptCluster, *arguments: str) -> List[str]:
    port = () if "--port" in arguments else ("--port", "0")
    return [sys.executable, "-m", "krm.server", "--redis", kept.url, "--cluster", kept.name, *port, *arguments]


@contextlib.contextmanager
def running(kept: KeptCluster, *arguments: str, environment: Optional[Dict[str, str]] = None) -> Iterator[Server]:
    """Serves `kept` on a free port until the block is left."""
    process = subprocess.Popen(
        command(kept, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **(environment or {})},
    )  # fmt: skip
    lines: List[str] = []
    reading = threading.Thread(target=_read, args=(process, lines), daemon=True)
    reading.start()
    try:
        wait_until(lambda: any(map(_AT.search, lines)) or process.poll() is not None, 30)
        found = [found for found in map(_AT.search, lines) if found]
        assert found, "".join(lines)
        yield Server(process, found[0].group(1), int(found[0].group(2)), lines)
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _read(process: subprocess.Popen[str], lines: List[str]) -> None:
    assert process.stderr is not None
    with contextlib.suppress(ValueError):  # closed under us at the end
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
