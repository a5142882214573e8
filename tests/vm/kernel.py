"""Debian's cloud kernel for the virtual machine: fetched with apt-get, unpacked, not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Dict, List, NamedTuple

PACKAGE = "linux-image-cloud-amd64"  # names the newest of its release in its Depends
# What a disk of the machine needs that is no part of the kernel itself.
MODULES = ("virtio_pci", "virtio_blk")
FETCH_SECONDS = 100.0


class Kernel(NamedTuple):
    """An unpacked kernel."""

    image: Path  # vmlinuz
    modules: List[Path]  # MODULES and what they need, in the order in which they can be loaded


def kernel(cache: Path) -> Kernel:
    """The kernel in `cache`, fetched where it is not there. One process at a time: the caller holds a lock."""
    folder = cache / "kernel"
    if not folder.is_dir():
        partial = cache / "kernel.partial"
        shutil.rmtree(str(partial), ignore_errors=True)
        partial.mkdir(parents=True)
        _fetch(partial)
        partial.rename(folder)
    found = sorted(folder.glob("boot/vmlinuz-*"))
    if not found:
        raise FileNotFoundError(f"{folder} holds no kernel: remove it, and it is fetched anew")
    return Kernel(found[-1], _ordered(folder))


def _fetch(folder: Path) -> None:
    """The package, unpacked in `folder`. apt's lists are fetched where there are none, or old ones."""
    try:
        _run(["apt-get", "download", "-qq", _newest()], folder)
    except (LookupError, RuntimeError):
        _run(["apt-get", "update", "-qq"], folder)
        _run(["apt-get", "download", "-qq", _newest()], folder)
    (archive,) = folder.glob("*.deb")
    _run(["dpkg-deb", "-x", str(archive), str(folder)], folder)
    archive.unlink()


def _newest() -> str:
    """linux-image-6.1.0-56-cloud-amd64, or what PACKAGE stands for just now."""
    told = subprocess.run(["apt-cache", "depends", PACKAGE], stdout=subprocess.PIPE, text=True, timeout=30)
    found = re.search(r"Depends: (linux-image-\S+)", told.stdout)
    if found is None:
        raise LookupError(f"apt-cache knows no package {PACKAGE}: run `apt-get update`")
    return found.group(1)


def _run(command: List[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=str(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=FETCH_SECONDS
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout[-1000:]}")


def _ordered(folder: Path) -> List[Path]:
    """MODULES, each after those that it depends on: the names are in its section .modinfo, as depends=a,b."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    ordered: Dict[str, Path] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:  # what is not there is built in
            return
        found = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for needed in found.group(1).decode().split(",") if found else ():
            add(needed.replace("-", "_"))
        ordered[name] = files[name]

    for name in MODULES:
        add(name)
    return list(ordered.values())
