"""The cgroups of a real kernel (Debian's 6.1, in tests/vm), as files: krm reads of them what other hands do."""

import json
from pathlib import Path
from typing import Dict

import pytest
from krm.agent.cgroupfs.hierarchy import V2, open_hierarchy
from krm.agent.cgroupfs.reading import read_cgroup
from krm.agent.cgroupfs.walk import walk
from krm.agent.seen import CONTAINER, CONTAINERD, CRIO, DOCKER
from vm.guest import independent

RECORDED = Path(__file__).resolve().parent / "recorded" / "v2-6.1.json"
NOW = 1_800_000_000.0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree, as files."""
    folder = tmp_path_factory.mktemp("cgroup")
    tree: Dict[str, Dict[str, str]] = json.loads(RECORDED.read_text())
    for path, files in tree.items():
        (folder / path[1:]).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / path[1:] / name).write_text(content)
    return folder


def test_every_figure_is_what_other_hands_read(root: Path) -> None:
    hierarchy = open_hierarchy(root)
    assert hierarchy.version == V2
    places = walk(hierarchy).places
    assert len(places) > 20
    for path, place in places.items():
        cgroup = read_cgroup(hierarchy, place, NOW, limits_too=True)
        assert cgroup is not None, path
        assert dict(cgroup.figures) == independent.figures(path, str(root)), path


def test_each_container_is_its_runtimes(root: Path) -> None:
    found = [place for place in walk(open_hierarchy(root)).places.values() if place.level == CONTAINER]
    assert sorted(place.runtime for place in found) == sorted(
        ["", "", CONTAINERD, CONTAINERD, CRIO, DOCKER, DOCKER]
    )
    (nested,) = [place for place in found if place.outer]
    assert (nested.runtime, nested.qos) == (CONTAINERD, "besteffort")
    assert nested.outer in [place.container_id for place in found]
