"""Trees of cgroups as nodes have them: every runtime, driver and version, with files as a kernel writes them.

`build(folder, style)` makes one of STYLES below `folder` and says what is true of it: whose each cgroup is, and
what it used. All styles have the same pods, so that what is read of them must be the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Tuple

from agent.tree_files import LIMITS, Load, pressure_files, together, v1_files, v2_files
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

MIB = 1024 * 1024
TICK = 10_000_000


class Pod(NamedTuple):
    uid: str
    qos: str
    sandbox: str  # container ids
    containers: Tuple[str, ...]


class Tree(NamedTuple):
    root: Path  # what is mounted at /sys/fs/cgroup
    version: str
    pods: Tuple[Pod, ...]
    places: Dict[str, Place]  # every cgroup, by its path in the tree that is walked
    loads: Dict[str, Load]

    def container(self, id_: str) -> Place:
        return next(p for p in self.places.values() if p.level == CONTAINER and p.container_id == id_)


def _id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


PODS = (
    Pod("11111111-2222-4333-8444-555555555555", GUARANTEED, _id("a/pause"), (_id("a/db"),)),
    Pod("21111111-2222-4333-8444-555555555555", BURSTABLE, _id("b/pause"), (_id("b/web"), _id("b/proxy"))),
    Pod("31111111-2222-4333-8444-555555555555", BEST_EFFORT, _id("c/pause"), (_id("c/batch"),)),
    # A static pod: the kubelet's own hash for a uid.
    Pod("fb3ca4b0d4d1e1c54f7ed1d7e8b1a6c2", BURSTABLE, _id("d/pause"), (_id("d/apiserver"),)),
)
OUTER = _id("kind-control-plane")


def _cgroupfs(root: str, prefix: str = "", runtime: str = "", outer: str = "") -> List[Place]:
    """The kubelet's cgroupfs driver, below `root`."""
    found = [Place(QOS, f"{root}/kubepods", outer=outer)]
    found += [Place(QOS, f"{root}/kubepods/{qos}", qos, outer=outer) for qos in (BURSTABLE, BEST_EFFORT)]
    for pod in PODS:
        class_ = "" if pod.qos == GUARANTEED else f"/{pod.qos}"
        path = f"{root}/kubepods{class_}/pod{pod.uid}"
        found.append(Place(POD, path, pod.qos, pod.uid, outer=outer))
        for id_ in (pod.sandbox, *pod.containers):
            found.append(Place(CONTAINER, f"{path}/{prefix}{id_}", pod.qos, pod.uid, id_, runtime, outer))
    return found


def _slices(root: str, head: str, prefix: str, runtime: str, outer: str = "") -> List[Place]:
    """The kubelet's systemd driver; `head` is what a cgroup root adds to each slice's name."""
    top = f"{root}/{head}kubepods.slice"
    found = [Place(QOS, top, outer=outer)]
    found += [Place(QOS, f"{top}/{head}kubepods-{qos}.slice", qos, outer=outer) for qos in (BURSTABLE, BEST_EFFORT)]
    for pod in PODS:
        name = f"{head}kubepods" if pod.qos == GUARANTEED else f"{head}kubepods-{pod.qos}"
        path = f"{top}/{name}-pod{pod.uid.replace('-', '_')}.slice"
        if pod.qos != GUARANTEED:
            path = f"{top}/{name}.slice/{name}-pod{pod.uid.replace('-', '_')}.slice"
        found.append(Place(POD, path, pod.qos, pod.uid, outer=outer))
        for id_ in (pod.sandbox, *pod.containers):
            found.append(Place(CONTAINER, f"{path}/{prefix}-{id_}.scope", pod.qos, pod.uid, id_, runtime, outer))
    return found


def _colons(own: str) -> List[Place]:
    """The kubelet with systemd's names, containerd without: containers beside the pods, in containerd's own."""
    found = []
    for place in _slices("", "", "cri-containerd", CONTAINERD):
        if place.level == CONTAINER:
            pod = place.path.split("/")[-2]
            place = place._replace(path=f"{own}/{pod}:cri-containerd:{place.container_id}")
        found.append(place)
    return found


def _crio_systemd() -> List[Place]:
    """CRI-O with crun: the processes are in a cgroup below the container's, and conmon has one beside it."""
    found = _slices("", "", "crio", CRIO)
    for place in list(found):
        if place.level == CONTAINER:
            found.append(place._replace(level=OTHER, path=f"{place.path}/container"))
            pod = place.path.rpartition("/")[0]
            conmon = f"{pod}/crio-conmon-{place.container_id}.scope"
            found.append(Place(OTHER, conmon, place.qos, place.pod_uid))
    return found


def _kind(outer_path: str, runtime: str, inner: List[Place]) -> List[Place]:
    found = [Place(CONTAINER, outer_path, container_id=OUTER, runtime=runtime)]
    for name in ("/system.slice", "/system.slice/kubelet.service", "/init.scope"):
        found.append(Place(OTHER, outer_path + name, container_id=OUTER, runtime=runtime))
    return found + inner


def _docker(path: str) -> List[Place]:
    ids = [id_ for pod in PODS for id_ in pod.containers]
    return [Place(CONTAINER, path.replace("ID", id_), container_id=id_, runtime=DOCKER) for id_ in ids]


_OWN = "/system.slice/containerd.service"
# Name -> version of cgroups, and its places but the root's and the folders between.
STYLES: Dict[str, Tuple[str, Callable[[], List[Place]]]] = {
    "containerd-cgroupfs-v1": ("v1", lambda: _cgroupfs("")),
    "containerd-cgroupfs-v2": ("v2", lambda: _cgroupfs("")),
    "containerd-cgroupfs-hybrid": ("hybrid", lambda: _cgroupfs("")),
    "containerd-systemd-v1": ("v1", lambda: _slices("", "", "cri-containerd", CONTAINERD)),
    "containerd-systemd-v2": ("v2", lambda: _slices("", "", "cri-containerd", CONTAINERD)),
    "containerd-systemd-hybrid": ("hybrid", lambda: _slices("", "", "cri-containerd", CONTAINERD)),
    "containerd-colons-v1": ("v1", lambda: _colons(_OWN)),
    "docker-pods-systemd-v2": ("v2", lambda: _slices("", "", "docker", DOCKER)),
    "crio-systemd-v2": ("v2", _crio_systemd),
    "crio-cgroupfs-v1": ("v1", lambda: _cgroupfs("", "crio-", CRIO)),
    "docker-v1": ("v1", lambda: _docker("/docker/ID")),
    "docker-systemd-v2": ("v2", lambda: _docker("/system.slice/docker-ID.scope")),
    "kind-v2": (
        "v2",
        lambda: _kind(
            f"/system.slice/docker-{OUTER}.scope",
            DOCKER,
            _slices(
                f"/system.slice/docker-{OUTER}.scope/kubelet.slice", "kubelet-", "cri-containerd", CONTAINERD, OUTER
            ),
        ),
    ),
    "kind-v1": (
        "v1",
        lambda: _kind(f"/docker/{OUTER}", DOCKER, _cgroupfs(f"/docker/{OUTER}/kubelet", outer=OUTER)),
    ),
    "own-root-cgroupfs-v1": ("v1", lambda: _cgroupfs("/krm-test-node")),
}
_FOLDERS = {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct", "name=systemd": "systemd"}
_SERVICES = ("containerd", "docker", "crio", "kubelet")


def build(folder: Path, style: str) -> Tree:
    version, places_of = STYLES[style]
    places = {place.path: place for place in places_of()}
    for name in _SERVICES:
        places.setdefault(f"/system.slice/{name}.service", Place(OTHER, f"/system.slice/{name}.service"))
    for path in list(places):
        while path:
            path = path.rpartition("/")[0]
            around = next((p for p in places.values() if p.level == CONTAINER and path.startswith(p.path)), None)
            between = Place(OTHER, path)
            if around is not None:
                between = around._replace(level=OTHER, path=path)
            places.setdefault(path or "/", between if path else Place(NODE, "/"))
    loads = _loads(places)
    for path in sorted(places):
        _write(folder, version, path, loads[path], style)
    return Tree(folder, version, PODS, places, loads)


def _loads(places: Dict[str, Place]) -> Dict[str, Load]:
    """Each cgroup's own load, and what those directly below it used."""
    own = {path: _own(place, number) for number, (path, place) in enumerate(sorted(places.items()))}
    # What is in a cgroup below the container's (crun's) is not in it a second time.
    for path, place in places.items():
        parent = path.rpartition("/")[0]
        if place.level == OTHER and path.endswith("/container") and parent in own:
            own[path] = own[parent]._replace(**{name: getattr(Load(), name) for name in LIMITS})
            own[parent] = Load(**{name: getattr(own[parent], name) for name in LIMITS})
    loads: Dict[str, Load] = {}
    for path in sorted(places, key=lambda p: -p.count("/") if p != "/" else 1):
        children = [load for p, load in loads.items() if p != "/" and (p.rpartition("/")[0] or "/") == path]
        loads[path] = together(own[path], children)
    return loads


def _own(place: Place, number: int) -> Load:
    """No two cgroups have the same numbers."""
    if place.level == QOS or (place.level == OTHER and not place.path.endswith((".service", ".scope"))):
        return Load(shares=2 if place.qos == BEST_EFFORT else 1024)
    if place.level == POD:
        return Load(shares=102, limit=512 * MIB if place.qos == GUARANTEED else None, anon=64 * 1024, file=0)
    seed = int(hashlib.sha256(place.path.encode()).hexdigest()[:6], 16) % 1000 + number
    bounded = place.level == CONTAINER and place.qos == GUARANTEED
    return Load(
        user_ns=seed * TICK, system_ns=(seed // 3 + 1) * TICK, periods=seed * 2, throttled=seed // 4,
        throttled_ns=seed * 1_000_000, anon=seed * 4096 * 10, file=seed * 4096 * 4, inactive_file=seed * 4096,
        kernel=4096 * 3, swap=4096 * (seed % 5), faults=seed * 11, major_faults=seed % 7, kills=seed % 3,
        limit_hits=seed % 9, pids=seed % 20 + 1, read=seed * 4096, written=seed * 8192, reads=seed, writes=seed * 2,
        cpu_waiting_us=seed * 100, memory_waiting_us=seed * 10, io_waiting_us=seed * 1000,
        quota_us=50_000 if bounded else None, limit=256 * MIB if bounded else None,
        swap_limit=0 if bounded else None, pids_limit=1024 if bounded else None, shares=512 if bounded else 2,
    )  # fmt: skip


def _write(folder: Path, version: str, path: str, load: Load, style: str) -> None:
    if version == "v2":
        _files(folder, path, v2_files(load))
        return
    for controller, files in v1_files(load).items():
        # cpu and cpuacct share one tree, as systemd mounts them.
        name = _FOLDERS.get(controller, controller)
        here = path
        if ":" in path and "colons" in style and controller in ("cpu", "cpuacct", "blkio"):
            # The runtime's own cgroup is another one in these.
            here = "/" + path.rpartition("/")[2]
        _files(folder / name, here, {"cgroup.procs": "", "tasks": "", "notify_on_release": "0\n", **files})
    if not (folder / "cpu").exists():
        (folder / "cpu").symlink_to("cpu,cpuacct")
        (folder / "cpuacct").symlink_to("cpu,cpuacct")
    if version == "hybrid":
        more = {"cgroup.controllers": "\n", "cgroup.procs": "", "cpu.stat": "usage_usec 0\n"}
        _files(folder / "unified", path, {**more, **pressure_files(load)})


def _files(tree: Path, path: str, files: Dict[str, str]) -> None:
    folder = tree / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
