"""A real containerd with its CRI, and a real dockerd, without a kubelet; afterwards the machine is as it was."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from node import dockerd, machine
from node.cri_pods import CriPods
from node.dockerd import Dockerd
from node.real import PACKAGES, SEARCHED
from node.servers import Containerd

FOLDER = Path("/var/lib/krm-test-runtimes")
LOCK = Path("/run/krm-test-runtimes.lock")
# At the root of each hierarchy: what a kubelet would call the cgroup root of its node.
CGROUP = "krm-test-runtimes"
STOP_SECONDS = 10.0
MIB = 1024 * 1024
HELD = 20 * MIB
# Containers by name: what their shell runs, memory limit in bytes, cores; 0 = none.
LOADS: Dict[str, Tuple[str, int, float]] = {
    "web": ("while :; do :; done", 64 * MIB, 0.2),
    # dd has filled its one block and waits for a reader that never comes.
    "holding": (f"dd if=/dev/zero bs={HELD} count=1 2>/dev/null | sleep 2147483647", 64 * MIB, 0),
    "killed": ("exec tail /dev/zero", 16 * MIB, 0),
    "child": ("tail /dev/zero; sleep 1; exit 3", 16 * MIB, 0),
}
# Made at fixed places.
SHIMS = Path("/run/containerd/s")
LEFT_FOLDERS = (*dockerd.LEFT_FOLDERS, str(SHIMS), str(SHIMS.parent))
_NEEDED = ("containerd", "ctr", "runc", "busybox", "umount")


class Runtimes(NamedTuple):
    containerd: Containerd
    dockerd: Dockerd
    pods: CriPods
    folder: Path


def missing() -> Optional[str]:
    """What this machine lacks, and the command that provides it; None when nothing is missing."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "container runtimes need Linux and root: run the tests with sudo"
    packages = sorted({PACKAGES[name] for name in _NEEDED if shutil.which(name, path=SEARCHED) is None})
    if packages:
        return f"container runtimes need {', '.join(packages)}: run `apt-get install {' '.join(packages)}`"
    return dockerd.missing()


@contextlib.contextmanager
def running() -> Iterator[Runtimes]:
    """Both, ready, one pair at a time on this machine: waits for another process' pair."""
    with open(str(LOCK), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _cleaned():
            containerd = Containerd(FOLDER, _program("runc"), FOLDER)
            server = Dockerd(FOLDER, containerd.socket, f"/{CGROUP}/docker")
            busybox = _program("busybox")
            pods = CriPods(containerd.socket, f"/{CGROUP}/kubepods")
            try:
                containerd.start(busybox)
                server.start(busybox)
                yield Runtimes(containerd, server, pods, FOLDER)
                pods.remove()
                server.remove()
            finally:
                server.process.stop(STOP_SECONDS)
                containerd.process.stop(STOP_SECONDS)


@contextlib.contextmanager
def _cleaned() -> Iterator[None]:
    """Before, of what a run that was killed left; afterwards, of this one."""
    was_killed = FOLDER.exists()
    made = [Path(folder) for folder in LEFT_FOLDERS if was_killed or not Path(folder).exists()]
    _take_back(made)
    FOLDER.mkdir(mode=0o711)  # sockets in it are for other UIDs to try
    try:
        yield
    finally:
        _take_back(made)


def _take_back(made: List[Path]) -> None:
    machine.take_back(FOLDER, CGROUP)
    shutil.rmtree(str(FOLDER), ignore_errors=True)
    for path in SHIMS.glob("*"):
        if _is_left(path):
            path.unlink()
    for folder in made:
        with contextlib.suppress(OSError):  # another run's now
            folder.rmdir()


def _is_left(path: Path) -> bool:
    """A socket that nobody listens on any more: of a shim that was killed."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def _program(name: str) -> Path:
    found = shutil.which(name, path=SEARCHED)
    assert found is not None, f"missing() says what provides {name}"
    return Path(found)
