"""Real control planes with client CAs, and one krm server over them that lets their own RBAC decide."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from acceptance.product import Product
from acceptance.rights import VERBS, grant, start_stages
from authorities import Authority, Pair
from controlplane.fixtures import running_plane
from controlplane.plane import ControlPlane
from controlplane.processes import free_port
from krm.model.kinds import parse_kind
from redis_servers import Server

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rbac.md"
# kind -> its path: the original's six, and namespaces
PATHS = {
    "pods": "/api/v1/pods",
    "nodes": "/api/v1/nodes",
    "services": "/api/v1/services",
    "ingresses.networking.k8s.io": "/apis/networking.k8s.io/v1/ingresses",
    "persistentvolumeclaims": "/api/v1/persistentvolumeclaims",
    "deployments.apps": "/apis/apps/v1/deployments",
    "namespaces": "/api/v1/namespaces",
}
PROXY = "front-proxy"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


Headers = Sequence[Tuple[str, str]]
# Starts the stages of one plane for these kinds.
Start = Callable[[Product, ControlPlane, Sequence[str]], None]


class Told(NamedTuple):
    """An answer, as far as two servers can be held against each other."""

    status: int
    body: Any  # JSON, or text
    headers: Dict[str, str]

    @property
    def verdict(self) -> object:
        """Status and message; of a list also what is in it."""
        if not isinstance(self.body, dict):
            return self.status
        if self.status != 200:
            return (self.status, self.body.get("message"), self.body.get("reason"), self.body.get("details"))
        if "items" in self.body:
            return (200, sorted(item["metadata"]["name"] for item in self.body["items"]))
        return (200, (self.body.get("metadata") or {}).get("name"))


class Plane(NamedTuple):
    """A control plane that knows certificates."""

    name: str
    plane: ControlPlane
    clients: Authority  # signs its users' certificates
    proxies: Authority  # signs its front proxy's


@contextlib.contextmanager
def judging(folder: Path, name: str, users: Mapping[str, Sequence[str]]) -> Iterator[Plane]:
    folder.mkdir(parents=True, exist_ok=True)
    clients, proxies = Authority(folder, f"clients-{name}"), Authority(folder, f"proxies-{name}")
    flags = [
        f"--client-ca-file={clients.file}",
        f"--requestheader-client-ca-file={proxies.file}",
        f"--requestheader-allowed-names={PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-uid-headers=X-Remote-Uid",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
    ]
    with contextlib.contextmanager(running_plane)(users=users, apiserver_flags=flags) as plane:
        give_server_rights(plane)
        yield Plane(name, plane, clients, proxies)


def give_server_rights(plane: ControlPlane) -> None:
    """What docs/rbac.md gives the server, as it stands there, to the user krm-server."""
    import yaml

    blocks = [block.partition("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    block = next(block for block in blocks if "tokenreviews" in block)
    user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "krm-server"}
    for found in yaml.safe_load_all(block):
        kind, namespace = found["kind"], found["metadata"].get("namespace")
        if kind == "ServiceAccount":
            continue
        if "subjects" in found:
            found["subjects"] = [user]
        where = f"/namespaces/{namespace}" if namespace else ""
        plane.admin.create(f"{RBAC}{where}/{kind.lower()}s", found)


@contextlib.contextmanager
def serving(
    folder: Path, redis: Server, planes: Sequence[Plane], *options: str, start: Start = start_stages
) -> Iterator[Served]:
    """Stages for each plane, and one server with TLS over all of them; ready when it is given."""
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = folder / "krm-server.json"
    kubeconfig.write_text(json.dumps(merged(planes)))
    with contextlib.ExitStack() as stack:
        for one in planes:
            krm = stack.enter_context(Product(folder / one.name, redis, one.name))
            grant(one.plane, [(kind.resource, kind.group) for kind in map(parse_kind, PATHS)])
            for stage in VERBS:
                one.plane.grant(f"krm-{stage}", ["get"], ["namespaces"], names=["kube-system"])
            start(krm, one.plane, tuple(PATHS))
        served = stack.enter_context(Served(folder, redis, planes, kubeconfig, *options))
        served.krm.wait("the server shows every kind", served.complete, 60.0)
        yield served


def merged(planes: Sequence[Plane]) -> Dict[str, Any]:
    """A kubeconfig of krm-server with a context a plane, called like it."""
    found = {}
    for one in planes:
        where = {"server": one.plane.url, "certificate-authority": str(one.plane.ca_file)}
        found[one.name] = (where, {"token": one.plane.token("krm-server")})
    return kubeconfig(found)


def kubeconfig(entries: Mapping[str, Tuple[Mapping[str, str], Mapping[str, str]]]) -> Dict[str, Any]:
    """Its contexts by name: (cluster, user); the first is the current one."""
    found: Dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for name, (where, user) in entries.items():
        found["clusters"].append({"name": name, "cluster": where})
        found["users"].append({"name": name, "user": user})
        found["contexts"].append({"name": name, "context": {"cluster": name, "user": name}})
        found.setdefault("current-context", name)
    return found


class Served:
    """`krm server` over these planes; with none of the stages' own doing."""

    def __init__(
        self, folder: Path, redis: Server, planes: Sequence[Plane], kubeconfig: Path, *options: str
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.krm = Product(folder / "server", redis, planes[0].name)
        self._serving = Authority(folder, "serving")
        self.ca_file, self._pair = self._serving.file, self._serving.server()
        self.port, self.planes, self.kubeconfig = free_port(), list(planes), kubeconfig
        names = ",".join(one.name for one in planes)
        self._arguments = (
            "-m", "krm.server", "--redis", redis.url, "--cluster", names, "--port", str(self.port),
            "--tls-cert", str(self._pair.cert), "--tls-key", str(self._pair.key),
            "--auth", "kubernetes", "--kubeconfig", str(kubeconfig), "--context", names, *options,
        )  # fmt: skip

    def __enter__(self) -> Served:
        self.start()
        return self

    def start(self) -> None:
        """On the port that stays its own over restarts."""
        self.krm.start("server", *self._arguments)

    def kill(self) -> None:
        """SIGKILL."""
        child = self.krm.children.pop("server", None)
        if child is not None:
            child.kill()
            child.wait()

    def __exit__(self, *error: object) -> None:
        self.krm.__exit__(*error)

    def answers(self) -> bool:
        """Whether it listens."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.client().ask("GET", "/livez").status == 200
        return False

    def complete(self) -> bool:
        """Whether it shows every kind of every plane to whoever may see it."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            for number, one in enumerate(self.planes):
                prefix, asks = f"/clusters/{one.name}" if number else "", self.client(one.plane.token("admin"))
                if any(asks.ask("GET", prefix + path).status != 200 for path in PATHS.values()):
                    return False
            return True
        return False

    def kubeconfig_of(self, name: str, token: str = "", certificate: Optional[Pair] = None) -> Path:
        """A file by which `name` reads from the server, with a token or a certificate."""
        user = {"token": token}
        if certificate is not None:
            user = {"client-certificate": str(certificate.cert), "client-key": str(certificate.key)}
        where = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.ca_file)}
        path = self.krm.folder / f"{name}.kubeconfig"
        path.write_text(json.dumps(kubeconfig({name: (where, user)})))
        return path

    def client(self, token: Optional[str] = None, certificate: Optional[Pair] = None) -> Client:
        return Client(self.port, self.ca_file, token, certificate)


def direct(plane: Plane, token: Optional[str] = None, certificate: Optional[Pair] = None) -> Client:
    """The same client at the API server itself."""
    port = int(plane.plane.url.rpartition(":")[2])
    return Client(port, plane.plane.ca_file, token, certificate)


class Client:
    """Says what it is told to say. A connection a thread, and one for each watch."""

    def __init__(self, port: int, ca_file: Path, token: Optional[str], certificate: Optional[Pair]) -> None:
        self._port, self._token = port, token
        self._context = ssl.create_default_context(cafile=str(ca_file))
        if certificate is not None:
            self._context.load_cert_chain(str(certificate.cert), str(certificate.key))
        self._local = threading.local()

    def ask(self, method: str, path: str, headers: Headers = ()) -> Told:
        """The whole answer; of a watch that is granted its head alone."""
        if "watch=" in path or "/watch/" in path:
            with contextlib.closing(self.connect()) as connection:
                answer = self.send(connection, method, path, headers)
                return _told(answer, b"" if answer.status == 200 else answer.read())
        try:
            answer = self.send(self._kept(), method, path, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError):  # a kept connection that was idle too long
            self._local.connection = None
            answer = self.send(self._kept(), method, path, headers)
        return _told(answer, answer.read())

    def send(
        self, connection: http.client.HTTPConnection, method: str, path: str, headers: Headers = ()
    ) -> http.client.HTTPResponse:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        if self._token is not None:
            connection.putheader("Authorization", f"Bearer {self._token}")
        connection.endheaders()
        return connection.getresponse()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=self._context)

    def _kept(self) -> http.client.HTTPConnection:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self.connect()
        connection: http.client.HTTPConnection = self._local.connection
        return connection


def _told(answer: http.client.HTTPResponse, text: bytes) -> Told:
    return Told(answer.status, _parsed(text), {name.lower(): value for name, value in answer.getheaders()})


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace")


def parallel(works: Sequence[Callable[[], None]], threads: int = 4) -> None:
    """All of them, by a few threads; the first failure is raised."""
    left, failures, lock = list(works), [], threading.Lock()

    def run() -> None:
        while True:
            with lock:
                if not left or failures:
                    return
                work = left.pop(0)
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
                failures.append(error)

    running: List[threading.Thread] = [threading.Thread(target=run) for _ in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    if failures:
        raise failures[0]
