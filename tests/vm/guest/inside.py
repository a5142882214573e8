"""For programs that run in the machine: cgroups as a kubelet makes them, processes in them, the kernel's log, an
answer. The machine has nobody else in it, so nothing is taken back."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import select
import signal
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "memory", "io", "pids")
MIB = 1024 * 1024
PAGE = 4096
READY_SECONDS = 20.0
_LONGEST_FILE = 1024 * 1024


def answer(document: Any) -> None:
    """To the test. The last line on the second serial line counts."""
    body = json.dumps(document).encode()
    with open("/dev/ttyS1", "wb") as line:
        line.write(hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n")


# cgroups


def cgroup(path: str, **limits: object) -> Path:
    """The cgroup, with all above it, and all CONTROLLERS on. limits: memory_max=33554432 writes memory.max."""
    folder = ROOT
    for name in [part for part in path.split("/") if part]:
        delegate(folder)
        folder = folder / name
        folder.mkdir(exist_ok=True)
    for name, value in limits.items():
        controller, _, file = name.partition("_")
        (folder / f"{controller}.{file.replace('_', '.')}").write_text(str(value))
    return folder


def delegate(folder: Path) -> None:
    """Turns CONTROLLERS on for what lies below."""
    (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS))


def systemd_path(qos: str, pod_uid: str, container: str) -> str:
    """As a kubelet with the systemd driver names them; qos "" is guaranteed. container as `cri-containerd-ID`."""
    pod = pod_uid.replace("-", "_")
    if qos:
        return f"/kubepods.slice/kubepods-{qos}.slice/kubepods-{qos}-pod{pod}.slice/{container}.scope"
    return f"/kubepods.slice/kubepods-pod{pod}.slice/{container}.scope"


def cgroupfs_path(qos: str, pod_uid: str, container: str) -> str:
    """The same with the cgroupfs driver."""
    return "/kubepods" + (f"/{qos}" if qos else "") + f"/pod{pod_uid}/{container}"


# processes


def start(folder: Path, name: str, does: Callable[[], object]) -> int:
    """A process called `name` in that cgroup that calls `does` and ends; its pid, when it is in there."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writes)
        told = os.read(reads, 1)
        os.close(reads)
        if not told:
            raise RuntimeError(f"{name} did not start in {folder}")
        return pid
    code = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        Path("/proc/self/comm").write_text(name)
        (folder / "cgroup.procs").write_text("0")
        os.write(writes, b".")
        os.close(writes)
        does()
        code = 0
    finally:
        os._exit(code)


def spin() -> None:
    while True:
        pass


def wait_forever() -> None:
    while True:
        signal.pause()


def when_told(does: Callable[[], object]) -> Callable[[], object]:
    """Waits for SIGUSR1 first."""

    def waits() -> None:
        signal.sigwait({signal.SIGUSR1})
        does()

    return waits


def hold(size: int) -> Callable[[], None]:
    """Keeps `size` bytes of anonymous memory, all of it touched once."""

    def does() -> None:
        kept = touched(size)
        wait_forever()
        kept.close()

    return does


def touched(size: int) -> mmap.mmap:
    kept = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, size, PAGE):
        kept[offset] = 1
    return kept


def grow(step: int = MIB, pause: float = 0.0) -> Callable[[], None]:
    """Takes ever more, until it is killed."""

    def does() -> None:
        kept: List[mmap.mmap] = []
        while True:
            kept.append(touched(step))
            time.sleep(pause)

    return does


def ended(pid: int) -> bool:
    """Whether that child is dead; it is reaped then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def wait_until(
    condition: Callable[[], object], what: str, seconds: float = READY_SECONDS, pause: float = 0.02
) -> float:
    """Seconds that it took; TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(pause)
    return time.monotonic() - began


# what the kernel says


class KernelLog:
    """New records of /dev/kmsg, raw."""

    def __init__(self) -> None:
        self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._file, 0, os.SEEK_END)

    def records(self, settle: float = 0.5) -> str:
        """All since the last call, when nothing new has come for `settle` seconds."""
        found: List[bytes] = []
        while select.select([self._file], [], [], settle)[0]:
            try:
                found.append(os.read(self._file, 8192))
            except BlockingIOError:
                continue
        return b"".join(found).decode("utf-8", "replace")


def read(folder: Path, name: str) -> Optional[str]:
    try:
        return (folder / name).read_text()
    except OSError:
        return None


def flat(folder: Path, name: str) -> Dict[str, int]:
    """A file of `key number` lines."""
    return {line.split()[0]: int(line.split()[1]) for line in (read(folder, name) or "").splitlines()}


def recorded(root: Path, below: str = "") -> Dict[str, Dict[str, str]]:
    """Cgroup path -> file -> content, of all cgroups below; a file that cannot be read is left out."""
    found: Dict[str, Dict[str, str]] = {}
    for folder, _, names in os.walk(str(root) + below):
        path = folder[len(str(root)) :] or "/"
        contents = {name: read(Path(folder), name) for name in sorted(names)}
        found[path] = {
            name: text for name, text in contents.items() if text is not None and len(text) < _LONGEST_FILE
        }
    return found
