"""A real dockerd beside the machine's own, with all that it keeps in one folder, and no network."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, Optional

from controlplane.processes import Process
from node import image
from node.servers import PATH, READY_SECONDS

# Made by dockerd at fixed places.
LEFT_FOLDERS = ("/run/docker/plugins", "/run/docker/netns", "/run/docker/runtime-runc", "/run/docker")


def missing() -> Optional[str]:
    """The command that provides dockerd; None where it is there."""
    if shutil.which("dockerd", path=PATH) and shutil.which("docker", path=PATH):
        return None
    return "dockerd is not there: run `apt-get install --no-install-recommends docker.io`"


class Dockerd:
    """With one image in it, image.NAME. `containerd`: the socket of the one that it uses. `parent`: the cgroup
    that its containers lie in, by default /docker."""

    def __init__(self, folder: Path, containerd: Path, parent: str) -> None:
        self.socket = folder / "docker.sock"
        self._folder = folder
        config = folder / "docker.json"  # else it reads the machine's
        config.write_text("{}")
        command = ["/usr/bin/env", f"PATH={PATH}", "dockerd", f"--config-file={config}"]
        command += [f"--data-root={folder}/docker", f"--exec-root={folder}/docker-state"]
        command += [f"--pidfile={folder}/docker.pid", f"--host=unix://{self.socket}", f"--containerd={containerd}"]
        # Neither bridges, rules nor settings of the machine; and no overlay, which a container may not have.
        command += ["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]
        command += ["--storage-driver=vfs", f"--cgroup-parent={parent}"]
        self.process = Process("dockerd", command, folder)

    def start(self, busybox: Path) -> None:
        self.process.start()
        self.process.wait_ready(self._answers, READY_SECONDS)
        archive = self._folder / "rootfs.tar"
        archive.write_bytes(image.layer(busybox))
        self.docker("import", str(archive), image.NAME)

    def docker(self, *words: str) -> str:
        """What the command docker prints; raises CalledProcessError."""
        command = ["docker", "--host", f"unix://{self.socket}", *words]
        return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout.strip()

    def run(self, name: str, script: str, *flags: str) -> str:
        """A container that runs `script` in a shell; its id."""
        words = ("--detach", "--network=none", f"--name={name}", *flags, image.NAME)
        return self.docker("run", *words, "/bin/sh", "-c", script)

    def inspect(self, name: str) -> Dict[str, Any]:
        found: Dict[str, Any] = json.loads(self.docker("inspect", name))[0]
        return found

    def remove(self) -> None:
        """All of them."""
        found = self.docker("ps", "--all", "--quiet", "--no-trunc").split()
        if found:
            self.docker("rm", "--force", *found)

    def _answers(self) -> bool:
        try:
            self.docker("version")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True
