"""The walk over all cgroups: what it finds in every style, and that nobody can make it long or wrong."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import List

import pytest
from agent.lesser import as_agent, open_folder  # noqa: F401 (fixture)
from agent.trees import OUTER, PODS, STYLES, build
from krm.agent.cgroupfs import walk as walk_module
from krm.agent.cgroupfs.hierarchy import NoCgroups, open_hierarchy
from krm.agent.cgroupfs.places import printable
from krm.agent.cgroupfs.walk import MOST_CGROUPS, MOST_DEPTH, MOST_IN_UNIT, MOST_INSIDE, Walked, walk
from krm.agent.process.belonging import Belonging, Belongs
from krm.agent.seen import CONTAINER, OTHER, POD

DB = PODS[0].containers[0]


def bare(root: Path) -> Path:
    """An empty cgroupfs of version 2."""
    (root / "cgroup.controllers").write_text("memory\n")
    return root


def found(root: Path) -> Walked:
    return walk(open_hierarchy(root))


@pytest.mark.parametrize("style", STYLES)
def test_every_cgroup_of_every_style_is_found_and_placed(tmp_path: Path, style: str) -> None:
    tree = build(tmp_path, style)
    walked = found(tmp_path)
    assert dict(walked.places) == tree.places
    assert walked.problems == ()
    # Parents come before their children.
    paths = list(walked.places)
    assert all(paths.index(path.rpartition("/")[0] or "/") < n for n, path in enumerate(paths) if n)


def test_what_is_known_is_not_read_again_and_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    tree = build(tmp_path, "containerd-systemd-v2")
    hierarchy = open_hierarchy(tmp_path)
    first = walk(hierarchy)
    gone = tree.container(DB).path
    shutil.rmtree(tmp_path / gone[1:])
    second = walk(hierarchy, first)
    assert set(first.places) - set(second.places) == {gone}
    assert all(second.places[path] is first.places[path] for path in second.places)


def test_a_tree_without_its_root_is_an_error_and_not_empty(tmp_path: Path) -> None:
    hierarchy = open_hierarchy(bare(tmp_path / "tree" if (tmp_path / "tree").mkdir() is None else tmp_path))
    shutil.rmtree(tmp_path / "tree")
    with pytest.raises(NoCgroups, match="mounted"):
        walk(hierarchy)


def test_a_leaf_is_not_listed_where_links_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 cgroups with 40 files each, two in three are leaves."""
    tree = build(tmp_path, "containerd-cgroupfs-v2")
    listed: List[str] = []
    scandir = os.scandir
    monkeypatch.setattr(walk_module.os, "scandir", lambda path: listed.append(path) or scandir(path))
    found(tmp_path)
    monkeypatch.undo()
    parents = {path.rpartition("/")[0] or "/" for path in tree.places}
    links_tell = os.stat(tmp_path).st_nlink == 2 + sum(path.is_dir() for path in tmp_path.iterdir())
    assert len(listed) == len(parents if links_tell else tree.places)


class TestHostileTrees:
    def test_names_with_newlines_dots_and_no_utf8(self, tmp_path: Path) -> None:
        bare(tmp_path)
        for name in (b"a\nb", b"..a", b"...", b"\xff\xfe", b"x" * 255, b"pod..", b" ", b"-", b":", b"a:b:c"):
            os.mkdir(os.fsencode(tmp_path) + b"/" + name)
        walked = found(tmp_path)
        assert len(walked.places) == 11
        assert {place.level for path, place in walked.places.items() if path != "/"} == {OTHER}
        for path in walked.places:  # each can be read, and shown
            open_hierarchy(tmp_path).made("memory", path)
            assert printable(path).isprintable()

    def test_symlinks_are_not_followed(self, tmp_path: Path) -> None:
        tree = build(tmp_path, "docker-systemd-v2")
        (tmp_path / "system.slice/loop").symlink_to("..")
        (tmp_path / "out").symlink_to("/proc")
        assert set(found(tmp_path).places) == set(tree.places)

    def test_a_very_deep_one_is_cut_and_said(self, tmp_path: Path) -> None:
        (bare(tmp_path) / "/".join(["d"] * (MOST_DEPTH + 3))).mkdir(parents=True)
        walked = found(tmp_path)
        assert len(walked.places) == MOST_DEPTH + 1
        (problem,) = walked.problems
        assert problem.what == "cgroups"
        assert "deeper than 32 names" in problem.why

    def test_long_names_end_where_a_path_can_no_longer_be_opened(self, tmp_path: Path) -> None:
        folder = os.open(bare(tmp_path), os.O_RDONLY)
        for _ in range(20):  # 5,100 bytes: made one by one, for no path of it can be opened
            os.mkdir("x" * 255, dir_fd=folder)
            deeper = os.open("x" * 255, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = deeper
        os.close(folder)
        walked = found(tmp_path)
        assert max(map(len, walked.places)) <= walk_module.MOST_LENGTH
        assert "longer than 3000 characters" in walked.problems[0].why
        assert len(walked.problems[0].why) < 250

    def test_a_container_full_of_cgroups_takes_none_from_the_others(self, tmp_path: Path) -> None:
        tree = build(tmp_path, "containerd-cgroupfs-v2")
        # First by name and made before all others, so that any other order would meet it first.
        many = tmp_path / "a.service"
        for folder, most in ((many, MOST_IN_UNIT), (tmp_path / tree.container(DB).path[1:], MOST_INSIDE)):
            for number in range(most + 50):
                os.makedirs(folder / f"n{number}")
        walked = found(tmp_path)
        assert set(tree.places) <= set(walked.places)
        assert all(walked.places[path] == place for path, place in tree.places.items())
        inside = [path for path in walked.places if path.startswith(tree.container(DB).path + "/")]
        assert len(inside) == MOST_INSIDE
        assert sorted(problem.why.partition(",")[0] for problem in walked.problems) == [
            f"more than {MOST_INSIDE} cgroups in one container",
            f"more than {MOST_IN_UNIT} cgroups in one unit",
        ]
        assert all(problem.why.endswith(" and 49 more") for problem in walked.problems)

    def test_a_runtimes_unit_may_hold_all_containers_of_a_large_node(self, tmp_path: Path) -> None:
        unit = bare(tmp_path) / "system.slice/containerd.service"
        for number in range(500):
            uid = f"{number:032x}"
            for container in range(4):
                (unit / f"kubepods-pod{uid}.slice:cri-containerd:{number * 4 + container:064x}").mkdir(parents=True)
        walked = found(tmp_path)
        assert walked.problems == ()
        assert sum(place.level == CONTAINER for place in walked.places.values()) == 2000

    def test_services_that_fill_the_node_together_take_none_from_the_pods(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = build(tmp_path, "containerd-systemd-v2")
        monkeypatch.setattr(walk_module, "MOST_CGROUPS", 100)
        monkeypatch.setattr(walk_module, "MOST_IN_UNIT", 30)
        for service in range(6):
            for number in range(40):
                (tmp_path / f"{service}.service/n{number}").mkdir(parents=True)
        walked = found(tmp_path)
        assert set(tree.places) <= set(walked.places)
        assert len(walked.places) == 100

    def test_a_million_cgroups_end_at_the_bound(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The entries are made up: what counts is how many are looked at."""
        bare(tmp_path)
        looked = [0]

        class Entry:
            def __init__(self, number: int) -> None:
                self.name = f"n{number}"
                looked[0] += 1

            def is_dir(self, *, follow_symlinks: bool) -> bool:
                return True

        class Listing:
            def __enter__(self) -> map[Entry]:
                return map(Entry, range(1_000_000))

            def __exit__(self, *_: object) -> None: ...

        monkeypatch.setattr(walk_module.os, "scandir", lambda path: Listing())
        walked = found(tmp_path)
        assert len(walked.places) == MOST_CGROUPS
        assert looked[0] <= walk_module.MOST_ENTRIES + 1
        assert {problem.why.partition(",")[0] for problem in walked.problems} == {
            "a cgroup has more than 100000 files and cgroups",
            f"more than {MOST_CGROUPS} cgroups on this node",
        }

    def test_cgroups_that_vanish_while_it_walks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whichever is the next to be listed is gone by then: no error, and no problem either."""
        tree = build(tmp_path, "kind-v2")
        scandir = os.scandir
        for number in range(1, 12):
            left = [number]

            def vanish(path: str, left: List[int] = left) -> object:
                left[0] -= 1
                if left[0] == 0:
                    shutil.rmtree(path)
                return scandir(path)

            monkeypatch.setattr(walk_module.os, "scandir", vanish)
            if number == 1:
                with pytest.raises(NoCgroups):
                    found(tmp_path)
            else:
                walked = found(tmp_path)
                assert walked.problems == ()
                assert set(walked.places) <= set(tree.places)
            monkeypatch.undo()
            shutil.rmtree(tmp_path, ignore_errors=True)
            tmp_path.mkdir(exist_ok=True)
            tree = build(tmp_path, "kind-v2")

    def test_a_tree_that_changes_all_the_time(self, tmp_path: Path) -> None:
        tree = build(tmp_path, "containerd-cgroupfs-v2")
        hierarchy = open_hierarchy(tmp_path)
        pod = tmp_path / "kubepods" / f"pod{PODS[0].uid}"
        done = threading.Event()

        def change() -> None:
            number = 0
            while not done.is_set() and number < 200_000:
                number += 1
                folder = pod / f"{number:064x}" / "init"
                folder.mkdir(parents=True)
                folder.rmdir()
                folder.parent.rmdir()

        thread = threading.Thread(target=change)
        thread.start()
        try:
            walked = None
            for _ in range(50):
                walked = walk(hierarchy, walked)
                assert walked.problems == ()
                assert set(tree.places) <= set(walked.places)
        finally:
            done.set()
            thread.join()

    def test_folders_that_are_not_for_its_uid_are_said(self, open_folder: Path) -> None:  # noqa: F811
        tree = build(open_folder, "containerd-cgroupfs-v2")
        for pod in PODS[1:3]:
            (open_folder / f"kubepods/{pod.qos}/pod{pod.uid}").chmod(0)
        walked = as_agent(lambda: found(open_folder))
        gone = {id_ for pod in PODS[1:3] for id_ in (pod.sandbox, *pod.containers)}
        seen = {place.container_id for place in walked.places.values() if place.level == CONTAINER}
        assert seen == {place.container_id for place in tree.places.values() if place.level == CONTAINER} - gone
        (problem,) = walked.problems
        assert problem.why.startswith("what lies below cannot be listed (Permission denied): /kubepods/")
        assert problem.why.endswith(" and 1 more")


class TestFalseNames:
    """A container that may make cgroups below its own names them after the pod of another."""

    def test_the_outer_one_counts_and_the_inner_is_its_makers(self, tmp_path: Path) -> None:
        tree = build(tmp_path, "containerd-cgroupfs-v2")
        maker, victim = tree.container(PODS[2].containers[0]), tree.container(DB)
        false = f"{maker.path}/kubepods/pod{victim.pod_uid}/{DB}"
        (tmp_path / false[1:] / "sub").mkdir(parents=True)
        hierarchy = open_hierarchy(tmp_path)
        walked = walk(hierarchy)
        for again in range(2):  # and so it stays
            assert walked.places[victim.path] == victim
            for path in (false.rpartition("/")[0], false, false + "/sub"):
                assert walked.places[path] == maker._replace(level=OTHER, path=path)
            assert walked.false == {false.rpartition("/")[0]}
            assert "bears the id of another cgroup" in walked.problems[0].why
            if not again:
                shutil.rmtree(tmp_path / victim.path[1:])
                (tmp_path / victim.path[1:]).mkdir()
            walked = walk(hierarchy, walked)

    def test_it_does_not_become_its_victim_when_that_ends(self, tmp_path: Path) -> None:
        tree = build(tmp_path, "containerd-cgroupfs-v2")
        maker, victim = tree.container(PODS[2].containers[0]), tree.container(DB)
        false = tmp_path / maker.path[1:] / DB
        false.mkdir()
        hierarchy = open_hierarchy(tmp_path)
        first = walk(hierarchy)
        shutil.rmtree(tmp_path / victim.path[1:])
        (false / "new").mkdir()
        second = walk(hierarchy, first)
        mine = [place for place in second.places.values() if place.container_id == DB]
        assert mine == []
        assert second.places[f"{maker.path}/{DB}/new"].container_id == maker.container_id

    @pytest.mark.parametrize(
        "name", ["kubepods", "kubepods/burstable", "kubepods.slice", f"kubepods/pod{PODS[3].uid}x"]
    )
    def test_nobody_becomes_a_process_of_the_host_by_a_name(self, tmp_path: Path, name: str) -> None:
        tree = build(tmp_path, "containerd-cgroupfs-v2")
        maker = tree.container(DB)
        (tmp_path / f"{maker.path}/{name}"[1:]).mkdir(parents=True)
        path = f"{maker.path}/{name}"
        belongs = Belonging(found(tmp_path).places, inside=False).of(path)
        assert belongs == Belongs(path, DB, maker.pod_uid)

    def test_a_nested_nodes_own_pods_are_no_false_ones(self, tmp_path: Path) -> None:
        build(tmp_path, "kind-v2")
        walked = found(tmp_path)
        assert walked.false == frozenset()
        nested = [place for place in walked.places.values() if place.outer == OUTER]
        assert sum(place.level == POD for place in nested) == len(PODS)
