"""krm as a person runs it: `krm` commands and stages as processes of their own, told where Redis is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

from redis_servers import Server

Completed = subprocess.CompletedProcess
# Seconds that a child may take to end by itself: the stages promise 5.
_END = 15.0


class Product:
    """One person's environment: their Redis, their cluster's name, and the folder of all logs."""

    def __init__(self, folder: Path, redis: Optional[Server] = None, cluster: str = "acceptance") -> None:
        self.folder, self.redis, self.cluster = folder, redis, cluster
        self.children: Dict[str, subprocess.Popen[bytes]] = {}
        private = folder / "run"
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KRM_", "KUBE", "LC_"))}
        self.environment = {**kept, "XDG_RUNTIME_DIR": str(private), "HOME": str(folder), "NO_COLOR": "1"}

    def __enter__(self) -> Product:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)
            child.terminate()
        for child in self.children.values():
            try:
                child.wait(_END)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(_END)
        self.children.clear()

    # Commands ------------------------------------------------------------------------------------

    def _reading(self) -> Dict[str, str]:
        if self.redis is None:
            return self.environment
        return {**self.environment, "KRM_REDIS": self.redis.url, "KRM_CLUSTER": self.cluster}

    def krm(
        self, *arguments: str, env: Optional[Mapping[str, str]] = None, timeout: float = 60.0
    ) -> Completed[str]:
        """`krm ARGUMENTS`, ended."""
        return subprocess.run(
            [sys.executable, "-m", "krm.cli.main", *arguments],
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            env={**self._reading(), **(env or {})},
            stdin=subprocess.DEVNULL,
        )

    def status(self) -> Dict[str, Dict[str, Any]]:
        """`krm status -o json` by kind (kind@namespace where namespaces are named)."""
        done = self.krm("status", "-o", "json")
        if done.returncode:
            return {}
        rows = json.loads(done.stdout)["kinds"]
        return {row["kind"] + (f"@{row['namespace']}" if row["namespace"] else ""): row for row in rows}

    def state(self, kind: str) -> str:
        """The kind's state as `krm status` says it, '' where it says nothing of it."""
        return str(self.status().get(kind, {"trust": {"state": ""}})["trust"]["state"])

    def objects(self, kind: str, *options: str) -> Dict[str, Any]:
        """`krm get KIND -A -o json` by namespace/name."""
        done = self.krm("get", kind, "-A", "-o", "json", *options)
        assert done.returncode in ((0, 3) if "--stale-ok" in options else (0,)), done.stderr
        return {key_of(item): item for item in json.loads(done.stdout)["items"]}

    # Long-running --------------------------------------------------------------------------------

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """`python ARGUMENTS` as a child that ends with this one; its output goes to NAME.log."""
        with open(self.folder / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self.environment, "KRM_PARENT_PID": str(os.getpid())},
            )
        self.children[name] = child
        return child

    def up(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`krm up ARGUMENTS` on this Redis."""
        assert self.redis is not None
        return self.start(
            "up", "-m", "krm.cli.main", "up", "--redis", self.redis.url, "--cluster", self.cluster, *arguments
        )

    def stage(self, stage: str, kinds: Sequence[str], *options: str, name: str = "") -> subprocess.Popen[bytes]:
        """`python -m krm.STAGE KINDS`."""
        assert self.redis is not None
        where = ("--redis", self.redis.url, "--cluster", self.cluster)
        return self.start(name or stage, "-m", f"krm.{stage}", *kinds, *where, *options)

    def log(self, name: str) -> str:
        """All that a child wrote, and the logs of what it started."""
        parts = [self.folder / f"{name}.log", *sorted(self.folder.glob("run/krm/up-*/*.log"))]
        return "\n".join(path.read_text(errors="replace") for path in parts if path.exists())

    def logs(self, lines: int = 25) -> str:
        """The last lines of every log, for a failure's message."""
        parts: List[str] = []
        for path in [*sorted(self.folder.glob("*.log")), *sorted(self.folder.glob("run/krm/up-*/*.log"))]:
            parts += [f"== {path.name}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    def wait(self, what: str, condition: Callable[[], Any], deadline: float = 30.0) -> Any:
        """The first true value of `condition`; with the logs' ends where it never comes."""
        end = time.monotonic() + deadline
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < end, f"not within {deadline} s: {what}\n{self.logs()}"
            time.sleep(0.2)

    def wait_state(self, kind: str, state: str, deadline: float = 30.0) -> None:
        """Until `krm status` says so."""
        self.wait(f"{kind} is {state}", lambda: self.state(kind) == state, deadline)


def key_of(item: Mapping[str, Any]) -> str:
    """namespace/name; of a cluster-scoped object /name."""
    return f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"


@contextlib.contextmanager
def product(folder: Path, redis: Server) -> Iterator[Product]:
    """On an emptied Redis."""
    assert redis.ask("FLUSHALL") == b"+OK\r\n"
    folder.mkdir(parents=True, exist_ok=True)
    with Product(folder, redis) as made:
        yield made
