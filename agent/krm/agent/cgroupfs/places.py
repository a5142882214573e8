"""The path of a cgroup to whose it is. Pure text: what the kubelet and the runtimes name their cgroups.

    /kubepods/burstable/pod<uid>/<id>                                     cgroupfs driver; Docker, containerd
    /kubepods/burstable/pod<uid>/crio-<id>                                cgroupfs driver; CRI-O
    /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
                                              systemd driver; docker-<id>.scope and crio-<id>.scope alike
    [/system.slice/containerd.service]/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>
                                              a kubelet that speaks systemd's names to a runtime that does not
    /docker/<id>, /system.slice/docker-<id>.scope                         a container of no pod

A guaranteed pod lies directly below kubepods. A cgroup root of one's own stands before all that, as a folder or
as the head of each slice's name (kubelet-kubepods-burstable-pod<uid>.slice); a nested node (kind) lies below its
container, so the last of each kind on the path counts, and the container before the last is `outer`.
What lies in a nested node's pod or class, but in none of its containers, is the outer container's.
An id is 64 lower hex digits, no more and no less. All else is OTHER: below a container it bears the container's
id, for its processes are the container's; the monitors that runtimes put beside (crio-conmon-<id>, kata_overhead)
bear at most the pod's uid.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Tuple

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

_HEX = frozenset("0123456789abcdef")
_ID_LENGTH = 64
_UID_CHARACTERS = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.")
_LONGEST_UID = 128  # characters. The API server's have 36, the kubelet's own 32; a manifest may bring any
# What stands before -<id>.scope, or between the colons, and who names so. "" = one that krm has no name for.
_RUNTIMES: Dict[str, str] = {
    "cri-containerd": CONTAINERD,
    "nerdctl": CONTAINERD,
    "docker": DOCKER,
    "crio": CRIO,
    "libpod": "",
}
_QOS_OF: Dict[str, str] = {"burstable": BURSTABLE, "besteffort": BEST_EFFORT}
_KUBEPODS = "kubepods"
_POD_SLICES = (
    (f"{_KUBEPODS}-burstable-pod", BURSTABLE),
    (f"{_KUBEPODS}-besteffort-pod", BEST_EFFORT),
    (f"{_KUBEPODS}-pod", GUARANTEED),
)
# Everything below is what a VM costs beside its pod, however it is named.
_OVERHEAD = frozenset({"kata_overhead"})
_Whose = Tuple[str, str, str, str, str, str]  # level, qos, pod uid, container id, runtime, outer


def is_id(text: str) -> bool:
    """Whether that is a container's id as every runtime makes them."""
    return len(text) == _ID_LENGTH and _HEX.issuperset(text)


def printable(path: str) -> str:
    """`path` for people and documents: what is no UTF-8, and what moves a line or a cursor, as \\xNN."""
    if path.isprintable():
        return path
    return "".join(c if c.isprintable() else _escaped(c) for c in path)


def place_of(path: str) -> Place:
    """Whose the cgroup at `path` is. A path out of /proc/PID/cgroup may begin with `/..`, which says nothing and is
    passed over; after a name `..` says that the path was not resolved, and such a path is nobody's."""
    names = [name for name in path.split("/") if name]
    while names and names[0] == "..":
        names.pop(0)
    if not names:
        return Place(OTHER if ".." in path else NODE, path)
    if ".." in names:
        return Place(OTHER, path)
    level, qos, pod, container, runtime, outer = _whose(names)
    return Place(level, path, qos, pod, container, runtime, outer)


def below(place: Place, path: str) -> Place:
    """`path`, which lies inside `place`'s container, as a part of it, whatever its name claims."""
    return place._replace(level=OTHER, path=path)


def conmon_of(path: str) -> str:
    """The id of the container whose conmon lives in the cgroup at `path`; "" = it is none of conmon's."""
    name = path.rpartition("/")[2]
    for head in ("crio-conmon-", "libpod-conmon-"):
        if name.startswith(head):
            found = _without(name[len(head) :], ".scope")
            return found if is_id(found) else ""
    return ""


def _whose(names: List[str]) -> _Whose:
    level, qos, pod, container, runtime, outer = OTHER, "", "", "", "", ""
    before = ""  # the name before, where it is kubepods or a class below it
    for number, name in enumerate(names):
        level, kubepods = OTHER, ""
        if name in _OVERHEAD:
            return OTHER, "", _pod_among(names[number + 1 :]), "", "", ""
        slice_, named, found = _container(name, names[number - 1] if number else "")
        class_ = _class(name, before)
        its_pod = _pod(slice_, before)
        if class_ is not None or its_pod is not None:
            # From here on it is another node's, or this one's first.
            outer, container = container or outer, ""
            runtime = ""
        if class_ is not None:
            level, qos, pod, kubepods = QOS, class_, "", _without(name, ".slice")
        elif its_pod is not None:
            level, (qos, pod) = POD, its_pod
            qos = qos or (_QOS_OF.get(before, GUARANTEED) if before else "")
        if found:
            level, runtime = CONTAINER, named
            outer, container = container or outer, found
        before = kubepods
    return level, qos, pod, container, runtime, outer


def _class(name: str, before: str) -> Optional[str]:
    """QoS class: "" for kubepods, which holds all three. None = it is neither."""
    if before == _KUBEPODS and name in _QOS_OF:
        return _QOS_OF[name]
    if name == _KUBEPODS:
        return ""
    if not name.endswith(".slice"):
        return None
    head, _, last = name[: -len(".slice")].rpartition("-")
    if last in _QOS_OF and (head == _KUBEPODS or head.endswith("-" + _KUBEPODS)):
        return _QOS_OF[last]
    return "" if last == _KUBEPODS else None


def _pod(name: str, before: str) -> Optional[Tuple[str, str]]:
    """QoS class and uid of a pod's cgroup; None = it is none. A class of "" is the one of the cgroup before it."""
    if name.endswith(".slice"):
        for head, class_ in _POD_SLICES:
            start = name.rfind(head)
            uid = name[start + len(head) : -len(".slice")]
            if (start == 0 or (start > 0 and name[start - 1] == "-")) and _is_uid(uid):
                return class_, uid.replace("_", "-")
        return None
    if not name.startswith("pod") or not _is_uid(name[3:]):
        return None
    # Without kubepods before it (a path as a container sees it), only what can be nothing else.
    return ("", name[3:]) if before or _is_usual_uid(name[3:]) else None


def _container(name: str, before: str) -> Tuple[str, str, str]:
    """The slice that the name begins with (the name itself, where it is no pair), runtime, and id or ""."""
    if ":" in name:
        parts = name.split(":")
        if len(parts) == 3 and parts[1] in _RUNTIMES and is_id(parts[2]):
            return parts[0], _RUNTIMES[parts[1]], parts[2]
        return "", "", ""
    if is_id(name):
        return "", (DOCKER if before == "docker" else ""), name
    if name.startswith("kata_") and is_id(name[5:]):  # the VM of a pod: its id is the sandbox's
        return "", "", name[5:]
    head, _, found = _without(name, ".scope").rpartition("-")
    if head in _RUNTIMES and is_id(found):
        return "", _RUNTIMES[head], found
    return name, "", ""


def _pod_among(names: List[str]) -> str:
    """The uid of the last pod on a path whose names say no more than that."""
    found = ""
    for name in names:
        its_pod = _pod(name.partition(":")[0], "")
        found = its_pod[1] if its_pod else found
    return found


def _is_uid(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_UID and _UID_CHARACTERS.issuperset(text)


def _is_usual_uid(text: str) -> bool:
    """8-4-4-4-12 as the API server makes them, or the 32 digits of a static pod's hash."""
    bare = text.replace("-", "")
    if len(bare) != 32 or not _HEX.issuperset(bare):
        return False
    return bare == text or [len(part) for part in text.split("-")] == [8, 4, 4, 4, 12]


def _without(text: str, end: str) -> str:
    return text[: -len(end)] if text.endswith(end) else text


def _escaped(character: str) -> str:
    errors = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"  # JSON may bring others
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", errors))
