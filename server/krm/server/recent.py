"""The newest versions of one pipeline as they were published, for those who follow by version. Pure.

The replica's own log is ordered by resourceVersion, and begins anew where a list had to repair something:
a Kubernetes watch cannot be told that. krm's own readers can: they follow versions, repairs too.
Envelopes are the same objects as the replica's: what is kept twice is their places.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, List, NamedTuple, Optional, Sequence, Tuple

from krm.client.moments import place
from krm.client.source import Published
from krm.model.records import ChangeEntry, Envelope
from krm.store.read import Token

# Repairs that are named in the drift log.
REPAIRS_MOST = 100


class Version(NamedTuple):
    """One version and the objects of its changes, each checked."""

    number: int
    entry: ChangeEntry
    envelopes: Tuple[Envelope, ...]  # one a change, in their order
    size: int  # bytes of the bodies


class Repair(NamedTuple):
    """One change that a list found and the watch had missed."""

    at: float  # published, seconds of the Redis clock
    version: int
    type: str
    key: str
    rv: str


class Recent:
    """The versions first + 1 .. last."""

    def __init__(self, version: int) -> None:
        self.first = self.last = version
        self.repairs: Deque[Repair] = deque(maxlen=REPAIRS_MOST)
        self._versions: Deque[Version] = deque()
        self._size = 0

    def add(self, number: int, entry: ChangeEntry, envelopes: Sequence[Envelope], budget: int) -> None:
        """The next version; the oldest go, so that `budget` bytes are kept."""
        size = sum(len(one.body) for one in envelopes)
        # What was packed was opened: it is not held twice.
        slim = entry._replace(changes=tuple(change._replace(envelope=b"") for change in entry.changes))
        self._versions.append(Version(number, slim, tuple(envelopes), size))
        self.last, self._size = number, self._size + size
        if entry.repair:
            for change, one in zip(entry.changes, envelopes):
                self.repairs.append(Repair(entry.at, number, change.type, change.key, one.rv))
        while self._size > budget and len(self._versions) > 1:
            gone = self._versions.popleft()
            self.first, self._size = gone.number, self._size - gone.size

    def after(self, version: int, budget: int) -> Optional[List[Version]]:
        """The versions after this one, the oldest of them within `budget` bytes, one at least where there is one.

        None: not all of them are kept.
        """
        if version < self.first:
            return None
        found: List[Version] = []
        for number in range(version - self.first, len(self._versions)):
            budget -= self._versions[number].size
            if budget < 0 and found:
                break
            found.append(self._versions[number])
        return found


def published(incarnation: str, version: Version, skip: int) -> List[Published]:
    """Its changes but for the first `skip`, each with the place after it."""
    entry, last = version.entry, len(version.envelopes)
    found = []
    for number, (change, envelope) in enumerate(zip(entry.changes, version.envelopes), 1):
        if number <= skip:
            continue
        whole = number == last
        after = place(Token(incarnation, version.number if whole else version.number - 1), 0 if whole else number)
        found.append(
            Published(
                change.type, change.key, envelope, change.previous_rv, change.previous_labels,
                change.previous_fields, after, entry.at, entry.delay, entry.repair,
            )
        )  # fmt: skip
    return found
