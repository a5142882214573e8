"""What the harness of the virtual machine does with a machine that answers, falls silent, or lacks a program."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest
from vm import machine
from vm.archive import Archive
from vm.kernel import Kernel

GOOD = b'{"kills": 3}'
LINE = hashlib.sha256(GOOD).hexdigest() + " " + GOOD.decode()
# It finds the two serial lines among its options, as the real one does.
QEMU = """#!/bin/sh
echo $$ >{folder}/pid
while [ $# -gt 0 ]; do
  case "$2" in file:*/console) console=${{2#file:}};; file:*/answer) answer=${{2#file:}};; esac
  shift
done
echo "Kernel panic - not syncing" >"$console"
{does}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose parts are empty files; qemu() says what runs it."""
    (tmp_path / "vmlinuz").write_bytes(b"")
    (tmp_path / "base").write_bytes(b"")
    monkeypatch.setenv("KRM_CONTROL_PLANE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "kernel", lambda cache: Kernel(tmp_path / "vmlinuz", []))
    monkeypatch.setattr(machine, "_base", lambda: tmp_path / "base")
    (tmp_path / "program.py").write_text("")
    return tmp_path


def qemu(folder: Path, does: str) -> None:
    path = folder / "qemu-system-x86_64"
    path.write_text(QEMU.format(folder=folder, does=does))
    path.chmod(0o755)


def ran(folder: Path, seconds: float = 30.0) -> object:
    return machine.run(folder / "program.py", seconds)


def alive(folder: Path) -> bool:
    return Path("/proc", (folder / "pid").read_text().strip()).exists()


def test_the_answer_is_the_last_line_whole(folder: Path) -> None:
    qemu(folder, f"printf '%s\\n' 'noise' '{LINE}' >\"$answer\"")
    assert ran(folder) == {"kills": 3}


@pytest.mark.parametrize("line", [LINE[:-1], LINE.replace("3", "4"), "", "noise"])
def test_half_an_answer_is_none_and_the_console_is_told(folder: Path, line: str) -> None:
    qemu(folder, f"printf '%s\\n' '{line}' >\"$answer\"")
    with pytest.raises(machine.MachineError, match="Kernel panic"):
        ran(folder)


def test_a_machine_that_does_not_end_is_ended_at_its_deadline(folder: Path) -> None:
    qemu(folder, "exec sleep 300")
    with pytest.raises(machine.MachineError, match="did not end within"):
        ran(folder, 1.0)
    assert not alive(folder)


def test_what_is_missing_comes_with_the_command_that_provides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if machine.missing() is not None and "x86_64" in str(machine.missing()):
        pytest.skip(str(machine.missing()))
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("qemu") else f"/bin/{name}")
    assert "apt-get install qemu-system-x86" in str(machine.missing())


def entries(content: bytes) -> Iterator[Tuple[str, int, bytes]]:
    """Name, mode and content of a newc archive's entries, as the kernel reads them."""
    at = 0
    while True:
        assert content[at : at + 6] == b"070701"
        fields = [int(content[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_at = at + 110
        name = content[name_at : name_at + fields[11] - 1].decode()
        body_at = (name_at + fields[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return
        yield name, fields[1], content[body_at : body_at + fields[6]]
        at = (body_at + fields[6] + 3) // 4 * 4


def test_an_archive_has_each_folder_before_what_lies_in_it_and_links_with_their_targets(tmp_path: Path) -> None:
    (tmp_path / "lib.so.1").write_bytes(b"code")
    (tmp_path / "lib.so").symlink_to("lib.so.1")
    with open(str(tmp_path / "archive"), "wb") as file:
        archive = Archive(file)
        archive.holding("/a/b/c", b"12345")
        archive.file(tmp_path / "lib.so")
        archive.end()
    found = list(entries((tmp_path / "archive").read_bytes()))
    names: List[str] = [name for name, _, _ in found]
    assert names[:3] == ["a", "a/b", "a/b/c"]
    contents = {name: content for name, _, content in found}
    where = str(tmp_path).lstrip("/")
    assert contents["a/b/c"] == b"12345"
    assert contents[f"{where}/lib.so"] == b"lib.so.1"
    assert contents[f"{where}/lib.so.1"] == b"code"
    for name in names:
        assert os.path.dirname(name) in ["", *names[: names.index(name)]]
