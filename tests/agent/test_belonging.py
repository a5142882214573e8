"""Whose a process is by the path that /proc shows, from within a cgroup namespace or not, true or claimed."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Dict, Mapping, Optional

import pytest
from krm.agent.cgroupfs.hierarchy import Hierarchy, open_hierarchy
from krm.agent.cgroupfs.places import below, place_of
from krm.agent.process.belonging import Belonging, Belongs, own_cgroup
from krm.agent.seen import Place

UID, OTHER_UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11", "0b3d5a52-9a3d-4a0e-8ac0-6a8f3b7e2d22"
A, B, C, OWN, KIND = "a" * 64, "b" * 64, "c" * 64, "e" * 64, "d" * 64
CLASS = "/kubepods/burstable"
POD, OTHER_POD = f"{CLASS}/pod{UID}", f"{CLASS}/pod{OTHER_UID}"
SLICE = "/kubepods.slice/kubepods-burstable.slice"
POD_SLICE = f"{SLICE}/kubepods-burstable-pod{UID.replace('-', '_')}.slice"


def walked(*paths: str) -> Dict[str, Place]:
    """Places of these cgroups and of all above them."""
    found = {"/": place_of("/")}
    for path in paths:
        names = path.split("/")[1:]
        for number in range(1, len(names) + 1):
            above = "/" + "/".join(names[:number])
            found.setdefault(above, place_of(above))
    return found


PLACES = walked(f"{POD}/{A}", f"{POD}/{B}", f"{OTHER_POD}/{C}", f"{OTHER_POD}/{OWN}", "/system.slice/sshd.service")

SEEN_FROM_OUTSIDE = (
    (f"{POD}/{A}", Belongs(f"{POD}/{A}", A, UID)),
    (f"{POD}/{A}/init.scope", Belongs(f"{POD}/{A}/init.scope", A, UID)),
    (f"{POD}/{A}/docker/{KIND}", Belongs(f"{POD}/{A}/docker/{KIND}", A, UID)),
    (POD, Belongs(POD, "", UID)),
    # Made since the walk.
    (f"{POD}/{KIND}", Belongs(f"{POD}/{KIND}", KIND, UID)),
    ("/kubepods/pod" + "7" * 32 + f"/{KIND}", Belongs("/kubepods/pod" + "7" * 32 + f"/{KIND}", KIND, "7" * 32)),
    ("/system.slice/sshd.service", Belongs("/system.slice/sshd.service")),
    ("/user.slice/user-0.slice", Belongs("/user.slice/user-0.slice")),
    ("/", Belongs("/")),
)


@pytest.mark.parametrize(("shown", "belongs"), SEEN_FROM_OUTSIDE)
def test_seen_from_outside_of_any_namespace(shown: str, belongs: Belongs) -> None:
    assert Belonging(PLACES, inside=False).of(shown) == belongs


# shown, with the own cgroup known, without
SEEN_FROM_INSIDE = (
    ("/", Belongs(f"{OTHER_POD}/{OWN}", OWN, OTHER_UID), None),
    ("/deeper", Belongs(f"{OTHER_POD}/{OWN}/deeper", OWN, OTHER_UID), None),
    (f"/../{C}", Belongs(f"{OTHER_POD}/{C}", C, OTHER_UID), Belongs(f"{OTHER_POD}/{C}", C, OTHER_UID)),
    (f"/../../pod{UID}/{A}", Belongs(f"{POD}/{A}", A, UID), Belongs(f"{POD}/{A}", A, UID)),
    (f"/../../pod{UID}/{A}/x", Belongs(f"{POD}/{A}/x", A, UID), Belongs(f"{POD}/{A}/x", A, UID)),
    (f"/../../pod{UID}", Belongs(POD, "", UID), Belongs(POD, "", UID)),
    (f"/../../pod{UID}/{KIND}", Belongs(f"{POD}/{KIND}", KIND, UID), Belongs(f"{POD}/{KIND}", KIND, UID)),
    ("/../../../../system.slice/sshd.service", Belongs("/system.slice/sshd.service"), Belongs("")),
    ("/../../../..", Belongs("/"), Belongs("")),
    ("/..", Belongs(OTHER_POD, "", OTHER_UID), None),
)


@pytest.mark.parametrize(("shown", "known", "unknown"), SEEN_FROM_INSIDE)
def test_seen_from_a_cgroup_namespace(shown: str, known: Belongs, unknown: Optional[Belongs]) -> None:
    assert Belonging(PLACES, inside=True, own=f"{OTHER_POD}/{OWN}").of(shown) == known
    assert Belonging(PLACES, inside=True).of(shown) == unknown


def test_slices_seen_from_inside() -> None:
    scope, own = f"{POD_SLICE}/cri-containerd-{A}.scope", f"{POD_SLICE}/cri-containerd-{OWN}.scope"
    places = walked(scope, own)
    for how in (Belonging(places, True, own), Belonging(places, True)):
        assert how.of(f"/../cri-containerd-{A}.scope") == Belongs(scope, A, UID)
        assert how.of(f"/../cri-containerd-{A}.scope/x.service") == Belongs(f"{scope}/x.service", A, UID)


def test_a_path_from_inside_is_resolved_as_the_kernel_made_it() -> None:
    """Against a naive twin: the kernel's relative path between two random cgroups, back again."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    paths = [path for path in PLACES if path != "/"]
    for _ in range(500):
        own, to = dice.choice(paths), dice.choice(paths)
        relative = os.path.relpath(to, own)
        shown = "/" if relative == "." else f"/{relative}"
        expected = Belonging(PLACES, inside=False).of(to)
        assert Belonging(PLACES, inside=True, own=own).of(shown) == expected, (own, to)


NESTED = f"/docker/{KIND}"
INNER = f"{NESTED}/kubelet/kubepods/burstable/pod{UID}/{A}"


def test_a_pod_of_a_nested_node_is_the_pods_and_the_rest_is_the_nodes() -> None:
    places = walked(INNER, f"{NESTED}/system.slice/kubelet.service")
    outside = Belonging(places, inside=False)
    assert outside.of(INNER) == Belongs(INNER, A, UID)
    kubelet = f"{NESTED}/system.slice/kubelet.service"
    assert outside.of(kubelet) == Belongs(kubelet, KIND, "")
    new = f"{NESTED}/kubelet/kubepods/burstable/pod{OTHER_UID}/{B}"
    assert outside.of(new) == Belongs(new, B, OTHER_UID)


def test_from_within_a_nested_node_the_same_is_seen_with_its_own_root() -> None:
    """Its cgroupfs begins at its container, and without a cgroup namespace /proc says what lies above."""
    path = INNER[len(NESTED) :]
    inside = Belonging(walked(path), inside=False)
    assert inside.of(INNER) == Belongs(path, A, UID)
    assert inside.of(f"{INNER}/x") == Belongs(f"{path}/x", A, UID)


@pytest.mark.parametrize(
    "claim",
    [f"{POD}/{A}/kubepods/pod{OTHER_UID}/{C}", f"{POD}/{A}/{C}", f"{POD}/{A}/kubepods/pod{OTHER_UID}/{KIND}"],
)
def test_a_cgroup_that_bears_anothers_id_is_a_part_of_what_it_lies_in(claim: str) -> None:
    """Whoever may make cgroups in its own may name them so. Before the walk has found it, and after."""
    places = dict(PLACES)
    assert Belonging(places, inside=False).of(claim) == Belongs(claim, A, UID)
    relative = "/../../" + claim[len(CLASS) + 1 :]
    assert Belonging(places, True, f"{OTHER_POD}/{OWN}").of(relative) == Belongs(claim, A, UID)
    assert Belonging(places, True).of(relative) == Belongs(claim, A, UID)
    places[claim] = below(places[f"{POD}/{A}"], claim)
    assert Belonging(places, inside=False).of(claim) == Belongs(claim, A, UID)


def test_hostile_paths_end_in_an_answer() -> None:
    deep = "/x" * 2000
    for places in (PLACES, {}):
        for inside in (True, False):
            for shown in (
                "/",
                "//",
                "/..",
                "/../..",
                deep,
                "/" + "../" * 1000,
                f"/../{'y' * 4000}",
                "/a/../b",
                "/\udcff\n",
            ):
                found = Belonging(places, inside).of(shown)
                assert found is None or (found.container_id, found.pod_uid) == ("", ""), shown


def hierarchy(folder: Path, procs: Mapping[str, str]) -> Hierarchy:
    (folder / "cgroup.controllers").write_text("memory\n")
    for path, text in procs.items():
        (folder / path.lstrip("/")).mkdir(parents=True)
        (folder / path.lstrip("/") / "cgroup.procs").write_text(text)
    return open_hierarchy(folder)


def test_ones_own_cgroup_is_the_one_that_lists_oneself(tmp_path: Path) -> None:
    """Version 2 lists 0 for processes of other namespaces, version 1 leaves them out."""
    opened = hierarchy(tmp_path, {f"{POD}/{A}": "0\n0\n", f"{OTHER_POD}/{OWN}": "17\n1\n", f"{POD}/{B}": "11\n"})
    assert own_cgroup(opened, PLACES, 1) == f"{OTHER_POD}/{OWN}"
    assert own_cgroup(opened, PLACES, 7) == ""
