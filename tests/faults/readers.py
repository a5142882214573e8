"""Readers that write down everything they were told: one reads snapshots, one follows changes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Tuple

from krm.model.head import Head
from krm.model.records import checked_envelope
from krm.model.trust import judge
from krm.store.connect import Database
from krm.store.errors import Expired, StoreError
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.read import Reader, SnapshotData, Token

# Seconds between two reads, and after an error.
READ_EVERY = 0.05


@dataclass(frozen=True)
class Answer:
    """One read of all objects, or of one namespace; or the class of the error that came instead."""

    at: float  # seconds since the epoch, before the read
    ended: float
    namespace: Optional[str]  # None = all
    error: str = ""
    state: str = ""  # of trust, judged as every reader does
    token: Optional[Token] = None  # None = nothing to read yet
    rv: str = ""
    verified_rv: str = ""
    current_as_of: Optional[float] = None
    beat: Optional[float] = None
    read_at: float = 0.0  # Redis clock
    gap_open: bool = False
    building: bool = False
    rvs: Dict[str, str] = field(default_factory=dict)
    corrupt: Tuple[str, ...] = ()


class Told(NamedTuple):
    """One change as a watcher was told of it."""

    type: str
    key: str
    rv: str


class Version(NamedTuple):
    """One version as a watcher was told of it."""

    number: int
    rv: str
    repair: bool
    changes: Tuple[Told, ...]


@dataclass
class Watching:
    """One life of a watcher: the snapshot that it began with, the versions after it, and why it ended."""

    token: Token
    rvs: Dict[str, str]
    at: float  # seconds since the epoch
    versions: List[Version] = field(default_factory=list)
    ended: str = ""  # class of the error, '' = it goes on


class Recorder(threading.Thread):
    """A reader of one kind in a thread of its own, until `finish`."""

    def __init__(self, database: Database, keys: Keys) -> None:
        super().__init__(name=f"{type(self).__name__} {keys.kind}", daemon=True)
        self.kind = keys.kind
        self._database, self._keys = database, keys
        self._over = threading.Event()
        self.failure: Optional[BaseException] = None  # an error that no reader should ever see

    def run(self) -> None:
        try:
            while not self._over.is_set():
                self.turn()
        except Exception as error:  # noqa: BLE001 - told by `finish`, in the thread that can fail a test
            self.failure = error

    def turn(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        self._over.set()
        self.join(20)
        assert not self.is_alive(), f"{self.name} hangs"
        if self.failure is not None:
            raise self.failure


class SnapshotReader(Recorder):
    """Reads all, then one namespace in turn."""

    def __init__(self, database: Database, keys: Keys, namespaces: Tuple[Optional[str], ...] = (None,)) -> None:
        super().__init__(database, keys)
        self.answers: List[Answer] = []
        self._reader = Reader(database, keys)
        self._namespaces = namespaces

    def turn(self) -> None:
        namespace = self._namespaces[len(self.answers) % len(self._namespaces)]
        self.answers.append(self.read(namespace))
        self._over.wait(READ_EVERY)

    def read(self, namespace: Optional[str] = None) -> Answer:
        """One read, written down. Errors of the store are answers; any other is a failure."""
        at = time.time()
        try:
            data = self._reader.snapshot(namespace)
            if data is None:
                read = self._reader.head()
                return Answer(at, time.time(), namespace, state=judge(read.head, read.time).state)
        except StoreError as error:
            return Answer(at, time.time(), namespace, error=type(error).__name__)
        return _answer(at, namespace, data)


def _answer(at: float, namespace: Optional[str], data: SnapshotData) -> Answer:
    head: Head = data.head
    return Answer(
        at=at,
        ended=time.time(),
        namespace=namespace,
        state=judge(head, data.time).state,
        token=data.token,
        rv=head.rv,
        verified_rv=head.verified_rv,
        current_as_of=head.current_as_of,
        beat=head.beat,
        read_at=data.time,
        gap_open=head.gap_open,
        building=bool(head.next),
        rvs={key: envelope.rv for key, envelope in data.objects.items()},
        corrupt=data.corrupt,
    )


class WatchReader(Recorder):
    """A snapshot, then every version after it; after Expired a snapshot again."""

    def __init__(self, database: Database, keys: Keys) -> None:
        super().__init__(database, keys)
        self.lives: List[Watching] = []
        self._reader = Reader(database, keys)
        self._follower: Optional[Follower] = None

    def turn(self) -> None:
        try:
            if self._follower is None:
                self._begin()
            else:
                self._follow(self._follower)
        except Expired as error:
            self.lives[-1].ended = type(error).__name__
            self._follower = None
        except StoreError:
            self._over.wait(READ_EVERY)

    def _begin(self) -> None:
        data = self._reader.snapshot()
        if data is None:
            self._over.wait(READ_EVERY)
            return
        rvs = {key: envelope.rv for key, envelope in data.objects.items()}
        self.lives.append(Watching(data.token, rvs, time.time()))
        self._follower = Follower(self._database, self._keys, data.token)

    def _follow(self, follower: Follower) -> None:
        for step in follower.turn(0.2):
            changes = tuple(Told(change.type, change.key, _rv(change.envelope)) for change in step.entry.changes)
            self.lives[-1].versions.append(Version(step.version, step.entry.rv, step.entry.repair, changes))


def _rv(packed: bytes) -> str:
    return checked_envelope(packed).rv
