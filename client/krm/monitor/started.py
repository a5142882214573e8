"""A `krm up` that the facade runs for itself: one child process, which starts, watches and ends the stages.

It ends with `close`, and within about a second with this process, however that ends. Its Redis is an embedded one
of its own: nothing that runs here already is touched. Where to read from is learned as every other command learns
it, from the file that it leaves for its user.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from krm.client.client import Client
from krm.client.direct import told
from krm.client.directory import Directory
from krm.client.errors import KrmError
from krm.client.locate import pipelines_of, running_here
from krm.client.source import KindStatus
from krm.model.trust import ABSENT, FORBIDDEN, TRUNCATED
from krm.store import connect as store

# States that no waiting changes: what needs such a kind says so.
SETTLED = frozenset((ABSENT, FORBIDDEN, TRUNCATED))
# Seconds that a first node's numbers are waited for once all is verified; without any there are answers too.
_MEASURED_WITHIN = 10.0
_PAUSE = 0.1  # seconds between two looks
_STOP_LIMIT = 30.0  # seconds for `krm up` to end its children one after another, each within 5
_LAST_WORDS = 2000  # bytes of what it wrote to stderr at last
_MAX_TOLD = 5  # kinds that a sentence names with their reasons
_SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
# What would send the child somewhere else than it is told to.
_OWN_WAY = ("KRM_REDIS", "KRM_CLUSTER")


class NotStarted(KrmError):
    """What connect() started did not come up, or not in time; the sentence says what is missing and why."""


class Wanted(NamedTuple):
    """Which cluster is kept, and how much of it."""

    kubeconfig: Optional[str] = None
    context: Optional[str] = None
    cluster: Optional[str] = None
    kinds: Sequence[str] = ()  # () = those of `krm up`
    namespaces: Sequence[str] = ()  # () = all
    history: str = ""  # file of the history, '' = one that is gone at the end

    def flags(self) -> List[str]:
        """Of `krm up`."""
        given = (
            ("--kubeconfig", self.kubeconfig),
            ("--context", self.context),
            ("--cluster", self.cluster),
            ("--kinds", ",".join(self.kinds)),
            ("--namespaces", ",".join(self.namespaces)),
            ("--history", self.history),
        )
        flags = [word for flag, value in given if value for word in (flag, value)]
        inside = not self.kubeconfig and not self.context and is_in_cluster()
        return [*flags, "--no-server", *(["--in-cluster"] if inside else [])]


def is_in_cluster() -> bool:
    """Whether this process runs in a pod whose service account may be used."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and os.path.isfile(_SERVICE_ACCOUNT)


class Started:
    """Running from when it is made."""

    def __init__(self, wanted: Wanted) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _OWN_WAY}
        environment["KRM_PARENT_PID"] = str(os.getpid())
        self._owner = os.getpid()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the child
        self._child = subprocess.Popen(
            [sys.executable, "-m", "krm.cli.main", "up", *wanted.flags()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a table each second
            stderr=self._said,
            env=environment,
            start_new_session=True,  # ^C is for this process: it closes, and that ends the child
        )

    def client(self, deadline: float) -> Client:
        """Reads from it, once every kind is verified, or known to be none that can be (`SETTLED`).

        deadline: of time.monotonic(). Raises NotStarted.
        """
        state = self._state(deadline)
        client = None
        try:
            with told():
                database = store.connect(str(state["url"]), name="krm-monitor")
            directory = Directory(database, str(state["cluster"]), pipelines_of(state.get("pipelines")))
            client = Client(directory, str(state.get("history_token_file") or ""))
            self._verified(client, deadline)
            if state.get("history_token_file"):  # a collector runs
                self._measured(client, min(deadline, time.monotonic() + _MEASURED_WITHIN))
        except BaseException:
            if client is not None:
                client.close()
            raise
        return client

    def close(self) -> None:
        """Ends it, and with it all that it started. Again: nothing happens."""
        if self._owner != os.getpid():
            return  # a fork of the process that it belongs to
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(_STOP_LIMIT)
            except subprocess.TimeoutExpired:
                self._child.kill()  # which the kernel hands on to the stages
                self._child.wait(_STOP_LIMIT)
        self._said.close()

    def _state(self, deadline: float) -> Dict[str, Any]:
        """What it left for its user."""
        while True:
            found = [state for state in running_here() if state["pid"] == self._child.pid]
            if found:
                return found[0]
            self._wait(deadline, "krm up did not say where it keeps the cluster")

    def _verified(self, client: Client, deadline: float) -> None:
        while True:
            statuses = client.status()
            waited = [one for one in statuses if not one.verified and one.trust.state not in SETTLED]
            if statuses and not waited:
                break
            self._wait(deadline, "not verified: " + (_reasons(waited) or "nothing was announced"))
        if not any(one.verified for one in statuses):
            raise NotStarted(f"no kind of this cluster can be kept: {_reasons(statuses)}")

    def _measured(self, client: Client, deadline: float) -> None:
        while time.monotonic() < deadline:
            nodes = client.usage("nodes").nodes
            if nodes is not None and nodes.known:
                return
            time.sleep(_PAUSE)

    def _wait(self, deadline: float, why: str) -> None:
        """A moment. Raises NotStarted where there is none left, or nobody to wait for."""
        if self._child.poll() is not None:
            raise NotStarted(f"krm up ended (exit code {self._child.returncode}): {self._last_words() or why}")
        if time.monotonic() >= deadline:
            words = self._last_words()
            raise NotStarted(f"connect() waited in vain: {why}" + (f" (krm up: {words})" if words else ""))
        time.sleep(_PAUSE)

    def _last_words(self) -> str:
        """The last line that it wrote to stderr."""
        file = self._said.fileno()
        begin = max(0, os.fstat(file).st_size - _LAST_WORDS)
        # The child writes where this file's one offset stands, so that must not be moved.
        lines = os.pread(file, _LAST_WORDS, begin).decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


def _reasons(statuses: Sequence[KindStatus]) -> str:
    """`pods (the API server refused it), nodes (no list yet)`."""
    told_of = [
        f"{one.name} ({'; '.join(one.trust.reasons) or 'no list has verified it yet'})"
        for one in statuses[:_MAX_TOLD]
    ]
    more = [f"and {len(statuses) - _MAX_TOLD} more"] if len(statuses) > _MAX_TOLD else []
    return ", ".join(told_of + more)
