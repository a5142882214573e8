"""What no container has is told, with the reason and what turns it on."""

import os
from pathlib import Path
from typing import Dict, Tuple

import pytest
from agent.trees import Tree, build
from krm.agent.cgroupfs.hierarchy import open_hierarchy
from krm.agent.cgroupfs.reading import read_cgroup
from krm.agent.lacking import lacking
from krm.agent.seen import CONTAINER, Missing


def told(tree: Tree) -> Dict[str, str]:
    hierarchy = open_hierarchy(tree.root)
    read = [read_cgroup(hierarchy, place, 1.0, False) for place in tree.places.values()]
    missing: Tuple[Missing, ...] = lacking(hierarchy, [cgroup for cgroup in read if cgroup is not None])
    return {one.what: one.why for one in missing}


def removed(tree: Tree, name: str) -> None:
    for path, place in tree.places.items():
        if place.level == CONTAINER:
            for file in tree.root.glob(f"**{path}/{name}" if tree.version == "v2" else f"*{path}/{name}"):
                file.unlink()


@pytest.mark.parametrize("style", ["containerd-systemd-v2", "containerd-cgroupfs-hybrid", "kind-v2"])
def test_of_a_whole_node_nothing_is_missing(tmp_path: Path, style: str) -> None:
    assert told(build(tmp_path, style)) == {}


def test_version_1_has_no_pressure(tmp_path: Path) -> None:
    assert told(build(tmp_path, "containerd-cgroupfs-v1")) == {
        "pressure of containers": "cgroups of version 1 keep none"
    }


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("memory.pressure", "pressure of containers", "psi=1"),
        ("memory.swap.current", "swap of containers", "swapaccount=1"),
        ("io.stat", "I/O of containers", "cgroup.subtree_control"),
        ("pids.current", "PIDs of containers", "cgroup.subtree_control"),
    ],
)
def test_what_this_kernel_does_not_keep_is_told_with_what_turns_it_on(
    tmp_path: Path, name: str, what: str, why: str
) -> None:
    tree = build(tmp_path, "containerd-systemd-v2")
    removed(tree, name)
    found = told(tree)
    assert set(found) == {what}
    assert why in found[what]


def test_what_one_container_has_is_not_missing(tmp_path: Path) -> None:
    tree = build(tmp_path, "containerd-systemd-v2")
    kept = tree.root / tree.container(tree.pods[0].containers[0]).path[1:] / "io.stat"
    content = kept.read_text()
    removed(tree, "io.stat")
    kept.write_text(content)
    assert told(tree) == {}


def test_what_may_not_be_read_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = build(tmp_path, "containerd-systemd-v2")
    opened = os.open

    def refused(path: str, *words: int) -> int:
        if str(path).endswith("io.stat"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *words)

    monkeypatch.setattr(os, "open", refused)
    found = told(tree)
    assert set(found) == {"I/O of containers"}
    assert "Permission denied" in found["I/O of containers"]


def test_a_node_without_containers_lacks_nothing(tmp_path: Path) -> None:
    assert lacking(open_hierarchy(build(tmp_path, "containerd-cgroupfs-v1").root), []) == ()
