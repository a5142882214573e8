"""Line 3: who may read what is what the cluster's own RBAC says, in every cell, and ends when it ends."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import pytest
import redis_servers
from acceptance.judged import PROXY, RBAC, Client, Headers, Plane, Served, direct, judging, parallel, serving
from authorities import Authority, Pair
from controlplane.objects import pod_items
from controlplane.plane import ControlPlane

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]

# user -> groups
USERS: Dict[str, Sequence[str]] = {
    "u-none": (),
    "u-reader": (),
    "u-tenant": (),
    "u-lister": (),
    "u-getter": (),
    "u-watcher": (),
    "u-named": (),
    "u-nodes": (),
    "u-namespace": (),
    "u-broken": (),
    "u-grouped": ("ops", "auditors"),
    "u-<b>&c": (),
    "u-paths": (),
}
NAMESPACES = ("team-a", "team-b")
READ = ("get", "list", "watch")


class Cell(NamedTuple):
    user: str
    method: str
    path: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("rights"))


@pytest.fixture(scope="module")
def plane(folder: Path) -> Iterator[Plane]:
    with judging(folder / "ca-one", "one", USERS) as one:
        fill(one.plane, NAMESPACES)
        grant_all(one.plane)
        yield one


@pytest.fixture(scope="module")
def served(folder: Path, plane: Plane, redis_server: redis_servers.Server) -> Iterator[Served]:
    with serving(folder / "krm", redis_server, [plane]) as one:
        yield one


def fill(plane: ControlPlane, namespaces: Sequence[str]) -> None:
    """Two pods, a service and a deployment in each namespace, and two nodes."""
    for name in namespaces:
        plane.admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
        for path, body in pod_items(["pod-1", "pod-2"], [name], []):
            plane.admin.create(path, body)
        service = {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}], "clusterIP": "None"}}
        plane.admin.create(f"/api/v1/namespaces/{name}/services", service)
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "example/a"}]}}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        plane.admin.create(
            f"/apis/apps/v1/namespaces/{name}/deployments", {"metadata": {"name": "web"}, "spec": spec}
        )
    for number in (1, 2):
        plane.admin.create("/api/v1/nodes", {"metadata": {"name": f"node-{number}"}})


def grant_all(plane: ControlPlane) -> None:
    plane.grant("u-reader", READ, ["pods", "services"])
    for resources, group in ((["pods", "services"], ""), (["deployments"], "apps")):
        plane.grant("u-tenant", READ, resources, group, "team-a")
    plane.grant("u-lister", ["list"], ["pods"], "", "team-a")
    plane.grant("u-getter", ["get"], ["pods"], "", "team-a")
    plane.grant("u-watcher", ["watch"], ["pods"])
    plane.grant("u-named", READ, ["pods"], "", "team-a", names=["pod-1"])
    plane.grant("u-nodes", READ, ["nodes", "namespaces"])
    plane.grant("u-namespace", ["get"], ["namespaces"], "", "team-a")
    plane.grant("u-<b>&c", ["list"], ["services"], "", "team-b")
    bind(plane, "ghost", "Role", "no-such-role", {"kind": "User", "name": "u-broken"}, "team-a")
    role = {"metadata": {"name": "ops"}, "rules": [{"apiGroups": ["apps"], "resources": ["*"], "verbs": ["list"]}]}
    plane.admin.create(f"{RBAC}/clusterroles", role)
    bind(plane, "ops", "ClusterRole", "ops", {"kind": "Group", "name": "ops"})
    rules = [{"nonResourceURLs": ["/foo", "/krm-test/*"], "verbs": ["get"]}]
    plane.admin.create(f"{RBAC}/clusterroles", {"metadata": {"name": "paths"}, "rules": rules})
    bind(plane, "paths", "ClusterRole", "paths", {"kind": "User", "name": "u-paths"})


def bind(
    plane: ControlPlane, name: str, kind: str, role: str, subject: Dict[str, str], namespace: Optional[str] = None
) -> None:
    where = f"{RBAC}/namespaces/{namespace}/rolebindings" if namespace else f"{RBAC}/clusterrolebindings"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", **subject}]
    plane.admin.create(where, {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects})


# The matrix --------------------------------------------------------------------------------------------------


def paths() -> List[Tuple[str, str]]:
    """(method, path) of all verbs, kinds, namespaces and names."""
    found: List[Tuple[str, str]] = []
    for kind, names in (("api/v1/{}pods", ("pod-1", "pod-9")), ("api/v1/{}services", ("web", "nope"))):
        found += _of(kind, names)
    found += _of("apis/apps/v1/{}deployments", ("web", "nope"))
    for collection, names in (("nodes", ("node-1", "node-9")), ("namespaces", ("team-a", "team-z"))):
        found += [("GET", f"/api/v1/{collection}"), ("GET", f"/api/v1/{collection}?watch=true")]
        found += [("GET", f"/api/v1/{collection}/{name}") for name in names]
        found += [("GET", f"/api/v1/{collection}?fieldSelector=metadata.name%3D{names[0]}")]
    found += [("GET", path) for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/version", "/foo", "/bar")]
    found += [("HEAD", "/api/v1/namespaces/team-a/pods"), ("GET", "/krm-test/x")]
    return found


def _of(kind: str, names: Sequence[str]) -> List[Tuple[str, str]]:
    found: List[Tuple[str, str]] = [("GET", "/" + kind.format(""))]
    found += [("GET", "/" + kind.format("") + "?watch=1")]
    for namespace in (*NAMESPACES, "team-z"):
        collection = "/" + kind.format(f"namespaces/{namespace}/")
        found += [("GET", collection), ("GET", f"{collection}?watch=true&resourceVersion=0")]
        found += [("GET", f"{collection}/{name}") for name in names]
        found += [
            ("GET", f"{collection}?fieldSelector=metadata.name%3D{names[0]}"),
            ("GET", f"{collection}?watch=true&fieldSelector=metadata.name%3D{names[0]}"),
        ]
    return found


# What nobody below may do, so that the answer is a refusal whatever is kept: kinds that krm does not keep, writes.
NEVER = [
    ("GET", "/api/v1/namespaces/team-a/secrets"),
    ("GET", "/api/v1/namespaces/team-a/secrets/x"),
    ("GET", "/api/v1/secrets?watch=true"),
    ("GET", "/apis/example.com/v1/namespaces/team-a/widgets/x"),
    ("GET", "/api/v1/namespaces/team-a/pods/pod-1/log"),
    ("GET", "/api/v1/watch/namespaces/team-b/secrets/x"),
    ("POST", "/krm-test/x"),
    ("DELETE", "/api/v1/namespaces/team-a/pods/pod-1"),
    ("DELETE", "/api/v1/namespaces/team-a/pods"),
    ("POST", "/api/v1/namespaces/team-a/pods"),
    ("PUT", "/apis/apps/v1/namespaces/team-a/deployments/web"),
    ("PATCH", "/apis/apps/v1/namespaces/team-a/deployments/web/scale"),
    ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
]


def test_every_cell_is_answered_as_the_api_server_answers_it(plane: Plane, served: Served) -> None:
    """Users x verbs x kinds x namespaces x names, and paths: the same status, message, reason, details, names."""
    tokens: Dict[str, Optional[str]] = {user: plane.plane.token(user) for user in (*USERS, "admin")}
    tokens.update({"anonymous": None, "nobody's token": "0" * 32})
    ours = {user: served.client(token) for user, token in tokens.items()}
    theirs = {user: direct(plane, token) for user, token in tokens.items()}
    cells = [Cell(user, method, path) for user in tokens for method, path in paths()]
    cells += [Cell(user, method, path) for user in tokens if user != "admin" for method, path in NEVER]
    verdicts: Dict[Cell, Tuple[object, object]] = {}

    def judge(cell: Cell) -> None:
        expected = theirs[cell.user].ask(cell.method, cell.path)
        given = ours[cell.user].ask(cell.method, cell.path)
        if expected.status == 200 and "/api" in cell.path[:5] and cell.path.count("/") < 4:
            verdicts[cell] = (expected.status, given.status)  # discovery: krm has fewer kinds
        else:
            verdicts[cell] = (expected.verdict, given.verdict)

    parallel([lambda cell=cell: judge(cell) for cell in cells])  # type: ignore[misc]
    wrong = {cell: both for cell, both in verdicts.items() if both[0] != both[1]}
    assert len(verdicts) == len(cells) >= 500
    assert not wrong, f"{len(wrong)} of {len(cells)}: {list(wrong.items())[:10]}"
    statuses = {both[0] if isinstance(both[0], int) else both[0][0] for both in verdicts.values()}  # type: ignore[index]
    assert statuses == {200, 401, 403, 404, 405}


# Who it is ---------------------------------------------------------------------------------------------------

SHOP = "/api/v1/namespaces/team-a/pods"
SERVICE_ACCOUNTS = "/api/v1/namespaces/team-a/serviceaccounts"


def same(plane: Plane, served: Served, headers: Headers = (), certificate: Optional[Pair] = None) -> object:
    """The verdict that both give."""
    expected = direct(plane, None, certificate).ask("GET", SHOP, headers).verdict
    assert served.client(None, certificate).ask("GET", SHOP, headers).verdict == expected
    return expected


def named(verdict: object) -> str:
    """Whom a refusal or a success is about: '401', 'shown', or the user's name."""
    status = verdict[0] if isinstance(verdict, tuple) else verdict
    if status == 403:
        return str(verdict).partition('User "')[2].partition('"')[0]
    return "shown" if status == 200 else str(status)


@pytest.fixture(scope="module")
def robot(plane: Plane) -> str:
    """A service account that may read the pods of its namespace."""
    plane.plane.admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": "robot"}})
    plane.plane.grant("system:serviceaccount:team-a:robot", READ, ["pods"], "", "team-a")
    return "robot"


def token_for(plane: Plane, account: str, audiences: Sequence[str]) -> str:
    request = {"spec": {"audiences": list(audiences), "expirationSeconds": 3600}}
    return str(plane.plane.admin.create(f"{SERVICE_ACCOUNTS}/{account}/token", request)["status"]["token"])


def test_a_token_that_is_meant_for_another_is_nobodys(plane: Plane, served: Served, robot: str) -> None:
    own, foreign = token_for(plane, robot, ()), token_for(plane, robot, ["another"])
    assert named(same(plane, served, [("Authorization", f"Bearer {own}")])) == "shown"
    assert named(same(plane, served, [("Authorization", f"Bearer {foreign}")])) == "401"


def test_with_an_audience_of_its_own_no_token_of_the_api_server_is_taken(
    folder: Path, plane: Plane, served: Served, robot: str, redis_server: redis_servers.Server
) -> None:
    """Neither a token for another audience, nor one of an authenticator that knows of none (the token file)."""
    with Served(folder / "own", redis_server, [plane], served.kubeconfig, "--audience", "krm,other") as strict:
        strict.krm.wait("it answers", strict.answers, 60.0)
        mine = {"krm": token_for(plane, robot, ["krm"]), "both": token_for(plane, robot, ["x", "krm"])}
        for token in mine.values():
            strict.krm.wait("its pods are shown", lambda t=token: strict.client(t).ask("GET", SHOP).status == 200)
        theirs = (token_for(plane, robot, ()), token_for(plane, robot, ["x"]), plane.plane.token("admin"))
        assert [strict.client(token).ask("GET", SHOP).status for token in theirs] == [401, 401, 401]


@pytest.mark.parametrize(
    ("value", "who"),
    [
        ("", "system:anonymous"),
        ("Basic dTpw", "system:anonymous"),
        ("Negotiate x", "system:anonymous"),
        ("Bearer wrong", "401"),
        ("bearer TOKEN", "shown"),
    ],
)
def test_an_authorization_header_is_read_as_the_api_server_reads_it(
    plane: Plane, served: Served, value: str, who: str
) -> None:
    text = value.replace("TOKEN", plane.plane.token("u-reader"))
    assert named(same(plane, served, [("Authorization", text)])) == who


@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Bearer  TOKEN", "Bearer TOKEN TOKEN", "Bearer \xe9"])
def test_a_malformed_bearer_token_is_401(plane: Plane, served: Served, value: str) -> None:
    """Where the API server takes the first word, or takes the caller for nobody, krm takes nothing."""
    text = value.replace("TOKEN", plane.plane.token("u-reader"))
    assert served.client().ask("GET", SHOP, [("Authorization", text)]).status == 401


def test_two_authorization_headers_are_401_whatever_they_hold(plane: Plane, served: Served) -> None:
    good = ("Authorization", f"Bearer {plane.plane.token('u-reader')}")
    for other in (good, ("authorization", "Bearer x"), ("AUTHORIZATION", "Basic dTpw")):
        for pair in ((good, other), (other, good)):
            assert served.client().ask("GET", SHOP, pair).status == 401


def test_a_client_certificate_is_its_common_name_and_organisations(plane: Plane, served: Served) -> None:
    assert named(same(plane, served, (), plane.clients.client("u-reader"))) == "shown"
    assert named(same(plane, served, (), plane.clients.client("cert-none"))) == "cert-none"
    deployments = "/apis/apps/v1/deployments"  # which the group ops may list
    for pair in (plane.clients.client("cert-ops", ["ops"]), plane.clients.client("cert-dev", ["dev"])):
        expected = direct(plane, None, pair).ask("GET", deployments)
        assert served.client(None, pair).ask("GET", deployments).verdict == expected.verdict


def test_a_certificate_goes_before_a_token(plane: Plane, served: Served) -> None:
    token = [("Authorization", f"Bearer {plane.plane.token('u-reader')}")]
    assert named(same(plane, served, token, plane.clients.client("cert-none"))) == "cert-none"


def test_identity_headers_without_the_proxys_certificate_name_nobody(plane: Plane, served: Served) -> None:
    forged = [
        ("X-Remote-User", "admin"),
        ("X-Remote-Group", "system:masters"),
        ("X-Remote-Extra-Scopes", "all"),
    ]
    assert named(same(plane, served, forged)) == "system:anonymous"
    none = ("Authorization", f"Bearer {plane.plane.token('u-none')}")
    assert named(same(plane, served, [*forged, none])) == "u-none"
    assert named(same(plane, served, forged, plane.clients.client("cert-none"))) == "cert-none"
    # A name that is allowed, of the CA of clients: not the proxy's.
    assert named(same(plane, served, forged, plane.clients.client(PROXY))) == PROXY
    # The CA of proxies, and a name that is not allowed.
    assert named(same(plane, served, forged, plane.proxies.client("back-proxy"))) == "401"
    with_token = [*forged, none]
    assert named(same(plane, served, with_token, plane.proxies.client("back-proxy"))) == "u-none"


def test_a_certificate_of_an_unknown_ca_is_not_let_in(folder: Path, plane: Plane, served: Served) -> None:
    """TLS ends it, before a header is read."""
    stranger = Authority(folder, "strangers").client(PROXY)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        served.client(None, stranger).ask("GET", SHOP, [("X-Remote-User", "admin")])


def test_who_may_impersonate_is_answered_as_the_other_and_nobody_else_is(plane: Plane, served: Served) -> None:
    """`kubectl --as`. A refusal's words differ from release to release; whom it is about does not."""
    as_admin = [("Impersonate-User", "admin"), ("Impersonate-Group", "system:masters")]
    assert named(served.client(plane.plane.token("u-none")).ask("GET", SHOP, as_admin).verdict) == "u-none"
    admin = (direct(plane, plane.plane.token("admin")), served.client(plane.plane.token("admin")))
    for user, want in (("u-none", "u-none"), ("u-reader", "shown")):
        real, krm = (client.ask("GET", SHOP, [("Impersonate-User", user)]).verdict for client in admin)
        assert real == krm
        assert named(krm) == want


def test_the_proxy_names_user_groups_uid_and_extra(plane: Plane, served: Served) -> None:
    proxy = plane.proxies.client(PROXY)
    assert named(same(plane, served, [("X-Remote-User", "u-reader")], proxy)) == "shown"
    assert named(same(plane, served, [("X-Remote-User", "u-none")], proxy)) == "u-none"
    masters = [("X-Remote-User", "who"), ("X-Remote-Group", "a"), ("x-remote-group", "system:masters")]
    assert named(same(plane, served, masters, proxy)) == "shown"
    assert named(same(plane, served, [("X-Remote-Group", "system:masters")], proxy)) == "401"  # names nobody
    whole = [*masters[:2], ("X-Remote-Uid", "7"), ("X-Remote-Extra-Acme%2Fscope", "x")]
    assert named(same(plane, served, whole, proxy)) == "who"


def test_a_changed_ca_counts_while_the_server_runs(folder: Path, plane: Plane, served: Served) -> None:
    """The API server publishes what its files hold; krm reads it on change."""
    successor = Authority(folder, "clients-next")
    pair = successor.client("u-reader")
    before = plane.clients.file.read_bytes()
    plane.clients.file.write_bytes(before + successor.pem)
    try:
        served.krm.wait("the new CA counts", lambda: _status(served.client(None, pair)) == 200, 100.0)
        plane.clients.file.write_bytes(before)
        # The API server only ever adds to what it publishes: whoever takes a CA away deletes the ConfigMap.
        served.krm.wait("the API server took it out", lambda: _status(direct(plane, None, pair)) == 401, 100.0)
        plane.plane.admin.delete("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")
        served.krm.wait("it counts no more", lambda: _status(served.client(None, pair)) != 200, 100.0)
    finally:
        plane.clients.file.write_bytes(before)


def _status(client: Client) -> int:
    """0: TLS refused it."""
    try:
        return client.ask("GET", SHOP).status
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return 0
