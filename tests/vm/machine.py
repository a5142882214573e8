"""A virtual machine with cgroup v2 in full: memory, cpu, io, pids and pressure, whatever this host has.

qemu without KVM where there is none, a cloud kernel of Debian, and an initramfs with busybox, this Python, psutil
and krm's rooms. It runs one program, which answers with one JSON document over a serial line.

    document = run(Path("guest/kills.py"), seconds=110)

The built parts lie in the folder `vm` of the control plane's cache, named for what went into them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from controlplane.build import cache_folder
from vm.archive import PACKAGES_AT, Archive, interpreter, package_files, python_files
from vm.kernel import Kernel, kernel

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
GUEST = HERE / "guest"
ROOMS = ("model", "stage", "agent")
PACKAGES = ("psutil", "msgpack")
PROGRAMS = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static", "ldd": "libc-bin"}
MEMORY_MIB = 512
DISK_BYTES = 96 * 1024 * 1024  # of each of the two disks: vda to read and write, vdb for swap
# No version 1 at all; a panic ends the machine at once instead of hanging until the deadline.
KERNEL_WORDS = (
    "console=ttyS0 cgroup_no_v1=all psi=1 panic=-1 oops=panic mitigations=off random.trust_cpu=on quiet "
    "loglevel=4 log_buf_len=1M printk.devkmsg=on"
)
KILLED_SECONDS = 10.0
_TOLD = 4000  # characters of the console in an error


class MachineError(Exception):
    """The machine gave no answer; the end of its console is in the text."""


def missing() -> Optional[str]:
    """What this machine lacks for another one inside it, and the command that provides it; None: nothing."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return "the virtual machine is an x86_64 Linux in another one"
    wanted = sorted({package for name, package in PROGRAMS.items() if shutil.which(name) is None})
    if wanted:
        return f"the virtual machine needs {', '.join(wanted)}: run `apt-get install {' '.join(wanted)}`"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return "the virtual machine's kernel is Debian's, fetched with apt-get: run this on Debian 12"
    return None


def run(program: Path, seconds: float, memory_mib: int = MEMORY_MIB) -> Any:
    """The document that `program` (Python, run in the machine with GUEST and ROOMS importable) hands back.

    seconds: deadline from power-on to the answer, built parts excluded. MachineError where none came. The machine
    is gone when this returns.
    """
    with _one_at_a_time("build"):
        parts, base = kernel(_cache()), _base()
    with tempfile.TemporaryDirectory(prefix="krm-vm-") as name, _one_at_a_time("run"):
        folder = Path(name)
        _initramfs(folder / "initramfs", base, parts, program)
        for disk in ("vda", "vdb"):
            with open(str(folder / disk), "wb") as file:
                file.truncate(DISK_BYTES)
        return _answer(folder, _boot(folder, parts, memory_mib, seconds))


def _boot(folder: Path, parts: Kernel, memory_mib: int, seconds: float) -> str:
    """Runs qemu to its end or its deadline; how it ended."""
    command = ["qemu-system-x86_64", "-machine", "pc", "-accel", "tcg", "-smp", "1"]
    command += ["-m", str(memory_mib), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-kernel", str(parts.image), "-initrd", str(folder / "initramfs"), "-append", KERNEL_WORDS]
    command += ["-serial", f"file:{folder / 'console'}", "-serial", f"file:{folder / 'answer'}"]
    for disk in ("vda", "vdb"):
        command += ["-drive", f"file={folder / disk},format=raw,if=virtio,cache=unsafe"]
    errors = folder / "errors"
    with open(str(errors), "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"it did not end within {seconds:.0f} s"
        finally:
            process.kill()
            process.wait(KILLED_SECONDS)
    return f"qemu ended with {code}: {errors.read_text(errors='replace')[-_TOLD:]}"


def _answer(folder: Path, ending: str) -> Any:
    """The last line of the second serial line: a sum, a space, JSON."""
    lines = (folder / "answer").read_bytes().splitlines() if (folder / "answer").exists() else []
    sum_, _, body = lines[-1].partition(b" ") if lines else (b"", b"", b"")
    if not body or hashlib.sha256(body).hexdigest().encode() != sum_:
        console = folder / "console"
        told = console.read_text(errors="replace")[-_TOLD:] if console.exists() else ""
        raise MachineError(f"no answer from the virtual machine; {ending}\n{told}")
    return json.loads(body)


# What goes in


def _cache() -> Path:
    return cache_folder() / "vm"


@contextlib.contextmanager
def _one_at_a_time(what: str) -> Iterator[None]:
    """Builds would write over one another; machines at once would miss their deadlines on a small host."""
    _cache().mkdir(parents=True, exist_ok=True)
    with open(str(_cache() / f".{what}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _base() -> Path:
    """The archive of busybox, this Python and PACKAGES; made where these changed."""
    key = hashlib.sha256(f"{interpreter()}\0{sys.version}".encode())
    for path in (interpreter(), Path(str(shutil.which("busybox"))), HERE / "archive.py"):
        key.update(path.read_bytes())
    for name in PACKAGES:
        key.update(str(getattr(__import__(name), "__version__", "")).encode())
    target = _cache() / f"base-{key.hexdigest()[:16]}.cpio"
    if target.exists():
        return target
    partial = target.with_suffix(".partial")
    with open(str(partial), "wb") as file:
        archive = Archive(file)
        archive.file(Path(str(shutil.which("busybox"))), "/bin/busybox")
        for path in python_files():
            archive.file(path)
        for name in PACKAGES:
            for path, inside in package_files(name):
                archive.file(path, inside)
        archive.end()
    partial.rename(target)
    for old in _cache().glob("base-*.cpio"):
        if old != target and old.stat().st_mtime < time.time() - 86400:
            old.unlink()
    return target


def _initramfs(target: Path, base: Path, parts: Kernel, program: Path) -> None:
    """The base, and after it what changes: the kernel takes archives one after another."""
    with open(str(target), "wb") as file:
        with open(str(base), "rb") as source:
            shutil.copyfileobj(source, file)
        archive = Archive(file)
        archive.holding("/init", (GUEST / "init").read_bytes(), 0o755)
        archive.holding("/machine/program", _program(program.name).encode())
        for path in sorted({program, *GUEST.glob("*.py")}):
            archive.holding(f"/machine/{path.name}", path.read_bytes())
        for room in ROOMS:
            for path in sorted((ROOT / room / "krm").rglob("*.py")):
                archive.holding(f"/krm/{path.relative_to(ROOT)}", path.read_bytes())
        for path in parts.modules:
            archive.file(path, f"/modules/{path.name}")
        archive.holding("/modules/order", " ".join(path.name for path in parts.modules).encode())
        archive.end()


def _program(name: str) -> str:
    """The shell line that /init reads: the program's standard output is the console."""
    folders: List[str] = ["/machine", *(f"/krm/{room}" for room in ROOMS), PACKAGES_AT]
    settings: Dict[str, str] = {
        "PYTHONPATH": ":".join(folders),
        "PYTHONUNBUFFERED": "1",
        "HOME": "/tmp",
        "NO_COLOR": "1",
    }
    words = " ".join(f"{name}={value}" for name, value in settings.items())
    return f"{words} {interpreter()} /machine/{name} >/dev/console 2>&1 </dev/null\n"
