"""A real metrics-server beside a test control plane, reached through the API server as in any cluster.

    for plane in running_plane(users=USERS, apiserver_flags=aggregation_flags(folder)):
        with MetricsServer(plane, folder) as server:
            server.wait_for_nodes(["node-00001"])
            plane.admin.get("/apis/metrics.k8s.io/v1beta1/nodes")

It asks the kubelet of each Node at the InternalIP and the kubeletEndpoint port of its status, with a
bearer token, and does not check the kubelet's certificate.
"""

import contextlib
from pathlib import Path
from typing import Collection, List, Mapping, Sequence

from authorities import Authority
from controlplane.build import find_binary
from controlplane.kubeapi import ApiError, Json, KubeClient
from controlplane.plane import ControlPlane, MissingBinary
from controlplane.processes import Process, free_port, wait_until

USER = "metrics-server"
# Its manifests give it less; what it may is not what these tests are about.
USERS: Mapping[str, Sequence[str]] = {USER: ("system:masters",)}
API = "/apis/metrics.k8s.io/v1beta1"
# metrics-server takes no shorter one. It needs two points of a kubelet's counters before it answers.
RESOLUTION_SECONDS = 10
READY_SECONDS = 60.0
STOP_SECONDS = 5.0


def aggregation_flags(folder: Path) -> List[str]:
    """Flags for kube-apiserver: the identity with which it hands on requests, its keys in `folder`."""
    authority = Authority(folder, "aggregation")
    proxy = authority.client("aggregator")
    return [
        f"--requestheader-client-ca-file={authority.file}",
        "--requestheader-allowed-names=aggregator",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={proxy.cert}",
        f"--proxy-client-key-file={proxy.key}",
    ]


class MetricsServer:
    """metrics-server on a loopback port, registered as the API server's metrics.k8s.io/v1beta1.

    plane: started with USERS and aggregation_flags(). folder: for its log and its certificate.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        binary = find_binary("metrics-server", plane.version)
        if binary is None:
            raise MissingBinary("metrics-server is not built")
        self._admin: KubeClient = plane.admin
        self._port = free_port()
        config = plane.kubeconfig(USER)
        command = [
            str(binary),
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={folder}",
            f"--metric-resolution={RESOLUTION_SECONDS}s",
            f"--kubelet-request-timeout={RESOLUTION_SECONDS // 2}s",
            "--kubelet-insecure-tls",
            "--kubelet-use-node-status-port",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        self.process = Process("metrics-server", command, folder)

    def __enter__(self) -> "MetricsServer":
        try:
            self.process.start()
            self._register()
            self.process.wait_ready(self._answers, READY_SECONDS)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.process.stop(STOP_SECONDS)

    def nodes(self) -> List[Json]:
        """The NodeMetrics it has, as the API server hands them on."""
        items: List[Json] = self._admin.get(f"{API}/nodes")["items"]
        return items

    def wait_for_nodes(self, names: Collection[str], seconds: float = 60.0) -> None:
        """Wait until it has two points of each of these nodes and so answers with their use."""

        def known() -> bool:
            return set(names) <= {item["metadata"]["name"] for item in self.nodes()}

        wait_until(known, seconds, f"metrics-server knows {', '.join(sorted(names))}", pause=0.2)

    def _register(self) -> None:
        """A Service without a cluster network: the API server goes to its external name as it stands."""
        service: Json = {
            "metadata": {"name": "metrics-server"},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
        }
        api_service: Json = {
            "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {"namespace": "kube-system", "name": "metrics-server", "port": self._port},
            },
        }
        self._admin.create("/api/v1/namespaces/kube-system/services", service)
        self._admin.create("/apis/apiregistration.k8s.io/v1/apiservices", api_service)

    def _answers(self) -> bool:
        with contextlib.suppress(ApiError, OSError):
            self.nodes()
            return True
        return False
