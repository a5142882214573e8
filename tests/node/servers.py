"""The two servers of a node, containerd and kubelet, with all they keep in the node's own folder."""

import json
import subprocess
from pathlib import Path
from typing import Any, Dict

from authorities import Authority
from controlplane.processes import Process
from node import image, machine

# Without /usr/sbin neither finds runc, iptables or mount helpers.
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POD_NETWORK = "10.199.1.0/24"
READY_SECONDS = 60.0
NAMESPACE = "k8s.io"


class Containerd:
    """A containerd beside the machine's own, with one image in it: image.NAME, which is the sandbox too."""

    def __init__(self, folder: Path, runc: Path, plugins: Path) -> None:
        self.socket = folder / "containerd.sock"
        self._folder = folder
        config = folder / "containerd.toml"
        config.write_text(_containerd_config(folder, self.socket, runc, plugins))
        _write_network(folder)
        command = ["/usr/bin/env", f"PATH={PATH}", "containerd", "--config", str(config)]
        self.process = Process("containerd", command, folder)

    def start(self, busybox: Path) -> None:
        self.process.start()
        self.process.wait_ready(self._answers, READY_SECONDS)
        archive = self._folder / "busybox.tar"
        image.write(busybox, archive)
        self.ctr("images", "import", str(archive))

    def ctr(self, *words: str) -> str:
        """What the command ctr prints; raises CalledProcessError."""
        command = ["ctr", "--address", str(self.socket), "--namespace", NAMESPACE, *words]
        return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout

    def _answers(self) -> bool:
        try:
            self.ctr("version")
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True


def _containerd_config(folder: Path, socket: Path, runc: Path, plugins: Path) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
oom_score = 0
[grpc]
address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[{cri}]
sandbox_image = "{image.NAME}"
# Without CAP_SYS_RESOURCE, as in many containers, a score below one's own cannot be set.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[{cri}.containerd]
# The overlay file system may be missing where the machine is itself a container.
snapshotter = "native"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
BinaryName = "{runc}"
Root = "{folder}/runc"
SystemdCgroup = false
[{cri}.cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
"""


def _write_network(folder: Path) -> None:
    """Each pod gets an address of POD_NETWORK and a cable to the machine, and nothing beyond it."""
    address: Dict[str, Any] = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_NETWORK}]],
        "dataDir": str(folder / "addresses"),
    }
    network = {
        "cniVersion": "0.4.0",
        "name": machine.CGROUP,
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": address}],
    }
    (folder / "cni").mkdir()
    (folder / "cni" / "10-ptp.conflist").write_text(json.dumps(network))


class Kubelet:
    """A kubelet named `name` that serves at machine.ADDRESS with a certificate of the test's own CA."""

    def __init__(self, binary: Path, folder: Path, name: str, port: int, kubeconfig: Path, runtime: Path) -> None:
        authority = Authority(folder, "kubelet-ca")
        self.ca_file = authority.file
        pair = authority.server("kubelet", (machine.ADDRESS,))
        config = folder / "kubelet.json"
        config.write_text(json.dumps(_kubelet_config(folder, port, runtime, pair.cert, pair.key)))
        command = ["/usr/bin/env", f"PATH={PATH}", str(binary), f"--config={config}", f"--kubeconfig={kubeconfig}"]
        command += [f"--root-dir={folder}/kubelet", f"--cert-dir={folder}/kubelet-certificates"]
        command += [f"--hostname-override={name}", f"--node-ip={machine.ADDRESS}"]
        # cAdvisor, within the kubelet, asks a socket of its own which container a cgroup is.
        command.append(f"--containerd={runtime}")
        self.process = Process("kubelet", command, folder)


def _kubelet_config(folder: Path, port: int, runtime: Path, certificate: Path, key: Path) -> Dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": machine.ADDRESS,
        "port": port,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True, "cacheTTL": "1s"}},
        "authorization": {"mode": "Webhook", "webhook": {"cacheAuthorizedTTL": "1s", "cacheUnauthorizedTTL": "1s"}},
        "containerRuntimeEndpoint": f"unix://{runtime}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{machine.CGROUP}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "systemReserved": {"cpu": "100m", "memory": "100Mi"},
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "podLogsDir": str(folder / "logs"),
        "resolvConf": "",
        # A machine with little room left on its disk runs the tests as well as another.
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "2s",
    }
