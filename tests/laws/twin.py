"""A naive merge, written from the protocol alone. It is slow, keeps everything, and is easy to believe.

It keeps two kinds of facts: "event v happened to key" and "at V the cluster held exactly this". What
it holds at any version is worked out anew from them each time: the newest whole truth at or below
that version, then the events above it. No tombstones, no rows, no undo log.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from krm.model import messages
from krm.model.messages import Batch, End, Item, ListEnd, Message, Page, StreamerReport
from laws.world import Rows

WAIT = 15.0  # seconds; protocol.md V6: "at most 15 s"


class Outcome(NamedTuple):
    """What one message leads to."""

    changes: Tuple[Tuple[str, str, str], ...] = ()  # (type, key, rv), in any order where repair
    repair: bool = False
    switch: bool = False
    rebuild: bool = False


NOTHING = Outcome()
REBUILD = Outcome(rebuild=True)


class Collected:
    """The pages of one list."""

    def __init__(self, first: Page) -> None:
        self.first, self.pages = first, 0
        self.items: Dict[str, Item] = {}
        self.rows: Rows = {}  # what it lists, for the one who compares it
        self.refused: Rows = {}
        self.same: Set[str] = set()  # equal to what was held when their page came
        self.ended: Optional[float] = None
        self.compared = False  # as it ended: again only at F >= V, or when the wait is over


def is_number(rv: str) -> bool:
    return rv.isdigit() and not rv.startswith("0")


class Twin:
    """One incarnation as protocol.md tells it."""

    def __init__(self, incarnation: str, want: str, history_limit: int, repair_limit: int) -> None:
        self.incarnation, self.building, self.want = incarnation, True, want
        self.history_limit, self.repair_limit = history_limit, repair_limit
        self.canon = self.cluster_uid = ""
        self.happened: List[Tuple[int, str, Optional[Tuple[str, str, bytes]]]] = []
        self.truths: List[Tuple[int, Rows]] = []
        self.frontier = self.h0 = self.verified = self.watch_from = 0
        self.verified_at: Optional[float] = None
        self.opaque: Optional[Rows] = None
        self.session, self.seq = "", -1
        self.dead: Set[str] = set()
        self.gaps, self.gap_open, self.suspected = 0, False, False
        self.list: Optional[Collected] = None
        self.begun = False  # items of a list were taken in
        self.refused: Dict[str, str] = {}
        self.drift: Dict[str, int] = {}
        self.lost: Set[str] = set()  # keys that a metadata list counted, and that are not yet set right

    def resume(self, refused: Dict[str, str]) -> None:
        """A2: the head is kept (with the refused objects it shows), all else is forgotten; h0 = F."""
        self.h0, self.list, self.dead, self.refused, self.suspected = self.frontier, None, set(), refused, False
        self.lost = set()

    def at(self, version: int) -> Rows:
        """All that is held at `version`, from the facts alone."""
        known = [truth for truth in self.truths if truth[0] <= version]
        since, rows = known[-1][0], dict(known[-1][1])
        for happened, key, row in self.happened:
            if since < happened <= version:
                rows.pop(key, None)
                if row is not None:
                    rows[key] = row
        return rows

    def rows(self) -> Rows:
        """All that is held now."""
        if self.opaque is not None:
            return self.opaque
        return self.at(self.frontier) if self.truths else {}

    def take(self, message: Message, now: float) -> Outcome:
        if isinstance(message, Batch):
            return self.batch(message)
        if isinstance(message, End):
            return self.end(message)
        if isinstance(message, Page):
            return self.page(message)
        if isinstance(message, ListEnd):
            return self.list_end(message, now)
        if not isinstance(message, StreamerReport) and message.probe and not self.building:
            probe, mine = message.probe, message.incarnation == self.incarnation
            if mine and is_number(probe.rv) and is_number(probe.f0) and int(probe.rv) < int(probe.f0):
                self.want = self.want or "?"  # Freshness: "Its answer P < F0: ... want = full consistent"
        return NOTHING

    # A5

    def batch(self, batch: Batch) -> Outcome:
        if self.building or self.opaque is not None:
            return NOTHING
        if (batch.incarnation, batch.canon, batch.cluster_uid) != (self.incarnation, self.canon, self.cluster_uid):
            return NOTHING
        if batch.session != self.session:
            if batch.session in self.dead or batch.seq != 0 or int(batch.from_rv) > self.frontier:
                return NOTHING
            self.dead.add(self.session)
            self.session, self.seq, self.gap_open = batch.session, -1, False
        if batch.seq <= self.seq:
            return NOTHING
        if batch.seq > self.seq + 1:
            self.break_session()
            return NOTHING
        self.seq = batch.seq
        changes = []
        for item in batch.items:
            if not is_number(item.rv):
                self.break_session()
                self.want = self.want or "?"
                break
            if int(item.rv) > self.frontier:
                changes += self.event(item)
                self.frontier = int(item.rv)
        return Outcome(tuple(changes))

    def event(self, item: Item) -> List[Tuple[str, str, str]]:
        if item.type == messages.BOOKMARK:
            return []
        held = item.key in self.at(self.frontier)
        gone = item.type == messages.DELETED
        self.happened.append((int(item.rv), item.key, None if gone else (item.rv, item.uid, item.digest)))
        self.refused.pop(item.key, None)
        history = [version for version, _, _ in self.happened if version > self.h0]
        if len(history) > self.history_limit:
            self.h0 = history[0]
        return [("D" if gone else "M" if held else "A", item.key, item.rv)]

    def break_session(self) -> None:
        self.dead.add(self.session)
        self.session, self.seq = "", -1
        self.gaps, self.gap_open = self.gaps + 1, True

    def end(self, end: End) -> Outcome:
        if end.incarnation != self.incarnation or end.session in self.dead:
            return NOTHING
        if end.session == self.session:
            gap_open = self.gap_open
            self.break_session()
            if end.cause == "shutdown":  # "`shutdown` is no gap"
                self.gaps, self.gap_open = self.gaps - 1, gap_open
        if end.cause in ("expired", "unparsable"):
            self.gap_open = True
            self.want = self.want or "?"
        return NOTHING

    # V, "The aggregator, on pages"

    def page(self, page: Page) -> Outcome:
        if page.incarnation != self.incarnation:
            return NOTHING
        new = self.list is None or self.list.first.list_id != page.list_id
        if new and page.page == 0:
            if self.must_rebuild(page):
                return REBUILD
            if self.list is not None and self.list.ended is not None:
                return NOTHING  # a whole list waits for F: only an unfinished one is dropped
            self.list = Collected(page)
            if self.building:
                if page.mode != messages.FULL or page.answers != self.want:
                    self.list = None
                    return NOTHING
                self.canon, self.cluster_uid = page.canon, page.cluster_uid
        if self.list is None or self.list.first.list_id != page.list_id or page.page < self.list.pages:
            return NOTHING
        if page.page > self.list.pages or page.rv != self.list.first.rv:
            self.list = None
            return NOTHING
        self.list.pages += 1
        self.list.items.update({item.key: item for item in page.items})
        rows = self.rows()
        self.list.same |= {item.key for item in page.items if rows.get(item.key) == _row(item, rows)}
        self.begun = self.begun or bool(page.items)
        strange = not all(is_number(item.rv) for item in page.items)
        return REBUILD if strange and not self.building and self.opaque is None else NOTHING

    def must_rebuild(self, page: Page) -> bool:
        """V5; and a first list is never mended, it is begun anew."""
        if self.building:
            return self.list is not None or self.begun
        if page.canon != self.canon or page.cluster_uid != self.cluster_uid:
            return True
        if self.opaque is not None or page.f0 == "0":
            return False
        return not is_number(page.rv) or int(page.rv) < int(page.f0)

    def list_end(self, end: ListEnd, now: float) -> Outcome:
        mine = self.list
        if mine is None or (end.incarnation, end.list_id) != (self.incarnation, mine.first.list_id):
            return NOTHING
        if end.pages != mine.pages:
            self.list = None
            return NOTHING
        if mine.ended is None:
            mine.ended = now
        mine.refused = {bad.key: (bad.rv, "", b"") for bad in end.bad}
        if not self.building:
            return self.settle(now)
        mine.rows = {key: (item.rv, item.uid, item.digest) for key, item in mine.items.items()}
        numbers = [mine.first.rv] + [item.rv for item in mine.items.values()]
        if all(is_number(rv) for rv in numbers):
            self.frontier = self.h0 = self.watch_from = int(mine.first.rv)
        else:
            self.opaque = {}
        self.merged(mine)
        return Outcome(switch=True)

    def settle(self, now: float) -> Outcome:
        """V5 to V7, once the list is whole."""
        mine = self.list
        if mine is None or mine.ended is None or self.building:
            return NOTHING
        repeated = self.verified_at is not None and mine.first.t0 <= self.verified_at
        comparable = self.opaque is None and is_number(mine.first.rv)
        version = int(mine.first.rv) if comparable else 0
        if (repeated and version == self.verified) or version < max(self.verified, self.h0):
            self.list = None
            return NOTHING
        held = self.opaque if self.opaque is not None else self.at(min(version, self.frontier))
        listed = {k: _row(i, held) for k, i in mine.items.items() if k in held or self.refused.get(k) != i.rv}
        mine.rows = listed
        if self.opaque is not None:
            return self.replace(mine, listed)
        # V: "it keeps ... a body only where (uid, rv) differs": what was equal is not compared again.
        for key in mine.same:
            listed.pop(key, None)
            if key in held:
                listed[key] = held[key]
        mine.rows = listed
        waits = self.frontier < version and self.session and now - mine.ended < WAIT
        if waits and mine.compared:
            return NOTHING
        mine.compared = True
        if held == listed:
            self.merged(mine)
            return NOTHING
        if waits:
            return NOTHING
        self.list = None
        causes = self.classify(mine, version, held, listed)
        contradictions = [key for key, cause in causes.items() if cause == "contradiction"]
        if contradictions:
            return self.contradicted(mine, len(contradictions))
        for key in causes.keys() - self.lost:
            self.drift[causes[key]] = self.drift.get(causes[key], 0) + 1
        self.lost |= causes.keys()
        if mine.first.mode == messages.META:
            self.want = self.want or "?"
            return NOTHING
        return self.repair(mine, version)

    def classify(self, mine: Collected, version: int, held: Rows, listed: Rows) -> Dict[str, str]:
        causes: Dict[str, str] = {}
        late = "overdue" if self.session else ""
        for key in set(held) | set(listed):
            was, now = held.get(key), listed.get(key)
            if was == now:
                continue
            if now is None:
                causes[key] = "refused" if key in mine.refused else "ghost" if self.frontier >= version else late
            elif was is not None and was[:2] == now[:2]:
                causes[key] = "other_bytes"
            elif was is not None and int(was[0]) >= int(now[0]):
                causes[key] = "contradiction"
            elif int(now[0]) > self.frontier:
                causes[key] = late
            else:
                causes[key] = "missed_add" if was is None else "missed_update"
        return {key: cause for key, cause in causes.items() if cause}

    def contradicted(self, mine: Collected, count: int) -> Outcome:
        """V6: "asks for one consistent full list; only a second one is a ROLLBACK"."""
        if self.suspected and mine.first.consistent and mine.first.mode == messages.FULL:
            return REBUILD
        self.suspected, self.want = True, "?"
        self.drift["contradiction"] = self.drift.get("contradiction", 0) + count
        return NOTHING

    def repair(self, mine: Collected, version: int) -> Outcome:
        before, held = self.rows(), self.at(min(version, self.frontier))
        listed = mine.rows
        truths = self.truths
        self.truths = [*truths, (version, listed)]
        after = self.at(max(self.frontier, version))
        changed = [key for key in set(before) | set(after) if before.get(key) != after.get(key)]
        if len(changed) > self.repair_limit:
            self.truths = truths
            return REBUILD
        self.watch_from = max(self.watch_from, version, self.frontier)
        below = {key for at, key, _ in self.happened if at > version}
        beneath = any(held.get(key) != listed.get(key) for key in below)
        self.merged(mine)
        if beneath:  # the history as it was told has a hole there: no list below F is compared with it
            self.h0 = self.frontier
        return Outcome(tuple(_told(key, before, after, mine.first.rv) for key in changed), True)

    def replace(self, mine: Collected, listed: Rows) -> Outcome:
        """Opaque mode (list-watch.md section 1): "replace on list only"."""
        before = self.rows()
        self.list = None
        if before != listed and mine.first.mode == messages.META:
            self.want = self.want or "?"
            return NOTHING
        changed = [key for key in set(before) | set(listed) if before.get(key) != listed.get(key)]
        if len(changed) > self.repair_limit:
            return REBUILD
        self.merged(mine)
        return Outcome(tuple(_told(key, before, listed, mine.first.rv) for key in changed), bool(changed))

    def merged(self, mine: Collected) -> None:
        first, listed = mine.first, mine.rows
        if self.opaque is not None:
            self.opaque = listed
        else:
            version = int(first.rv)
            if first.mode == messages.FULL:
                self.truths.append((version, listed))
            elif version > self.frontier:
                self.truths.append((version, self.at(self.frontier)))  # equal, and nothing lies between
            self.frontier, self.verified = max(self.frontier, version), version
            self.h0 = max(self.h0, version)
        self.verified_at = first.t0
        self.list, self.suspected, self.lost = None, False, set()
        if first.mode == messages.FULL:
            self.refused = {key: row[0] for key, row in mine.refused.items()}
            self.gap_open = False
            if first.consistent:
                self.want = ""


def _row(item: Item, held: Rows) -> Tuple[str, str, bytes]:
    """What an item lists. A metadata list says nothing of bytes: they are taken as those of the same version."""
    known = held.get(item.key)
    if not item.digest and known is not None and known[:2] == (item.rv, item.uid):
        return known
    return (item.rv, item.uid, item.digest)


def _told(key: str, before: Rows, after: Rows, list_rv: str) -> Tuple[str, str, str]:
    if key not in after:
        return ("D", key, list_rv)
    return ("M" if key in before else "A", key, after[key][0])
