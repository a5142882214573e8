"""Objects for test clusters: bodies as a real cluster holds them, and creating many of them fast."""

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Iterable, List, Sequence, Tuple

from controlplane.kubeapi import ApiError, Json, KubeClient
from controlplane.processes import wait_until

# Four threads keep an API server on two cores busy; more only wait for each other.
CREATE_THREADS = 4
CRD_SECONDS = 20.0
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WORDS = ("orders", "billing", "search", "session", "catalog", "mailer", "gateway", "ledger", "audit", "cart")


def namespace_body(name: str) -> Json:
    return {"metadata": {"name": name, "labels": {"team": _WORDS[len(name) % len(_WORDS)]}}}


def node_body(name: str) -> Json:
    """A node of 16 CPUs and 64 GiB without a kubelet: NotReady until kwok plays one."""
    size = {"cpu": "16", "memory": "67108864Ki", "pods": "250", "ephemeral-storage": "101251260Ki"}
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"zone-{sum(name.encode()) % 3}",
        "node.kubernetes.io/instance-type": "large-16",
    }
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {"example.com/rack": f"r{len(name)}"}},
        "spec": {"providerID": f"test:///{name}"},
        "status": {"capacity": size, "allocatable": {**size, "memory": "65011712Ki"}},
    }


def pod_body(name: str, node: str = "", containers: int = 2) -> Json:
    """A pod like those of real clusters, 4 to 8 KB when the API server hands it back.

    The same name gives the same body. Names of environment variables and their values differ between
    pods, so that nothing compresses better than it would in production.
    """
    source = random.Random(name)
    app = source.choice(_WORDS)
    labels = {
        "app.kubernetes.io/name": app,
        "app.kubernetes.io/instance": f"{app}-{source.randrange(9)}",
        "app.kubernetes.io/version": f"{source.randrange(5)}.{source.randrange(30)}.{source.randrange(9)}",
        "pod-template-hash": f"{source.getrandbits(40):010x}",
        "tier": source.choice(("web", "batch", "data")),
    }
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "9090",
        "checksum/config": f"{source.getrandbits(256):064x}",
        "example.com/commit": f"{source.getrandbits(160):040x}",
    }
    spec: Json = {
        "containers": [_container(source, app, number) for number in range(containers)],
        "volumes": [
            {"name": "config", "configMap": {"name": f"{app}-config"}},
            {"name": "secret", "secret": {"secretName": f"{app}-tls"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
        "serviceAccountName": app,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": app, "effect": "NoSchedule"}],
    }
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "labels": labels, "annotations": annotations}, "spec": spec}


def _container(source: random.Random, app: str, number: int) -> Json:
    environment: List[Json] = []
    for index in range(7):
        variable = f"{app.upper()}_{source.choice(_WORDS).upper()}_{index}"
        environment.append({"name": variable, "value": f"{source.getrandbits(96):024x}"})
    password = {"secretKeyRef": {"name": f"{app}-db", "key": "password"}}
    environment.append({"name": "PASSWORD", "valueFrom": password})
    environment.append({"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}})
    return {
        "name": f"{app}-{number}",
        "image": f"registry.example.com/{app}/{app}-{number}:{source.randrange(99)}.{source.randrange(99)}",
        "env": environment,
        "ports": [{"name": f"http-{number}", "containerPort": 8080 + number}],
        "resources": {
            "requests": {"cpu": f"{source.randrange(1, 6)}m", "memory": f"{source.randrange(8, 32)}Mi"},
            "limits": {"cpu": "2", "memory": f"{source.randrange(256, 4096)}Mi"},
        },
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080 + number}, "periodSeconds": 10},
        "volumeMounts": [
            {"name": "config", "mountPath": f"/etc/{app}"},
            {"name": "secret", "mountPath": "/var/run/tls", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
        ],
    }


def create_many(client: KubeClient, items: Iterable[Tuple[str, Json]]) -> List[Json]:
    """Create each (path, body) and return the objects in order; the first refusal is raised."""

    def create(item: Tuple[str, Json]) -> Json:
        return client.create(item[0], item[1])

    with ThreadPoolExecutor(CREATE_THREADS) as pool:
        return list(pool.map(create, items))


def pod_items(names: Sequence[str], namespaces: Sequence[str], nodes: Sequence[str]) -> List[Tuple[str, Json]]:
    """(path, body) of a pod for each name, dealt out to `namespaces` and, if any, `nodes` in turn."""
    items = []
    for index, name in enumerate(names):
        node = nodes[index % len(nodes)] if nodes else ""
        items.append((f"/api/v1/namespaces/{namespaces[index % len(namespaces)]}/pods", pod_body(name, node)))
    return items


def crd_body(plural: str, group: str, kind: str, version: str, namespaced: bool) -> Json:
    schema: Dict[str, Json] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def create_crd(client: KubeClient, plural: str, group: str, kind: str, version: str, namespaced: bool) -> Json:
    """Create the definition and wait until its objects can be listed: being Established comes earlier."""
    made = client.create(CRDS, crd_body(plural, group, kind, version, namespaced))
    path = f"/apis/{group}/{version}/{plural}"
    wait_until(lambda: client.request("GET", path).status == 200, CRD_SECONDS, f"{path} is served")
    return made


def delete_crd(client: KubeClient, plural: str, group: str) -> None:
    """Delete the definition and wait until it is gone, and its objects with it."""
    path = f"{CRDS}/{plural}.{group}"
    versions = client.get(path)["spec"]["versions"]
    try:
        client.delete(path)
    except ApiError as error:
        if error.status != 404:
            raise
    served = f"/apis/{group}/{versions[0]['name']}/{plural}"
    wait_until(lambda: client.request("GET", path).status == 404, CRD_SECONDS, f"{path} is gone")
    wait_until(lambda: client.request("GET", served).status == 404, CRD_SECONDS, f"{served} is not served")
