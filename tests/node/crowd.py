"""Many real containers in little time: pods as the CRI makes them, of containerd and ctr alone, without a kubelet.

Containers of a pod share a cgroup of the kubelet's naming and one shim: containerd's shim groups by the annotation
that its CRI sets. The first container of a pod stands for the sandbox.
"""

from __future__ import annotations

import contextlib
import secrets
import uuid
from pathlib import Path
from typing import Iterator, List, NamedTuple, Tuple

from node import image, machine
from node.servers import Containerd

STOP_SECONDS = 10.0
# Some ms of CPU a second; a sandbox has more, so that a pod's overhead is more than what a read misses.
_WORK = "while :; do seq {} > /dev/null; sleep 1; done"
_GROUP = "io.kubernetes.cri.sandbox-id"


class CrowdPod(NamedTuple):
    uid: str
    ids: Tuple[str, ...]  # the sandbox's first
    cgroup: str  # path below each hierarchy's root


@contextlib.contextmanager
def crowd(runc: Path, busybox: Path, pods: int, containers: int) -> Iterator[Tuple[Containerd, List[CrowdPod]]]:
    """`pods` pods of a sandbox and `containers` containers each, which run; afterwards all is as it was."""
    with machine.prepared() as folder:
        containerd = Containerd(folder, runc, folder)  # no pod asks for a network
        made: List[CrowdPod] = []
        try:
            containerd.start(busybox)
            for _ in range(pods):
                made.append(_pod(containerd, folder, containers))
            yield containerd, made
        finally:
            for pod in made:
                for id_ in reversed(pod.ids):
                    containerd.ctr("tasks", "delete", "--force", id_)
            containerd.process.stop(STOP_SECONDS)


def _pod(containerd: Containerd, folder: Path, containers: int) -> CrowdPod:
    uid = str(uuid.uuid4())
    ids = tuple(secrets.token_hex(32) for _ in range(containers + 1))
    pod = CrowdPod(uid, ids, f"/{machine.CGROUP}/kubepods/burstable/pod{uid}")
    for id_ in ids:
        containerd.ctr(
            "run", "--detach", "--snapshotter", "native", "--runc-root", f"{folder}/runc",
            "--null-io", "--fifo-dir", f"{folder}/fifo",
            "--cgroup", f"{pod.cgroup}/{id_}", "--annotation", f"{_GROUP}={ids[0]}",
            image.NAME, id_, "sh", "-c", _WORK.format(60_000 if id_ == ids[0] else 1_000),
        )  # fmt: skip
    return pod
