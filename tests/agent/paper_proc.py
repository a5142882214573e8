"""A /proc on paper: files as the kernel writes them, of processes that a test makes, ends and swaps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Sequence

BOOTED = 1_790_000_000  # Unix seconds
TICKS = 100  # a second


class PaperProc:
    """A folder like /proc. Threads that exist elsewhere: `others`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.others = folder, 0
        folder.mkdir(exist_ok=True)
        (folder / "stat").write_text(f"cpu  1 2 3 4\nintr 5\nbtime {BOOTED}\nprocesses 9\n")
        (folder / "self").mkdir(exist_ok=True)
        self.count()

    def count(self) -> None:
        """/proc/loadavg, for what is there now."""
        threads = len([path for path in self.folder.iterdir() if path.name.isdigit()]) + self.others
        (self.folder / "loadavg").write_text(f"0.10 0.20 0.30 1/{threads} 4711\n")

    def put(
        self,
        pid: int,
        started: int = 100,
        *,
        name: bytes = b"app",
        cgroup: str = "/",
        inside: Sequence[int] = (),
        uid: int = 0,
        ppid: int = 1,
        state: str = "S",
        flags: int = 0x400000,
        user: int = 0,
        system: int = 0,
        threads: int = 1,
        pages: int = 10,
        command: Sequence[bytes] = (),
        unified: bool = False,
    ) -> None:
        """A process, new or changed. `cgroup`: as /proc shows it, of the memory controller or of version 2."""
        place = self.folder / str(pid)
        place.mkdir(exist_ok=True)
        fields = (
            f"{state} {ppid} 1 1 0 -1 {flags} 9 9 9 9 {user} {system} 7 7 20 0 {threads} 0 {started} 4096 {pages}"
        )
        (place / "stat").write_bytes(b"%d (%s) " % (pid, name) + f"{fields} 18446744073709551615 0 0 0\n".encode())
        pids = "\t".join(str(one) for one in [pid, *inside])
        escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        ids = "\t".join([str(uid)] * 4)
        (place / "status").write_bytes(
            b"Name:\t" + escaped + f"\nState:\t{state} (so)\nUid:\t{ids}\nNSpid:\t{pids}\nThreads:\t1\n".encode()
        )
        lines = f"0::{cgroup}\n" if unified else f"5:cpu,cpuacct:/else\n4:memory:{cgroup}\n0::/\n"
        (place / "cgroup").write_text(lines)
        (place / "cmdline").write_bytes(b"".join(one + b"\0" for one in command))
        self.count()

    def end(self, pid: int) -> None:
        shutil.rmtree(str(self.folder / str(pid)))
        self.count()
