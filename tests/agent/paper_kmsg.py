"""The kernel's log on paper: records as /dev/kmsg gives them, one a read."""

from __future__ import annotations

import os
import re
import socket

CLOCK = 5000.0  # seconds since boot: now
_ROOM = 4 << 20  # bytes of records that nobody has read yet


def recorded(text: str, number: int, us: int = 4_999_000_000, priority: int = 6, flag: str = "-") -> bytes:
    """As /dev/kmsg gives it."""
    data = text.encode("utf-8", "surrogateescape")
    line = re.sub(rb"[^\x20-\x5b\x5d-\x7e]", lambda found: b"\\x%02x" % found.group()[0], data)
    return b"%d,%d,%d,%s,caller=T1;" % (priority, number, us, flag.encode()) + line + b"\n SUBSYSTEM=x\n"


class Device:
    """A socket that gives a record a read, as the device does."""

    path = "/dev/kmsg"

    def __init__(self) -> None:
        self.number = 0
        self.near, self.far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        self.near.setblocking(False)
        self.far.setblocking(False)

    def open(self, path: str, flags: int) -> int:
        assert path == self.path
        assert flags & os.O_NONBLOCK
        return os.dup(self.far.fileno())

    def write(self, text: str, at: float = CLOCK - 1, priority: int = 6) -> None:
        for line in text.strip().splitlines():
            self.number += 1
            self.near.send(recorded(line, self.number, int(at * 1e6) + self.number, priority))
