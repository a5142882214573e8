"""Kubelets that exist only on paper: one port a node on 127.0.0.1, the pages of a real one, and any fault.

now = time.time()
node = Node("node-1", [pod("shop", "web-0", now, {"web": Load(cpu=250)})])
with Kubelets([node]) as kubelets:
    kubelets.url("node-1"), kubelets.ca         # https://127.0.0.1:PORT, the PEM file to trust
    kubelets.step("node-1", "shop/web-0", "web", Load(cpu=500))
    kubelets.fault("node-1", "/metrics/resource", Fault("slow", 3.0)); kubelets.kill("node-1")
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Coroutine, Dict, Iterable, List, Optional, Set

from .access import Access
from .kubeconfig import make_certificate, server_context
from .kubelet_loads import Load, to_ms
from .kubelet_nodes import Node, NodeSeen, Pod
from .kubelet_objects import objects
from .kubelet_serving import FAULTS, PAGES, Connection, Fault, Kubelet, Reply
from .messages import Request
from .wire import Object

PATIENCE = 30.0  # seconds that the loop's thread is given for one thing


class Kubelets:
    """All the kubelets of a cluster, served by one thread. Methods may be called from any.

    tls: False = plain HTTP, True = a certificate of its own (by the openssl command), or a server's context, of
    which `ca` is then the caller's. access: whose tokens are let in, with rules on the kinds `nodes/metrics` and
    `nodes/stats`; None = everyone. clock: true time, Unix seconds.
    """

    def __init__(
        self,
        nodes: Iterable[Node] = (),
        tls: object = True,
        access: Optional[Access] = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.clock, self.access, self._tls = clock, access, tls
        self.ca: Optional[Path] = None
        self._lock = threading.Lock()  # of the nodes: pages are made in another thread
        self._served: Dict[str, _Served] = {}
        self._nodes = list(nodes)
        self._folder: Optional[str] = None
        self._context: Optional[ssl.SSLContext] = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kubelets", daemon=True)

    # -- life

    def start(self) -> Kubelets:
        """Listen; answers itself. RuntimeError where a certificate cannot be made."""
        if isinstance(self._tls, ssl.SSLContext):
            self._context = self._tls
        elif self._tls:
            self._folder = tempfile.mkdtemp(prefix="krm-kubelets-")
            self.ca, key = make_certificate(Path(self._folder))
            self._context = server_context(self.ca, key)
        self._thread.start()
        for node in self._nodes:
            self.add_node(node)
        return self

    def stop(self) -> None:
        """Close every port."""
        for served in self._served.values():
            self._run(served.close())
            served.keeper.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Kubelets:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- looking

    @property
    def names(self) -> List[str]:
        return list(self._served)

    @property
    def living(self) -> List[str]:
        """Those that listen."""
        return [name for name, served in self._served.items() if served.listens]

    def look(self, name: str, now: float) -> NodeSeen:
        """What a kubelet sees of its node at a moment, Unix seconds."""
        with self._lock:
            return self.node(name).look(now)

    def node(self, name: str) -> Node:
        """Look, and change through the methods here. KeyError where there is none."""
        return self._served[name].kubelet.node

    def port(self, name: str) -> int:
        return self._served[name].port

    def url(self, name: str) -> str:
        return "%s://127.0.0.1:%d" % ("https" if self._context else "http", self.port(name))

    def objects(self) -> List[Object]:
        """Namespaces, Nodes and Pods as they begin, in the order in which to create them on an API server."""
        with self._lock:
            served = list(self._served.values())
            return objects([each.kubelet.node for each in served], [each.port for each in served])

    def page(self, name: str, path: str) -> bytes:
        """A page without the way there."""
        with self._lock:
            return self._served[name].kubelet.page(path)

    def load(self, name: str, key: str, container: str) -> Load:
        """What a container (of the pod namespace/name) does now."""
        with self._lock:
            life = self.node(name).pods[key].container(container).life
            return life.at(to_ms(self.clock())).epoch.load

    def faults(self, name: str) -> Dict[str, Fault]:
        """What is wrong with which page."""
        with self._lock:
            return dict(self._served[name].kubelet.faults)

    def requests(self, name: str) -> Dict[str, int]:
        """How often each path was asked for."""
        with self._lock:
            return dict(self._served[name].kubelet.requests)

    # -- what happens to nodes and pods

    def add_node(self, node: Node) -> None:
        """One more, on a port of its own."""
        if node.name in self._served:
            raise KeyError("there is a kubelet of %s already" % node.name)
        served = _Served(Kubelet(node, self.clock, self.access), self._lock, self._context)
        self._run(served.open())
        self._served[node.name] = served

    def add(self, name: str, pod: Pod) -> None:
        """The pod runs on this node from its start on."""
        with self._lock:
            self.node(name).add(pod)

    def adopt(self, name: str, key: str, uid: str) -> None:
        """The uid that an API server gave the pod namespace/name when it was created there."""
        with self._lock:
            self.node(name).pods[key].uid = uid
            self._served[name].kubelet.forget()

    def remove(self, name: str, key: str, at: Optional[float] = None) -> None:
        """Namespace/name is gone at a moment, by default now."""
        with self._lock:
            self.node(name).remove(key, self.clock() if at is None else at)

    def step(self, name: str, key: str, container: str, load: Load, at: Optional[float] = None) -> None:
        """A container does this from a moment on, by default now."""
        with self._lock:
            life = self.node(name).pods[key].container(container).life
            life.step(self.clock() if at is None else at, load)

    def restart(self, name: str, key: str, container: str, at: Optional[float] = None) -> None:
        """A container begins anew at a moment, by default now."""
        with self._lock:
            life = self.node(name).pods[key].container(container).life
            life.restart(self.clock() if at is None else at)

    # -- what goes wrong

    def kill(self, name: str) -> None:
        """Its connections end, and new ones are refused until it is revived. The port stays its own."""
        self._run(self._served[name].close())

    def revive(self, name: str) -> None:
        """Listen again on the same port."""
        self._run(self._served[name].open())

    def fault(self, name: str, path: str, fault: Fault) -> None:
        """From now on, until `heal`. ValueError for what is none."""
        if fault.kind not in FAULTS or path not in PAGES:
            raise ValueError("no fault is called %r, or no page %r" % (fault.kind, path))
        with self._lock:
            self._served[name].kubelet.faults[path] = fault

    def heal(self, name: str) -> None:
        """No more faults there; who hangs stays hanging."""
        with self._lock:
            self._served[name].kubelet.faults.clear()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)


class _Served:
    """A kubelet and its port."""

    def __init__(self, kubelet: Kubelet, lock: threading.Lock, context: Optional[ssl.SSLContext]) -> None:
        self.kubelet, self._lock, self._context = kubelet, lock, context
        # Bound and never listening: while the kubelet is killed nobody else is given its port.
        self.keeper = _bound(0)
        self.port = int(self.keeper.getsockname()[1])
        self._server: Optional[asyncio.AbstractServer] = None
        self._connections: Set[Connection] = set()

    @property
    def listens(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        if self._server is None:
            loop = asyncio.get_event_loop()
            made = loop.create_server(self._connection, sock=_bound(self.port), ssl=self._context, backlog=512)
            self._server = await made

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self._connections):
            connection.abort()

    def _connection(self) -> Connection:
        return Connection(self._answer, self._connections)

    def _answer(self, request: Request) -> Optional[Reply]:
        with self._lock:
            return self.kubelet.answer(request)


def _bound(port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    return found
