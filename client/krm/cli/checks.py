"""The cluster's own checks, by a child process: the command itself never imports what talks to an API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence

from krm.client.errors import KrmError

_SOURCE = "source.json"  # in the folder of a running `krm up`
_MAX_SOURCE = 64 * 1024  # bytes
# What `python -m krm.cluster check` calls credentials that could not be made: nothing was sent yet.
_CREDENTIALS = "credentials"
_FIRST_LIMIT = 20.0  # seconds to make credentials and ask for the version once


class Line(NamedTuple):
    """One check's result."""

    ok: bool
    check: str
    found: str
    remedy: str = ""


class Source(NamedTuple):
    """Which API server, as the flags say it."""

    kubeconfig: str = ""
    context: str = ""
    in_cluster: bool = False
    demo: bool = False  # a simulator: only its own `krm up` needs to reach it

    def flags(self) -> List[str]:
        """For a child process."""
        flags: List[str] = ["--in-cluster"] if self.in_cluster else []
        for flag, value in (("--kubeconfig", self.kubeconfig), ("--context", self.context)):
            flags += [flag, value] if value else []
        return flags


class NoCluster(KrmError):
    """There are no credentials for an API server, so there is nothing to keep."""


def lines(source: Source, more: Sequence[str], limit: float) -> Iterator[Line]:
    """Each line as it is found; the last says so where `limit` seconds were not enough."""
    child = subprocess.Popen(
        [sys.executable, "-m", "krm.cluster", "check", "--json", *source.flags(), *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    timer = threading.Timer(limit, child.kill)
    timer.start()
    try:
        for raw in child.stdout:
            yield _named(Line(**json.loads(raw)), source)
        if child.wait() < 0:
            yield Line(False, "api server", f"no end within {limit:.0f} s", "look for a proxy or a firewall")
    finally:
        timer.cancel()
        child.kill()
        child.stdout.close()
        child.wait()


def _named(line: Line, source: Source) -> Line:
    """Not `credentials: Unauthorized`: no API server was asked yet, and a person looks for a file."""
    if line.ok or line.check != _CREDENTIALS:
        return line
    what = "service account" if source.in_cluster else "kubeconfig"
    missing = line.remedy.startswith("no kubeconfig at")
    return Line(False, what, "not found" if missing else "cannot be used", line.remedy)


def require_credentials(source: Source) -> Optional[str]:
    """Before anything starts. Raises NoCluster where credentials cannot be made; a sentence where the API
    server does not answer, which it may do later."""
    for line in lines(source, ["--kinds", "pods"], _FIRST_LIMIT):
        if line.check in ("kubeconfig", "service account"):
            raise NoCluster(line.remedy)
        return None if line.ok else f"{line.remedy or line.found}; trying on"
    return None


def leave_source(folder: Path, source: Source) -> None:
    """For `krm doctor` beside this `krm up`."""
    if source.kubeconfig or not os.environ.get("KUBECONFIG"):
        kept = source
    else:
        kept = source._replace(kubeconfig=os.environ["KUBECONFIG"])
    (folder / _SOURCE).write_text(json.dumps(kept._asdict()))


def source_of(folder: str) -> Optional[Source]:
    """What a running `krm up` left in its private folder; None where that is not to be read."""
    path = Path(folder, _SOURCE)
    try:
        if path.stat().st_size > _MAX_SOURCE:
            return None
        return Source(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
