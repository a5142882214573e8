"""Real Redis servers for tests: one, a cluster of three, a pair with a sentinel; a proxy that cuts.

fakeredis behind a socket is krm.store.fake.running.

Each listens on the loopback or a unix socket alone, keeps its files in the folder it is given, and
ends with its context. Nothing here waits by sleeping: a condition is polled until a deadline.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

REDIS = shutil.which("redis-server") or shutil.which("valkey-server")
DEADLINE = 20.0  # seconds


def until(what: str, condition: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """The first true value of `condition`; AssertionError after `deadline` seconds."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"not within {deadline} s: {what}"
        time.sleep(0.01)


def free_port() -> int:
    """A port that was free a moment ago, below 55536 (a cluster's bus listens 10000 above)."""
    for _ in range(1000):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55536:
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port + 10000))
                return port
    raise AssertionError("no free port")


def ask(address: Any, *command: str) -> bytes:
    """One raw command over a new socket, the first bytes of its answer; b"" while nobody listens."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(2)
        try:
            client.connect(address)
            client.sendall(
                b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in command)
            )
            return client.recv(65536)
        except OSError:
            return b""


class Server:
    """One redis-server process. `url` is its address; `restart` keeps the address."""

    def __init__(self, folder: Path, *options: str, port: int = 0, mode: Sequence[str] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.socket = str(folder / "redis.sock")
        self.address: Any = ("127.0.0.1", port) if port else self.socket
        self.url = f"redis://127.0.0.1:{port}/0" if port else f"unix://{self.socket}"
        where = (
            ["--port", str(port), "--bind", "127.0.0.1"] if port else ["--port", "0", "--unixsocket", self.socket]
        )
        self._command = [str(REDIS), *mode, *where, "--dir", str(folder), *options]
        self.process: Optional[subprocess.Popen[bytes]] = None

    def start(self) -> Server:
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(f"{self.address} answers", lambda: ask(self.address, "PING").startswith(b"+PONG"))
        return self

    def stop(self, hard: bool = False) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
            self.process.wait(DEADLINE)
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self, hard: bool = False) -> None:
        self.stop(hard)
        self.start()

    def ask(self, *command: str) -> bytes:
        return ask(self.address, *command)


NO_SAVE = ("--save", "", "--appendonly", "no")


@contextlib.contextmanager
def one(folder: Path, *options: str, port: int = 0) -> Iterator[Server]:
    """A server on a private unix socket (or a port), without persistence unless the options say so."""
    server = Server(folder, *(options or NO_SAVE), port=port).start()
    try:
        yield server
    finally:
        server.stop(hard=True)


@contextlib.contextmanager
def cluster(folder: Path, nodes: int = 3) -> Iterator[List[Server]]:
    """Redis Cluster of `nodes` primaries that share the slots."""
    servers: List[Server] = []
    try:
        for number in range(nodes):
            options = (*NO_SAVE, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
            servers.append(Server(folder / str(number), *options, port=free_port()).start())
        share = 16384 // nodes
        for number, server in enumerate(servers):
            last = 16383 if number == nodes - 1 else (number + 1) * share - 1
            assert server.ask("CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last)) == b"+OK\r\n"
            assert server.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1)) == b"+OK\r\n"
            server.ask("CLUSTER", "MEET", "127.0.0.1", str(servers[0].port))
        for server in servers:
            until(
                "the cluster is whole", lambda server=server: b"cluster_state:ok" in server.ask("CLUSTER", "INFO")
            )
        yield servers
    finally:
        for server in servers:
            server.stop(hard=True)


def cluster_url(servers: Sequence[Server]) -> str:
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


@contextlib.contextmanager
def sentinel(folder: Path) -> Iterator[Tuple[str, Server, Server, Server]]:
    """(url, primary, replica, sentinel): one sentinel with quorum 1, which fails over after a second."""
    primary = Server(folder / "a", *NO_SAVE, "--repl-diskless-sync-delay", "0", port=free_port())
    replica = Server(folder / "b", *NO_SAVE, "--replicaof", f"127.0.0.1 {primary.port}", port=free_port())
    port = free_port()
    watcher = Server(folder / "s", "--sentinel", port=port)
    config = folder / "s" / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder / 's'}\n"
        f"sentinel monitor krm 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds krm 1000\nsentinel failover-timeout krm 5000\n"
    )
    watcher._command = [str(REDIS), str(config), "--sentinel"]
    try:
        primary.start()
        replica.start()
        until("the replica is in sync", lambda: b"master_link_status:up" in replica.ask("INFO", "replication"))
        watcher.start()
        until("the sentinel knows the replica", lambda: b"slaves=1" in watcher.ask("INFO", "sentinel"))
        yield f"redis+sentinel://127.0.0.1:{port}/krm", primary, replica, watcher
    finally:
        for server in (watcher, replica, primary):
            server.stop(hard=True)


class CutProxy:
    """A TCP proxy before a server that loses answers: it forwards a request and cuts before the reply.

    `cut_after(word)`: the next request that holds `word` reaches the server, which handles it; its
    answer is thrown away and the client's socket closed.
    """

    def __init__(self, address: Any) -> None:
        self._address = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._cut: Optional[bytes] = None
        self._drop: Optional[bytes] = None
        self.cuts = 0
        self.refuse = False  # new connections are closed at once
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, word: bytes) -> None:
        """Lose the answer to the next request with `word`."""
        self._cut = word

    def cut_before(self, word: bytes) -> None:
        """Lose the next request with `word` itself."""
        self._drop = word

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        with client, socket.socket(family) as server, contextlib.suppress(OSError):
            server.connect(self._address)
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()
            while True:
                data = client.recv(1 << 20)
                if not data:
                    return
                if self._drop and self._drop in data:
                    self._drop, self.cuts = None, self.cuts + 1
                    return
                if self._cut and self._cut in data:
                    self._cut, self.cuts = None, self.cuts + 1
                    client.shutdown(socket.SHUT_RDWR)
                    server.sendall(data)
                    time.sleep(0.05)  # the server handles what it has, then sees the end
                    return
                server.sendall(data)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                data = server.recv(1 << 20)
                if not data:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    def close(self) -> None:
        self._listener.close()


def alive(pid: int) -> bool:
    """True while a process of that id runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state != "Z"


def env_count(name: str, default: int) -> int:
    """A repetition count from the environment: short by default, long where a run asks for it."""
    return int(os.environ.get(name, default))
