"""A real control plane for tests, on loopback, gone when the test run is gone.

README.md shows how tests use it.
"""

import contextlib
import http.client
import itertools
import json
import shutil
import ssl
import tempfile
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence

from controlplane import commands, objects
from controlplane.access import COMPONENT_USERS, DEFAULT_USERS, Grant, Users, kubeconfig
from controlplane.build import DEFAULT_VERSION, KUBERNETES, find_binary
from controlplane.etcd import Etcd
from controlplane.kubeapi import Json, KubeClient
from controlplane.processes import Process, free_port

# An API server on two busy cores; alone it takes three seconds.
READY_SECONDS = 60.0
# Open requests hold its end up; with a dead etcd for ever.
STOP_SECONDS = 5.0


class MissingBinary(Exception):
    """A binary was not built, or its module has changed since."""


class ControlPlane:
    """etcd and kube-apiserver, and if wanted kube-controller-manager, kube-scheduler and kwok.

    version: a key of build.KUBERNETES. users: name -> groups, beside access.DEFAULT_USERS.
    apiserver_flags, controller_flags: more flags, as "--watch-cache=false"; they win over ours.
    Components, for pause, resume, kill and restart: etcd, apiserver, controllers, scheduler, kwok.
    """

    def __init__(
        self,
        version: str = DEFAULT_VERSION,
        controllers: bool = False,
        scheduler: bool = False,
        kwok: bool = False,
        audit: bool = True,
        users: Optional[Mapping[str, Sequence[str]]] = None,
        apiserver_flags: Sequence[str] = (),
        controller_flags: Sequence[str] = (),
    ) -> None:
        if version not in KUBERNETES:
            raise ValueError(f"no Kubernetes {version!r} in build.py; there are {', '.join(KUBERNETES)}")
        self.version = version
        self._binaries = {"etcd": self._binary("etcd"), "apiserver": self._binary("kube-apiserver")}
        if controllers:
            self._binaries["controllers"] = self._binary("kube-controller-manager")
        if scheduler:
            self._binaries["scheduler"] = self._binary("kube-scheduler")
        if kwok:
            self._binaries["kwok"] = self._binary("kwok")
        self._audit = audit
        self._flags, self._controller_flags = list(apiserver_flags), list(controller_flags)
        self._users = Users({**DEFAULT_USERS, **COMPONENT_USERS, **(users or {})})
        self._numbers = itertools.count(1)
        self._processes: Dict[str, Process] = {}
        self._ports: Dict[str, int] = {}
        self._folder: Optional[Path] = None

    # Life

    def start(self) -> "ControlPlane":
        """Start all and wait until each is ready; on a failure nothing is left running."""
        self._folder = Path(tempfile.mkdtemp(prefix="krm-control-plane-"))
        self._files = commands.Files(self._folder)
        try:
            self._files.write(self._users.token_file())
            self._start_server(self._folder)
            self._start_others()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop all, the API server before its etcd, and remove the data folder."""
        for process in self._processes.values():
            process.resume()
        for name in ("kwok", "scheduler", "controllers"):
            if name in self._processes:
                self._processes[name].kill()
        for name in ("apiserver", "etcd"):
            if name in self._processes:
                self._processes[name].stop(STOP_SECONDS)
        self._processes.clear()
        if self._folder is not None:
            shutil.rmtree(str(self._folder), ignore_errors=True)
            self._folder = None

    def __enter__(self) -> "ControlPlane":
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    # Access

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._ports['apiserver']}"

    @property
    def ca_file(self) -> Path:
        return self._files.ca

    def token(self, user: str) -> str:
        return self._users.token(user)

    def client(self, user: str, timeout: float = 30.0) -> KubeClient:
        """A client of `user` with connections of its own; `timeout` in seconds."""
        return KubeClient(self.url, self.ca_file, self.token(user), timeout=timeout)

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig file of `user`, readable by its owner only."""
        path = self._files.folder / f"kubeconfig-{user.replace(':', '-')}.json"
        path.touch(mode=0o600)
        path.write_text(kubeconfig(self.url, self.ca_file, user, self.token(user)))
        return path

    def grant(
        self,
        user: str,
        verbs: Sequence[str],
        resources: Sequence[str],
        group: str = "",
        namespace: Optional[str] = None,
        names: Sequence[str] = (),
    ) -> None:
        """Let `user` do this, cluster-wide or in `namespace`; in force when it returns."""
        Grant(user, verbs, resources, group, namespace, names).create(self.admin)

    def revoke(
        self,
        user: str,
        verbs: Sequence[str],
        resources: Sequence[str],
        group: str = "",
        namespace: Optional[str] = None,
        names: Sequence[str] = (),
    ) -> None:
        """Take back what grant() with the same arguments gave; in force when it returns."""
        Grant(user, verbs, resources, group, namespace, names).delete(self.admin)

    def audit_events(self, user: Optional[str] = None) -> List[Json]:
        """What was asked of the API server so far, by `user` or by all; a line half written is left out.

        An event of a request refused with 401 has no username.
        """
        lines = self._files.audit_log.read_bytes().split(b"\n")[:-1]
        events: List[Json] = [json.loads(line) for line in lines]
        return [event for event in events if user is None or event["user"].get("username") == user]

    def pids(self) -> Dict[str, int]:
        """Component -> process id, of what was started."""
        return {name: process.pid for name, process in self._processes.items()}

    # Faults

    def pause(self, component: str) -> None:
        """SIGSTOP: its connections stay open and nothing is answered."""
        self._process(component).pause()

    def resume(self, component: str) -> None:
        self._process(component).resume()

    def kill(self, component: str) -> None:
        """SIGKILL; restart() brings it back."""
        self._process(component).kill()

    def restart(self, component: str) -> None:
        """Stop it if it runs, start it on the same ports, and wait until it is ready."""
        self._process(component).stop(STOP_SECONDS)
        if component == "etcd":
            self._etcd.start()
        else:
            self._launch(component)

    def etcd_snapshot(self) -> Path:
        """The state of now, for etcd_restore."""
        return self._etcd.snapshot()

    def etcd_restore(self, snapshot: Path) -> None:
        """Take etcd back to `snapshot`, and with it the revisions; both servers keep their ports.

        The API server is restarted, as the manual of etcd asks: its caches hold revisions that are to
        come a second time with other content.
        """
        self._process("apiserver").stop(STOP_SECONDS)
        self._etcd.restore(snapshot)
        self._launch("apiserver")

    def etcd_revision(self) -> int:
        return self._etcd.revision()

    def etcd_rewrite(self, prefix: str, change: Callable[[Json], bool]) -> int:
        """Change stored objects behind the API server's back, where no API may: see Etcd.rewrite."""
        return self._etcd.rewrite(prefix, change)

    def compact(self) -> int:
        """Make etcd forget what was before now; returns the revision of now.

        The API server's watch caches still serve what they hold, so an older resourceVersion is
        answered 410 only for events, which have no cache, and for others after restart("apiserver").
        """
        return self._etcd.compact()

    # Objects

    def create_namespaces(self, count: int, prefix: str = "ns") -> List[str]:
        """New namespaces, never named like an earlier one; their names."""
        names = self._names(prefix, count)
        objects.create_many(self.admin, (("/api/v1/namespaces", objects.namespace_body(name)) for name in names))
        return names

    def create_nodes(self, count: int, prefix: str = "node") -> List[str]:
        names = self._names(prefix, count)
        objects.create_many(self.admin, (("/api/v1/nodes", objects.node_body(name)) for name in names))
        return names

    def create_pods(
        self, count: int, namespaces: Sequence[str] = ("default",), nodes: Sequence[str] = (), prefix: str = "pod"
    ) -> List[Json]:
        """New pods, dealt out to `namespaces`, bound to `nodes` in turn if there are any; as created."""
        items = objects.pod_items(self._names(prefix, count), namespaces, nodes)
        return objects.create_many(self.admin, items)

    def create_crd(self, plural: str, group: str, kind: str, version: str = "v1", namespaced: bool = True) -> Json:
        """A custom resource that can be listed when this returns."""
        return objects.create_crd(self.admin, plural, group, kind, version, namespaced)

    def delete_crd(self, plural: str, group: str) -> None:
        """Gone, with its objects, when this returns."""
        objects.delete_crd(self.admin, plural, group)

    # Within

    def _binary(self, name: str) -> Path:
        path = find_binary(name, self.version)
        if path is None:
            raise MissingBinary(f"{name} for Kubernetes {self.version} is not built")
        return path

    def _names(self, prefix: str, count: int) -> List[str]:
        return [f"{prefix}-{next(self._numbers):05d}" for _ in range(count)]

    def _process(self, component: str) -> Process:
        if component not in self._processes:
            raise KeyError(f"no component {component!r}; there are {sorted(self._processes)}")
        return self._processes[component]

    def _start_server(self, folder: Path) -> None:
        self._etcd = Etcd(self._binaries["etcd"], folder)
        self._processes["etcd"] = self._etcd.process
        self._etcd.start()
        self._add("apiserver")

    def _start_others(self) -> None:
        self.admin = self.client("admin")
        for name in ("controllers", "scheduler", "kwok"):
            if name in self._binaries:
                self._add(name)

    def _add(self, name: str) -> None:
        self._ports[name] = free_port()
        self._processes[name] = Process(name, self._command(name), self._files.folder)
        self._launch(name)

    def _command(self, name: str) -> List[str]:
        binary, files, port = self._binaries[name], self._files, self._ports[name]
        if name == "apiserver":
            return commands.apiserver(binary, files, port, self._etcd.url, self._audit, self._flags)
        if name == "controllers":
            config = self.kubeconfig("system:kube-controller-manager")
            return commands.controllers(binary, files, config, port) + self._controller_flags
        if name == "scheduler":
            return commands.scheduler(binary, self.kubeconfig("system:kube-scheduler"), port)
        return commands.kwok(binary, files, self.kubeconfig("kwok"), port)

    def _launch(self, name: str) -> None:
        path = "/readyz" if name == "apiserver" else "/healthz"
        process = self._processes[name]
        process.start()
        process.wait_ready(lambda: self._healthy(self._ports[name], path, name != "kwok"), READY_SECONDS)

    def _healthy(self, port: int, path: str, encrypted: bool) -> bool:
        """Whether a component's health page says yes; it needs no identity, and none is proven here."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        if encrypted:
            context = ssl._create_unverified_context()  # the certificate may not be written yet
            connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
        with contextlib.closing(connection):
            try:
                connection.request("GET", path)
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False
