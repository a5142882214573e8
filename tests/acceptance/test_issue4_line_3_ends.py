"""Line 3: access ends where the right ends, and where nobody can be asked; one cluster's is nothing at another."""

from __future__ import annotations

import http.client
import json
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import pytest
import redis_servers
from acceptance.judged import PROXY, RBAC, Client, Plane, Served, direct, judging, merged, parallel, serving
from authorities import Pair
from controlplane.objects import pod_items

pytestmark = [pytest.mark.slow, pytest.mark.controlplane, pytest.mark.timeout(300)]

WITHIN = 10.0  # seconds
TRIALS = 100
SPREAD = 9.0  # seconds over which the trials' ends fall, so that they meet every phase of caches and reviews
PODS = "/api/v1/namespaces/shared/pods"
TRIED: Dict[str, Sequence[str]] = {f"t-{number:03d}": () for number in range(TRIALS)}
USERS: Dict[str, Sequence[str]] = {"both": (), "one-only": (), "two-only": (), **TRIED}
READ = ("get", "list", "watch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("ends"))


@pytest.fixture(scope="module")
def planes(folder: Path) -> Iterator[List[Plane]]:
    """Two clusters with a namespace of one name, and pods named for their cluster."""
    with judging(folder / "ca-one", "one", USERS) as one, judging(folder / "ca-two", "two", USERS) as two:
        for plane in (one, two):
            plane.plane.admin.create("/api/v1/namespaces", {"metadata": {"name": "shared"}})
            for path, body in pod_items([f"pod-{plane.name}", "pod"], ["shared"], []):
                plane.plane.admin.create(path, body)
            for user in ("both", f"{plane.name}-only"):
                plane.plane.grant(user, READ, ["pods"], "", "shared")
        yield [one, two]


@pytest.fixture(scope="module")
def served(folder: Path, planes: List[Plane], redis_server: redis_servers.Server) -> Iterator[Served]:
    with serving(folder / "krm", redis_server, planes) as one:
        yield one


# Two clusters under one server


def test_each_cell_of_two_clusters_is_its_own_clusters_answer(planes: List[Plane], served: Served) -> None:
    """Users of either with what they bring (token, certificate, proxy), at either, each against its API server."""
    users = ("both", "one-only", "two-only", "t-000", "admin")
    asks = [
        PODS,
        f"{PODS}/pod-one",
        f"{PODS}/pod-two",
        f"{PODS}/pod",
        f"{PODS}?watch=true",
        "/api/v1/pods",
        "/version",
    ]
    cells: List[Tuple[Plane, Plane, str, str, str]] = [
        (home, at, user, way, ask)
        for home in planes
        for at in planes
        for user in users
        for way in ("token", "certificate", "proxy")
        for ask in asks
    ]
    wrong: List[object] = []
    for home, _, user, way, _ in cells:
        brought(home, user, way)  # certificates are made by one thread

    def judge(home: Plane, at: Plane, user: str, way: str, ask: str) -> None:
        token, pair, headers = brought(home, user, way)
        # At the other's API server a certificate of an unknown CA is no reason to hang up: it is 401.
        expected = direct(at, token, pair).ask("GET", ask, headers).verdict
        prefix = "/clusters/" + at.name
        given = served.client(token, pair).ask("GET", prefix + ask, headers).verdict
        if expected != given or (home is not at and given == 200):
            wrong.append((home.name, at.name, user, way, ask, expected, given))
        if at is planes[0] and served.client(token, pair).ask("GET", ask, headers).verdict != expected:
            wrong.append((home.name, "/", user, way, ask))

    parallel([lambda cell=cell: judge(*cell) for cell in cells])  # type: ignore[misc]
    assert len(cells) >= 400
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"


_PAIRS: Dict[Tuple[str, str], Pair] = {}


def brought(home: Plane, user: str, way: str) -> Tuple[Optional[str], Optional[Pair], List[Tuple[str, str]]]:
    """(token, certificate, headers) of a user, as their own cluster would know them."""
    if way == "token":
        return home.plane.token(user), None, []
    name = PROXY if way == "proxy" else user
    issuer = home.proxies if way == "proxy" else home.clients
    pair = _PAIRS.get((home.name, name)) or issuer.client(name)
    _PAIRS[home.name, name] = pair
    return None, pair, [("X-Remote-User", user)] if way == "proxy" else []


# Access ends


class Ending(NamedTuple):
    """Seconds from the end of the right to the first refusal and to the end of the watch."""

    requests: float
    watch: float
    clean: bool


class Trial:
    """One user with one right of their own, a watch that is open, and requests that go on."""

    def __init__(self, plane: Plane, served: Served, user: str) -> None:
        self._admin, self._client = plane.plane.admin, served.client(plane.plane.token(user))
        self._bindings = f"{RBAC}/namespaces/shared/rolebindings"
        self._user = user
        self._ended_at: List[Tuple[float, bool]] = []

    def begin(self) -> None:
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self._user}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trial"}
        body = {"metadata": {"name": self._user}, "roleRef": role, "subjects": [subject]}
        self._admin.create(self._bindings, body)
        self._connection = self._client.connect()
        answer = opened(self._client, self._connection)
        self._thread = threading.Thread(target=self._follow, args=(answer,), daemon=True)
        self._thread.start()

    def end(self, after: float) -> Ending:
        time.sleep(after)
        assert self._client.ask("GET", PODS).status == 200
        self._admin.delete(f"{self._bindings}/{self._user}")
        revoked = time.monotonic()
        while self._client.ask("GET", PODS).status == 200:
            assert time.monotonic() < revoked + 2 * WITHIN, f"{self._user} still reads"
            time.sleep(0.5)
        refused = time.monotonic() - revoked
        self._thread.join(2 * WITHIN)
        self._connection.close()
        assert self._ended_at, f"the watch of {self._user} goes on"
        return Ending(refused, self._ended_at[0][0] - revoked, self._ended_at[0][1])

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        clean = True
        try:
            while answer.read1(65536):
                pass
        except (OSError, http.client.HTTPException):
            clean = False
        self._ended_at.append((time.monotonic(), clean))


def opened(client: Client, connection: http.client.HTTPConnection, path: str = PODS) -> http.client.HTTPResponse:
    """A watch, once it is allowed: a right takes milliseconds to reach the authoriser, seconds where it refused."""
    deadline = time.monotonic() + WITHIN
    while True:
        answer = client.send(connection, "GET", f"{path}?watch=true")
        if answer.status == 200:
            return answer
        answer.read()
        assert time.monotonic() < deadline, answer.status
        time.sleep(0.5)


def test_access_ends_within_ten_seconds_of_the_rights_end_in_every_trial(
    planes: List[Plane], served: Served, record_property: pytest.FixtureRequest
) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": list(READ)}]
    planes[0].plane.admin.create(f"{RBAC}/namespaces/shared/roles", {"metadata": {"name": "trial"}, "rules": rules})
    trials = [Trial(planes[0], served, user) for user in TRIED]
    parallel([trial.begin for trial in trials], 4)
    endings: List[Ending] = []

    def run(number: int) -> None:
        endings.append(trials[number].end(number * SPREAD / TRIALS))

    parallel([lambda number=number: run(number) for number in range(TRIALS)], TRIALS)  # type: ignore[misc]
    assert len(endings) == TRIALS
    slowest = (max(one.requests for one in endings), max(one.watch for one in endings))
    print(f"slowest of {TRIALS}: a request {slowest[0]:.2f} s, a watch {slowest[1]:.2f} s")
    assert max(slowest) <= WITHIN
    assert all(one.clean for one in endings), "a watch was cut instead of ended"


def test_a_deleted_account_ends_its_watch_and_is_401(planes: List[Plane], served: Served) -> None:
    """Its rights stay: it is the token that is nobody's any more. The API server itself finds that after 10 s."""
    accounts = "/api/v1/namespaces/shared/serviceaccounts"
    admin = planes[0].plane.admin
    admin.create(accounts, {"metadata": {"name": "gone"}})
    planes[0].plane.grant("system:serviceaccount:shared:gone", READ, ["pods"], "", "shared")
    token = str(admin.create(f"{accounts}/gone/token", {"spec": {}})["status"]["token"])
    client = served.client(token)
    connection = client.connect()
    answer = opened(client, connection)
    admin.delete(f"{accounts}/gone")
    theirs = direct(planes[0], token)
    deadline = time.monotonic() + 3 * WITHIN
    while theirs.ask("GET", PODS).status != 401:
        assert time.monotonic() < deadline
        time.sleep(0.25)
    deleted = time.monotonic()
    connection.sock.settimeout(WITHIN)
    while answer.read1(65536):
        pass
    assert time.monotonic() - deleted <= WITHIN
    connection.close()
    served.krm.wait("401", lambda: client.ask("GET", PODS).status == 401, WITHIN)


# Nobody can be asked


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_without_the_api_server_nothing_is_shown_ten_seconds_later(
    planes: List[Plane], served: Served, fault: str
) -> None:
    """503 with Retry-After, watches end; the other cluster is served as before; afterwards all is well again."""
    plane = planes[0].plane
    asks, others = served.client(plane.token("both")), served.client(planes[1].plane.token("both"))
    anonymous = served.client()
    connection = asks.connect()
    answer = opened(asks, connection)
    getattr(plane, fault)("apiserver")
    began = time.monotonic()
    try:
        connection.sock.settimeout(WITHIN)
        while answer.read1(65536):
            pass
        assert time.monotonic() - began <= WITHIN
        connection.close()
        while time.monotonic() < began + WITHIN:
            assert others.ask("GET", "/clusters/two" + PODS).status == 200
            time.sleep(0.25)
        asked = time.monotonic()
        for client in (asks, anonymous, served.client("unknown")):
            told = client.ask("GET", PODS)
            assert (told.status, told.body["reason"]) == (503, "ServiceUnavailable"), told
            assert int(told.headers["retry-after"]) >= 1
            assert plane.url not in str(told)
        assert time.monotonic() - asked <= 3 * 4.5
    finally:
        getattr(plane, "restart" if fault == "kill" else "resume")("apiserver")
    served.krm.wait("pods are shown again", lambda: asks.ask("GET", PODS).status == 200, 30.0)


# A wrong context


def test_one_cluster_is_not_shown_by_the_rights_of_another(
    folder: Path, planes: List[Plane], served: Served, redis_server: redis_servers.Server
) -> None:
    """The context that is called two leads to one, whose admin may read everything; `served` fills two."""
    kubeconfig = folder / "wrong.json"
    kubeconfig.write_text(json.dumps(merged([planes[0]._replace(name="two")])))
    with Served(folder / "wrong", redis_server, [planes[1]], kubeconfig) as one:
        one.krm.wait("it answers", one.answers, 60.0)
        admin = one.client(planes[0].plane.token("admin"))

        def refused() -> bool:
            told = admin.ask("GET", PODS)
            assert told.status in (404, 503), "a pod was shown"
            return told.status == 503 and "another cluster" in told.body["message"]

        one.krm.wait("it is refused", refused, 30.0)
        time.sleep(1.0)  # the second look finds it refused still
        assert refused()
