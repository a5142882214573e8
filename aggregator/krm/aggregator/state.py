"""What the merge of one kind holds in memory: versions and digests, never bodies.

Bodies rest in Redis alone; 50,000 rows cost about 20 MB here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from krm.model import records
from krm.model.kinds import split_key
from krm.model.messages import Bad, Item, Page
from krm.model.trust import CLOCK_TOLERANCE

# Entries of history; beyond it the oldest go and lists older than what is left are discarded.
# 12,000 events/s for 40 s, longer than a list of 50,000 objects takes; about 130 bytes each.
HISTORY_LIMIT = 500_000
# Sessions that were replaced: a late duplicate of their first batch must not revive them.
DEAD_SESSIONS = 64
# The newest bad objects that the head shows.
BAD_SHOWN = 20
# Probes ahead of the watch that wait for F; one comes each 10 s.
PROBES_KEPT = 16


_MOMENTS = ("current_as_of", "probed_at", "streamer_at", "observed_at", "verified_at", "live_since")


class Row(NamedTuple):
    """One object: which version of which incarnation, and its bytes' digest."""

    rv: str
    uid: str
    digest: bytes


class Past(NamedTuple):
    """One applied event, so that a list at an older V can be compared with the state at V."""

    version: int
    key: str
    before: Optional[Row]


class Applied(NamedTuple):
    """One change of the state, to be published. A ghost's item has no body: its last one stands in Redis."""

    item: Item
    before: Optional[Row]
    told: str = ""  # the type as the watch told it; '' = a list did


@dataclass
class Listing:
    """A list in flight: the keys seen, and the items that differ from what is held."""

    first: Page
    version: int  # V; 0 where versions of this kind cannot be compared
    pages: int = 0
    seen: Set[str] = field(default_factory=set)
    differing: List[Item] = field(default_factory=list)
    size: int = 0  # bytes of the bodies of these
    bad: Tuple[Bad, ...] = ()
    complete_at: Optional[float] = None  # monotonic seconds: when the end was merged
    compared: bool = False  # it was, and differed: compared again once F >= V, or the wait is over


@dataclass
class Step:
    """What one message asks of the loop around the merge."""

    changes: List[Applied] = field(default_factory=list)
    repair: bool = False  # found by a list, not by the watch
    chunk: List[Item] = field(default_factory=list)  # of the snapshot that is built aside
    switch: bool = False  # the snapshot built aside is complete
    rebuild: str = ""  # why all that is held must be built anew, '' = it need not


@dataclass
class State:
    """One kind, between two messages. `merge.merge` alone changes it."""

    incarnation: str
    building: bool = False  # incarnation is `next` in the head: its first list is awaited
    rows: Dict[str, Row] = field(default_factory=dict)
    index: Dict[str, records.IndexEntry] = field(default_factory=dict)
    digest: int = 0  # of the whole set
    touched: Set[str] = field(default_factory=set)  # namespaces whose index entry changed since published

    frontier: int = 0  # F: every change up to it is applied
    history_from: int = 0  # h0: history holds all of (h0, F]
    history: Deque[Past] = field(default_factory=deque)
    watch_from: int = 0  # where a watch by resourceVersion may start
    opaque_rv: str = ""  # the list's rv where versions cannot be compared; '' = they can

    session: str = ""
    seq: int = -1
    dead: OrderedDict[str, None] = field(default_factory=OrderedDict)
    gaps: int = 0
    gap_open: bool = False
    live_since: Optional[float] = None  # what happened from then on, this session brings as it happens

    canon: str = ""
    cluster_uid: str = ""
    listing: Optional[Listing] = None
    want: str = ""  # names the full consistent list that the verifier owes, '' = none
    asked: int = 0  # wants so far: makes their names unique within the incarnation
    suspected: bool = False  # one consistent list contradicted what is held

    verified: int = 0  # V of the newest merged list
    verified_at: Optional[float] = None
    verified_by: str = ""
    drift: Dict[str, int] = field(default_factory=dict)
    counted: Set[str] = field(default_factory=set)  # keys in drift that no list has verified since
    upstream_drift: Dict[str, Any] = field(default_factory=dict)
    refused: Dict[str, str] = field(default_factory=dict)  # key -> rv of a bad object: known, not held
    nameless: int = 0  # V of the newest full list, where it held bad objects that are not named; else 0
    full: int = 0  # V of the newest full list
    bad: Deque[Bad] = field(default_factory=lambda: deque(maxlen=BAD_SHOWN))
    truncated: Optional[int] = None

    current_as_of: Optional[float] = None
    probes: Deque[Tuple[int, float]] = field(default_factory=lambda: deque(maxlen=PROBES_KEPT))
    probed_at: Optional[float] = None
    streamer_at: Optional[float] = None
    observed_at: Optional[float] = None
    list_error: str = ""
    watch_error: str = ""
    unserved: bool = False
    facts: str = ""

    @property
    def rv(self) -> str:
        """F as the head shows it; '' before the first list."""
        return self.opaque_rv or (str(self.frontier) if self.frontier else "")

    def put(self, key: str, row: Row) -> Optional[Row]:
        """Hold `row`; returns what stood there."""
        before = self.rows.get(key)
        if before is not None:
            self._count(key, before, -1)
        self.rows[key] = row
        self._count(key, row, 1)
        return before

    def remove(self, key: str) -> Optional[Row]:
        """Hold nothing under `key`; returns what stood there."""
        before = self.rows.pop(key, None)
        if before is not None:
            self._count(key, before, -1)
        return before

    def _count(self, key: str, row: Row, sign: int) -> None:
        namespace, _ = split_key(key)
        entry = self.index.get(namespace, records.IndexEntry(0, 0))
        member = records.member_digest(key, row.rv, row.digest)
        change = records.add_digest if sign > 0 else records.drop_digest
        self.digest, digest = change(self.digest, member), change(entry.digest, member)
        if entry.objects + sign:
            self.index[namespace] = records.IndexEntry(entry.objects + sign, digest)
        else:
            del self.index[namespace]
        self.touched.add(namespace)

    def remember(self, version: int, key: str, before: Optional[Row]) -> None:
        """Add one event to the history, within its limit."""
        self.history.append(Past(version, key, before))
        if len(self.history) > HISTORY_LIMIT:
            self.history_from = self.history.popleft().version

    def forget_history(self, version: int) -> None:
        """No list older than `version` can be merged any more."""
        while self.history and self.history[0].version <= version:
            self.history.popleft()
        self.history_from = max(self.history_from, version)

    def rows_at(self, version: int) -> Dict[str, Optional[Row]]:
        """For each key that changed in (version, F]: its row at `version`, None = there was none."""
        at: Dict[str, Optional[Row]] = {}
        for past in self.history:
            if past.version > version:
                at.setdefault(past.key, past.before)
        return at

    def end_session(self, broken: bool) -> None:
        """No batch of this session is accepted any more. F did not move: the next one replays from it."""
        if self.session:
            self.dead[self.session] = None
            while len(self.dead) > DEAD_SESSIONS:
                self.dead.popitem(last=False)
        self.session, self.seq, self.live_since = "", -1, None
        if broken:
            self.gaps += 1
            self.gap_open = True

    def ask(self) -> None:
        """Ask for a full consistent list, unless one is owed already."""
        if not self.want:
            self.asked += 1
            self.want = f"{self.incarnation[:8]}.{self.asked}"

    def note_bad(self, bad: Iterable[Bad]) -> None:
        """Show refused objects and lines as they were met last: each object once, and of those without a
        readable name one an error, because a watch and each list write the same object in other bytes."""
        for one in bad:
            for shown in [shown for shown in self.bad if _shown_as(shown) == _shown_as(one)]:
                self.bad.remove(shown)
            self.bad.append(one)

    @property
    def unnamed(self) -> int:
        """`nameless` for a successor, to whom `bad` alone is left of all that was refused; 0 = it names all."""
        shown = {bad.key for bad in self.bad}
        named = len(self.refused) <= BAD_SHOWN and all(key in shown for key in self.refused)
        return self.nameless or (0 if named else self.full)

    def settle_probes(self) -> None:
        """A probe at P proves F current as of its sending once F >= P."""
        while self.probes and self.probes[0][0] <= self.frontier:
            _, sent_at = self.probes.popleft()
            self.current_as_of = max(self.current_as_of or 0.0, sent_at)

    def forget_future(self, now: float) -> None:
        """After the Redis clock (`now`) went back: a time that is still to come proves nothing, and as the
        largest so far it would hide for as long that nothing is proven any more."""
        for name in _MOMENTS:
            at = getattr(self, name)
            if at is not None and at > now + CLOCK_TOLERANCE:
                setattr(self, name, None)


def _shown_as(bad: Bad) -> str:
    return bad.key or bad.error
