"""A cgroup is read whole or not at all, and what cannot be read of it is unknown."""

import os
import random
import shutil
from pathlib import Path
from typing import Callable, List, Optional, Tuple

import pytest
from agent.tree_files import figures
from agent.trees import STYLES, Tree, build
from krm.agent.cgroupfs.hierarchy import Hierarchy, open_hierarchy
from krm.agent.cgroupfs.reading import Last, limits_of, read_cgroup, with_limits
from krm.agent.figures import FIGURES, UNLIMITED
from krm.agent.seen import CONTAINER, NODE, Cgroup, Place

NOW = 1800000000.0


def cgroup(tree: Tree, place: Place, limits_too: bool = True) -> Optional[Cgroup]:
    return read_cgroup(open_hierarchy(tree.root), place, NOW, limits_too)


def folders(tree: Tree, place: Place) -> List[Path]:
    """In all trees."""
    if tree.version == "v2":
        return [tree.root / place.path[1:]]
    tops = sorted(top for top in tree.root.iterdir() if not top.is_symlink())
    return [top / place.path[1:] for top in tops if (top / place.path[1:]).is_dir()]


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_cgroup_of_every_style_has_exactly_the_figures_that_it_has(tmp_path: Path, style: str) -> None:
    """Pods, containers, classes and units; units, limits and levels alike in all versions."""
    tree = build(tmp_path, style)
    hierarchy = open_hierarchy(tree.root)
    for path, place in tree.places.items():
        if place.level != NODE:
            found = read_cgroup(hierarchy, place, NOW, True)
            wanted = figures(tree.loads[path], tree.version, pressure=tree.version != "v1")
            assert found == Cgroup(place, NOW, None, wanted), path


@pytest.mark.parametrize("style", ["containerd-cgroupfs-v1", "containerd-systemd-v2"])
def test_between_two_looks_at_the_limits_those_of_before_are_kept(tmp_path: Path, style: str) -> None:
    tree = build(tmp_path, style)
    place = tree.container(tree.pods[0].containers[0])
    whole, usage = cgroup(tree, place), cgroup(tree, place, limits_too=False)
    assert whole is not None
    assert usage is not None
    assert not [name for name in usage.figures if FIGURES[name].kind == "limit"]
    assert with_limits(usage, limits_of(whole.figures)) == whole
    newer = usage._replace(figures={**usage.figures, "memory_usage": 1})
    assert with_limits(newer, limits_of(whole.figures)).figures["memory_usage"] == 1


@pytest.mark.parametrize("style", ["containerd-cgroupfs-v1", "containerd-cgroupfs-hybrid", "containerd-systemd-v2"])
def test_a_cgroup_that_is_gone_is_none(tmp_path: Path, style: str) -> None:
    tree = build(tmp_path, style)
    place = tree.container(tree.pods[1].containers[1])
    for folder in folders(tree, place):
        shutil.rmtree(str(folder))
    assert cgroup(tree, place) is None


class Vanishing(Hierarchy):
    """Removes the cgroup's folders one after the other, as a runtime does, from the `after`-th read on."""

    def removed(self, folders: List[Path], after: int) -> "Vanishing":
        self.left, self.after = list(folders), after
        return self

    def read(self, controller: str, path: str, name: str, most: int = 10_000) -> bytes:
        self.after -= 1
        if self.after <= 0 and self.left:
            shutil.rmtree(str(self.left.pop()))
        return super().read(controller, path, name, most)


def vanishing(tree: Tree, folders: List[Path], after: int) -> Hierarchy:
    opened = open_hierarchy(tree.root)
    opened.__class__ = Vanishing
    assert isinstance(opened, Vanishing)
    return opened.removed(folders, after)


@pytest.mark.parametrize("style", ["containerd-cgroupfs-v1", "containerd-cgroupfs-hybrid", "containerd-systemd-v2"])
def test_a_cgroup_that_vanishes_while_it_is_read_is_whole_or_none(tmp_path: Path, style: str) -> None:
    """At each of its reads, its trees in a random order."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    seen = set()
    tree = build(tmp_path / "tree", style)
    place = tree.container(tree.pods[0].containers[0])
    for number, folder in enumerate(folders(tree, place)):
        shutil.copytree(str(folder), str(tmp_path / "kept" / str(number)))
    whole = sorted(folders(tree, place))
    for after in range(1, 24):
        for number, folder in enumerate(whole):
            if not folder.exists():
                shutil.copytree(str(tmp_path / "kept" / str(number)), str(folder))
        if style != "containerd-systemd-v2":  # nobody is left in it
            (tree.root / "pids" / place.path[1:] / "pids.current").write_text("0\n")
        order = folders(tree, place)
        dice.shuffle(order)
        found = read_cgroup(vanishing(tree, order, after), place, NOW, False)
        seen.add(found is None)
        if found is not None:
            wanted = figures(tree.loads[place.path], tree.version, pressure=False)
            used = {name for name in wanted if FIGURES[name].kind != "limit"} - {"memory_peak"}
            assert used <= set(found.figures), (after, order)
    assert seen == {True, False}


def test_a_living_container_that_one_tree_never_had_keeps_what_the_others_say(tmp_path: Path) -> None:
    tree = build(tmp_path, "containerd-cgroupfs-v1")
    place = tree.container(tree.pods[0].containers[0])
    shutil.rmtree(str(tree.root / "cpu,cpuacct" / place.path[1:]))
    holds = tree.root / "pids" / place.path[1:] / "pids.current"
    holds.write_text("0\n")
    assert cgroup(tree, place) is None  # nothing runs in it: it is being made, or taken away
    (tree.root / "memory" / place.path[1:] / "cgroup.procs").write_text("4242\n")
    assert cgroup(tree, place) is not None
    # From another PID namespace no process is seen in it.
    (tree.root / "memory" / place.path[1:] / "cgroup.procs").write_text("")
    holds.write_text("1\n")
    found = cgroup(tree, place)
    assert found is not None
    assert "cpu_usage_ns" not in found.figures
    assert found.figures["memory_usage"] == tree.loads[place.path].usage


def _garbage(file: Path) -> None:
    file.write_bytes(os.urandom(4096))


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _gone(file: Path) -> None:
    file.unlink()


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _huge(file: Path) -> None:
    file.write_bytes(b"memory 1\n" * 200_000)


def _loop(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(str(file))


DAMAGES: Tuple[Callable[[Path], None], ...] = (_garbage, _empty, _gone, _folder, _huge, _loop, _pipe)


@pytest.mark.parametrize("style", ["containerd-cgroupfs-v1", "containerd-cgroupfs-hybrid", "containerd-systemd-v2"])
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_file_that_cannot_be_read_takes_no_other_with_it(
    tmp_path: Path, style: str, damage: Callable[[Path], None]
) -> None:
    """Each file of a container in turn: its figures are unknown or unlimited, never 0 and never another's."""
    tree = build(tmp_path, style)
    place = tree.container(tree.pods[0].containers[0])
    for folder in folders(tree, place):
        (folder / "cgroup.procs").write_text("4242\n")
    whole = cgroup(tree, place)
    assert whole is not None
    for folder in folders(tree, place):
        for file in sorted(folder.iterdir()):
            if file.name.startswith("cgroup.") or file.name == "notify_on_release":
                continue
            if file.name.endswith("_recursive") and damage is _gone:  # older kernels have another instead
                continue
            kept = file.read_bytes()
            damage(file)
            found = cgroup(tree, place)
            assert found is not None, file.name
            assert set(found.figures) <= set(whole.figures)
            for name, value in found.figures.items():
                assert value in (whole.figures[name], UNLIMITED), (file.name, name)
            shutil.rmtree(str(file)) if file.is_dir() and not file.is_symlink() else _removed(file)
            file.write_bytes(kept)
    assert cgroup(tree, place) == whole


def _removed(file: Path) -> None:
    if file.is_symlink() or file.exists():
        file.unlink()


def test_older_kernels_count_io_without_cgroups_below_which_says_nothing_of_a_pod(tmp_path: Path) -> None:
    tree = build(tmp_path, "containerd-cgroupfs-v1")
    container = tree.container(tree.pods[0].containers[0])
    pod = tree.places[container.path.rpartition("/")[0]]
    for place in (container, pod):
        folder = tree.root / "blkio" / place.path[1:]
        for name in ("io_service_bytes", "io_serviced"):
            (folder / f"blkio.throttle.{name}_recursive").unlink()
            (folder / f"blkio.throttle.{name}").write_text("8:0 Read 5\n8:0 Write 6\nTotal 11\n")
    of_container, of_pod = cgroup(tree, container), cgroup(tree, pod)
    assert of_container is not None
    assert of_pod is not None
    assert (of_container.figures["io_read_bytes"], of_container.figures["io_writes"]) == (5, 6)
    assert not [name for name in of_pod.figures if name.startswith("io_") and not name.endswith("_us")]


def test_what_may_not_be_read_is_unknown_and_the_rest_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = build(tmp_path, "containerd-systemd-v2")
    place = tree.container(tree.pods[0].containers[0])
    opened = os.open

    def refused(path: str, *words: int) -> int:
        if str(path).endswith(("io.stat", "memory.events")):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *words)

    monkeypatch.setattr(os, "open", refused)
    found = cgroup(tree, place)
    assert found is not None
    assert not {"io_read_bytes", "oom_kills", "memory_limit_hits"} & set(found.figures)
    assert found.figures["oom_kills_local"] == tree.loads[place.path].kills


def test_a_million_pids_in_it_are_not_its_end(tmp_path: Path) -> None:
    tree = build(tmp_path, "containerd-cgroupfs-v1")
    place = tree.container(tree.pods[0].containers[0])
    shutil.rmtree(str(tree.root / "pids" / place.path[1:]))
    (tree.root / "memory" / place.path[1:] / "cgroup.procs").write_text("4194304\n" * 1_000_000)
    found = cgroup(tree, place)
    assert found is not None
    assert place.level == CONTAINER
    assert "pids" not in found.figures


@pytest.mark.parametrize("style", ["containerd-cgroupfs-v1", "containerd-cgroupfs-hybrid", "containerd-systemd-v2"])
def test_what_is_remembered_of_files_changes_no_answer(tmp_path: Path, style: str) -> None:
    """Files change, vanish, break and come back: who remembers and who does not say the same each time."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    tree = build(tmp_path, style)
    place, other = (tree.container(tree.pods[number].containers[0]) for number in (0, 1))
    kept = {file: file.read_bytes() for folder in folders(tree, place) for file in folder.iterdir()}
    contents = {file: [kept[file], file.parents[len(place.path.split("/")) - 1].joinpath(
        other.path[1:], file.name).read_bytes(), b"", b"nonsense\n", None] for file in kept}  # fmt: skip
    hierarchy, last = open_hierarchy(tree.root), Last()
    for _ in range(60):
        for file in dice.sample(sorted(contents), 3):
            content = dice.choice(contents[file])
            if content is not None:
                file.write_bytes(content)
            elif file.exists():
                file.unlink()
        # What lies in the tree beside is looked for anew where limits are read, and only then.
        assert read_cgroup(hierarchy, place, NOW, True, last) == read_cgroup(hierarchy, place, NOW, True)
