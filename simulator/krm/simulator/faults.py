"""What is wrong with the paper cluster at the moment. `heal()` makes all of it right again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Set, Tuple

if TYPE_CHECKING:
    from .world import World

ANY = "*"
# Faults that count down, one for each event sent to a watch.
COUNTED = ("duplicate", "cut", "garbage")
# Faults that last: for a number of seconds, or until healed.
LASTING = (
    "stall",
    "http_410",
    "watch_410",
    "http_429",
    "http_500",
    "gzip",
    "slow",
    "etcd_stopped",
    "no_bookmarks",
    "no_progress",
)


class Faults:
    """Per kind, or for every kind under `*`. Times are of the monotonic clock; the world's lock guards all."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._drop: Dict[str, int] = {}
        self._dropped: Dict[str, Set[int]] = {}
        self._counted: Dict[Tuple[str, str], int] = {}
        self._lasting: Dict[Tuple[str, str], Tuple[float, float]] = {}  # -> (until, value)
        self._stale: Dict[str, Tuple[int, bool]] = {}
        self.cuts = 0  # a watch that began under a smaller number ends at once
        self.healed = threading.Condition(world.lock)

    # -- setting

    def drop(self, kind: str, count: int) -> None:
        """The next `count` events of the kind are never sent to any watch, now or on resuming; lists are right."""
        with self._world.lock:
            self._drop[kind] = self._drop.get(kind, 0) + count

    def count(self, fault: str, kind: str, count: int = 1) -> None:
        """duplicate: send twice. cut: send half the line and close. garbage: an unparsable line before it."""
        if fault not in COUNTED:
            raise ValueError("%r is none of %s" % (fault, ", ".join(COUNTED)))
        with self._world.lock:
            self._counted[fault, kind] = self._counted.get((fault, kind), 0) + count

    def last(self, fault: str, kind: str = ANY, seconds: Optional[float] = None, value: float = 1.0) -> None:
        """Begin a fault that lasts; value: Retry-After (s) of http_429, delay (s) of slow.

        stall: watches stay open, nothing is sent. watch_410: every watch gets ERROR 410. http_410, http_429,
        http_500: lists and new watches are refused. gzip: answers are packed unasked. etcd_stopped: consistent
        reads and writes hang. no_bookmarks: none is sent. no_progress: a bookmark comes only after an
        event of the kind itself, as in a quiet real cluster, where an idle kind's watch cache does not move.
        """
        if fault not in LASTING:
            raise ValueError("%r is none of %s" % (fault, ", ".join(LASTING)))
        until = float("inf") if seconds is None else time.monotonic() + seconds
        with self._world.lock:
            self._lasting[fault, kind] = (until, value)
            self._world.wake()

    def stale(self, kind: str, revision: Optional[int] = None, quorum: bool = False) -> int:
        """Serve lists and watches of a kind from an older revision (default: as it is now) until healed.

        quorum: consistent lists are stale too, as if the etcd member itself had fallen behind.
        """
        with self._world.lock:
            at = self._world.revision if revision is None else revision
            self._stale[kind] = (at, quorum)
            self._world.wake()
            return at

    def cut_all(self) -> None:
        """End every open watch now, without a last word."""
        with self._world.lock:
            self.cuts += 1
            self._world.wake()

    def heal(self, kind: Optional[str] = None) -> None:
        """End all faults, or one kind's. What was dropped stays dropped."""
        with self._world.lock:
            for table in (self._drop, self._stale):
                for name in [name for name in table if kind in (None, name)]:
                    del table[name]
            for pairs in (self._counted, self._lasting):
                for pair in [pair for pair in pairs if kind in (None, pair[1])]:
                    del pairs[pair]
            self._world.wake()
            self.healed.notify_all()

    # -- asking (by the server)

    def written(self, kind: str, first: int, count: int) -> None:
        """The world wrote revisions first..first+count-1: mark those that get lost."""
        for name in (kind, ANY):
            lost = min(self._drop.get(name, 0), count)
            if lost:
                self._drop[name] -= lost
                self._dropped.setdefault(kind, set()).update(range(first, first + lost))

    def dropped(self, kind: str) -> Set[int]:
        return self._dropped.get(kind, _NONE)

    def forget_revisions(self, above: int) -> None:
        """A rollback will write these revisions again."""
        for kind, revisions in self._dropped.items():
            self._dropped[kind] = {revision for revision in revisions if revision <= above}

    def take(self, fault: str, kind: str) -> bool:
        """Use up one of a counted fault."""
        for name in (kind, ANY):
            left = self._counted.get((fault, name), 0)
            if left:
                self._counted[fault, name] = left - 1
                return True
        return False

    def counting(self, kind: str) -> bool:
        """Whether a counted fault waits for this kind, so that the sender must go event by event."""
        return any(left and name in (kind, ANY) for (_, name), left in self._counted.items())

    def lasting(self, fault: str, kind: str) -> Optional[float]:
        """The value of a fault that holds now, else None."""
        for name in (kind, ANY):
            found = self._lasting.get((fault, name))
            if found is not None:
                if found[0] > time.monotonic():
                    return found[1]
                del self._lasting[fault, name]
        return None

    def seen_revision(self, kind: str, quorum: bool = False) -> Optional[int]:
        """The revision that readers of a kind are held back at, else None."""
        found = self._stale.get(kind) or self._stale.get(ANY)
        return found[0] if found is not None and (found[1] or not quorum) else None

    def wait_healed(self, fault: str, kind: str, seconds: float) -> bool:
        """Hang while a fault holds, at most `seconds`; answers whether it is over."""
        deadline = time.monotonic() + seconds
        with self._world.lock:
            while self.lasting(fault, kind) is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self.healed.wait(min(left, 0.5))
        return True

    def describe(self) -> List[Dict[str, Any]]:
        """For the control API."""
        with self._world.lock:
            now = time.monotonic()
            rows: List[Dict[str, Any]] = []
            rows += [{"fault": "drop", "kind": k, "count": n} for k, n in self._drop.items() if n]
            rows += [{"fault": f, "kind": k, "count": n} for (f, k), n in self._counted.items() if n]
            rows += [{"fault": "stale", "kind": k, "revision": at} for k, (at, _) in self._stale.items()]
            for (fault, kind), (until, value) in self._lasting.items():
                left = None if until == float("inf") else max(0.0, until - now)
                rows.append({"fault": fault, "kind": kind, "value": value, "seconds_left": left})
            return rows


_NONE: Set[int] = set()
