"""What the path of a cgroup says: every style of every runtime, and names that are none."""

from __future__ import annotations

from typing import List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from krm.agent.cgroupfs.places import below, conmon_of, is_id, place_of, printable
from krm.agent.seen import (
    BEST_EFFORT,
    BURSTABLE,
    CONTAINER,
    CONTAINERD,
    CRIO,
    DOCKER,
    GUARANTEED,
    NODE,
    OTHER,
    POD,
    QOS,
    Place,
)

ID, INNER = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "0" * 63 + "a"
UID = "5f0c5e9c-6c8e-4a57-9d0e-2f6f6f3c1a11"
BARE = UID.replace("-", "_")
STATIC = "fb3ca4b0d4d1e1c54f7ed1d7e8b1a6c2"
BURST = "/kubepods.slice/kubepods-burstable.slice"
KIND = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"

PATHS = [
    # The kubelet's own.
    ("/", Place(NODE, "/")),
    ("/kubepods", Place(QOS, "/kubepods")),
    ("/kubepods/burstable", Place(QOS, "", BURSTABLE)),
    ("/kubepods/besteffort", Place(QOS, "", BEST_EFFORT)),
    ("/kubepods.slice", Place(QOS, "")),
    ("/kubepods.slice/kubepods-besteffort.slice", Place(QOS, "", BEST_EFFORT)),
    (f"/kubepods/pod{UID}", Place(POD, "", GUARANTEED, UID)),
    (f"/kubepods/burstable/pod{UID}", Place(POD, "", BURSTABLE, UID)),
    (f"/kubepods/burstable/pod{STATIC}", Place(POD, "", BURSTABLE, STATIC)),
    (f"/kubepods.slice/kubepods-pod{BARE}.slice", Place(POD, "", GUARANTEED, UID)),
    (f"{BURST}/kubepods-burstable-pod{STATIC}.slice", Place(POD, "", BURSTABLE, STATIC)),
    # cgroupfs driver.
    (f"/kubepods/pod{UID}/{ID}", Place(CONTAINER, "", GUARANTEED, UID, ID)),
    (f"/kubepods/besteffort/pod{UID}/{ID}", Place(CONTAINER, "", BEST_EFFORT, UID, ID)),
    (f"/kubepods/burstable/pod{UID}/crio-{ID}", Place(CONTAINER, "", BURSTABLE, UID, ID, CRIO)),
    # systemd driver.
    (f"{BURST}/kubepods-burstable-pod{BARE}.slice/cri-containerd-{ID}.scope",
     Place(CONTAINER, "", BURSTABLE, UID, ID, CONTAINERD)),
    (f"{BURST}/kubepods-burstable-pod{BARE}.slice/docker-{ID}.scope",
     Place(CONTAINER, "", BURSTABLE, UID, ID, DOCKER)),
    (f"/kubepods.slice/kubepods-pod{BARE}.slice/crio-{ID}.scope", Place(CONTAINER, "", GUARANTEED, UID, ID, CRIO)),
    # systemd's names with a runtime that makes folders of them.
    (f"/kubepods-burstable-pod{BARE}.slice:cri-containerd:{ID}",
     Place(CONTAINER, "", BURSTABLE, UID, ID, CONTAINERD)),
    (f"/system.slice/containerd.service/kubepods-besteffort-pod{UID}.slice:cri-containerd:{ID}",
     Place(CONTAINER, "", BEST_EFFORT, UID, ID, CONTAINERD)),
    (f"/kubepods-pod{BARE}.slice:crio:{ID}", Place(CONTAINER, "", GUARANTEED, UID, ID, CRIO)),
    # No pod.
    (f"/docker/{ID}", Place(CONTAINER, "", container_id=ID, runtime=DOCKER)),
    (f"/system.slice/docker-{ID}.scope", Place(CONTAINER, "", container_id=ID, runtime=DOCKER)),
    (f"/machine.slice/libpod-{ID}.scope", Place(CONTAINER, "", container_id=ID)),
    # A nested node.
    (f"/docker/{ID}{KIND}/kubelet-kubepods-besteffort-pod{BARE}.slice/cri-containerd-{INNER}.scope",
     Place(CONTAINER, "", BEST_EFFORT, UID, INNER, CONTAINERD, ID)),
    (f"/docker/{ID}/kubelet/kubepods/burstable/pod{UID}/{INNER}",
     Place(CONTAINER, "", BURSTABLE, UID, INNER, "", ID)),
    (f"/system.slice/docker-{ID}.scope/kubelet.slice/kubelet-kubepods.slice", Place(QOS, "", outer=ID)),
    (f"/kubelet/kubepods/pod{UID}/{ID}", Place(CONTAINER, "", GUARANTEED, UID, ID)),
    (f"/docker/{ID}/system.slice/kubelet.service", Place(OTHER, "", container_id=ID, runtime=DOCKER)),
    # Docker in a pod: the inner container costs the pod.
    (f"/kubepods/pod{UID}/{ID}/docker/{INNER}", Place(CONTAINER, "", GUARANTEED, UID, INNER, DOCKER, ID)),
    # A cgroup root of one's own.
    (f"/krm-test-node/kubepods/burstable/pod{UID}/{ID}", Place(CONTAINER, "", BURSTABLE, UID, ID)),
    (f"/my.slice/my-podsX.slice/my-podsX-kubepods.slice/my-podsX-kubepods-pod{BARE}.slice",
     Place(POD, "", GUARANTEED, UID)),
    # Below a container.
    (f"/kubepods/pod{UID}/{ID}/init", Place(OTHER, "", GUARANTEED, UID, ID)),
    (f"{BURST}/kubepods-burstable-pod{BARE}.slice/crio-{ID}.scope/container",
     Place(OTHER, "", BURSTABLE, UID, ID, CRIO)),
    (f"/kubepods/pod{UID}/{ID}/system.slice/a.service", Place(OTHER, "", GUARANTEED, UID, ID)),
    # Beside it.
    (f"{BURST}/kubepods-burstable-pod{BARE}.slice/crio-conmon-{ID}.scope", Place(OTHER, "", BURSTABLE, UID)),
    (f"/kubepods/pod{UID}/crio-conmon-{ID}", Place(OTHER, "", GUARANTEED, UID)),
    (f"/system.slice/crio-conmon-{ID}.scope", Place(OTHER, "")),
    (f"/kata_overhead/{ID}", Place(OTHER, "")),
    (f"/kata_overhead/kubepods/burstable/pod{UID}/{ID}", Place(OTHER, "", pod_uid=UID)),
    (f"/kubepods/pod{UID}/kata_{ID}", Place(CONTAINER, "", GUARANTEED, UID, ID)),
    # As a container sees the cgroups of others.
    (f"/../../pod{UID}/{ID}", Place(CONTAINER, "", "", UID, ID)),
    (f"/../cri-containerd-{ID}.scope", Place(CONTAINER, "", container_id=ID, runtime=CONTAINERD)),
    (f"/../../kubepods-burstable-pod{BARE}.slice/crio-{ID}.scope", Place(CONTAINER, "", BURSTABLE, UID, ID, CRIO)),
    ("/..", Place(OTHER, "")),
    ("/../../system.slice/cron.service", Place(OTHER, "")),
    # Nobody's.
    (f"/kubepods/pod{UID}/{ID}/../../pod{STATIC}/{INNER}", Place(OTHER, "")),
    ("/system.slice/containerd.service", Place(OTHER, "")),
    ("/user.slice/podcast", Place(OTHER, "")),
    (f"/kubepods/pod{UID}/{ID[:-1]}", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}/{ID}0", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}/{ID.upper()}", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}/{ID}\n", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}/{ID}.scope", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}/x-{ID}.scope", Place(OTHER, "", GUARANTEED, UID)),
    (f"/kubepods/pod{UID}\n/{ID}", Place(CONTAINER, "", container_id=ID)),
    ("/kubepods/pod../x", Place(OTHER, "", GUARANTEED, "..")),
    ("/kubepods/pod" + "a" * 4000, Place(OTHER, "")),
    ("/a\nb/\udcff\udcfe", Place(OTHER, "")),
]  # fmt: skip


@pytest.mark.parametrize(("path", "place"), PATHS, ids=[repr(path[:60]) for path, _ in PATHS])
def test_a_path_says_whose_it_is(path: str, place: Place) -> None:
    assert place_of(path) == place._replace(path=path)


NAMES = st.one_of(
    st.sampled_from(
        [
            "kubepods",
            "burstable",
            "besteffort",
            "kubepods.slice",
            "kubepods-burstable.slice",
            f"pod{UID}",
            ID,
            INNER,
            f"kubepods-burstable-pod{BARE}.slice",
            f"docker-{ID}.scope",
            f"crio-conmon-{ID}.scope",
            "docker",
            "..",
            ".",
            f"kubepods-pod{BARE}.slice:cri-containerd:{ID}",
            "::",
            "-pod.slice",
            ".slice",
            "kata_overhead",
            ID[1:],
            "",
        ]
    ),
    st.text(max_size=80),
    st.binary(max_size=40).map(lambda raw: raw.replace(b"/", b"").decode("utf-8", "surrogateescape")),
)


@settings(deadline=None, print_blob=True)
@given(st.lists(NAMES, max_size=12))
def test_no_path_is_too_strange(names: List[str]) -> None:
    """Never an error, and never a container without an id that stands on the path, whole."""
    path = "/" + "/".join(names)
    place = place_of(path)
    assert place.path == path
    for found in (place.container_id, place.outer):
        assert not found or (is_id(found) and found in path)
    if place.level == CONTAINER:
        assert place.container_id in path.rstrip("/").rpartition("/")[2]
    if place.level == POD:
        assert place.pod_uid
        assert not place.container_id
    assert printable(path).isprintable()


@settings(deadline=None, print_blob=True)
@given(st.sampled_from([path for path, place in PATHS if place.level == CONTAINER and ".." not in path]),
       st.text(st.characters(blacklist_characters="/"), min_size=1, max_size=20))  # fmt: skip
def test_what_lies_in_a_container_is_the_containers(path: str, name: str) -> None:
    container, inside = place_of(path), place_of(f"{path}/{name}")
    if inside.level == OTHER and name != "..":
        assert inside == below(container, f"{path}/{name}")


def test_conmons_cgroup_names_its_container() -> None:
    assert conmon_of(f"/kubepods/pod{UID}/crio-conmon-{ID}") == ID
    assert conmon_of(f"/machine.slice/libpod-conmon-{ID}.scope") == ID
    assert conmon_of(f"/kubepods/pod{UID}/crio-{ID}.scope") == ""
    assert conmon_of("/system.slice/crio-conmon-x.scope") == ""


def test_a_path_for_people_moves_no_cursor() -> None:
    assert printable("/a\n\x1b[2J\udcff/ü") == "/a\\x0a\\x1b[2J\\xff/ü"
