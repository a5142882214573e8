"""What a bill is made of: the hours of a month, a row a node, a pod and a claim. Whole numbers alone. Values.

Sums of the history are floats; they become integers of a small unit once, so that every sum after that is exact and
the same in any order.
"""

from __future__ import annotations

from hashlib import sha256
from operator import itemgetter
from typing import Dict, NamedTuple, Optional, Tuple

# One of the unit that is priced by the hour, in these units' seconds.
CORE_HOUR = 3600 * 10**6  # micro-core-seconds
GIB_HOUR = 3600 * 2**30  # byte-seconds
GPU_MB_HOUR = 3600 * 10**3  # milli-MB-seconds


class Amounts(NamedTuple):
    """Of one hour. None = not known."""

    cpu: Optional[int] = None  # micro-core-seconds
    memory: Optional[int] = None  # byte-seconds
    gpu: Optional[int] = None  # milli-MB-seconds of GPU memory


class NodeHour(NamedTuple):
    """A node's capacity, for as long as it was there."""

    node: str
    capacity: Amounts


class PodHour(NamedTuple):
    """A pod's hour."""

    namespace: str
    pod: str
    uid: str
    node: str  # '' = not known
    requested: Amounts
    used: Amounts


class ClaimHour(NamedTuple):
    """A PersistentVolumeClaim's."""

    namespace: str
    claim: str
    storage_class: str
    held: int  # byte-seconds


WHOSE = itemgetter(0, 1, 2, 3)  # of a PodHour: of one pod on one node there is one an hour


class Hour(NamedTuple):
    """All that is known of one hour."""

    begin: int  # Unix seconds
    covered: int  # seconds of it in which krm measured the cluster at all
    nodes: Tuple[NodeHour, ...]
    pods: Tuple[PodHour, ...]
    claims: Tuple[ClaimHour, ...]
    notes: Tuple[str, ...] = ()  # sentences: what the history lost of it


class Digest:
    """SHA-256 of hours in any order, and of each one's rows in any order."""

    def __init__(self) -> None:
        self._hours: Dict[int, str] = {}

    def add(self, hour: Hour) -> None:
        """Each hour once."""
        rows = (sorted(hour.nodes, key=itemgetter(0)), sorted(hour.pods, key=WHOSE), sorted(hour.claims))
        self._hours[hour.begin] = sha256(repr((hour.covered, *rows, hour.notes)).encode()).hexdigest()

    def hex(self) -> str:
        """Of all that were added."""
        return sha256(repr(sorted(self._hours.items())).encode()).hexdigest()
