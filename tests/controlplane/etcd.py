"""The etcd under a test API server: its revision, compaction, and going back to an older state."""

import base64
import contextlib
import http.client
import json
import shutil
from pathlib import Path
from typing import Any, Callable, Dict

from controlplane.kubeapi import Json
from controlplane.processes import Process, free_port

# Every key: from the byte 0 to "the end of the range" (etcd's convention for range_end).
_ALL_KEYS = base64.b64encode(b"\0").decode()
START_SECONDS = 20.0
STOP_SECONDS = 5.0


class Etcd:
    """One member on loopback, without TLS and without fsync: nothing here must survive a power cut."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._data = folder / "etcd-data"
        self._snapshots = folder / "etcd-snapshots"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        peer = f"http://127.0.0.1:{free_port()}"
        command = [str(binary), "--data-dir", str(self._data), "--unsafe-no-fsync", "--log-level=warn"]
        command += ["--listen-client-urls", self.url, "--advertise-client-urls", self.url]
        command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        command += ["--initial-cluster", f"default={peer}"]
        self.process = Process("etcd", command, folder)

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process.start()
        self.process.wait_ready(self._healthy, START_SECONDS)

    def stop(self) -> None:
        self.process.stop(STOP_SECONDS)

    def revision(self) -> int:
        """The store's revision: what Kubernetes calls resourceVersion of a list."""
        answer = self.call("/v3/kv/range", {"key": _ALL_KEYS, "range_end": _ALL_KEYS, "count_only": True})
        return int(answer["header"]["revision"])

    def compact(self) -> int:
        """Forget all history before the current revision, which is returned."""
        revision = self.revision()
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def snapshot(self) -> Path:
        """A copy of the data folder as it is now; clients notice no more than a pause.

        The process is stopped meanwhile, so the copy is what a kill at this moment would leave: every
        answered write is in the log that etcd reads when it starts.
        """
        self._snapshots.mkdir(exist_ok=True)
        copy = self._snapshots / str(len(list(self._snapshots.iterdir())))
        self.process.pause()
        try:
            shutil.copytree(str(self._data), str(copy))
        finally:
            self.process.resume()
        return copy

    def restore(self, snapshot: Path) -> None:
        """Stop, put `snapshot` in place of the data, and start on the same ports."""
        self.stop()
        shutil.rmtree(str(self._data))
        shutil.copytree(str(snapshot), str(self._data))
        self.start()

    def rewrite(self, prefix: str, change: Callable[[Json], bool]) -> int:
        """Let `change` alter each value of JSON under `prefix`; put back where it says True. How many were.

        The API server must store JSON (--storage-media-type=application/json), else only custom resources are.
        """
        start = prefix.encode()
        span = {"key": _text(start), "range_end": _text(start[:-1] + bytes([start[-1] + 1]))}
        count = 0
        for row in self.call("/v3/kv/range", span).get("kvs", []):
            value = base64.b64decode(row["value"])
            found = json.loads(value) if value.startswith(b"{") else None
            if found is not None and change(found):
                self.call("/v3/kv/put", {"key": row["key"], "value": _text(json.dumps(found).encode())})
                count += 1
        return count

    def call(self, path: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """One call of etcd's JSON gateway; int64 values are strings in it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)) as connection:
            connection.request("POST", path, body=json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"etcd {path}: {answer.status} {content[:300]!r}")
        parsed: Dict[str, Any] = json.loads(content)
        return parsed

    def _healthy(self) -> bool:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)) as connection:
            try:
                connection.request("GET", "/health")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
