"""A unix socket that keeps to a deadline, and why one cannot be opened, in sentences."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from typing import Any

from krm.agent.runtime.runtimes import RuntimeSilent

MAX_PATH = 107  # bytes: what the kernel's sockaddr_un holds


class UnixSocket(socket.socket):
    """Raises socket.timeout when `deadline` (time.monotonic()) is over, however slowly the bytes drip in."""

    deadline = 0.0

    def recv(self, *words: Any) -> bytes:
        self._wait()
        return super().recv(*words)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self._wait()
        return super().recv_into(buffer, nbytes, flags)

    def sendall(self, *words: Any) -> None:
        self._wait()
        super().sendall(*words)

    def _wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the deadline is over")
        self.settimeout(left)


def connect(path: str, deadline: float) -> UnixSocket:
    """Connected. Raises RuntimeSilent, with what to do about it."""
    if len(os.fsencode(path)) > MAX_PATH or "\0" in path:
        raise RuntimeSilent(f"{path[:MAX_PATH]!r} is no path of a unix socket: those have at most {MAX_PATH} bytes")
    opened = UnixSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    opened.deadline = deadline
    try:
        opened.settimeout(max(0.001, deadline - time.monotonic()))
        opened.connect(path)
    except OSError as error:
        opened.close()
        raise RuntimeSilent(why_not(path, error)) from error
    return opened


def why_not(path: str, error: OSError) -> str:
    """A sentence about a socket that could not be connected to."""
    if isinstance(error, PermissionError):
        return _not_allowed(path)
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return f"there is no {path}: mount the folder of the runtime's socket, or correct --runtime-socket"
    if isinstance(error, ConnectionRefusedError) or error.errno == errno.ENOTSOCK:
        return f"nobody listens at {path}: is the container runtime running, and is this its socket?"
    return f"{path} cannot be connected to: {error.strerror or error}"


def _not_allowed(path: str) -> str:
    begin = f"UID {os.geteuid()} may not open {path}"
    try:
        found = os.stat(path)
    except OSError:
        return f"{begin}, nor see whose it is: a folder above it is closed to this UID; mount the socket itself"
    power = "with it comes power over the node: whoever opens this socket may start containers as root"
    if found.st_mode & stat.S_IWGRP:
        return f"{begin}: give the pod supplementalGroups: [{found.st_gid}], the socket's group; {power}"
    mode = f"its mode is {stat.S_IMODE(found.st_mode):04o}, which lets no group in"
    return f"{begin}: {mode}; give the socket a group in the runtime's settings; {power}"
