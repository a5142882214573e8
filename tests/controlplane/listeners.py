"""Which addresses processes listen on."""

from typing import Iterable, List, Tuple

import psutil


def listeners(pids: Iterable[int]) -> List[Tuple[int, str]]:
    """(process id, IP address) of every listening TCP socket of `pids`."""
    wanted = set(pids)
    return [
        (item.pid, str(item.laddr[0]))
        for item in psutil.net_connections(kind="tcp")
        if item.laddr and item.pid in wanted and item.status == psutil.CONN_LISTEN
    ]
