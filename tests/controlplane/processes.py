"""Child processes of a test control plane: start, pause, stop, and never outlive the test run."""

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set

PR_SET_PDEATHSIG = 1
LOG_TAIL_BYTES = 4000
# Below Linux's range for outgoing connections (32768 on): while a server restarts, no client's own
# end can take its port, nor connect to itself on it.
PORT_RANGE = (20000, 32000)

_picked: Set[int] = set()


class ProcessFailure(Exception):
    """A component ended, or was not ready in time; the message holds the end of its log."""


def free_port() -> int:
    """A loopback TCP port nobody listens on, never given out twice by this process."""
    source = random.SystemRandom()
    while True:
        port = source.randrange(*PORT_RANGE)
        if port in _picked:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _picked.add(port)
        return port


def wait_until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.02) -> None:
    """Ask `condition` every `pause` seconds until it holds; TimeoutError("... what") after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain until {what}")
        time.sleep(pause)


def _die_with_parent() -> Optional[Callable[[], None]]:
    """What the child runs before exec, so that the kernel ends it with the thread that started it.

    Without this a test run killed by SIGKILL leaves an etcd and an API server behind. The C library
    is loaded here, in the parent, since between fork and exec almost nothing is safe.
    """
    if not sys.platform.startswith("linux"):
        return None
    library, parent = ctypes.CDLL(None), os.getpid()

    def before_exec() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call above
            os._exit(1)

    return before_exec


class Process:
    """One component: a fixed command line that may be started again and again, logging to one file.

    Start it from a thread that lives as long as the process shall: the kernel's "parent" is the thread.
    """

    def __init__(self, name: str, command: List[str], folder: Path) -> None:
        self.name = name
        self.command = command
        self.folder = folder
        self.log = folder / f"{name}.log"
        self._child: Optional[subprocess.Popen[bytes]] = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ProcessFailure(f"{self.name} was not started")
        return self._child.pid

    def start(self) -> None:
        """Start the command, unless it runs."""
        if self.running:
            return
        # Nothing of the caller's environment: a KUBECONFIG or proxy of the machine must not reach it.
        environment: Dict[str, str] = {"PATH": os.defpath, "HOME": str(self.folder)}
        with open(str(self.log), "ab") as log:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=str(self.folder),
                env=environment,
                preexec_fn=_die_with_parent(),
                start_new_session=True,  # a Ctrl-C in the terminal must not end it before our own stop
            )

    def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL after `seconds`: an API server without its etcd may wait for ever."""
        if not self.running:
            return
        self.resume()  # a stopped process does not see SIGTERM
        self._signal(signal.SIGTERM)
        assert self._child is not None
        try:
            self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._child is not None:
            self._signal(signal.SIGKILL)
            self._child.wait(timeout=10)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered. Returns when the process has stopped."""
        if not self.running:
            raise ProcessFailure(f"{self.name} is not running")
        self._signal(signal.SIGSTOP)
        if sys.platform.startswith("linux"):
            wait_until(self._is_stopped, 5, f"{self.name} has stopped", pause=0.002)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tail(self) -> str:
        """The end of the log, for error messages."""
        if not self.log.exists():
            return "(no log)"
        with open(str(self.log), "rb") as file:
            file.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace")

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready()`; ProcessFailure with the log's tail when it ends or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                code = None if self._child is None else self._child.returncode
                raise ProcessFailure(f"{self.name} ended with exit code {code}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ProcessFailure(f"{self.name} was not ready in {seconds:g} s:\n{self.tail()}")
            time.sleep(0.05)

    def _signal(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                self._child.send_signal(number)

    def _is_stopped(self) -> bool:
        """Whether every thread has stopped: SIGSTOP reaches them one after the other."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                continue
            if state not in "TtZX":
                return False
        return True
