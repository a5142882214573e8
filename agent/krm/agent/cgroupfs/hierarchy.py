"""An opened cgroupfs: which controllers it has, in which version, and bounded reads of its files.

    v2      one tree for all: ROOT/cgroup.controllers
    v1      a tree a controller: ROOT/memory, ROOT/cpu,cpuacct, ..., ROOT/systemd
    hybrid  v1, and ROOT/unified beside it, which has the controllers that version 1 left, often none. PSI is there

A path begins with / and is the same in all trees of version 1, but for one style: runtimes that name a cgroup
`SLICE:cri-containerd:ID` make it below their own, which is another one in each tree. `read` looks there too.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

V1, V2, HYBRID = "v1", "v2", "hybrid"
# The tree of version 2 by itself: what belongs to no controller (cgroup.*, *.pressure). v2 and hybrid.
UNIFIED = ""
MOST_BYTES = 256 * 1024  # of one file. memory.stat has 2 KB, io.stat 150 B a device
_FIRST = 8192  # bytes. A buffer of MOST_BYTES costs five times what the read does
_SHORT = 2048  # bytes. The kernel fills at least a page, less the line that no longer fits, before it stops
_CONTROLLERS = frozenset((
    "cpu", "cpuacct", "cpuset", "memory", "blkio", "pids", "devices", "freezer", "hugetlb", "perf_event",
    "net_cls", "net_prio", "rdma", "misc",
))  # fmt: skip
# As version 2 calls them, for the same reader.
_RENAMED = {"blkio": "io", "cpuacct": "cpu"}
# A runtime's own cgroup, in which it makes others: at most that deep, and searched among so many.
_OWN_DEPTH, _OWN_SEARCHED = 3, 2_000
_AGAIN = 30.0  # seconds after which what was searched in vain is searched again
_MOST_MOVED = 20_000
_GONE = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.ENOTDIR)
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO in a false tree holds nobody up


class NoCgroups(Exception):
    """There is no cgroupfs where one was expected: a sentence that says what to do."""


class Unreadable(Exception):
    """It is there and cannot be read: path and reason."""


class Hierarchy:
    """Reads files by controller, path and name. It holds no descriptor: a cgroup may go at any time."""

    def __init__(self, root: str, version: str, trees: Mapping[str, str], second: Mapping[str, str]) -> None:
        """`trees`: controller -> folder, of version 1. `second`: the same of version 2, UNIFIED among them."""
        self.root, self.version = root, version
        self._trees: Dict[str, str] = {**second, **trees}
        # Version 2 has cpu.stat and more without a controller, so there each name leads to the one tree.
        self._rest: Optional[str] = root if version == V2 else None
        # controller -> V1 or V2
        self.controllers: Dict[str, str] = {name: V2 for name in second if name != UNIFIED}
        self.controllers.update((name, V1) for name in trees)
        self._moved: Dict[Tuple[str, str], str] = {}  # controller, path: where that tree has it
        self._own: Dict[str, str] = {}  # controller: the runtime's own cgroup, where the last one was found
        self._again: Dict[Tuple[str, str], float] = {}  # not found: when it is searched again, monotonic

    def read(self, controller: str, path: str, name: str, most: int = MOST_BYTES) -> bytes:
        """The whole file. FileNotFoundError: the cgroup is gone, or this kernel does not keep that. Unreadable: it
        is not for us, or has more than `most` bytes, and half a file is none."""
        tree = self._trees.get(controller, self._rest)
        if tree is None:
            raise FileNotFoundError(errno.ENOENT, "no such controller", controller)
        try:
            return _read(f"{tree}{path}/{name}", most)
        except FileNotFoundError:
            if ":" not in path or self.version == V2:
                raise
            elsewhere = self._elsewhere(controller, tree, path)
            if elsewhere is None:
                raise
            return _read(f"{tree}{elsewhere}/{name}", most)

    def made(self, controller: str, path: str) -> Tuple[int, float]:
        """Inode and Unix time of the cgroup's folder. The inode is its identity as long as it lives. The time is
        that of its making, or later: the kernel makes inodes anew when memory is short, and then says now, so who
        keeps the first time that it saw of an inode has the best. FileNotFoundError, Unreadable."""
        try:
            status = os.stat(self.folder(controller, path), follow_symlinks=False)
        except OSError as error:
            raise _said(error, path) from None
        return status.st_ino, status.st_mtime

    def folder(self, controller: str, path: str) -> str:
        """Where that cgroup is, to be listed."""
        tree = self._trees.get(controller, self._rest)
        if tree is None:
            raise FileNotFoundError(errno.ENOENT, "no such controller", controller)
        return tree + path

    def walked(self) -> str:
        """The controller whose tree is walked: of memory, for each container has it; else what comes next."""
        for name in ("memory", "cpuacct", "cpu", "pids", "name=systemd"):
            if name in self._trees:
                return name
        return next(iter(self._trees))

    def _elsewhere(self, controller: str, tree: str, path: str) -> Optional[str]:
        """Where that controller's tree has the cgroup whose path in the walked tree is `path`. None: at `path`
        itself, and it is the file that is not there; or nowhere."""
        key, leaf = (controller, path), path[path.rindex("/") :]
        if key in self._moved or os.path.isdir(tree + path) or time.monotonic() < self._again.get(key, 0.0):
            return self._moved.get(key)
        if len(self._moved) + len(self._again) >= _MOST_MOVED:
            self._moved.clear()
            self._again.clear()
        own = self._own.get(controller)
        if own is None or not os.path.isdir(tree + own + leaf):
            own = _parent_of(tree, leaf)
        if own is None:
            self._again[key] = time.monotonic() + _AGAIN
            return None
        self._own[controller], self._moved[key] = own, own + leaf
        return own + leaf


def open_hierarchy(root: Path) -> Hierarchy:
    """The cgroupfs that is mounted at `root`. NoCgroups: none is, or without what is mounted below it."""
    base = str(root).rstrip("/")
    if os.path.exists(f"{base}/cgroup.controllers"):
        return Hierarchy(base, V2, {}, _second(base, {}))
    try:
        names = sorted(os.listdir(base))
    except OSError as error:
        raise NoCgroups(f"{base}: {error.strerror}. Mount the host's /sys/fs/cgroup there, read-only.") from None
    trees: Dict[str, str] = {}
    for name in names:
        # cpu is a symlink to cpu,cpuacct where both share a tree, and the name says so.
        if os.path.islink(f"{base}/{name}") or not os.path.exists(f"{base}/{name}/cgroup.procs"):
            continue
        if name == "systemd":
            trees["name=systemd"] = f"{base}/{name}"
        trees.update((part, f"{base}/{name}") for part in name.split(",") if part in _CONTROLLERS)
    second = _second(f"{base}/unified", trees)
    if trees:
        return Hierarchy(base, HYBRID if second else V1, trees, second)
    if second:
        return Hierarchy(second[UNIFIED], V2, {}, second)
    raise NoCgroups(
        f"{base}: no cgroups there. Mount the host's /sys/fs/cgroup there, read-only, with all that lies below it."
    )


def _parent_of(tree: str, leaf: str) -> Optional[str]:
    """The cgroup of that tree that has `leaf` directly below it, the least deep first."""
    level, searched = [""], 0
    for _ in range(_OWN_DEPTH + 1):
        deeper: List[str] = []
        for path in level:
            searched += 1
            if os.path.isdir(tree + path + leaf):
                return path
            if searched > _OWN_SEARCHED:
                return None
            try:
                with os.scandir(tree + path) as entries:
                    deeper += [f"{path}/{entry.name}" for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue
        level = deeper
    return None


def _second(folder: str, first: Mapping[str, str]) -> Dict[str, str]:
    """controller -> folder of a tree of version 2, of those that version 1 has not. {} = it is none."""
    try:
        listed = _read(f"{folder}/cgroup.controllers", MOST_BYTES)
    except (FileNotFoundError, Unreadable):
        return {}
    names = listed.decode("ascii", "replace").split()
    taken = {_RENAMED.get(name, name) for name in first}
    return {UNIFIED: folder, **{name: folder for name in names if name not in taken}}


def _read(path: str, most: int) -> bytes:
    try:
        file = os.open(path, _FLAGS)
    except OSError as error:
        raise _said(error, path) from None
    try:
        content = os.read(file, _FIRST if most >= _FIRST else most + 1)
        if len(content) < _SHORT:
            return content
        parts, size = [content], len(content)
        while content and size <= most:
            content = os.read(file, most + 1 - size)
            parts.append(content)
            size += len(content)
    except OSError as error:
        raise _said(error, path) from None
    finally:
        os.close(file)
    if size > most:
        raise Unreadable(f"{path}: more than {most} bytes")
    return b"".join(parts)


def _said(error: OSError, path: str) -> Exception:
    if error.errno in _GONE:
        return FileNotFoundError(error.errno, error.strerror, path)
    return Unreadable(f"{path}: {error.strerror}")
