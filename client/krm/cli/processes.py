"""The child processes of `krm up`: started, watched, started again after a death, ended in order.

A child that dies is started again after a backoff that doubles from half a second to 30 s and is
forgotten after a minute of life. On Linux the kernel kills every child when this process dies, even
by SIGKILL; elsewhere a SIGKILL of `krm up` leaves them running.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

FIRST_BACKOFF = 0.5  # seconds
LAST_BACKOFF = 30.0
QUIET = 60.0  # seconds of life after which a death counts as the first again
STOP_LIMIT = 5.0  # seconds from SIGTERM to SIGKILL; the stages promise to drain within it
LOG_LIMIT = 16 * 1024 * 1024  # bytes of a child's log, which is then begun anew
# As the stages log: date, time, stage, level.
_WARNING = re.compile(r"\S+ \S+ \S+ (WARNING|ERROR|CRITICAL) ")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _bind_to(parent: int) -> Callable[[], None]:
    """What the child does before its program: die with the parent (Linux)."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None

    def bind() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return bind


class Child:
    """One supervised program. `arguments`: after `python`, e.g. ("-m", "krm.streamer", "pods")."""

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, restart: bool = True, cluster: str = ""
    ) -> None:
        """`cluster`: whose it is, where there are several."""
        self.name = name
        self.title = f"{name} of {cluster}" if cluster else name  # as sentences call it
        self.log = folder / f"{name}.log"
        self._arguments = list(arguments)
        self._restart = restart
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._started = 0.0
        self._again_at: Optional[float] = None
        self._backoff = FIRST_BACKOFF

    @property
    def pid(self) -> Optional[int]:
        return self._process.pid if self.running else None  # type: ignore[union-attr]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Its output goes to the log; its input is empty. In a session of its own, so that ^C reaches us alone."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(str(self.log), flags, 0o600)
        # Inherited, it would name our parent, and a stage that is not its child ends at once.
        environment = {name: value for name, value in os.environ.items() if name != "KRM_PARENT_PID"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                preexec_fn=_bind_to(os.getpid()),
            )
        finally:
            os.close(log)
        self._started, self._again_at = time.monotonic(), None

    def tend(self, now: float) -> Optional[str]:
        """Called each turn; answers a sentence where something happened to it."""
        if self._again_at is not None:
            if now < self._again_at:
                return None
            self.start()
            return f"{self.title} was started again"
        if self.running:
            self._cap_log()
            return None
        if self._process is None or not self._restart:
            return None
        if now - self._started > QUIET:
            self._backoff = FIRST_BACKOFF
        wait, self._backoff = self._backoff, min(LAST_BACKOFF, self._backoff * 2)
        self._again_at = now + wait
        return f"{self.title} died ({self.cause()}); starting it again in {wait:g} s"

    def cause(self) -> str:
        """`exit code 1: last line of its log`, or the signal's name."""
        code = self._process.poll() if self._process is not None else None
        if code is not None and code < 0:
            return _signal_name(-code)
        last = self.last_words()
        return f"exit code {code}" + (f": {last}" if last else "")

    def last_words(self) -> str:
        """The last line of its log, at most 200 characters."""
        return "".join(self._tail(4096)[-1:]).strip()[:200]

    def last_warning(self) -> str:
        """The last line of level WARNING or above, at most 200 characters."""
        warnings = [line for line in self._tail(64 * 1024) if _WARNING.match(line)]
        return "".join(warnings[-1:]).strip()[:200]

    def _tail(self, size: int) -> List[str]:
        try:
            with open(str(self.log), "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - size))
                return log.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            return []

    def stop(self, limit: float = STOP_LIMIT) -> None:
        """SIGTERM, and SIGKILL after `limit` seconds."""
        self._again_at = None
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(limit)

    def _cap_log(self) -> None:
        # The child appends, so emptying the file under it is safe.
        try:
            if self.log.stat().st_size > LOG_LIMIT:
                os.truncate(str(self.log), 0)
        except OSError:
            return  # somebody removed the log; the child still writes to its open file


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs, whoever owns it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


class Family:
    """The children in the order in which they are started; they end in the order that `stop` is given."""

    def __init__(self) -> None:
        self._children: List[Child] = []

    def add(self, child: Child) -> None:
        """Starts it."""
        self._children.append(child)
        child.start()

    def tend(self) -> List[str]:
        """What happened to them since the last call, a sentence each."""
        now = time.monotonic()
        return [news for news in (child.tend(now) for child in self._children) if news is not None]

    def last_warnings(self) -> List[str]:
        """The last warning of each child's log, where it has one."""
        words = [(child.title, child.last_warning()) for child in self._children]
        return [f"{name} said last: {text}" for name, text in words if text]

    def stop(self, order: Tuple[str, ...]) -> None:
        """Ends them one by one, those of `order` first."""
        for child in sorted(
            self._children, key=lambda one: order.index(one.name) if one.name in order else len(order)
        ):
            child.stop()
