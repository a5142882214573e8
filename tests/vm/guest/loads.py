"""The known load: containers whose figures are known before anyone reads them, in each style of path."""

from __future__ import annotations

import mmap
import os
import time
from typing import Callable, Dict, List, NamedTuple, Tuple

from inside import (
    MIB,
    PAGE,
    READY_SECONDS,
    cgroup,
    cgroupfs_path,
    hold,
    spin,
    start,
    systemd_path,
    touched,
    wait_forever,
    wait_until,
)

POD = "7d3c0a52-4c1e-4b7e-9a66-0f4f7e2c9b%02x"
ID = "%02x" * 32
OUTER = "0e" * 32  # the container that a kind node is
HELD = 24 * MIB
WRITTEN_A_SECOND = MIB
SWAP_DISK, DISK = "/dev/vdb", "/dev/vda"


class Load(NamedTuple):
    """A container: where, under which limits, and what runs in it."""

    path: str
    limits: Dict[str, object]
    processes: Tuple[Callable[[], object], ...]
    pod_uid: str = ""
    container_id: str = ""
    qos: str = ""
    outer: str = ""


def loads() -> Dict[str, Load]:
    """name -> load."""
    pods = [POD % number for number in range(0x10, 0x20)]
    ids = [ID % ((number,) * 32) for number in range(0x10, 0x20)]
    kind = (
        f"/system.slice/docker-{OUTER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
    )
    kind += f"/kubelet-kubepods-besteffort-pod{pods[5].replace('-', '_')}.slice/cri-containerd-{ids[5]}.scope"
    return {
        "capped": Load(
            systemd_path("burstable", pods[0], f"cri-containerd-{ids[0]}"),
            {"cpu_max": "20000 100000", "cpu_weight": 79},
            (spin,),
            pods[0],
            ids[0],
            "burstable",
        ),
        "holding": Load(
            cgroupfs_path("", pods[1], ids[1]),
            {"memory_max": 64 * MIB, "memory_min": 8 * MIB, "memory_low": 16 * MIB},
            (hold(HELD),),
            pods[1],
            ids[1],
            "guaranteed",
        ),
        "squeezed": Load(
            systemd_path("besteffort", pods[2], f"crio-{ids[2]}"),
            {"memory_high": 16 * MIB, "memory_swap_max": 64 * MIB, "cpu_max": "15000 100000"},
            (keep_touching(HELD),),
            pods[2],
            ids[2],
            "besteffort",
        ),
        "writing": Load(
            cgroupfs_path("burstable", pods[3], ids[3]),
            {"io_max": f"{device(DISK)} wbps={2 * WRITTEN_A_SECOND}"},
            (keep_writing,),
            pods[3],
            ids[3],
            "burstable",
        ),
        "many": Load(
            systemd_path("", pods[4], f"docker-{ids[4]}"),
            {"pids_max": 20},
            (wait_forever,) * 5,
            pods[4],
            ids[4],
            "guaranteed",
        ),
        "nested": Load(kind, {"cpu_max": "5000 50000"}, (spin,), pods[5], ids[5], "besteffort", OUTER),
    }


def run_loads() -> Dict[str, List[int]]:
    """Starts them all; their pids, when each has used CPU or memory."""
    swap_on()
    pids = {}
    for name, load in loads().items():
        folder = cgroup(load.path, **load.limits)
        pids[name] = [start(folder, name, does) for does in load.processes]
    holding = cgroup(loads()["holding"].path)
    wait_until(lambda: int((holding / "memory.current").read_text()) > HELD, "the memory is held", READY_SECONDS)
    return pids


def swap_on() -> None:
    for command in (f"mkswap {SWAP_DISK}", f"swapon {SWAP_DISK}"):
        if os.system(command):
            raise RuntimeError(f"{command} failed")


def device(path: str) -> str:
    number = os.stat(path).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


def keep_touching(size: int) -> Callable[[], None]:
    """More than memory.high: pages come and go from swap all the time."""

    def does() -> None:
        kept = touched(size)
        while True:
            for offset in range(0, size, PAGE):
                kept[offset] = (kept[offset] + 1) % 256

    return does


def keep_writing() -> None:
    """WRITTEN_A_SECOND straight to the disk, and the same read again."""
    block = mmap.mmap(-1, WRITTEN_A_SECOND)
    disk = os.open(DISK, os.O_RDWR | os.O_DIRECT)
    while True:
        os.pwrite(disk, block, 0)
        os.preadv(disk, [block], 0)
        time.sleep(1)
