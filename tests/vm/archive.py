"""A cpio archive (newc), as the kernel unpacks it at its start, and what of this machine goes into one."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import BinaryIO, Iterable, Iterator, List, Set, Tuple

# Parts of the standard library that nothing in the machine imports.
UNWANTED = (
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "pydoc_data",
    "site-packages",
)
PACKAGES_AT = "/packages"
_BLOCK = 4


class Archive:
    """Writes entries one after another; each folder is made before what lies in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._number = file, 0
        self._names: Set[str] = set()

    def folder(self, name: str) -> None:
        if name.strip("/") and name not in self._names:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFDIR | 0o755, 0, b"")

    def link(self, name: str, target: str) -> None:
        if name not in self._names:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFLNK | 0o777, 0, target.encode())

    def holding(self, name: str, content: bytes, mode: int = 0o644, modified: int = 0) -> None:
        if name not in self._names:
            self.folder(os.path.dirname(name))
            self._entry(name, stat.S_IFREG | mode, modified, content)

    def file(self, path: Path, name: str = "") -> None:
        """A file of this machine, under `name` or where it lies here. A link stays one, and brings its target."""
        name = name or os.path.abspath(str(path))
        if path.is_symlink():
            self.link(name, os.readlink(str(path)))
            if path.exists():
                self.file(Path(os.path.join(os.path.dirname(name), os.readlink(str(path)))))
            return
        about = path.stat()
        self.holding(name, path.read_bytes(), stat.S_IMODE(about.st_mode), int(about.st_mtime))

    def end(self) -> None:
        self._entry("TRAILER!!!", 0, 0, b"")
        self._file.write(bytes(-self._file.tell() % 512))

    def _entry(self, name: str, mode: int, modified: int, content: bytes) -> None:
        self._names.add(name)
        self._number += 1
        raw = os.fsencode(name.lstrip("/")) + b"\0"
        # number, mode, uid, gid, links, mtime, size, device, device of the node, length of the name, sum
        fields = (self._number, mode, 0, 0, 1, modified, len(content), 0, 0, 0, 0, len(raw), 0)
        self._write(b"070701" + b"".join(b"%08x" % field for field in fields) + raw)
        self._write(content)

    def _write(self, content: bytes) -> None:
        self._file.write(content + bytes(-len(content) % _BLOCK))


def interpreter() -> Path:
    """The real file of this Python, outside any venv."""
    return Path(os.path.realpath(sys.executable))


def python_files() -> Iterator[Path]:
    """This Python: the interpreter, its standard library, and the shared libraries that they need."""
    library = Path(sysconfig.get_paths()["stdlib"])
    machine_code = [interpreter()]
    yield interpreter()
    for folder, folders, names in os.walk(str(library)):
        folders[:] = [name for name in folders if name not in UNWANTED and not name.startswith("config-")]
        for name in names:
            if not name.endswith((".py", ".so", ".pyc")) or ".opt-" in name or "_test" in name:
                continue
            path = Path(folder) / name
            if name.endswith(".so"):
                machine_code.append(path)
            yield path
    yield from shared_libraries(machine_code)


def package_files(name: str) -> Iterator[Tuple[Path, str]]:
    """An installed package, its folder whole but for its tests, and where each file of it goes: the archive is
    kept, and another venv has it elsewhere. ImportError where it is not there."""
    module = __import__(name)
    folder = Path(os.path.dirname(os.path.abspath(str(module.__file__))))
    code = [path for path in folder.rglob("*") if path.is_file() and "tests" not in path.parts]
    for path in code:
        yield path, f"{PACKAGES_AT}/{path.relative_to(folder.parent)}"
    for path in shared_libraries([path for path in code if path.suffix == ".so"]):
        yield path, ""


def shared_libraries(paths: Iterable[Path]) -> List[Path]:
    """What ldd says that they need: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`."""
    found: Set[str] = set()
    for path in paths:
        told = subprocess.run(["ldd", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found.update(re.findall(r"(/\S+) \(0x", told.stdout))
    return [Path(one) for one in sorted(found)]
