"""A real node and three paper ones beside it, measured by krm's own collectors: one for each way to numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

import redis_servers
from acceptance.product import Product
from acceptance.rights import grant, start_stages
from controlplane.kubeapi import KubeClient
from controlplane.plane import ControlPlane
from krm.simulator import kubelet_nodes
from krm.simulator.kubelet_loads import MIB, Load
from krm.simulator.kubelets import Kubelets
from krm.store.connect import connect
from krm.store.latest import Latest, Measured
from krm.store.latest_reader import LatestReader
from node.fixtures import COLLECTOR
from node.loads import POD
from node.real import NAMESPACE, Node

KINDS = ("pods", "nodes")
RATE = "cpu/usage_rate"
PAPER = ("paper-1", "paper-2", "paper-3")
# Of every source alike: a node is left out of sums when no source has an answer younger than two intervals.
EVERY = 5.0
# Name of a collector -> the sources that it has. A value comes from one source, the first of the metric
# table's that speaks: so each of the three ways to CPU and memory gets a collector of its own.
COLLECTORS = {
    "all": "kubelet,cadvisor,summary",
    "cadvisor": "cadvisor",
    "metrics-server": "metrics.k8s.io",
}


class Seen(NamedTuple):
    """Values of one container, as they were at `measured.at` by its source's clock."""

    container: str
    measured: Measured


class Watched:
    """One collector with its stages, and all that it ever said of the containers of POD."""

    def __init__(self, krm: Product, node: Node, plane: ControlPlane, ca: Path, sources: str) -> None:
        assert krm.redis is not None
        self.krm = krm
        self.sums: List[Measured] = []  # CPU of NAMESPACE
        self._seen: Dict[Tuple[str, str, float], Seen] = {}
        start_stages(krm, plane, KINDS)
        asked = ("--sources", sources, "--every", f"{EVERY:g}s", "--whole-every", f"{EVERY:g}s")
        asked += ("--kubelet-ca", str(ca))
        krm.stage("collector", (), "--kubeconfig", str(plane.kubeconfig(COLLECTOR)), *asked)
        self._reader = LatestReader(connect(krm.redis.url, name="watched"), krm.cluster)

    def look(self) -> Latest:
        """The newest values; what they say of POD's containers is kept."""
        latest = self._reader.read()
        for one in latest.namespaces.get(NAMESPACE, ()):
            self.sums += [one] if RATE in one.values and one not in self.sums else []
        for pod in latest.pods.get(NAMESPACE, ()):
            for container, all_measured in pod.containers.items() if pod.name == POD else ():
                for one in all_measured:
                    self._seen[(container, one.source, one.at)] = Seen(container, one)
        return latest

    def series(self, container: str, metric: str) -> List[Measured]:
        """Each value of a metric that was ever told of the container, in the order of its source's times."""
        found = [one.measured for one in self._seen.values() if one.container == container]
        return sorted((one for one in found if metric in one.values), key=lambda one: one.at)


def paper_nodes() -> List[kubelet_nodes.Node]:
    begun = time.time() - 3600
    return [
        kubelet_nodes.Node(
            name,
            [kubelet_nodes.pod("paper", f"on-{name}", begun, {"app": Load(cpu=100, memory=32 * MIB)})],
            start=begun,
        )
        for name in PAPER
    ]


def create(admin: KubeClient, kubelets: Kubelets) -> None:
    """The paper nodes and their pods at the API server."""
    for one in kubelets.objects():
        kind, metadata = one["kind"], one["metadata"]
        space = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        path = f"/api/v1{space}/{kind.lower()}s"
        made = admin.create(path, one)
        if kind == "Pod":
            admin.patch(f"{path}/{metadata['name']}/status", {"status": one["status"]})
            key = f"{metadata['namespace']}/{metadata['name']}"
            kubelets.adopt(one["spec"]["nodeName"], key, made["metadata"]["uid"])


def collectors(
    folder: Path, redis: redis_servers.Server, node: Node, plane: ControlPlane, kubelets: Kubelets
) -> Iterator[Dict[str, Watched]]:
    """All of COLLECTORS, each as a user that may ask for measurements and nothing else."""
    grant(plane, [(kind, "") for kind in KINDS])
    plane.grant(COLLECTOR, ["get"], ["nodes/metrics", "nodes/stats"])
    plane.grant(COLLECTOR, ["get", "list"], ["nodes", "pods"], "metrics.k8s.io")
    assert kubelets.ca is not None
    ca = folder / "kubelets.pem"
    ca.write_bytes(node.ca_file.read_bytes() + kubelets.ca.read_bytes())
    products: List[Product] = []
    found: Dict[str, Watched] = {}
    try:
        for name, sources in COLLECTORS.items():
            (folder / name).mkdir()
            products.append(Product(folder / name, redis, cluster=name))
            found[name] = Watched(products[-1], node, plane, ca, sources)
        yield found
    finally:
        for one in products:
            one.__exit__()
