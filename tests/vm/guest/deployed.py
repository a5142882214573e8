"""Runs a command as a pod of krm's DaemonSet would: PID, cgroup and mount namespaces of its own, the node's /proc
and cgroups mounted below /host, UID 64123 and no capability.

    python deployed.py COMMAND...
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import List

UID = 64123
HOST = "/host"
PROCFS, CGROUPFS = f"{HOST}/proc", f"{HOST}/sys/fs/cgroup"
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWPID = 0x00020000, 0x02000000, 0x20000000
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24
MOST_CAPABILITIES = 64
_libc = ctypes.CDLL(None, use_errno=True)


def main(command: List[str]) -> int:
    """How the command ended."""
    _unshare(CLONE_NEWNS | CLONE_NEWCGROUP)
    _mount("proc", PROCFS, "ro")
    _mount("cgroup2", CGROUPFS, "ro")
    _unshare(CLONE_NEWPID)  # the next child is its process 1, so what is mounted by children comes before
    pid = os.fork()
    if pid:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        status = os.waitpid(pid, 0)[1]
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    _mount("proc", "/proc", "nosuid")  # its own, in which it is process 1
    for number in range(MOST_CAPABILITIES):
        _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return os.execv(command[0], command)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags):
        raise OSError(ctypes.get_errno(), "unshare")


def _mount(kind: str, target: str, options: str) -> None:
    os.makedirs(target, exist_ok=True)
    if kind == "cgroup2":  # a new mount would begin at the cgroup of this process
        words = f"mount -o bind,{options} /sys/fs/cgroup {target}"
    else:
        words = f"mount -t {kind} -o {options} {kind} {target}"
    if os.system(words):
        raise OSError(f"{words} failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
