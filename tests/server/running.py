"""krm's server and a client-go informer as processes, for tests that hold one against the other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

import pytest
from controlplane.build import DEFAULT_VERSION, find_binary
from krm.simulator.kubeconfig import write_kubeconfig
from redis_servers import free_port, until

# Seconds that a process may take to end by itself: the server promises 5.
_END = 15.0


class KrmServer:
    """`python -m krm.server` on a port that stays its own over restarts, without authorisation."""

    def __init__(self, folder: Path, redis: str, cluster: str, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "krm.kubeconfig"
        write_kubeconfig(self.kubeconfig, self.url)
        self._log = folder / "server.log"
        self._command = [
            sys.executable, "-m", "krm.server", "--redis", redis, "--cluster", cluster, "--auth", "none",
            "--port", str(self.port), *options,
        ]  # fmt: skip
        self.process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> KrmServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, ready: bool = True) -> None:
        """`ready`: until it can serve."""
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env={**os.environ, "KRM_PARENT_PID": str(os.getpid())}
            )
        if ready:
            until(f"krm server is ready\n{self.log()}", lambda: self.status("/readyz") == 200)

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(_END)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(_END)

    def status(self, path: str) -> int:
        """Of a GET; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def get(self, path: str) -> Any:
        """The JSON of a GET that succeeds."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def log(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""


class Line(NamedTuple):
    """What an informer was told of one pod."""

    type: str
    key: str
    rv: int
    before: int  # of a MODIFIED: the resourceVersion that it replaced
    unknown: bool  # a delete that was found by a list

    @property
    def of_a_list(self) -> bool:
        """An object that a list showed again as it was: no news."""
        return self.type == "MODIFIED" and self.before == self.rv


class Informer:
    """A client-go informer of pods in a process of its own. `with` ends it."""

    def __init__(self, kubeconfig: Path, *options: str, watch_list: bool = True) -> None:
        """`watch_list`: its first objects come by a watch, as client-go has it; else by a list, as before 1.35."""
        self.lines: List[Line] = []
        self.synced: Optional[int] = None  # resourceVersion of the first list
        self.store: Dict[str, int] = {}  # once it was ended
        self._errors: List[str] = []
        command = [str(_binary()), "--kubeconfig", str(kubeconfig), *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            env={**os.environ, "KUBE_FEATURE_WatchListClient": str(watch_list).lower()},
        )  # fmt: skip
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._read, self._read_errors)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Informer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(_END)

    def wait_synced(self) -> int:
        """The resourceVersion of its first list."""
        until("the informer is synced", lambda: self.synced is not None, 60.0)
        assert self.synced is not None
        return self.synced

    def wait_told(self, rv: int, deadline: float = 150.0) -> None:
        """Until it was told of this or a later change. client-go waits up to twice 30 s between two tries."""
        until(f"the informer is told of {rv}", lambda: self._newest() >= rv, deadline)

    def end(self) -> Dict[str, int]:
        """SIGTERM; its store, namespace/name -> resourceVersion."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_END)
        for thread in self._threads:
            thread.join(_END)
        return self.store

    def errors(self) -> str:
        """What client-go complained about."""
        return "\n".join(self._errors[-20:])

    def _newest(self) -> int:
        return max((line.rv for line in self.lines[-2000:]), default=0)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            row = json.loads(text)
            if row["type"] == "SYNCED":
                self.synced = int(row["rv"])
            elif row["type"] == "STORE":
                self.store = {key: int(rv) for key, rv in row.get("objects", {}).items()}
            else:
                unknown = row.get("unknown", False)
                self.lines.append(Line(row["type"], row["key"], int(row["rv"]), int(row.get("before", 0)), unknown))

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(ValueError):
            self._errors.extend(line.rstrip() for line in self._process.stderr)


def _binary() -> Path:
    path = find_binary("informer", DEFAULT_VERSION)
    if path is None:
        message = "no informer is built: run `make control-plane`"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path


def backwards(lines: Sequence[Line]) -> List[str]:
    """Lines that show an object older than an earlier line did."""
    newest: Dict[str, int] = {}
    found = []
    for line in lines:
        if line.rv < newest.get(line.key, 0):
            found.append(f"{line} after {newest[line.key]}")
        newest[line.key] = max(line.rv, newest.get(line.key, 0))
    return found


def lost_deletes(lines: Sequence[Line], now: Mapping[str, int]) -> List[str]:
    """Objects that were shown, are not there `now`, and were not said to be gone."""
    last = {line.key: line for line in lines}
    return [key for key, line in last.items() if key not in now and line.type != "DELETED"]
