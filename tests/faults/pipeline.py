"""The whole pipeline as child processes: Redis and the three stages, each to be killed, stopped and begun anew."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence

from krm.store.connect import Database, connect
from krm.store.keys import Keys
from redis_servers import NO_SAVE, Server

HERE = Path(__file__).resolve().parent
STAGES = ("aggregator", "verifier", "streamer")
CLUSTER = "paper"
# Seconds that a child may take to end by itself.
_END = 10.0


class Pipeline:
    """`with Pipeline(...) as pipeline:` everything runs. Children are named by stage, a second one `stage+`.

    kubeconfigs: stage -> file, of streamer and verifier. bugs: stage -> a name of seeded.STAGE_BUGS.
    Start children in the main thread alone: they end with the thread that made them.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        kubeconfigs: Mapping[str, Path],
        bugs: Optional[Mapping[str, str]] = None,
        verify_every: float = 2.0,
        probe_every: float = 1.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.kinds = folder, tuple(kinds)
        self.redis = Server(folder / "redis", *NO_SAVE)
        self.children: Dict[str, subprocess.Popen[bytes]] = {}
        self._kubeconfigs, self._bugs = dict(kubeconfigs), dict(bugs or {})
        self._every = (f"{verify_every}s", f"{probe_every}s")
        self._copies = 0

    def __enter__(self) -> Pipeline:
        try:
            self.redis.start()
            for stage in STAGES:
                self.start(stage)
        except BaseException:
            self.stop_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def keys(self, kind: str) -> Keys:
        return Keys(CLUSTER, kind)

    def database(self) -> Database:
        return connect(self.redis.url, name="krm-fault-reader")

    # Stages --------------------------------------------------------------------------------------

    def start(self, name: str, bug: Optional[str] = None) -> None:
        """Start a child that does not run: `streamer`, or `streamer+` for a second one.

        bug: of seeded.STAGE_BUGS, or a deaths.Death as text; without one the stage's of the pipeline.
        """
        assert not self.runs(name), f"{name} runs already"
        stage = name.rstrip("+")
        command = [sys.executable, "-m", "faults.child", stage]
        command.append(self._bugs.get(stage, "") if bug is None else bug)
        command += [*self.kinds, "--redis", self.redis.url, "--cluster", CLUSTER]
        if stage in self._kubeconfigs:
            command += ["--kubeconfig", str(self._kubeconfigs[stage])]
        if stage == "verifier":
            command += ["--verify-every", self._every[0], "--probe-every", self._every[1]]
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "KRM_PARENT_PID": str(os.getpid())}
        with open(self.folder / f"{name}.log", "ab") as log:
            self.children[name] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=str(self.folder)
            )

    def runs(self, name: str) -> bool:
        child = self.children.get(name)
        return child is not None and child.poll() is None

    def kill(self, name: str) -> None:
        """SIGKILL."""
        child = self.children.pop(name)
        child.kill()
        child.wait(_END)

    def wait_dead(self, name: str) -> None:
        """It ends by itself, of a bug that was planted."""
        self.children.pop(name).wait(30)

    def stop(self, name: str) -> int:
        """SIGTERM; the exit status."""
        child = self.children.pop(name)
        child.send_signal(signal.SIGCONT)
        child.terminate()
        try:
            return child.wait(_END)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(_END)
            raise

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.children[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.children[name].send_signal(signal.SIGCONT)

    def restart(self, name: str) -> None:
        """SIGKILL, and begun anew."""
        self.kill(name)
        self.start(name)

    def stop_all(self) -> None:
        for child in self.children.values():
            child.kill()
        for child in self.children.values():
            child.wait(_END)
        self.children.clear()
        self.redis.stop(hard=True)

    def log(self, lines: int = 60) -> str:
        """The last lines of every child's log and what each thread does now, for a failure's message."""
        for child in self.children.values():
            child.send_signal(signal.SIGUSR1)
        time.sleep(0.3)
        parts: List[str] = []
        for path in sorted(self.folder.glob("*.log")):
            parts += [f"== {path.name}", *path.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(parts)

    # Redis ---------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Redis is emptied while all run."""
        assert self.redis.ask("FLUSHALL") == b"+OK\r\n"

    def copy_redis(self) -> Path:
        """What Redis holds now, for `restore_redis`."""
        assert self.redis.ask("SAVE") == b"+OK\r\n"
        self._copies += 1
        copy = self.folder / f"copy-{self._copies}.rdb"
        (self.redis.folder / "dump.rdb").rename(copy)
        return copy

    def kill_redis(self) -> None:
        """SIGKILL; nothing was saved."""
        self.redis.stop(hard=True)

    def start_redis(self, copy: Optional[Path] = None) -> None:
        """Empty, or with the data of an older copy."""
        dump = self.redis.folder / "dump.rdb"
        if dump.exists():
            dump.unlink()
        if copy is not None:
            shutil.copy(str(copy), str(dump))
        self.redis.start()
        if dump.exists():
            dump.unlink()
