"""The paper cluster: one revision counter, the objects of every kind, and the whole truth about the past."""

from __future__ import annotations

import json
import random
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from .burst import Ring, current_ring
from .faults import Faults
from .history import RAW_REVISION, Burst, Change, Entry, Log, Stored
from .kinds import Kind, built_in, custom_kind
from .selectors import object_fields
from .wire import Object, encode_object, time_text


class Conflict(Exception):
    """A write that the API server would refuse: `reason` is AlreadyExists, NotFound or Conflict."""

    def __init__(self, reason: str, kind: Kind, name: str) -> None:
        super().__init__("%s: %s %r" % (reason, kind.name, name))
        self.reason, self.kind, self.name = reason, kind, name


class World:
    """Everything but HTTP. Thread-safe: each method holds `lock`; `logs[kind].changed` tells of news.

    seed: of all random choices. clock: answers seconds since the epoch. revision: where the counter starts.
    keep: events kept per kind before the oldest are forgotten and compacted (None: all, for tests).
    """

    def __init__(
        self,
        seed: int = 1,
        clock: Callable[[], float] = time.time,
        revision: int = 100_000,
        keep: Optional[int] = None,
    ) -> None:
        self.random, self.clock, self.keep = random.Random(seed), clock, keep
        self.lock = threading.RLock()
        self.revision = revision
        self.compacted = revision  # exact lists below this, and watches from below the one before it, get 410
        self.epoch = 0  # rollbacks so far
        self.logs: Dict[str, Log] = {}
        self.rings: Dict[str, Ring] = {}
        self.undone: List[Tuple[int, str, List[Entry]]] = []  # (epoch, kind, entries) that rollbacks took away
        self.faults = Faults(self)
        for kind in built_in().values():
            self.logs[kind.name] = Log(kind, self.lock)
        for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
            self.create("namespaces", self._namespace(name))

    # -- looking

    def kinds(self) -> List[Kind]:
        with self.lock:
            return [log.kind for log in self.logs.values()]

    def log(self, kind: str) -> Log:
        """The log of a kind by name; KeyError where it is not served."""
        return self.logs[kind]

    def keys(self, kind: str) -> List[str]:
        with self.lock:
            return list(self.logs[kind].current)

    def get(self, kind: str, key: str) -> Optional[Stored]:
        with self.lock:
            return self.logs[kind].current.get(key)

    def read(self, kind: str, key: str) -> Object:
        """The object parsed; KeyError where there is none."""
        with self.lock:
            parsed: Object = json.loads(self.logs[kind].current[key].body())
        return parsed

    def history(self, kind: str, after: int = -1) -> Iterator[Change]:
        """Every true event above `after`: .revision .type .key .uid .body (as a watch shows it) .at."""
        with self.lock:
            log = self.logs[kind]
            frozen = Log(log.kind, self.lock)
            frozen.entries = list(log.entries)
        return frozen.history(after)

    def state_at(self, kind: str, revision: Optional[int] = None) -> Dict[str, bytes]:
        """key -> body at a revision (default: now). ValueError for one that is forgotten or yet to come."""
        stored = self.stored_at(kind, revision)
        return {key: value.body() for key, value in stored.items()}

    def stored_at(self, kind: str, revision: Optional[int] = None) -> Dict[str, Stored]:
        with self.lock:
            log = self.logs[kind]
            if revision is None:
                return dict(log.current)
            if revision > self.revision or revision < log.trimmed:
                raise ValueError("revision %d is not within %d..%d" % (revision, log.trimmed, self.revision))
            return log.state_at(revision)

    # -- writing

    def now_text(self) -> str:
        """The clock as metav1.Time writes it."""
        return time_text(self.clock())

    def new_uid(self) -> str:
        digits = "%032x" % self.random.getrandbits(128)
        return "-".join((digits[:8], digits[8:12], "4" + digits[13:16], "a" + digits[17:20], digits[20:]))

    def create(self, kind: str, obj: Object) -> Stored:
        """Store a new object: uid, creationTimestamp and generation are filled in. Conflict AlreadyExists."""
        with self.lock:
            log = self.logs[kind]
            metadata = obj["metadata"]
            key = _key(log.kind, metadata)
            if key in log.current:
                raise Conflict("AlreadyExists", log.kind, str(metadata["name"]))
            metadata.setdefault("uid", self.new_uid())
            metadata.setdefault("creationTimestamp", self.now_text())
            return self._put(log, key, obj)

    def update(self, kind: str, key: str, change: Union[Object, Callable[[Object], Any]]) -> Stored:
        """Replace an object, or let `change` edit the parsed one. Conflict NotFound."""
        with self.lock:
            log = self.logs[kind]
            before = log.current.get(key)
            if before is None:
                raise Conflict("NotFound", log.kind, key.rpartition("/")[2])
            if callable(change):
                obj: Object = json.loads(before.body())
                change(obj)
            else:
                obj = change
            obj["metadata"]["uid"] = before.uid
            return self._put(log, key, obj)

    def delete(self, kind: str, key: str) -> Change:
        """Remove an object at a revision of its own. Conflict NotFound."""
        with self.lock:
            log = self.logs[kind]
            before = log.current.get(key)
            if before is None:
                raise Conflict("NotFound", log.kind, key.rpartition("/")[2])
            return self._append(log, key, None, self._next())

    def inject(self, kind: str, key: str, body: bytes, uid: str = "") -> Stored:
        """Store any bytes as an object; `@RV@` in them becomes the revision. Hostile input for the readers."""
        with self.lock:
            log = self.logs[kind]
            before, revision = log.current.get(key), self._next()
            raw = body.replace(RAW_REVISION, b"%d" % revision)
            new_uid = uid or (before.uid if before else self.new_uid())
            stored = Stored(key, revision, new_uid, raw, template=body)
            self._append(log, key, stored, revision)
            return stored

    def burst(self, kind: str, count: int, keys: Optional[List[str]] = None) -> int:
        """`count` MODIFIED events at once, round robin over the kind's objects; answers the new revision.

        Only resourceVersion and the annotation `simulator.krm/tick` differ, so watchers are fed from templates.
        """
        with self.lock:
            log = self.logs[kind]
            ring = current_ring(log, self.rings.get(kind), keys)
            plan, position = ring.plan, ring.position
            size, first = len(plan.keys), self.revision + 1
            touched = [plan.keys[(position + i) % size] for i in range(min(size, count))]
            before = {key: log.current[key] for key in touched}
            entry = Burst(plan, position, first, count, before, self.clock())
            self.revision += count
            ring.position = (position + count) % size
            self.rings[kind] = ring
            self.faults.written(kind, first, count)
            log.append_burst(entry)
            self._trim(log)
            return self.revision

    # -- the past

    def compact(self, revision: Optional[int] = None) -> int:
        """Make everything below `revision` (default: now) too old for new watches, exact lists and pages."""
        with self.lock:
            self.compacted = max(self.compacted, self.revision if revision is None else revision)
            return self.compacted

    def rollback(self, revision: int, cut_watches: bool = True) -> None:
        """Restore the whole world to an older revision, as an etcd restored from a backup does.

        cut_watches=False leaves the watches open at revisions that now lie ahead: they miss events silently.
        """
        with self.lock:
            oldest = max(log.trimmed for log in self.logs.values())
            if not oldest <= revision <= self.revision:
                raise ValueError("revision %d is not within %d..%d" % (revision, oldest, self.revision))
            self.epoch += 1
            self.rings.clear()
            for log in self.logs.values():
                self.undone.append((self.epoch, log.kind.name, log.rewind(revision)))
            self.revision, self.compacted = revision, min(self.compacted, revision)
            self.faults.forget_revisions(revision)
            if cut_watches:
                self.faults.cut_all()
            self.wake()

    # -- kinds

    def add_kind(self, kind: Union[Kind, str]) -> Kind:
        """Serve a CRD's kind from now on: a Kind, or `widgets.example.com`."""
        with self.lock:
            added = custom_kind(kind) if isinstance(kind, str) else kind
            if added.name not in self.logs:
                self._next()
                self.logs[added.name] = Log(added, self.lock)
                self.logs[added.name].trimmed = self.revision
            return added

    def remove_kind(self, name: str) -> None:
        """Stop serving a kind: its objects are DELETED first, then watches end and requests find 404."""
        with self.lock:
            log = self.logs[name]
            for key in list(log.current):
                self.delete(name, key)
            del self.logs[name]
            log.removed = True
            log.changed.notify_all()

    def wake(self) -> None:
        """Let every watch look again at faults and time."""
        with self.lock:
            for log in self.logs.values():
                log.changed.notify_all()

    # -- inside

    def _namespace(self, name: str) -> Object:
        labels = {"kubernetes.io/metadata.name": name}
        return {
            "metadata": {"name": name, "labels": labels},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }

    def _next(self) -> int:
        self.revision += 1
        return self.revision

    def _put(self, log: Log, key: str, obj: Object) -> Stored:
        revision = self._next()
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(revision)
        body, head, tail = encode_object(log.kind, obj)
        labels, fields = metadata.get("labels") or {}, object_fields(log.kind, obj)
        stored = Stored(key, revision, str(metadata["uid"]), body, head, tail, labels, fields)
        self._append(log, key, stored, revision)
        return stored

    def _append(self, log: Log, key: str, now: Optional[Stored], revision: int) -> Change:
        before = log.current.get(key)
        change = Change(revision, key, now, before, self.clock())
        self.faults.written(log.kind.name, revision, 1)
        log.append(change)
        self._trim(log)
        return change

    def _trim(self, log: Log) -> None:
        if self.keep is not None:
            self.compacted = max(self.compacted, log.trim(self.keep))


def _key(kind: Kind, metadata: Object) -> str:
    if kind.namespaced:
        return "%s/%s" % (metadata["namespace"], metadata["name"])
    return str(metadata["name"])
