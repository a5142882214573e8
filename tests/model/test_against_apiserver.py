"""The API server itself is asked: cells, selectors and quantities are what it says they are."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Iterator, List

import pytest
from controlplane.kubeapi import KubeClient
from krm.model import columns, quantities
from krm.model.canonical import Canonicaliser
from krm.model.kinds import ORIGINAL_KINDS, Kind, Resource
from krm.model.messages import Item
from krm.model.selectors import BadSelector, parse_fields, parse_labels
from model.made import NAMESPACE, drop_defaults
from model.made_original import make_all

TABLE = {"Accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}
RESOURCES = {
    "pods": Resource(Kind("pods", ""), "v1", "Pod", True),
    "nodes": Resource(Kind("nodes", ""), "v1", "Node", False),
    "services": Resource(Kind("services", ""), "v1", "Service", True),
    "deployments.apps": Resource(Kind("deployments", "apps"), "v1", "Deployment", True),
    "ingresses.networking.k8s.io": Resource(Kind("ingresses", "networking.k8s.io"), "v1", "Ingress", True),
    "persistentvolumeclaims": Resource(Kind("persistentvolumeclaims", ""), "v1", "PersistentVolumeClaim", True),
    "namespaces": Resource(Kind("namespaces", ""), "v1", "Namespace", False),
    "replicasets.apps": Resource(Kind("replicasets", "apps"), "v1", "ReplicaSet", True),
    "statefulsets.apps": Resource(Kind("statefulsets", "apps"), "v1", "StatefulSet", True),
    "daemonsets.apps": Resource(Kind("daemonsets", "apps"), "v1", "DaemonSet", True),
    "jobs.batch": Resource(Kind("jobs", "batch"), "v1", "Job", True),
    "horizontalpodautoscalers.autoscaling": Resource(
        Kind("horizontalpodautoscalers", "autoscaling"), "v2", "HorizontalPodAutoscaler", True
    ),
    "configmaps": Resource(Kind("configmaps", ""), "v1", "ConfigMap", True),
    "leases.coordination.k8s.io": Resource(Kind("leases", "coordination.k8s.io"), "v1", "Lease", True),
    "roles.rbac.authorization.k8s.io": Resource(Kind("roles", "rbac.authorization.k8s.io"), "v1", "Role", True),
    "events": Resource(Kind("events", ""), "v1", "Event", True),
    "resourcequotas": Resource(Kind("resourcequotas", ""), "v1", "ResourceQuota", True),
    "limitranges": Resource(Kind("limitranges", ""), "v1", "LimitRange", True),
    "priorityclasses.scheduling.k8s.io": Resource(
        Kind("priorityclasses", "scheduling.k8s.io"), "v1", "PriorityClass", False
    ),
    "endpointslices.discovery.k8s.io": Resource(
        Kind("endpointslices", "discovery.k8s.io"), "v1", "EndpointSlice", True
    ),
}
AGES = ("Age", "Last Seen", "First Seen", "Duration")


@pytest.fixture(scope="module")
def client(control_plane: Any) -> Iterator[KubeClient]:
    admin: KubeClient = control_plane.client("admin")
    make_all(admin)
    yield admin
    drop_defaults(admin)  # what would change the pods of other tests


def where(kind: str) -> str:
    return RESOURCES[kind].path(NAMESPACE)


@pytest.mark.parametrize("kind", list(RESOURCES))
def test_every_cell_is_the_api_servers_own(client: KubeClient, kind: str) -> None:
    table = client.request("GET", where(kind), query={"includeObject": "Object"}, headers=TABLE).json()
    now = time.time()
    definitions = table["columnDefinitions"]
    assert [(one["name"], bool(one["priority"]), one["type"], one["format"]) for one in definitions] == [
        (one.name, one.wide, one.type, one.format) for one in columns.columns(kind)
    ]
    ages = [n for n, one in enumerate(columns.columns(kind)) if one.name in AGES]
    assert table["rows"]
    for row in table["rows"]:
        cells = columns.row(kind, row["object"], now)
        for position in ages:  # a second may pass between the two
            if all(re.match("[0-9]+[smhdy]", str(found[position])) for found in (row["cells"], cells)):
                row["cells"][position] = cells[position] = "age"
        assert cells == row["cells"], row["object"]["metadata"]["name"]


def test_the_servers_own_bytes_are_canonical(client: KubeClient) -> None:
    for kind in map(str, ORIGINAL_KINDS):  # the watch of each takes its second
        canonicaliser = Canonicaliser(RESOURCES[kind])
        page = canonicaliser.page(client.request("GET", where(kind)).body)
        assert page.bad == []
        query = {"watch": "true", "timeoutSeconds": "1"}
        lines = client.request("GET", where(kind), query=query).body.splitlines()
        events = [canonicaliser.event(line) for line in lines]
        watched = {one.key: one for one in events if isinstance(one, Item)}
        assert {one.key: one for one in page.items} == watched
        assert b"hunter2" not in b"".join([one.body for one in page.items])
        assert b"managedFields" not in b"".join([one.body for one in page.items])


LABELS = [
    "app=web", "app!=web", "app==api,odd", "!odd", "odd=", "odd!=", "odd in (,x)", "odd in ()", "n in (1,2,3)",
    "n notin (1,2)",
    "n>4", "n<3", "n > 2,app", "", ",", "app,", "app,,n", "!app=web", "app in", "app in (web", "app===web",
    "app=web=x", "-a",
    "a/b/c", "/a", "A/b", "x.y/app", "app=a b", "app=-", "n>a", "n>", "app in (a b)", "app in (a,,b)",
    "app in (,)", "!!app",
    "in in (in)", "notin", "app notin(web)", "app=\u00e9", "a" * 64, "app =\tweb", "! odd", "app=>1", "app=(web)",
    "a in b", "a in (b=c)", "a in (b c)", "a notin (=)", "a in (=", "!", "!=", "! =", "a b", "a!b", "a in ((",
    "x>1.5", "/", "a//b", "Aa.x/b", "a/-", "a=" + "v" * 64, "a in (ok,-x)", "a notin (", "a=,",
    "a==,b", "a=!", "a==b==c",
    "a>", "a<b=c", "a)", "(a", "a in (b)c", "a in (b),", "." * 254 + "/b", "b" * 254 + "/x",
    "!a=b", "!a in (b)",
    "a in (b",
]  # fmt: skip
FIELDS = [
    "metadata.name=p-1", "metadata.name!=p-1", "metadata.name==p-1,status.phase=Running",
    "status.phase=Pending", "spec.nodeName=",
    "spec.hostNetwork=false", "spec.restartPolicy=Always", "spec.schedulerName!=x", "status.podIP=10.1.0.7",
    "status.podIPs=10.1.0.7",
    "metadata.namespace=krm-model", "spec.unknown=1", "metadata.name", "metadata.name=a=b",
    "metadata.name=p\\-1", "",
    "status.phase=,", ",", "status.nominatedNodeName=", "spec.serviceAccountName=default", "metadata.labels=x",
    "=x", "a>1", "a=b=c", "metadata.name=a\\", "metadata.name=a\\x", "metadata.name!", "metadata.name=a,b", "!=x",
]  # fmt: skip


QUANTITIES = [
    "1", "1500m", "1.5Gi", "2e3", "1E", "12Ki", "0.5G", "1.", ".5", "+5", "1e400x", "1K", "1mi", "1 Gi", "",
    "Gi", "1_0", "5m", "1.G",
]  # fmt: skip


@pytest.mark.parametrize(("query", "texts"), [("labelSelector", LABELS), ("fieldSelector", FIELDS)])
def test_selectors_are_taken_refused_and_matched_alike(client: KubeClient, query: str, texts: List[str]) -> None:
    items = Canonicaliser(RESOURCES["pods"]).page(client.request("GET", where("pods")).body).items
    for text in texts:
        answer = client.request("GET", where("pods"), query={query: text})
        try:
            if query == "labelSelector":
                selector = parse_labels(text)
                ours = [one.key for one in items if selector.matches(json.loads(one.labels))]
            else:
                fields = parse_fields("pods", text)
                ours = [one.key for one in items if fields.matches(*one.key.split("/"), one.fields)]
        except BadSelector as error:
            refused = str(error).partition("; pods knows")[0]
        else:
            refused = ""
        assert (answer.status, answer.json().get("message", "")) == (400 if refused else 200, refused), text
        if refused:
            continue
        theirs = ["%s/%s" % (NAMESPACE, one["metadata"]["name"]) for one in answer.json()["items"]]
        assert ours == theirs, text


def test_quantities_are_the_servers(client: KubeClient) -> None:
    claims = where("persistentvolumeclaims")
    # The server rounds storage up to 1m, so finer ones are not asked for.
    texts = [*QUANTITIES, "\uff11"]
    for text in texts:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": text}}}
        body = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"generateName": "q-"},
            "spec": spec,
        }
        answer = client.request("POST", claims, json.dumps(body).encode(), {"dryRun": "All"})
        try:
            value = quantities.parse(text)
        except quantities.BadQuantity:
            assert answer.status in (400, 422), (text, answer.status)
            continue
        assert answer.status == 201, (text, answer.body)
        assert quantities.parse(answer.json()["spec"]["resources"]["requests"]["storage"]) == value, text
