"""Real containers without Kubernetes: runc and busybox, in cgroups named as the kubelet and containerd do."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest

CGROUPS = Path("/sys/fs/cgroup")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS = 30.0  # until a container runs, or has gone


def missing() -> Optional[str]:
    """What this machine lacks for a container, and the command that provides it."""
    if os.geteuid() != 0:
        return "containers need root: run `sudo make test-slow`"
    packages = {"runc": "runc", "busybox": "busybox-static"}
    lacking = [package for name, package in packages.items() if shutil.which(name, path=PATH) is None]
    if lacking:
        return f"containers need {' and '.join(lacking)}: run `apt-get install {' '.join(lacking)}`"
    return None


def skip_or_fail() -> None:
    """For a fixture: without what containers need there is nothing to test, and on CI that is a failure."""
    lack = missing()
    if lack is not None:
        if os.environ.get("CI") == "true":
            pytest.fail(lack, pytrace=False)
        pytest.skip(lack)


class Container:
    """One that runs: `process` is its first, as the host sees it."""

    def __init__(self, id_: str, pod: str, cgroup: str, process: int) -> None:
        self.id, self.pod, self.cgroup, self.process = id_, pod, cgroup, process

    def pids(self, controller: str = "memory") -> List[int]:
        """Its processes, as its cgroup lists them."""
        own = tree(controller) / self.cgroup.lstrip("/")
        found: List[int] = []
        for folder, _, _ in os.walk(str(own)):
            found += [int(word) for word in Path(folder, "cgroup.procs").read_text().split()]
        return sorted(found)


def tree(controller: str) -> Path:
    """The hierarchy of a controller, of version 1 or 2."""
    return CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / controller


class Containers:
    """Makes them below cgroups of its own, and takes all back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = f"/krm-test-{os.getpid()}-{secrets.token_hex(3)}"
        self._runc = [shutil.which("runc", path=PATH) or "runc", "--root", str(folder / "runc")]
        self._made: List[str] = []
        self.root = folder / "root"
        for name in ("bin", "proc", "dev", "tmp"):
            (self.root / name).mkdir(parents=True)
        os.mknod(str(self.root / "dev/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mkfifo(str(self.root / "tmp/nothing"))  # what waits for a line of it waits
        busybox = self.root / "bin/busybox"
        shutil.copy(shutil.which("busybox", path=PATH) or "busybox", str(busybox))
        for name in ("sh", "sleep", "true"):
            os.symlink("busybox", str(self.root / "bin" / name))

    def program(self, name: str) -> None:
        """/bin/NAME in every container: it ends after 100 ms. A process that runs it has its name."""
        path = self.root / "bin" / name
        path.write_text("#!/bin/busybox sh\nread -t 0.1 x <>/tmp/nothing\n")
        path.chmod(0o755)

    def new_pod(self) -> str:
        return str(uuid.uuid4())

    def run(self, pod: str, script: str, *, pids_of: str = "own") -> Container:
        """A container of the pod `pod` (a uid). `pids_of`: own, host, or the path of a PID namespace."""
        id_ = secrets.token_hex(32)
        cgroup = f"{self.top}/kubepods/burstable/pod{pod}/{id_}"
        bundle = self.folder / id_
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(_config(self.root, cgroup, script, pids_of)))
        log = bundle / "log"
        pid_file = bundle / "pid"
        self._made.append(id_)
        with open(str(log), "wb") as output:
            subprocess.run(
                [*self._runc, "run", "--detach", "--bundle", str(bundle), "--pid-file", str(pid_file), id_],
                check=True, timeout=SECONDS, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return Container(id_, pod, cgroup, int(pid_file.read_text()))

    def exec(self, container: Container, *command: str) -> subprocess.Popen[bytes]:
        """As `kubectl exec`."""
        nothing = subprocess.DEVNULL
        return subprocess.Popen([*self._runc, "exec", container.id, *command], stdin=nothing, stdout=nothing)

    def remove(self) -> None:
        for id_ in self._made:
            subprocess.run(
                [*self._runc, "delete", "--force", id_], timeout=SECONDS, check=False, capture_output=True
            )
        for hierarchy in sorted({path.resolve() for path in [CGROUPS, *CGROUPS.iterdir()]}):
            top = hierarchy / self.top.lstrip("/")
            if top.is_dir():
                _remove(top)


def _remove(top: Path) -> None:
    """A cgroup with all below it, once what is left in it has been ended."""
    ends = time.monotonic() + SECONDS
    while top.is_dir():
        for folder, _, _ in os.walk(str(top), topdown=False):
            for word in Path(folder, "cgroup.procs").read_text().split():
                if int(word) != os.getpid():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(word), signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        if time.monotonic() > ends:
            raise TimeoutError(f"{top} cannot be removed")


@contextlib.contextmanager
def containers() -> Iterator[Containers]:
    folder = Path(tempfile.mkdtemp(prefix="krm-test-containers-"))
    made = Containers(folder)
    try:
        yield made
    finally:
        made.remove()
        shutil.rmtree(str(folder))


def _config(root: Path, cgroup: str, script: str, pids_of: str) -> Dict[str, Any]:
    namespaces: List[Dict[str, str]] = [{"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]
    if pids_of == "own":
        namespaces.append({"type": "pid"})
    elif pids_of != "host":
        namespaces.append({"type": "pid", "path": pids_of})
    mounts: Sequence[Dict[str, Any]] = (
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
    )
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "-c", script],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "mounts": list(mounts),
        "linux": {"cgroupsPath": cgroup, "namespaces": namespaces},
    }
