"""Who may ask the agent: its certificate, key and token, read anew when their files change."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import threading
import time
from typing import Any, Callable, NamedTuple, Optional, Tuple

MAX_TOKEN = 4096  # bytes
LOOK = 1.0  # seconds between two looks at whether a file has changed

log = logging.getLogger("krm")


class Files(NamedTuple):
    """Where certificate, key (PEM) and token are."""

    cert: str
    key: str
    token: str


class Changing:
    """What is made of files, and made anew when they change. Where that fails, `of` says what holds then."""

    def __init__(self, paths: Tuple[str, ...], make: Callable[[], Any], keep: bool) -> None:
        """`keep`: the old holds on where the new cannot be read; else None does. Raises what `make` raises."""
        self._paths, self._make, self._keep = paths, make, keep
        self._lock = threading.Lock()
        self._looked = time.monotonic()
        self._marks = self._marked()
        self._value = make()

    def now(self) -> Any:
        """The value, at most LOOK seconds old; from any thread."""
        with self._lock:
            if time.monotonic() - self._looked >= LOOK:
                self._looked = time.monotonic()
                self._look()
            return self._value

    def _look(self) -> None:
        marks = self._marked()
        if marks == self._marks:
            return
        self._marks = marks
        try:
            self._value = self._make()
            log.info("read anew, since it changed: %s", ", ".join(self._paths))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            log.warning("cannot be read anew: %s: %s", ", ".join(self._paths), error)
            if not self._keep:
                self._value = None

    def _marked(self) -> Optional[Tuple[Tuple[int, int, int], ...]]:
        try:
            found = [os.stat(path) for path in self._paths]
        except OSError:
            return None
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def refused(address: str, files: Files) -> str:
    """Why it may not be served so, "" where it may: no token goes over an open line, and no process is told of
    to whom has none."""
    if all(files):
        return ""
    if any(files):
        return "--cert, --key and --token-file belong together: give all three, or none to serve this machine alone"
    if not is_loopback(address):
        return f"{address} is not this machine alone: give --cert, --key and --token-file, or --address 127.0.0.1"
    return ""


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def certificate(files: Files) -> Changing:
    """The TLS context of its now() serves; an old one until both files fit again. Raises OSError,
    ValueError."""
    return Changing((files.cert, files.key), lambda: _context(files), True)


def secret(files: Files) -> Changing:
    """The token as bytes of its now(), None where there is none now: then nobody is let in. Raises OSError,
    ValueError."""
    return Changing((files.token,), lambda: _token(files.token), False)


def _context(files: Files) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (files.cert, files.key):
        _read(path)  # ssl does not say which of them it misses
    try:
        context.load_cert_chain(files.cert, files.key)
    except ssl.SSLError as error:
        why = (
            f"{files.cert}, {files.key}: no certificate and the key that fits it, in PEM ({error.reason or error})"
        )
        raise ValueError(why) from error
    return context


def _read(path: str, most: int = 1) -> bytes:
    """Raises OSError with the sentence that a person reads."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError as error:
        raise OSError(f"{path}: {error.strerror or error}") from error


def _token(path: str) -> bytes:
    token = _read(path, MAX_TOKEN + 1).strip()
    if not token or len(token) > MAX_TOKEN or b"\n" in token:
        raise ValueError(f"{path}: a token is one line of 1 to {MAX_TOKEN} bytes")
    return token
