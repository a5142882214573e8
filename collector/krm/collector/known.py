"""What the snapshots say of the cluster, followed: one thread a pipeline, a small value an object.

`reduce` makes that value of an object when it comes or changes; the object itself is not kept.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Callable, Dict, Generic, Mapping, Optional, Set, TypeVar

from krm.model.messages import DELETED
from krm.model.records import BadRecord, Envelope, checked_envelope
from krm.model.trust import LIVE, judge
from krm.store.connect import Database
from krm.store.errors import Expired, StoreError
from krm.store.follow import Follower, Step
from krm.store.keys import Keys
from krm.store.read import Reader, SnapshotData

T = TypeVar("T")
# Seconds before another try where Redis or the snapshot is away.
RETRY = 1.0

log = logging.getLogger("krm")


class Known(Generic[T]):
    """One pipeline's objects, reduced. `objects` is replaced or changed under `lock`."""

    def __init__(
        self, database: Database, keys: Keys, reduce: Callable[[Mapping[str, Any]], T], stop: threading.Event
    ) -> None:
        self.keys = keys
        self.objects: Dict[str, T] = {}  # namespace/name -> what is kept of it
        self.lock = threading.Lock()
        self.problem = "no snapshot was read yet"  # a sentence, '' = it is live
        self._changed: Set[str] = set()
        self._reduce, self._stop, self._database = reduce, stop, database

    def changed(self) -> Set[str]:
        """Keys that came, changed or went since the last call."""
        with self.lock:
            changed, self._changed = self._changed, set()
            return changed

    def run(self) -> None:
        """Until stopped. What goes wrong is a sentence in `problem`, and is tried again."""
        while not self._stop.is_set():
            try:
                self._follow()
            except Expired:
                continue  # read anew at once
            except (StoreError, BadRecord) as error:
                self.problem = str(error)
            self._stop.wait(RETRY)

    def _follow(self) -> None:
        reader = Reader(self._database, self.keys)
        data = reader.snapshot()
        if data is None:
            head = reader.head()
            self.problem = "; ".join(judge(head.head, head.time).reasons)
            return
        self._load(data)
        follower = Follower(self._database, self.keys, data.token)
        try:
            while not self._stop.is_set():
                for step in follower.turn():
                    self._apply(step)
                trust = judge(follower.head, follower.time)
                self.problem = "" if trust.state == LIVE else f"{trust.state}: {'; '.join(trust.reasons)}"
        finally:
            follower.close()

    def _load(self, data: SnapshotData) -> None:
        found = {key: self._kept(key, envelope) for key, envelope in data.objects.items()}
        objects = {key: value for key, value in found.items() if value is not None}
        with self.lock:
            self._changed |= set(self.objects) | set(objects)
            self.objects = objects

    def _apply(self, step: Step) -> None:
        for change in step.entry.changes:
            gone = change.type == DELETED
            value = None if gone else self._kept(change.key, checked_envelope(change.envelope))
            with self.lock:
                self._changed.add(change.key)
                if value is not None:
                    self.objects[change.key] = value
                elif gone:
                    self.objects.pop(change.key, None)

    def _kept(self, key: str, envelope: Envelope) -> Optional[T]:
        try:
            body = json.loads(envelope.body)
            if not isinstance(body, dict):
                raise ValueError("no object")
            return self._reduce(body)
        except (ValueError, RecursionError) as error:
            log.warning("%s %s could not be read: %s", self.keys.kind, key, type(error).__name__)
            return None
