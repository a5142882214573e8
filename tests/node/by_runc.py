"""Containers of runc alone: a busybox, a script, and cgroups where one wants them. As root."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

STARTS = 20.0  # seconds that runc may take


def missing() -> Optional[str]:
    """What this machine lacks, and the command that provides it."""
    if os.geteuid() != 0:
        return "runc needs root: run `sudo make test-slow`"
    lacking = [name for name in ("runc", "busybox") if shutil.which(name) is None]
    return f"{', '.join(lacking)} is not there: run `apt-get install runc busybox-static`" if lacking else None


@contextlib.contextmanager
def container(folder: Path, cgroup: str, script: str, resources: Dict[str, Any]) -> Iterator[int]:
    """The host's PID of a shell that runs `script`. `folder`: empty. `cgroup`: its path in each hierarchy; its last
    name is the container's id. `resources`: as a runtime's config.json has them. It is gone in the end; the cgroups
    above it are their maker's."""
    name = cgroup.rpartition("/")[2]
    rootfs, state = folder / "rootfs", folder / "state"
    (rootfs / "bin").mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, str(rootfs / "bin/busybox"))
    for applet in ("sh", "dd", "sleep", "cat"):
        (rootfs / "bin" / applet).symlink_to("busybox")
    _write_config(folder, cgroup, script, resources)
    runc = ["runc", "--root", str(state)]
    pid_file = folder / "pid"
    command = [*runc, "run", "--detach", "--bundle", str(folder), "--pid-file", str(pid_file), name]
    with open(str(folder / "said"), "w") as said:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False, timeout=STARTS)
    try:
        assert pid_file.exists(), (folder / "said").read_text()
        yield int(pid_file.read_text())
    finally:
        end = time.monotonic() + STARTS
        while subprocess.run([*runc, "delete", "--force", name], capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < end, "runc does not remove its container"
            time.sleep(0.1)


def _write_config(folder: Path, cgroup: str, script: str, resources: Dict[str, Any]) -> None:
    subprocess.run(["runc", "spec", "--bundle", str(folder)], check=True, timeout=STARTS)
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["process"].update(args=["sh", "-c", script], terminal=False)
    config["linux"].update(cgroupsPath=cgroup, resources=resources)
    path.write_text(json.dumps(config))
