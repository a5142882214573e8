"""Records pages of a real kubelet, for tests of what reads them.

    cd tests && python -m node.record node/recorded        # as root

A pod `busy` with a container capped at 0.2 CPU and one that holds 64 MiB, a minute after its start
(NAME), and again after the capped one was killed and started anew (NAME-restarted).
"""

import re
import sys
import time
from pathlib import Path

from controlplane.plane import ControlPlane
from node import machine
from node.loads import run_loads
from node.real import USERS, Node

PAGES = {"/metrics/resource": "resource.txt", "/metrics/cadvisor": "cadvisor.txt", "/stats/summary": "summary.json"}
# Seconds until the kubelet has looked at everything twice; its own turn takes at most 15.
SETTLED = 60
# Series that krm has no use for, with their headings; and file systems that this machine alone has.
_UNUSED = """
container_tasks_state container_fs_io container_fs_sector container_.*_merged container_.*load container_ulimits
container_spec_memory_(reserv|swap) container_threads container_sockets container_health container_.*_burst
machine_nvm machine_cpu_(books|drawers) container_fs_.*device="/(?!dev/)
"""
_SHORTENED = re.compile(rb"^(# [A-Z]+ )?(%s).*\n" % "|".join(_UNUSED.split()).encode(), re.MULTILINE)
_IDENTITY = re.compile(rb'(boot_id|machine_id|system_uuid)="[^"]*"')


def record(node: Node, folder: Path, addition: str) -> None:
    for path, name in PAGES.items():
        answer = node.page(path)
        stem, _, suffix = name.partition(".")
        body = _IDENTITY.sub(rb'\1="00000000"', _SHORTENED.sub(b"", answer.body))
        (folder / f"{stem}{addition}.{suffix}").write_bytes(body if answer.status == 200 else b"")
        print(f"{path}{addition}: {answer.status}, {len(answer.body)} bytes, {len(body)} of them kept")


def main(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    with ControlPlane(users=USERS) as plane, machine.prepared() as place:
        node = Node(plane, place)
        try:
            node.start()
            run_loads(node)
            time.sleep(SETTLED)
            record(node, folder, "")
            node.restart_container("busy", "capped")
            time.sleep(SETTLED / 2)
            record(node, folder, "-restarted")
        finally:
            node.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
