"""An opened cgroupfs: its version and controllers, and reads that end."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import List

import pytest
from agent.lesser import as_agent, open_folder  # noqa: F401 (fixture)
from agent.trees import PODS, STYLES, build
from krm.agent.cgroupfs import hierarchy as hierarchy_module
from krm.agent.cgroupfs.hierarchy import HYBRID, UNIFIED, V1, V2, NoCgroups, Unreadable, open_hierarchy
from krm.agent.seen import CONTAINER


@pytest.mark.parametrize("style", STYLES)
def test_every_style_opens_and_each_container_is_read(tmp_path: Path, style: str) -> None:
    tree = build(tmp_path, style)
    hierarchy = open_hierarchy(tmp_path)
    assert hierarchy.version == tree.version
    assert hierarchy.walked() == "memory"
    for path, place in tree.places.items():
        if place.level != CONTAINER:
            continue
        load = tree.loads[path]
        usage = "memory.current" if tree.version == V2 else "memory.usage_in_bytes"
        assert int(hierarchy.read("memory", path, usage)) == load.usage
        # In a tree of its own in version 1, below another folder in one style.
        assert f"nr_periods {load.periods}\n" in hierarchy.read("cpu", path, "cpu.stat").decode()
        if tree.version != V1:
            total = f"total={load.io_waiting_us}\n"
            assert total in hierarchy.read(UNIFIED, path, "io.pressure").decode()


def test_a_controller_belongs_to_one_version(tmp_path: Path) -> None:
    build(tmp_path, "containerd-systemd-hybrid")
    (tmp_path / "unified/cgroup.controllers").write_text("hugetlb io memory\n")
    hierarchy = open_hierarchy(tmp_path)
    assert hierarchy.version == HYBRID
    # Version 1 has memory and blkio, which is io.
    assert hierarchy.controllers["memory"] == V1
    assert hierarchy.controllers["hugetlb"] == V2
    assert "io" not in hierarchy.controllers


def test_memory_of_version_2_beside_version_1_is_what_is_walked(tmp_path: Path) -> None:
    for name in ("cpu,cpuacct", "pids", "systemd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").write_text("")
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").write_text("memory\n")
    hierarchy = open_hierarchy(tmp_path)
    assert hierarchy.walked() == "memory"
    assert hierarchy.folder("memory", "") == str(tmp_path / "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("")
    assert open_hierarchy(tmp_path).walked() == "cpuacct"


def test_a_cgroup_that_another_tree_has_elsewhere_is_found_wherever_that_is(tmp_path: Path) -> None:
    """What a runtime's own cgroup is called is its affair, and it need not be the same in each tree."""
    tree = build(tmp_path, "containerd-colons-v1")
    place = tree.container(PODS[1].containers[0])
    leaf = place.path.rpartition("/")[2]
    hierarchy = open_hierarchy(tmp_path)
    (tmp_path / "cpu,cpuacct/own.slice/k3s.service").mkdir(parents=True)
    (tmp_path / "cpu,cpuacct" / leaf).rename(tmp_path / "cpu,cpuacct/own.slice/k3s.service" / leaf)
    assert hierarchy.read("cpu", place.path, "cpu.shares")
    assert hierarchy.read("blkio", place.path, "blkio.throttle.io_serviced_recursive")
    with pytest.raises(FileNotFoundError):  # there is the cgroup, and not that file
        hierarchy.read("cpu", place.path, "cpu.rt_runtime_us")


def test_a_search_in_vain_is_not_made_at_each_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = build(tmp_path, "containerd-colons-v1")
    place = tree.container(PODS[1].containers[0])
    leaf = place.path.rpartition("/")[2]
    moved = tmp_path / "cpu,cpuacct" / leaf
    moved.rename(tmp_path / "away")
    hierarchy = open_hierarchy(tmp_path)
    searches: List[str] = []
    search = hierarchy_module._parent_of
    monkeypatch.setattr(
        hierarchy_module, "_parent_of", lambda tree, leaf: searches.append(leaf) or search(tree, leaf)
    )
    for _ in range(5):
        with pytest.raises(FileNotFoundError):
            hierarchy.read("cpu", place.path, "cpu.shares")
    assert searches == ["/" + leaf]
    (tmp_path / "away").rename(moved)  # it had not been made yet
    later = time.monotonic() + 60.0
    monkeypatch.setattr(hierarchy_module.time, "monotonic", lambda: later)
    assert hierarchy.read("cpu", place.path, "cpu.shares")


def test_without_cgroups_it_says_what_to_mount(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NoCgroups, match="Mount the host's /sys/fs/cgroup"):
            open_hierarchy(root)
    (tmp_path / "memory").mkdir()  # mounted without what is mounted below it
    with pytest.raises(NoCgroups):
        open_hierarchy(tmp_path)


def test_what_is_gone_and_what_is_not_for_us_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a/long").write_text("x" * 5000)
    (tmp_path / "a/link").symlink_to("long")
    (tmp_path / "a/folder").mkdir()
    os.mkfifo(tmp_path / "a/fifo")
    hierarchy = open_hierarchy(tmp_path)
    assert len(hierarchy.read("memory", "/a", "long")) == 5000
    assert hierarchy.read("memory", "/a", "fifo") == b""  # nobody writes: it does not wait
    for path, name in (("/gone", "long"), ("/a", "not-kept"), ("/a/long", "deeper")):
        with pytest.raises(FileNotFoundError):
            hierarchy.read("memory", path, name)
    with pytest.raises(Unreadable, match="more than 4999 bytes"):
        hierarchy.read("memory", "/a", "long", 4999)
    for path, name in (("/a", "link"), ("/a", "folder"), ("/" + "n" * 5000, "long"), ("/" + "a/" * 3000, "long")):
        with pytest.raises(Unreadable):
            hierarchy.read("memory", path, name)


def test_a_file_comes_whole_in_however_many_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel hands out a page or less at a time, and of a list only whole lines."""
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    whole = "".join(f"{pid}\n" for pid in range(20_000))
    (tmp_path / "cgroup.procs").write_text(whole)
    hierarchy = open_hierarchy(tmp_path)
    assert hierarchy.read("memory", "/", "cgroup.procs").decode() == whole
    read = os.read
    monkeypatch.setattr(hierarchy_module.os, "read", lambda file, most: read(file, min(most, 4090)))
    assert hierarchy.read("memory", "/", "cgroup.procs").decode() == whole


@pytest.mark.parametrize("name", ["ENODEV", "EOPNOTSUPP", "EIO"])
def test_a_cgroup_that_goes_while_its_file_is_open_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """ENODEV: so says the kernel then. EOPNOTSUPP: it keeps no pressure. Whatever else: it is there, unreadable."""
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    hierarchy = open_hierarchy(tmp_path)
    number = getattr(errno, name)

    def fail(file: int, most: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hierarchy_module.os, "read", fail)
    with pytest.raises(Unreadable if name == "EIO" else FileNotFoundError):
        hierarchy.read("memory", "/", "cgroup.controllers")


def test_what_is_not_for_its_uid_is_unreadable_and_not_gone(open_folder: Path) -> None:  # noqa: F811
    (open_folder / "cgroup.controllers").write_text("memory\n")
    (open_folder / "secret").write_text("1\n")
    (open_folder / "secret").chmod(0)

    def look() -> str:
        with pytest.raises(Unreadable) as said:
            open_hierarchy(open_folder).read("memory", "/", "secret")
        return str(said.value)

    assert as_agent(look).endswith("secret: Permission denied")


def test_a_cgroup_has_one_identity(tmp_path: Path) -> None:
    build(tmp_path, "docker-v1")
    hierarchy = open_hierarchy(tmp_path)
    first = hierarchy.made("memory", "/docker")
    assert hierarchy.made("memory", "/docker") == first
    assert first[1] > 0
    with pytest.raises(FileNotFoundError):
        hierarchy.made("memory", "/gone")
    with pytest.raises(FileNotFoundError):
        hierarchy.made("io", "/docker")
