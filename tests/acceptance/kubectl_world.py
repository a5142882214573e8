"""A frozen real cluster full of objects in every form that kubectl prints, and krm on it: for issue 4's first line.

Frozen: no controller runs, so what is read twice is the same. Old: creation times are moved back inside etcd,
so that an age does not change between two commands.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Dict, List, NamedTuple
from urllib.request import Request, urlopen

from acceptance.product import Product
from controlplane.build import find_binary
from controlplane.kubeapi import KubeClient
from controlplane.objects import CRDS, create_many, node_body, pod_body
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.model.kinds import DEFAULT_KINDS
from krm.model.times import parse, write
from model.made import LATER, LONG_AGO, make, post
from model.made_original import CONTAINER, RUNNING, make_all, status

# JSON in etcd, so that a test may change what no API may: the creation time.
FLAGS = ("--storage-media-type=application/json",)
GROUP, PLACE = "krm.test", "shop"
CRD_KIND = "customresourcedefinitions.apiextensions.k8s.io"
# What kubectl's describe reads beside: leases of nodes, and endpoints (kubectl before 1.31).
ASIDE = ("leases.coordination.k8s.io", "endpoints")
KINDS = (*map(str, DEFAULT_KINDS), CRD_KIND, f"widgets.{GROUP}", f"plains.{GROUP}", *ASIDE)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Seconds by which objects are made older, in turn: each prints otherwise, and none changes within a minute.
_OLDER = (
    100 * 60 + 30, 3 * 3600 + 1830, 26 * 3600 + 1800, 4 * 86400 + 7200 + 1800, 65 * 86400 + 3600,
    3 * 365 * 86400 + 5 * 86400 + 3600, 9 * 365 * 86400 + 3600,
)  # fmt: skip


def make_world(plane: ControlPlane) -> None:
    """All objects, each of an age of its own."""
    admin = plane.admin
    make_all(admin)
    admin.create("/api/v1/namespaces", {"metadata": {"name": PLACE, "labels": {"team": "a", "tier": ""}}})
    _make_nodes(admin)
    _make_pods(admin)
    _make_workloads(admin)
    _make_services(admin)
    _make_custom(admin)
    plane.etcd_rewrite("/registry/", older())


def _make_nodes(admin: KubeClient) -> None:
    taints = [
        {"key": "dedicated", "value": "db", "effect": "NoSchedule"},
        {"key": "gone", "effect": "NoExecute", "timeAdded": LONG_AGO},
    ]
    info = dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion"), "x")
    info.update(kubeletVersion="v1.36.1", osImage="Debian <13> & more", kernelVersion="6.1", architecture="amd64")
    info.update(containerRuntimeVersion="containerd://2.1", operatingSystem="linux")
    conditions = [
        {"type": name, "status": state, "reason": "R", "message": "it is", "lastHeartbeatTime": LATER,
         "lastTransitionTime": LONG_AGO}
        for name, state in (("MemoryPressure", "False"), ("DiskPressure", "Unknown"), ("Ready", "False"))
    ]  # fmt: skip
    addresses = [{"type": "InternalIP", "address": "10.0.0.9"}, {"type": "Hostname", "address": "n-1"}]
    for number in range(1, 4):
        body = node_body(f"n-{number}")
        if number < 3:
            body["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
            body["spec"]["taints"] = taints[:number]
            body["status"].update(nodeInfo=info, conditions=conditions[: number + 1], addresses=addresses)
        admin.create("/api/v1/nodes", body)


def _make_pods(admin: KubeClient) -> None:
    pods = f"/api/v1/namespaces/{PLACE}/pods"
    names = [f"web-{number}" for number in range(30)]
    create_many(admin, [(pods, pod_body(name, f"n-{1 + place % 2}")) for place, name in enumerate(names)])
    spec: Dict[str, Any] = {"containers": [CONTAINER], "automountServiceAccountToken": False, "nodeName": "n-1"}
    extra = [
        ("held", {"metadata": {"finalizers": ["krm.test/hold"]}}, {"phase": "Running"}),
        ("lost", {"metadata": {"finalizers": ["krm.test/hold"]}}, {"phase": "Running", "reason": "NodeLost"}),
        ("wanted", {"spec": {"nodeName": ""}}, {"phase": "Pending", "nominatedNodeName": "n-2"}),
        ("odd", {"metadata": {"annotations": {"a": "<b> & 'c' \u2028 \u00e9 \"d\"\n", "z": "\t: #"}}}, None),
        ("done", {}, {"phase": "Succeeded", "containerStatuses": [status("c", terminated={
            "exitCode": 0, "reason": "Completed", "startedAt": LONG_AGO, "finishedAt": LATER})]}),
        ("dead", {}, {"phase": "Failed", "message": "too much", "containerStatuses": [
            status("c", restarts=4, ended=True, terminated={
            "exitCode": 137, "reason": "OOMKilled", "startedAt": LONG_AGO, "finishedAt": LATER})]}),
        ("two", {}, {"phase": "Running", "hostIP": "10.0.0.9", "podIPs": [{"ip": "10.1.0.8"}, {"ip": "fd00::8"}],
            "podIP": "10.1.0.8", "startTime": LONG_AGO, "qosClass": "BestEffort",
            "containerStatuses": [status("c", True, 2, True, **RUNNING)]}),
    ]  # fmt: skip
    for name, more, state in extra:
        meta = {"labels": {"app": "odd"}, **more.get("metadata", {})}
        make(admin, pods, name, {**spec, **more.get("spec", {})}, state, "Pod", **meta)
    for name in ("held", "lost"):
        admin.delete(f"{pods}/{name}")
    about = {"kind": "Pod", "name": "two", "namespace": PLACE, "fieldPath": "spec.containers{c}"}
    about["uid"] = admin.get(f"{pods}/two")["metadata"]["uid"]
    for number, kind in enumerate(("Normal", "Warning")):
        when = {"firstTimestamp": LONG_AGO, "lastTimestamp": LATER, "count": 1 + 9 * number}
        said = {
            "type": kind,
            "reason": "Pulled",
            "message": "it was <pulled>\nand more",
            "source": {"component": "k"},
        }
        post(
            admin,
            f"/api/v1/namespaces/{PLACE}/events",
            "Event",
            f"two.{number}",
            {"involvedObject": about, **when, **said},
        )


def _make_workloads(admin: KubeClient) -> None:
    """A deployment with an old and a new replicaset, as `describe` looks for them."""
    labels = {"app": "api"}
    limited = {"name": "api", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{**CONTAINER, **limited}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    applied = {LAST_APPLIED: '{"env":[{"name":"A","value":"hunter2"}]}\n'}
    apps = f"/apis/apps/v1/namespaces/{PLACE}"
    conditions = [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]
    state = {
        "replicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "updatedReplicas": 2,
        "conditions": conditions,
    }
    make(admin, f"{apps}/deployments", "api", spec, state, "Deployment", annotations=applied, labels=labels)
    revision = "deployment.kubernetes.io/revision"
    both = {**applied, revision: "2"}
    admin.patch(f"{apps}/deployments/api", {"metadata": {"annotations": both}})
    uid = admin.get(f"{apps}/deployments/api")["metadata"]["uid"]
    owner = [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": uid, "controller": True}]
    for number, hashed in enumerate(("aaaa", "bbbb"), 1):
        own = {**labels, "pod-template-hash": hashed}
        inner = json.loads(json.dumps({**spec, "replicas": 2 * (number - 1), "selector": {"matchLabels": own}}))
        inner["template"]["metadata"]["labels"] = own
        if number == 1:
            inner["template"]["spec"]["containers"][0]["image"] = "older"
        make(admin, f"{apps}/replicasets", f"api-{hashed}", inner, None, "ReplicaSet", labels=own,
             annotations={revision: str(number)}, ownerReferences=owner)  # fmt: skip


def _make_services(admin: KubeClient) -> None:
    folder = f"/api/v1/namespaces/{PLACE}/services"
    spec = {"ports": [{"name": "http", "port": 80, "targetPort": "web"}], "selector": {"app": "api"}}
    make(admin, folder, "api", {**spec, "type": "NodePort", "sessionAffinity": "ClientIP"}, None, "Service",
         annotations={LAST_APPLIED: "{}\n"})  # fmt: skip
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{PLACE}/endpointslices"
    ends = [{"addresses": [f"10.1.0.{number}"], "conditions": {"ready": number != 2}} for number in range(1, 6)]
    body = {"addressType": "IPv4", "ports": [{"name": "http", "port": 8080}], "endpoints": ends}
    post(admin, slices, "EndpointSlice", "api-x", body, labels={"kubernetes.io/service-name": "api"})


# (name, type, jsonPath, priority, format)
_PRINTED = (
    ("Size", "integer", ".spec.size", 0, "int32"),
    ("Share", "number", ".spec.share", 0, ""),
    ("On", "boolean", ".spec.on", 0, ""),
    ("Word", "string", ".spec.word", 0, ""),
    ("Since", "date", ".spec.since", 0, ""),
    ("First", "string", ".spec.list[0].name", 1, ""),
    ("Whole", "string", ".spec.list", 1, ""),
    ("All", "string", ".spec.list[*].name", 1, ""),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, ""),
    ("Mixed", "integer", ".spec.mixed", 1, ""),
    ("Age", "date", ".metadata.creationTimestamp", 0, ""),
)


def _make_custom(admin: KubeClient) -> None:
    printed = [
        {"name": name, "type": type_, "jsonPath": path, "priority": priority, "description": f"The {name}."}
        for name, type_, path, priority, _ in _PRINTED
    ]
    for row, one in zip(printed, _PRINTED):
        if one[4]:
            row["format"] = one[4]
    _define(admin, "widgets", "Widget", printed, ["wd", "wid"], ["all", "toys"])
    _define(admin, "plains", "Plain", [], [], [])
    items: List[Any] = [
        {"size": 3, "share": 0.5, "on": True, "word": "one <two>", "since": LONG_AGO, "mixed": 7,
         "list": [{"name": "a", "n": 1}, {"name": "b"}], "env": [{"name": "A", "value": "hunter2"}]},
        {"size": 3.7, "share": 2, "on": False, "word": "", "since": "2999-01-01T00:00:00Z", "mixed": "7",
         "list": []},
        {"size": "4", "share": "0.5", "on": "true", "word": 5, "since": "yesterday", "mixed": True, "list": "x"},
        {"word": {"a": [1, True, None, 2.5, 1e21]}, "share": 1e21, "size": 12345678901, "since": 5, "list": [None]},
        {"word": True, "share": 1.0, "mixed": 1.5, "since": None, "size": None, "list": {"name": "m"}},
        {"word": None, "list": [{"name": None}]},
        {"word": ["a", "b"], "share": 1234567.125, "since": "2026-11-22T10:00:00.5Z"},
        None,
    ]  # fmt: skip
    widgets = f"/apis/{GROUP}/v1/namespaces/{PLACE}/widgets"
    for number, spec in enumerate(items):
        body: Dict[str, Any] = {} if spec is None else {"spec": spec}
        if number < 2:
            body["status"] = {"conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}
        post(admin, widgets, "Widget", f"w-{number}", body, labels={"app": "w", "n": str(number)})
    post(admin, f"/apis/{GROUP}/v1/plains", "Plain", "p-1", {"data": "x"})


def _define(
    admin: KubeClient, plural: str, kind: str, printed: List[Any], short: List[str], all_: List[str]
) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "additionalPrinterColumns": printed}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    names.update(shortNames=short, categories=all_)  # type: ignore[arg-type]
    scope = "Cluster" if kind == "Plain" else "Namespaced"
    spec = {"group": GROUP, "names": names, "scope": scope, "versions": [version]}
    admin.create(CRDS, {"metadata": {"name": f"{plural}.{GROUP}"}, "spec": spec})
    path = f"/apis/{GROUP}/v1/{plural}"
    wait_until(lambda: admin.request("GET", path).status == 200, 20.0, f"{path} is served")


def older() -> Any:
    """For etcd_rewrite: moves creation times back, so that no age changes within a minute."""
    turn = 0

    def change(found: Dict[str, Any]) -> bool:
        nonlocal turn
        metadata = found.get("metadata", {})
        if "creationTimestamp" not in metadata or not isinstance(metadata["creationTimestamp"], str):
            return False
        metadata["creationTimestamp"] = write(parse(metadata["creationTimestamp"]) - _OLDER[turn % len(_OLDER)])
        turn += 1
        return True

    return change


# --- who reads


class Answer(NamedTuple):
    """What a command said."""

    code: int
    out: str
    err: str


class Kubectl:
    """One kubectl, and the two servers that it may ask."""

    def __init__(self, binary: Path, folder: Path, real: Path, krm: str) -> None:
        """`real`: a kubeconfig of the API server; `krm`: krm's URL."""
        self._binary, self._home = binary, folder
        self._of = {"real": ["--kubeconfig", str(real)], "krm": ["--kubeconfig", "/dev/null", "-s", krm]}
        folder.mkdir(exist_ok=True)

    def command(self, server: str, *arguments: str) -> List[str]:
        """`kubectl ARGUMENTS` at one of them."""
        return [str(self._binary), *self._of[server], *arguments]

    @property
    def environment(self) -> Dict[str, str]:
        return {"HOME": str(self._home), "PATH": "/usr/bin:/bin", "KUBECTL_KUBERC": "false"}

    def ask(self, server: str, *arguments: str) -> Answer:
        """What it says, without warnings: krm has its own, and does not tell which API is deprecated."""
        done = subprocess.run(
            self.command(server, *arguments),
            capture_output=True,
            env=self.environment,
            timeout=60,
            encoding="utf-8",
        )
        told = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
        return Answer(done.returncode, done.stdout, "\n".join(told))


def start_krm(krm: Product, plane: ControlPlane, port: int, *options: str) -> str:
    """The pipeline of all kinds and the server; the server's URL once all of them are live."""
    assert krm.redis is not None
    kubeconfig = str(plane.kubeconfig("admin"))
    # Without a collector: with one krm serves metrics.k8s.io, which this API server does not.
    krm.up(
        "--kubeconfig", kubeconfig, "--kinds", ",".join(KINDS), "--verify-every", "5s", "--no-collector", *options
    )
    where = ("--redis", krm.redis.url, "--cluster", krm.cluster, "--port", str(port))
    krm.start("server", "-m", "krm.server", *where)
    krm.wait("all kinds are live", lambda: _live(krm), 60.0)
    url = f"http://127.0.0.1:{port}"
    krm.wait("all kinds are served", lambda: _served(url) == len(KINDS), 60.0)
    return url


def _served(url: str) -> int:
    """How many kinds discovery tells."""
    accept = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
    count = 0
    for path in ("/api", "/apis"):
        try:
            with urlopen(Request(url + path, headers=accept), timeout=5) as answer:
                groups = json.load(answer)["items"]
        except OSError:
            return 0
        count += sum(len(version["resources"]) for group in groups for version in group["versions"])
    return count


def _live(krm: Product) -> bool:
    states = krm.status()
    return len(states) == len(KINDS) and {row["trust"]["state"] for row in states.values()} == {"live"}


def kubectls() -> Dict[str, Path]:
    """`1.36`, built with the control plane, and `older`, which is installed: the oldest beside the one on PATH."""
    found: Dict[str, Path] = {}
    built = find_binary("kubectl", "1.36")
    if built is not None:
        found["1.36"] = built
    named = shutil.which("kubectl")
    for path in [*sorted(Path(named).resolve().parent.glob("kubectl.1.*")), Path(named)] if named else []:
        done = subprocess.run([str(path), "version", "--client", "-o", "json"], capture_output=True, timeout=20)
        minor = str(json.loads(done.stdout)["clientVersion"]["minor"]) if done.returncode == 0 else ""
        if minor.isdigit() and int(minor) < 36:
            return {**found, "older": path}
    return found
