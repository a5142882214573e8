"""Line 2: on a real control plane with 1,000 kwok pods under churn krm equals the API server, and asks little."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Set

import pytest
import redis_servers
from acceptance.apitruth import Churn, listed
from acceptance.product import Product, product
from acceptance.rights import grant, start_stages
from controlplane.plane import ControlPlane
from controlplane.processes import wait_until
from krm.client.client import connect
from krm.model.kinds import DEFAULT_KINDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PODS = 1000
CHURN_SECONDS = 20.0
CHURNED = 100  # of creations, patches and deletions each, at least
# Seconds after the last write within which every reader has it, with kwok's last patches.
SETTLED = 30.0
PATHS = {
    "pods": "/api/v1/pods",
    "nodes": "/api/v1/nodes",
    "namespaces": "/api/v1/namespaces",
    "events": "/api/v1/events",
    "deployments.apps": "/apis/apps/v1/deployments",
    "replicasets.apps": "/apis/apps/v1/replicasets",
}


class Cluster(NamedTuple):
    plane: ControlPlane
    namespaces: List[str]
    nodes: List[str]


@pytest.fixture(scope="module")
def cluster(full_control_plane: ControlPlane) -> Cluster:
    """1,000 pods on ten kwok nodes, of them 40 of deployments."""
    plane = full_control_plane
    nodes, namespaces = plane.create_nodes(10), plane.create_namespaces(4)
    plane.create_pods(PODS - 40, namespaces, nodes)
    for number in range(4):
        labels = {"app": f"web-{number}"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": "example/web:1"}]},
        }
        plane.admin.create(
            f"/apis/apps/v1/namespaces/{namespaces[number]}/deployments",
            {
                "metadata": {"name": f"web-{number}"},
                "spec": {"replicas": 10, "selector": {"matchLabels": labels}, "template": template},
            },
        )
    wait_until(lambda: running(plane) >= PODS, 90.0, f"{PODS} pods run")
    return Cluster(plane, namespaces, nodes)


def running(plane: ControlPlane) -> int:
    """How many pods there are, once all of them run; until then 0."""
    if plane.admin.get("/api/v1/pods", {"fieldSelector": "status.phase!=Running", "limit": 1})["items"]:
        return 0
    return 1 + int(plane.admin.get("/api/v1/pods", {"limit": 1})["metadata"].get("remainingItemCount", -1))


@pytest.fixture(scope="module")
def kept(
    cluster: Cluster, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """`krm up --context test`, after 20 s of churn from several threads."""
    with product(tmp_path_factory.mktemp("up"), redis_server) as krm:
        plane = cluster.plane
        krm.up("--kubeconfig", str(plane.kubeconfig("admin")), "--context", "test", "--verify-every", "8s")
        krm.wait("all kinds are live", lambda: live(krm), 60.0)
        churn = Churn(plane, cluster.namespaces, cluster.nodes)
        churn.run(CHURN_SECONDS, CHURNED)
        print("churn", churn.done)
        assert min(churn.done.values()) >= CHURNED, churn.done
        yield krm


def live(krm: Product) -> bool:
    """Every default kind is live and verified."""
    states = krm.status()
    verified = [row for row in states.values() if row["trust"]["verified_at"] is not None]
    return len(verified) == len(DEFAULT_KINDS) and {row["trust"]["state"] for row in verified} == {"live"}


def difference(krm: Product, plane: ControlPlane, kind: str) -> str:
    """'' where krm's objects are the API server's own, one by one; else which are not."""
    mine, truth = krm.objects(kind), listed(plane, PATHS[kind])
    wrong = [key for key in sorted({*mine, *truth}) if mine.get(key) != truth.get(key)]
    return f"{len(wrong)} of {len(truth)} {kind}: {wrong[:5]}" if wrong else ""


@pytest.mark.parametrize("kind", sorted(PATHS))
def test_after_churn_every_object_equals_the_api_servers_own(kind: str, kept: Product, cluster: Cluster) -> None:
    kept.wait(f"{kind} are equal", lambda: not difference(kept, cluster.plane, kind), SETTLED)
    truth = listed(cluster.plane, PATHS[kind])
    assert truth or kind == "events"
    if kind == "pods":
        assert len(truth) >= PODS


def test_after_churn_all_kinds_are_live_and_nothing_was_lost(kept: Product) -> None:
    kept.wait("all kinds are live", lambda: live(kept))
    drift = {kind: row["trust"]["drift"] for kind, row in kept.status().items() if row["trust"]["drift"]}
    assert drift == {}, kept.logs()
    assert not [kind for kind, row in kept.status().items() if row["trust"]["gap_open"] or row["trust"]["gaps"]]
    assert kept.krm("status", "--check").returncode == 0


# Who asks the API server what -----------------------------------------------------------------------


class Asked(NamedTuple):
    """One request of a user, from the audit log."""

    verb: str
    resource: str
    began: str
    ended: str  # '' = it is open


def asked(plane: ControlPlane, user: str) -> List[Asked]:
    """What a user asked of resources."""
    found: Dict[str, Asked] = {}
    for event in plane.audit_events(user):
        reference = event.get("objectRef")
        if reference is None:
            continue
        kind = (
            f"{reference['resource']}.{reference['apiGroup']}" if "apiGroup" in reference else reference["resource"]
        )
        ended = event["stageTimestamp"] if event["stage"] == "ResponseComplete" else ""
        found[event["auditID"]] = Asked(event["verb"], kind, event["requestReceivedTimestamp"], ended)
    return list(found.values())


@pytest.fixture(scope="module")
def by_user(
    kept: Product, cluster: Cluster, redis_server: redis_servers.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """The stages as users of their own with their rights alone, beside churn and readers; `krm up` has ended."""
    plane = cluster.plane
    up = kept.children.pop("up")
    up.terminate()
    assert up.wait(30) == 143
    grant(plane, [(kind.resource, kind.group) for kind in DEFAULT_KINDS])
    folder = tmp_path_factory.mktemp("users")
    kinds = [str(kind) for kind in DEFAULT_KINDS]
    with Product(folder, redis_server, "least") as krm:
        # Whoever reads has a kubeconfig at hand, and does not use it.
        krm.environment["KUBECONFIG"] = str(plane.kubeconfig("krm-reader"))
        start_stages(krm, plane, kinds, "--verify-every", "4s")
        krm.wait("all kinds are live", lambda: live(krm), 60.0)
        Churn(plane, cluster.namespaces, cluster.nodes, "again").run(6.0)
        for kind in PATHS:
            krm.objects(kind)
            krm.krm("get", kind, "-A", "-o", "wide", "--verified-only")
        with connect(redis_server.url, "least") as client:
            list(client.watch("pods", timeout=1.0))
        krm.wait("all kinds are live", lambda: live(krm), 60.0)
        yield krm


def test_the_streamer_has_one_open_watch_a_kind_and_never_lists(by_user: Product, cluster: Cluster) -> None:
    rows = asked(cluster.plane, "krm-streamer")
    assert {row.verb for row in rows} <= {"watch", "get"}
    assert {row.resource for row in rows if row.verb == "get"} <= {"namespaces"}
    watches = [row for row in rows if row.verb == "watch"]
    still = Counter(row.resource for row in watches if not row.ended)
    assert still == dict.fromkeys(map(str, DEFAULT_KINDS), 1), still
    for kind in map(str, DEFAULT_KINDS):
        mine = sorted((row for row in watches if row.resource == kind), key=lambda row: row.began)
        # One after the other: the next begins when the last has ended.
        assert all(one.ended and one.ended <= after.began for one, after in zip(mine, mine[1:])), mine


def test_only_the_verifier_lists_and_no_reader_asks_anything(by_user: Product, cluster: Cluster) -> None:
    plane = cluster.plane
    rows = asked(plane, "krm-verifier")
    assert {row.verb for row in rows} <= {"list", "get"}
    assert {row.resource for row in rows if row.verb == "list"} == set(map(str, DEFAULT_KINDS))
    assert plane.audit_events("krm-reader") == []
    strangers = {
        event["user"]["username"]
        for event in plane.audit_events()
        if "krm/" in event.get("userAgent", "")
        and event["user"]["username"] not in ("admin", "krm-streamer", "krm-verifier")
    }
    assert strangers == set()


def test_what_least_rights_keep_is_equal_and_without_drift_too(by_user: Product, cluster: Cluster) -> None:
    by_user.wait("pods are equal", lambda: not difference(by_user, cluster.plane, "pods"), SETTLED)
    assert {kind: row["trust"]["drift"] for kind, row in by_user.status().items() if row["trust"]["drift"]} == {}


def test_under_krm_up_the_same_holds_by_user_agent(by_user: Product, cluster: Cluster) -> None:
    """`krm up` has one user: there the stage's name in the user agent tells who asked."""
    verbs: Dict[str, Set[str]] = {}
    for event in cluster.plane.audit_events("admin"):
        if event.get("userAgent", "").startswith("krm/") and event.get("objectRef"):
            verbs.setdefault(event["userAgent"].rpartition(" ")[2], set()).add(event["verb"])
    # The collector lists what metrics-server says, where there is one, and nothing else.
    assert verbs.pop("(collector)", {"list"}) == {"list"}
    assert verbs == {"(streamer)": {"watch", "get"}, "(verifier)": {"list", "get"}}


def test_diff_says_what_changed_on_the_api_server_and_at_what_was(by_user: Product, cluster: Cluster) -> None:
    krm, plane, namespace = by_user, cluster.plane, cluster.namespaces[0]
    before = krm.objects("pods")
    with connect(krm.redis.url if krm.redis else "", "least") as client:
        token = client.snapshot("pods").token
    (made,) = plane.create_pods(1, [namespace], cluster.nodes, prefix="diffed")
    gone, changed = [key for key in sorted(before) if key.startswith(f"{namespace}/pod-")][:2]
    plane.admin.delete(f"/api/v1/namespaces/{namespace}/pods/{gone.partition('/')[2]}", {"gracePeriodSeconds": 0})
    path = f"/api/v1/namespaces/{namespace}/pods/{changed.partition('/')[2]}"
    plane.admin.patch(path, {"metadata": {"labels": {"diffed": "yes"}}})
    wanted = {f"{namespace}/{made['metadata']['name']}": "ADDED", gone: "DELETED", changed: "MODIFIED"}

    def differences() -> Dict[str, Dict[str, Any]]:
        done = krm.krm("diff", "pods", token, "-o", "json")
        assert done.returncode == 0, done.stderr
        return {row["key"]: row for row in map(json.loads, done.stdout.splitlines())}

    truth: Dict[str, Any] = {}

    def equal() -> bool:
        truth.clear()
        truth.update(listed(plane, PATHS["pods"]))
        return {key: row["after"] for key, row in differences().items()} == {key: truth.get(key) for key in wanted}

    krm.wait("diff is what was done", equal, SETTLED)
    found = differences()
    assert {key: row["type"] for key, row in found.items()} == wanted
    assert {key: row["before"] for key, row in found.items()} == {key: before.get(key) for key in wanted}
    assert krm.objects("pods", "--at", token) == before
    assert '    .metadata.labels.diffed: (none) -> "yes"' in krm.krm("diff", "pods", token).stdout
