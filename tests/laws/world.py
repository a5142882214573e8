"""What really happens, and those who tell of it: a tiny cluster, streamers and verifiers with faults.

Nothing here knows the merge. A teller reads the head as the real stages do (readable incarnation, F,
session, want, next) and appends messages to one of two queues, which the walk consumes.
"""

from __future__ import annotations

import random
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Set, Tuple

from krm.model import messages
from krm.model.messages import Bad, Batch, End, Item, ListEnd, Message, Page, Probe, StreamerReport, VerifierReport

KEYS = ("a/p", "a/q", "b/p", "b/r", "/n")
Rows = Dict[str, Tuple[str, str, bytes]]  # key -> (rv, uid, digest of the bytes)


class Event(NamedTuple):
    """One change that truly happened."""

    rv: int
    type: str
    key: str
    uid: str
    at: float  # walk's clock, seconds


class Cluster:
    """The truth: a log of events under one global revision, which other kinds move too."""

    def __init__(self, rnd: random.Random) -> None:
        self.random = rnd
        # About a power of ten, where strings and numbers sort differently; 2^64 is past msgpack's integers.
        self.revision = rnd.choice((5, 95, 95, 995, (1 << 64) - 4))
        self.log: List[Event] = []
        self.opaque_from: Optional[int] = None  # from here on, resourceVersions are no numbers
        self.bad: Set[Tuple[str, int]] = set()  # (key, rv) of objects that no stage can read
        self.epoch, self.canon, self.uid = 0, "canon-1", "cluster-1"
        self.epochs: Dict[int, int] = {}  # revision -> the epoch in which it was written: other bytes
        self._uids = 0

    def text(self, revision: int) -> str:
        """The revision as the API server writes it."""
        opaque = self.opaque_from is not None and revision >= self.opaque_from
        return f"v{revision}" if opaque else str(revision)

    def digest(self, revision: int) -> bytes:
        """Of the bytes of what was written at `revision`."""
        return b"%d.%d" % (revision, self.epochs.get(revision, 0))

    def at(self, revision: int) -> Dict[str, Tuple[int, str]]:
        """key -> (revision, uid) of all that exists at `revision`."""
        held: Dict[str, Tuple[int, str]] = {}
        for event in self.log:
            if event.rv > revision:
                break
            if event.type == messages.DELETED:
                del held[event.key]
            else:
                held[event.key] = (event.rv, event.uid)
        return held

    def change(self, at: float, bad: float = 0.0) -> None:
        """One event, or one that concerns another kind and only moves the revision."""
        self.revision += 1
        self.epochs[self.revision] = self.epoch
        if self.random.random() < 0.15:
            return
        key = self.random.choice(KEYS)
        held = self.at(self.revision).get(key)
        if held is None:
            self._uids += 1
            event = Event(self.revision, messages.ADDED, key, f"u{self.epoch}.{self._uids}", at)
        elif self.random.random() < 0.45:
            event = Event(self.revision, messages.DELETED, key, held[1], at)
        else:
            event = Event(self.revision, messages.MODIFIED, key, held[1], at)
        self.log.append(event)
        if event.type != messages.DELETED and self.random.random() < bad:
            self.bad.add((key, event.rv))

    def roll_back(self, revision: int) -> None:
        """etcd restored from a backup: what came after `revision` never happened."""
        self.log = [event for event in self.log if event.rv <= revision]
        self.bad = {(key, rv) for key, rv in self.bad if rv <= revision}
        self.revision = revision
        self.epoch += 1

    def item(self, event_type: str, key: str, revision: int, uid: str, at: float, full: bool = True) -> Item:
        """One object as a stage hands it on; a metadata item has no body."""
        rv = self.text(revision)
        if not full:
            return Item(event_type, key, rv, uid)
        return Item(
            event_type, key, rv, uid, digest=self.digest(revision), body=f"{key}@{rv}".encode(), received_at=at
        )


class Streamer:
    """One process that watches. `lost` holds the revisions that the API server never sent it."""

    def __init__(self, walk: Any, name: str) -> None:
        self.walk, self.name, self.random = walk, name, walk.random
        self.sessions, self.session, self.accepted = 0, "", False
        self.seq, self.position = -1, 0
        self.from_rv = self.incarnation = ""
        self.sent: List[Batch] = []

    def act(self) -> None:
        """One thing that a streamer does, often a wrong one."""
        faults, roll = self.walk.faults, self.random.random()
        self.accepted = self.accepted or (bool(self.session) and self.walk.head.session == self.session)
        if not self.session:
            self.connect()
        elif self._superseded() and roll < 0.7:
            self.end("incarnation")
        elif not faults or roll < 0.7:
            self.pump(self.random.randint(1, 4), bookmark=roll < 0.15)
        elif roll < 0.8 and self.sent:
            self._tell(self.random.choice(self.sent[-3:]))  # XADD repeated: its answer was lost
        elif roll < 0.88:
            # Connected again, at what was acknowledged last or a bit before it.
            self.position = max(int(self.from_rv), self.position - self.random.randint(0, 3))
        elif roll < 0.94:
            self.report()
        else:
            self.end(self.random.choice(("expired", "unparsable", "shutdown", "error")))

    def _superseded(self) -> bool:
        head = self.walk.head
        return head.incarnation != self.incarnation or (self.accepted and head.session != self.session)

    def connect(self) -> None:
        """A new session from head.rv; at times from an older reading of it, at times from beyond it."""
        head = self.walk.head
        if not head.rv.isdigit():
            return
        at, roll = int(head.rv), self.random.random()
        if self.walk.faults and roll < 0.15:
            at = max(1, at - self.random.randint(1, 4))
        elif self.walk.faults and roll < 0.25:
            at = max(at, self.walk.cluster.revision)
        self.sessions += 1
        self.session, self.seq, self.position = f"{self.name}{self.sessions}", -1, at
        self.from_rv, self.incarnation, self.accepted, self.sent = str(at), head.incarnation, False, []

    def pump(self, limit: int, bookmark: bool = False) -> None:
        """Hand on the next events after the position, as one batch."""
        walk, cluster = self.walk, self.walk.cluster
        items: List[Item] = []
        for event in cluster.log:
            if event.rv <= self.position or len(items) >= limit:
                continue
            self.position = event.rv
            unread = (event.key, event.rv) in cluster.bad
            if unread or (walk.faults and self.random.random() < walk.loss):
                walk.lost.add(event.rv)
                if unread:
                    self.report(self._bad(event))
                continue
            items.append(cluster.item(event.type, event.key, event.rv, event.uid, walk.clock))
        if bookmark and len(items) < limit and cluster.revision > self.position:
            self.position = cluster.revision
            items.append(Item(messages.BOOKMARK, "", cluster.text(self.position), received_at=walk.clock))
        if not items and self.seq >= 0:
            return
        self.seq += 1
        batch = Batch(
            self.incarnation, self.session, self.seq, self.from_rv, cluster.canon, cluster.uid, tuple(items)
        )
        self.sent.append(batch)
        if not (walk.faults and self.random.random() < walk.traits.mess):  # else a batch that Redis lost
            self._tell(batch)

    def _bad(self, event: Event) -> Tuple[Bad, ...]:
        return (Bad("TooLarge", 1, f"d{event.rv}", event.key, str(event.rv), self.walk.clock),)

    def report(self, bad: Tuple[Bad, ...] = ()) -> None:
        clock = self.walk.clock
        self._tell(StreamerReport(self.incarnation, self.session, clock, 1.0, clock, "", bad))

    def end(self, cause: str) -> None:
        if self.session:
            self._tell(End(self.incarnation, self.session, cause))
        self.session = ""

    def _tell(self, message: Message) -> None:
        queue: Deque[Message] = self.walk.events
        queue.append(message)


class Verifier:
    """One process that lists. A list is read at its begin and handed on page by page."""

    def __init__(self, walk: Any, name: str) -> None:
        self.walk, self.name, self.random = walk, name, walk.random
        self.lists = 0
        self.pending: List[Message] = []  # what is left to hand on of the list in hand
        self.told: List[Message] = []  # the newest list as it was handed on

    def act(self) -> None:
        """One thing that a verifier does, often a wrong one."""
        faults, roll, mess = self.walk.faults, self.random.random(), self.walk.traits.mess
        if self.pending and faults and roll < 0.05:
            self.pending = []  # waited too long: abandoned
        elif self.pending:
            message = self.pending.pop(0)
            if faults and roll < 0.05 + mess:
                return  # a page that Redis lost
            self._tell(message)
            if faults and roll < 0.15 + 2 * mess:
                self._tell(message)
        elif roll < 0.12:
            self.probe()
        elif faults and roll < 0.16 and self.told:
            for message in self.told:  # an old list once more
                self.walk.lists.append(message)
        else:
            self.begin()

    def begin(self, full: Optional[bool] = None, consistent: Optional[bool] = None) -> None:
        """Read a list: what head.want asks for, else a routine one."""
        walk, cluster, head = self.walk, self.walk.cluster, self.walk.head
        if walk.faults and self.random.random() < 0.08:
            head = head._replace(want="")  # an older reading of the head
        full = bool(head.want) or (self.random.random() < 0.25 if full is None else full)
        consistent = bool(head.want) or (self.random.random() < 0.3 if consistent is None else consistent)
        f0 = "0" if head.next or not head.rv else head.rv
        version = cluster.revision
        if not consistent and f0.isdigit() and int(f0) < version:
            version = self.random.randint(max(int(f0), version - 6), version)
        self.lists += 1
        mode = messages.FULL if full else messages.META
        listed = cluster.at(version)
        torn = cluster.at(cluster.revision) if walk.faults and self.random.random() < walk.traits.mess else None
        bad = [(key, rv) for key, (rv, _) in listed.items() if full and (key, rv) in cluster.bad]
        keys = sorted(key for key, (rv, _) in listed.items() if not (full and (key, rv) in cluster.bad))
        size = self.random.choice((1, 1, 2, 3, 6))
        chunks = [keys[at : at + size] for at in range(0, len(keys), size)] or [[]]
        first = Page(
            head.next or head.incarnation, f"{self.name}{self.lists}", head.want, mode, consistent,
            "etcd" if consistent else "cache", 0, cluster.text(version), f0, walk.clock,
            cluster.canon, cluster.uid, (),
        )  # fmt: skip
        self.pending, self.told = [], []
        for number, chunk in enumerate(chunks):
            rv, source = version, listed
            if torn is not None and number == len(chunks) - 1 and number:
                rv, source = cluster.revision, torn  # its last page was answered at another revision
            rows = [(key, source[key]) for key in chunk if key in source]
            items = [cluster.item(messages.ADDED, key, at, uid, walk.clock, full) for key, (at, uid) in rows]
            self.pending.append(first._replace(page=number, rv=cluster.text(rv), items=tuple(items)))
        refused = tuple(Bad("TooLarge", 1, f"d{rv}", key, cluster.text(rv), walk.clock) for key, rv in bad)
        self.pending.append(ListEnd(first.incarnation, first.list_id, len(chunks), len(keys), False, refused))

    def finish(self) -> None:
        """Hand on all that is left."""
        while self.pending:
            self._tell(self.pending.pop(0))

    def probe(self) -> None:
        """A consistent read of one key."""
        walk, head = self.walk, self.walk.head
        if not head.rv:
            return
        probe = Probe(head.rv, walk.cluster.text(walk.cluster.revision), walk.clock)
        walk.lists.append(VerifierReport(head.next or head.incarnation, walk.clock, "", False, probe))

    def _tell(self, message: Message) -> None:
        self.told.append(message)
        self.walk.lists.append(message)
