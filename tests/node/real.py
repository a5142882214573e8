"""A real node, joined to a test control plane: a kubelet over containerd and runc, for pods that run."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from controlplane.build import find_binary
from controlplane.kubeapi import ApiError, Json, KubeClient, Response
from controlplane.plane import ControlPlane
from controlplane.processes import free_port, wait_until
from node import image, machine
from node.servers import READY_SECONDS, Containerd, Kubelet

NAME = "real"
USER = f"system:node:{NAME}"
USERS: Mapping[str, Sequence[str]] = {USER: ("system:nodes", "system:masters")}
NAMESPACE = "default"
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "umount": "mount",
}
STOP_SECONDS = 10.0
# From a pod's creation until its processes run; the image is there already.
POD_SECONDS = 60.0


def missing() -> Optional[str]:
    """What this machine lacks for a node, and the command that provides it; None when nothing is missing."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "a node needs Linux and root: run `sudo make test-node`"
    if find_binary("kubelet", "1.36") is None:
        return "kubelet is not built: run `make control-plane`"
    packages = {package for name, package in PACKAGES.items() if shutil.which(name, path=SEARCHED) is None}
    if _plugins() is None:
        packages.add("containernetworking-plugins")
    if packages:
        return f"a node needs {', '.join(sorted(packages))}: run `apt-get install {' '.join(sorted(packages))}`"
    return None


def _plugins() -> Optional[Path]:
    return next((Path(folder) for folder in PLUGINS if (Path(folder) / "ptp").exists()), None)


def _program(name: str) -> Path:
    found = shutil.which(name, path=SEARCHED)
    assert found is not None, f"missing() says what provides {name}"
    return Path(found)


def container(name: str, script: str, **fields: Any) -> Json:
    """A container of a pod that runs `script` in a shell; `fields` as `resources`."""
    command = ["sh", "-c", script]
    return {"name": name, "image": image.NAME, "imagePullPolicy": "Never", "command": command, **fields}


class Node:
    """A kubelet named NAME. plane: started with USERS. folder: machine.prepared()'s."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        plugins, kubelet = _plugins(), find_binary("kubelet", "1.36")
        assert plugins is not None
        assert kubelet is not None
        self.name, self.port, self.address = NAME, free_port(), machine.ADDRESS
        self._plane, self._admin = plane, plane.admin
        self._containerd = Containerd(folder, _program("runc"), plugins)
        socket = self._containerd.socket
        self._kubelet = Kubelet(kubelet, folder, NAME, self.port, plane.kubeconfig(USER), socket)
        self.ca_file = self._kubelet.ca_file
        self.runtime_socket = socket
        self.ctr = self._containerd.ctr

    def start(self) -> None:
        """Returns when the API server calls it Ready."""
        self._containerd.start(_program("busybox"))
        self._kubelet.process.start()
        self._kubelet.process.wait_ready(self._ready, READY_SECONDS)

    def stop(self) -> None:
        """The pods first, while there is a kubelet to end them; what is left is machine.clean()'s."""
        if self._kubelet.process.running:
            for pod in self.pods():
                self.delete_pod(pod["metadata"]["name"], pod["metadata"]["namespace"])
        self._kubelet.process.stop(STOP_SECONDS)
        self._containerd.process.stop(STOP_SECONDS)

    def _ready(self) -> bool:
        try:
            status = self._admin.get(f"/api/v1/nodes/{NAME}")["status"]
        except ApiError:
            return False
        return {"Ready": "True"} in [{item["type"]: item["status"]} for item in status.get("conditions", [])]

    # Pages of the kubelet

    def client(self, user: str) -> KubeClient:
        """The kubelet's own door, for a user of the plane."""
        return KubeClient(f"https://{self.address}:{self.port}", self.ca_file, self._plane.token(user))

    def page(self, path: str, user: str = "admin") -> Response:
        """The answer to a GET, as /metrics/resource, whatever its status."""
        return self.client(user).request("GET", path)

    # Pods

    def pods(self) -> List[Json]:
        items: List[Json] = self._admin.get("/api/v1/pods", {"fieldSelector": f"spec.nodeName={NAME}"})["items"]
        return items

    def run_pod(self, name: str, containers: Sequence[Json], **spec: Any) -> Json:
        """A pod of NAMESPACE on this node, as it is when all its containers run."""
        body: Dict[str, Any] = {
            "metadata": {"name": name},
            "spec": {
                "nodeName": NAME,
                "containers": list(containers),
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                **spec,
            },
        }
        self._admin.create(f"/api/v1/namespaces/{NAMESPACE}/pods", body)
        wait_until(lambda: self._runs(name), POD_SECONDS, f"the containers of pod {name} run", pause=0.2)
        return self.pod(name)

    def pod(self, name: str) -> Json:
        return self._admin.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}")

    def delete_pod(self, name: str, namespace: str = NAMESPACE) -> None:
        """Gone, with its containers, when this returns."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        uid = self._admin.get(path)["metadata"]["uid"]
        self._admin.delete(path, query={"gracePeriodSeconds": 1})
        wait_until(lambda: self._gone(path, uid), POD_SECONDS, f"pod {name} is gone", pause=0.2)

    def restart_container(self, pod: str, name: str) -> Json:
        """Kill the container's first process; its status when the kubelet has started it again."""
        before = self.status(pod, name)["containerID"]
        self._containerd.ctr("tasks", "kill", "--signal", "SIGKILL", before.rpartition("/")[2])

        def anew() -> bool:
            status = self.status(pod, name)
            return status["containerID"] != before and "running" in status["state"]

        wait_until(anew, POD_SECONDS, f"container {name} of pod {pod} runs again", pause=0.2)
        return self.status(pod, name)

    def status(self, pod: str, name: str) -> Json:
        """The container's part of the pod's status."""
        for status in self.pod(pod)["status"].get("containerStatuses", []):
            if status["name"] == name:
                found: Json = status
                return found
        raise KeyError(f"pod {pod} has no status of a container {name}")

    def _runs(self, name: str) -> bool:
        statuses = self.pod(name)["status"].get("containerStatuses", [])
        return bool(statuses) and all("running" in status["state"] for status in statuses)

    def _gone(self, path: str, uid: str) -> bool:
        answer = self._admin.request("GET", path)
        return answer.status == 404 or answer.json()["metadata"]["uid"] != uid


if __name__ == "__main__":
    sys.exit(missing())
