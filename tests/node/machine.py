"""What a real node changes on the machine it runs on, and how all of it is taken back.

Everything lies in one folder with a fixed name, so that the next run finds and removes what a run
that was killed has left: its processes, mounts, cgroups, the address on lo, and kernel settings.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Dict, Iterator, List, Set

FOLDER = Path("/var/lib/krm-test-node")
LOCK = Path("/run/krm-test-node.lock")
# The kubelet's cgroups: a folder of this name at the root of each hierarchy.
CGROUP = "krm-test-node"
CGROUPS = Path("/sys/fs/cgroup")
# A kubelet refuses to be a node at a loopback address, so lo gets one more.
ADDRESS = "10.199.0.1"
# What a kubelet writes at its start, and the CNI plugin ptp (ip_forward).
SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
)
# Places that have no flag. Folders among them are removed where they were not there before.
LINKS = Path("/var/log/containers")
KUBELET, CNI, SHIMS = "/var/lib/kubelet", "/var/lib/cni", "/run/containerd"
LEFT_FOLDERS = (f"{KUBELET}/device-plugins", KUBELET, str(LINKS), f"{CNI}/results", CNI, f"{SHIMS}/s", SHIMS)
DEATH_SECONDS = 10.0
# FOLDER, while it is this process' own: its lock would wait for itself.
_ours: Set[Path] = set()


@contextlib.contextmanager
def prepared() -> Iterator[Path]:
    """FOLDER, empty, for one node at a time; afterwards the machine is as it was.

    Waits for another process' node; RuntimeError while this one's own is there.
    """
    if _ours:
        raise RuntimeError("this process has a node already")
    with open(str(LOCK), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _ours.add(FOLDER)
        clean()
        FOLDER.mkdir(mode=0o700)
        try:
            _save()
            for hierarchy in hierarchies():
                (hierarchy / CGROUP).mkdir(exist_ok=True)
            _ip("addr", "add", f"{ADDRESS}/32", "dev", "lo")
            yield FOLDER
        finally:
            clean()
            _ours.clear()


def hierarchies() -> List[Path]:
    """The cgroup hierarchies of this machine: one with version 2, else one for each controller or two."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return sorted({path.resolve() for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists()})


def clean() -> None:
    """Take back what prepared() and a node in it did, in this run or in one that was killed."""
    if not FOLDER.exists():
        return
    take_back(FOLDER, CGROUP)
    _restore()
    shutil.rmtree(str(FOLDER))


def take_back(folder: Path, cgroup: str) -> None:
    """End the processes, mounts and cgroups that lie in `folder` and in the cgroups named `cgroup`."""
    _end_processes(folder, cgroup)
    _unmount(folder)
    _remove_cgroups(cgroup)


def _save() -> None:
    """What is to be restored, written before anything is changed."""
    settings = {name: (Path("/proc/sys") / name).read_text().strip() for name in SETTINGS}
    missing = [folder for folder in LEFT_FOLDERS if not Path(folder).exists()]
    (FOLDER / "before.json").write_text(json.dumps({"settings": settings, "missing": missing}))


def _restore() -> None:
    if f" {ADDRESS}/32 " in _ip("-o", "addr", "show", "dev", "lo"):
        _ip("addr", "del", f"{ADDRESS}/32", "dev", "lo")
    if LINKS.exists():
        for link in LINKS.iterdir():
            if link.is_symlink() and os.readlink(str(link)).startswith(f"{FOLDER}/"):
                link.unlink()
    for path in Path(f"{CNI}/results").glob(f"{CGROUP}-*-eth0"):  # of pods whose network nobody took down
        sandbox = path.name[len(CGROUP) + 1 : -len("-eth0")]
        for of_sandbox in path.parent.glob(f"*-{sandbox}-*"):
            of_sandbox.unlink()
    saved = FOLDER / "before.json"
    if not saved.exists():
        return
    before = json.loads(saved.read_text())
    for name, value in before["settings"].items():
        path = Path("/proc/sys") / name
        if path.read_text().strip() != value:
            path.write_text(value)
    for folder in before["missing"]:
        if Path(folder).is_dir():
            _remove_if_empty(Path(folder))


def _remove_if_empty(folder: Path) -> None:
    """But for what a kubelet leaves, and sockets of shims that were killed."""
    for path in folder.iterdir():
        if path.is_socket() or path.name in ("kubelet_internal_checkpoint", "DEPRECATION"):
            path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _end_processes(folder: Path, cgroup: str) -> None:
    """SIGKILL to what runs in the cgroups, and to servers and shims that were started with the folder."""
    deadline = time.monotonic() + DEATH_SECONDS
    while True:
        pids = _pids_in_cgroups(cgroup) | _pids_with_folder(folder)
        if not pids:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes of the node do not end: {sorted(pids)}")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _pids_in_cgroups(cgroup: str) -> Set[int]:
    found: Set[int] = set()
    for hierarchy in hierarchies():
        for path in (hierarchy / cgroup).rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found |= {int(word) for word in path.read_text().split()}
    return found


def _pids_with_folder(folder: Path) -> Set[int]:
    """Processes with an argument below the folder; one that has ended has no arguments any more."""
    found: Set[int] = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.rpartition(b"=")[2].startswith(f"{folder}/".encode()) for word in words):
                found.add(int(path.parent.name))
    return found - {os.getpid()}


def _unmount(folder: Path) -> None:
    """The last mounted first; lazily, for a mount that a dying process holds."""
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4]
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], check=True, timeout=30)


def _remove_cgroups(cgroup: str) -> None:
    for hierarchy in hierarchies():
        top = hierarchy / cgroup
        if top.is_dir():
            for inner, _, _ in os.walk(str(top), topdown=False):
                os.rmdir(inner)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], stdout=subprocess.PIPE, text=True, check=True, timeout=10).stdout


def settings() -> Dict[str, str]:
    """What SETTINGS are now."""
    return {name: (Path("/proc/sys") / name).read_text().strip() for name in SETTINGS}
