"""Informers that read pods from krm with rights of their own, beside what the API server itself tells of them."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from acceptance.judged import Plane, Served, judging, kubeconfig, serving
from acceptance.product import Product
from acceptance.rights import start_stages
from controlplane.plane import ControlPlane
from faults.plain import Plain
from faults.proxy import Proxy
from krm.client.client import connect
from krm.model.trust import Trust
from redis_servers import Server, until
from server.running import Informer, Line, backwards, lost_deletes

PODS = "/api/v1/pods"
# Two keep an API server on two cores busy, and four do no harm.
THREADS = 4
# The share of changes that are deletes, and as many that make what was deleted.
DELETES = 0.08
# Seconds that a slow machine may take for what takes a fast one a moment.
PATIENCE = 60.0
# Seconds until an informer is told of what happened while the server was away: client-go waits up to twice 30 s
# between two tries, longer the longer it was away (a busy machine takes its time to start one).
COMES_BACK = 180.0
VERIFY_EVERY = "3s"
READ = ("get", "list", "watch")
TEAM = "team"
# Who reads: by a token, by a certificate.
ACCOUNT, HOLDER = f"system:serviceaccount:{TEAM}:informer", "informer"


class Fact(NamedTuple):
    """One change of a pod."""

    rv: int
    key: str  # namespace/name
    deleted: bool


def pods_of(plane: ControlPlane) -> Dict[str, int]:
    """What the API server lists: namespace/name -> resourceVersion."""
    items = plane.admin.get(PODS)["items"]
    return {_key(item): _rv(item) for item in items}


def _key(item: Dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


class Truth:
    """The API server's own watch of pods from now on. `with` ends it."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane, self._ended = plane, threading.Event()
        self.facts: List[Fact] = []
        self.begin = int(plane.admin.get(PODS, {"limit": 1})["metadata"]["resourceVersion"])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Truth:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def between(self, begin: int, last: int) -> List[Fact]:
        """All changes after `begin` up to `last`, which is one of them, once they are told."""
        until(f"the API server tells of {last}", lambda: self.facts and self.facts[-1].rv >= last, PATIENCE)
        return [fact for fact in self.facts if begin < fact.rv <= last]

    def _run(self) -> None:
        client, rv = self._plane.client("admin"), self.begin
        while not self._ended.is_set():  # each watch lives for two seconds: none is left when all is over
            query = {"resourceVersion": rv, "timeoutSeconds": 2}
            for event in client.watch(PODS, query):
                rv = _rv(event["object"])
                self.facts.append(Fact(rv, _key(event["object"]), event["type"] == "DELETED"))


class Traffic:
    """Pods of one namespace that are made, changed, deleted and made again by requests side by side."""

    def __init__(self, plane: ControlPlane, namespace: str, pods: int, seed: int) -> None:
        self._plane, self._rng = plane, random.Random(seed)
        self.namespace, self._folder = namespace, f"/api/v1/namespaces/{namespace}/pods"
        self._last = f"{namespace}-last"
        self._there: List[Dict[str, bool]] = []  # a thread's own: name -> whether there is such a pod
        for thread in range(THREADS):
            self._there.append({f"{namespace}-{thread}-{number}": True for number in range(pods // THREADS)})
        for name in [*(name for there in self._there for name in there), self._last]:
            self.create(name)

    def change(self, count: int) -> int:
        """So many requests; the resourceVersion of the last change."""
        share, rest = divmod(count - 1, THREADS)
        jobs = [(there, self._rng.random(), share + (number < rest)) for number, there in enumerate(self._there)]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(self._change, jobs))
        return self.patch(self._last, str(self._rng.random()))

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Changes go on meanwhile: on a quiet kind a list waits 15 s for a watch that has not come as far."""
        deadline = time.monotonic() + COMES_BACK
        while not condition():
            assert time.monotonic() < deadline, what
            self.change(THREADS)
            time.sleep(0.2)

    def create(self, name: str) -> int:
        """Its resourceVersion, as of each of these."""
        return _rv(self._plane.admin.create(self._folder, _pod(name)))

    def patch(self, name: str, turn: str) -> int:
        return _rv(self._plane.admin.patch(f"{self._folder}/{name}", {"metadata": {"labels": {"turn": turn}}}))

    def delete(self, name: str) -> None:
        """An API server of 1.36 marks it first: that is a change too."""
        self._plane.admin.delete(f"{self._folder}/{name}")

    def _change(self, job: Tuple[Dict[str, bool], float, int]) -> None:
        there, seed, count = job
        rng = random.Random(seed)
        for turn in range(count):
            name = rng.choice(list(there))
            if not there[name]:
                self.create(name)
                there[name] = True
            elif rng.random() < DELETES:
                self.delete(name)
                there[name] = False
            else:
                self.patch(name, f"{seed}-{turn}")


def _rv(item: Dict[str, Any]) -> int:
    return int(item["metadata"]["resourceVersion"])


def _pod(name: str) -> Dict[str, Any]:
    """Small, and bound to no node: it is gone as soon as it is deleted."""
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "c", "image": "example/c"}]}
    return {"metadata": {"name": name}, "spec": spec}


class Informers:
    """Two that read the same: one lists and watches with a token, one watches all with a certificate."""

    def __init__(self, token: Path, certificate: Path) -> None:
        self.both = (Informer(token, watch_list=False), Informer(certificate, watch_list=True))

    def __enter__(self) -> Informers:
        for one in self.both:
            one.wait_synced()
        return self

    def __exit__(self, *error: object) -> None:
        for one in self.both:
            one.__exit__(*error)

    def told(self, rv: int) -> None:
        """Both were told of this change, or of a later one."""
        for one in self.both:
            one.wait_told(rv, COMES_BACK)

    def know_gone(self, key: str) -> bool:
        """Whether both were told that this pod is gone."""
        return all(any(line.key == key and line.type == "DELETED" for line in one.lines) for one in self.both)

    def settle(self, plane: ControlPlane) -> List[List[Line]]:
        """Ends both: no object went back, no delete is missing, and each ends as the API server has it. What each
        was told."""
        now = pods_of(plane)
        for one in self.both:
            store = one.end()
            wrong = [
                (key, store.get(key), now.get(key)) for key in {*store, *now} if store.get(key) != now.get(key)
            ]
            assert not wrong, f"{len(wrong)} (key, informer, API server): {sorted(wrong)[:10]}\n{one.errors()}"
            assert backwards(one.lines) == []
            assert lost_deletes(one.lines, now) == []
        return [one.lines for one in self.both]


class World:
    """A real control plane, all stages on it, and a server over TLS that asks it who may read."""

    def __init__(self, plane: Plane, served: Served, stages: Product, proxy: Proxy, audit: Path) -> None:
        self.plane, self.served, self.stages, self.proxy = plane.plane, served, stages, proxy
        self._audit = audit
        self.token = _reader(plane.plane)
        plane.plane.grant(HOLDER, READ, ["pods"])
        self.by_token = served.kubeconfig_of("by-token", self.token)
        self.by_certificate = served.kubeconfig_of("by-certificate", "", plane.clients.client(HOLDER))

    @property
    def redis(self) -> Server:
        """Which all share."""
        assert self.stages.redis is not None
        return self.stages.redis

    def informers(self) -> Informers:
        """Synced, once entered."""
        return Informers(self.by_token, self.by_certificate)

    def traffic(self, pods: int = 40) -> Traffic:
        """Pods in a namespace of their own."""
        seed = random.randrange(1 << 30)
        print(f"seed {seed}")
        return Traffic(self.plane, self.plane.create_namespaces(1, "traffic")[0], pods, seed)

    def asked(self, user: str) -> List[str]:
        """The verbs of all that a user asked the server so far; a watch counts once it has ended."""
        rows = [json.loads(line) for line in self._audit.read_text().splitlines()]
        return sorted(str(row["verb"]) for row in rows if row["user"] == user)

    @contextlib.contextmanager
    def without_server(self) -> Iterator[None]:
        """SIGKILL; afterwards it is there again, and shows every kind."""
        self.served.kill()
        try:
            yield
        finally:
            self.served.start()
            self.served.krm.wait("the server shows every kind", self.served.complete, PATIENCE)

    @contextlib.contextmanager
    def without_lists(self) -> Iterator[None]:
        """The verifier stands still meanwhile."""
        verifier = self.stages.children["verifier"]
        verifier.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            verifier.send_signal(signal.SIGCONT)

    def trust(self) -> Trust:
        """What krm's pods are worth."""
        with connect(self.redis.url, self.stages.cluster) as reader:
            return reader.trust("pods")

    def kept_up(self, rv: int) -> None:
        """Until Redis holds this change."""
        until(f"krm has come to {rv}", lambda: int(self.trust().resource_version) >= rv, PATIENCE)

    def drift(self) -> Dict[str, int]:
        """What lists repaired in pods so far, by cause."""
        return dict(self.trust().drift)

    def lose(self, traffic: Traffic) -> None:
        """A pod is deleted, one changed and one made, and the streamer is told of none of it."""
        # What krm never heard of nobody could be told of as gone.
        self.kept_up(max([traffic.create(name) for name in ("gone-lost", "changed-lost")]))
        before = len(self.proxy.eaten)
        self.proxy.eat(1_000_000, b'-lost"')
        traffic.delete("gone-lost")
        traffic.patch("changed-lost", "lost")
        traffic.create("new-lost")
        until("it is lost", lambda: "new-lost" in str(self.proxy.eaten[before:]), PATIENCE)
        self.proxy.heal()

    def repaired(self, before: Dict[str, int]) -> bool:
        """Whether lists found all that was lost since `before`, whatever they call it."""
        return sum(self.drift().values()) >= sum(before.values()) + 3


@contextlib.contextmanager
def reading(folder: Path, redis: Server) -> Iterator[World]:
    """The original's kinds, on a plane of their own; whoever reads pods may do nothing else."""
    audit, found = folder / "audit.log", []
    with judging(folder / "ca", "one", {HOLDER: ()}) as plane:
        port, tls = (
            int(plane.plane.url.rpartition(":")[2]),
            ssl.create_default_context(cafile=str(plane.plane.ca_file)),
        )
        with Plain(port, tls) as plain, Proxy(plain.port) as proxy:

            def start(krm: Product, at: ControlPlane, kinds: Sequence[str]) -> None:
                watched = folder / "streamer.json"
                user = {"token": at.token("krm-streamer")}
                watched.write_text(json.dumps(kubeconfig({"proxied": ({"server": proxy.url}, user)})))
                start_stages(krm, at, kinds, "--verify-every", VERIFY_EVERY, watched=watched)
                found.append(krm)

            with serving(folder / "krm", redis, [plane], "--audit-log", str(audit), start=start) as served:
                yield World(plane, served, found[0], proxy, audit)


def _reader(plane: ControlPlane) -> str:
    """The token of a service account that may get, list and watch pods."""
    plane.admin.create("/api/v1/namespaces", {"metadata": {"name": TEAM}})
    accounts = f"/api/v1/namespaces/{TEAM}/serviceaccounts"
    plane.admin.create(accounts, {"metadata": {"name": "informer"}})
    plane.grant(ACCOUNT, READ, ["pods"])
    request = {"spec": {"expirationSeconds": 3600}}
    return str(plane.admin.create(f"{accounts}/informer/token", request)["status"]["token"])
