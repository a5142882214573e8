"""The laws, asked of the merge after each message of a walk. Each names its sentence.

`P1` to `P10` are the invariants of docs/list-watch (section 2), in the form that the protocol gives them.
What is compared is the truth of the world and the observed answers of the merge, never its inner notes,
but for the twin, which is compared field by field.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from krm.aggregator import merge as merge_of_krm
from krm.aggregator.state import Listing, Step
from krm.model import messages, records
from krm.model.kinds import split_key
from krm.model.messages import Batch, End, Message, Page
from laws.twin import Outcome
from laws.world import Rows


class Broken(AssertionError):
    """A law does not hold."""

    def __init__(self, law: str, text: str, walk: Any) -> None:
        last = "\n  ".join(f"{now:.0f} s {message}" for now, message in walk.trace)
        super().__init__(f"{law}: {text}\nseed {walk.seed} {walk.describe()}; the last messages:\n  {last}")
        self.law = law


class Before(NamedTuple):
    """What stood before a message."""

    frontier: int
    verified: int
    history_from: int
    verified_at: Optional[float]
    drift: Dict[str, int]
    listing: Optional[Listing]
    building: bool
    session: str
    gap_open: bool


class Checks:
    """What the laws need to remember of one walk."""

    def __init__(self, walk: Any) -> None:
        self.walk = walk
        self.at_revision: List[Tuple[float, int]] = []

    def begin(self) -> None:
        """Another incarnation."""
        self.mirror: Rows = {}  # what a reader that follows the changes holds
        self.applied: Set[int] = set()
        self.newest: Dict[str, int] = {}  # key -> newest version ever shown of it, deletions too
        self.told = 0  # rv of the newest change from the watch
        self.sent_at: Set[float] = set()
        self.counted: Set[str] = (
            set()
        )  # keys whose loss a metadata list counted, and that no list has verified since
        self.whole = True  # no restart yet: refused objects and dead sessions are remembered

    def resumed(self) -> None:
        self.whole = False
        self.counted = set()

    def law(self, name: str, found: Any, expected: Any) -> None:
        if found != expected:
            raise Broken(name, f"found {found}, expected {expected}", self.walk)

    @property
    def one_truth(self) -> bool:
        """The incarnation heard of one history with comparable versions alone."""
        walk = self.walk
        comparable = walk.cluster.opaque_from is None and not walk.state.opaque_rv
        return comparable and walk.state.incarnation not in walk.mixed

    def rows(self) -> Rows:
        return {key: (row.rv, row.uid, row.digest) for key, row in self.walk.state.rows.items()}

    def before(self, message: Optional[Message]) -> Before:
        state = self.walk.state
        if isinstance(message, Page) and message.incarnation == state.incarnation:
            self.sent_at.add(message.t0)
        return Before(
            state.frontier, state.verified, state.history_from, state.verified_at, dict(state.drift),
            state.listing, state.building, state.session, state.gap_open,
        )  # fmt: skip

    def after(self, before: Before, step: Step, message: Optional[Message]) -> None:
        state = self.walk.state
        self.rolled_back(before, step, message)
        if step.rebuild:
            self.only_with_cause(step, message)
            return
        self.follow(step)
        if state.building and not step.switch:
            return
        self.moves(before)
        if step.changes or step.switch or state.verified != before.verified:
            self.law("P7 readers that follow hold the snapshot", self.mirror, self.rows())
            self.index()
            if self.one_truth:
                self.replays_truth()
        if state.drift != before.drift or (before.listing is not None and state.listing is not before.listing):
            self.drift(before, step)

    # P10, and that nothing but its causes leads to another incarnation

    def rolled_back(self, before: Before, step: Step, message: Optional[Message]) -> None:
        """protocol.md V5: "V < F0: ROLLBACK"; P10: "rollback is always detected once F0 > V"."""
        state = self.walk.state
        if not isinstance(message, Page) or message.incarnation != state.incarnation or before.building:
            return
        fresh = before.listing is None or before.listing.first.list_id != message.list_id
        if not fresh or message.page or state.opaque_rv or not message.rv.isdigit():
            return
        if 0 < int(message.rv) < int(message.f0):
            self.law("P10 rollback", bool(step.rebuild), True)

    def only_with_cause(self, step: Step, message: Optional[Message]) -> None:
        """A rebuild makes every reader start anew: it needs a cause that lies in the world."""
        walk = self.walk
        cluster, traits = walk.cluster, walk.traits
        moved = (cluster.canon, cluster.uid) != ("canon-1", "cluster-1")
        strange = moved or not self.one_truth or traits.repair_keys < 5 or walk.state.building
        if not strange:
            raise Broken("rebuild only with cause", step.rebuild, walk)

    # P3, P4, P7

    def follow(self, step: Step) -> None:
        """protocol.md C and D2: a reader applies the changes in their order; D1: nothing else is needed."""
        if step.switch:
            return
        for item in step.chunk:
            self.mirror[item.key] = (item.rv, item.uid, item.digest)
            self.newest[item.key] = int(item.rv) if item.rv.isdigit() else 0
        for change in step.changes:
            item, was = change.item, self.mirror.get(change.item.key)
            self.law("P7 the previous row is told", change.before and tuple(change.before), was)
            kind = "D" if item.type == messages.DELETED else "M" if was else "A"
            self.law("P7 the type fits what readers hold", item.type, kind)
            if item.type == messages.DELETED:
                self.mirror.pop(item.key, None)
            else:
                self.mirror[item.key] = (item.rv, item.uid, item.digest)
            if not self.walk.state.opaque_rv and item.rv.isdigit():
                self.in_order(item.key, int(item.rv), step.repair)

    def in_order(self, key: str, version: int, repair: bool) -> None:
        if not repair:
            if version <= self.told:
                raise Broken("P7 rv order", f"{version} after {self.told}", self.walk)
            self.told = version
            self.applied.add(version)
        if self.one_truth and version < self.newest.get(key, 0):
            law = "P3 a version never decreases" if key in self.mirror else "P4 no resurrection"
            raise Broken(law, f"{key} at {version} after {self.newest[key]}", self.walk)
        self.newest[key] = version

    # P1, P6

    def moves(self, before: Before) -> None:
        """F, verified and h0 only grow, and a list is verified as of its sending (V5)."""
        state = self.walk.state
        if state.opaque_rv:
            return
        if state.frontier < before.frontier or state.verified < before.verified:
            raise Broken("F and verified only grow", f"{before} -> {state.frontier}, {state.verified}", self.walk)
        if not state.verified <= state.frontier:
            raise Broken("verified <= F", f"{state.verified} > {state.frontier}", self.walk)
        if state.verified == before.verified and (state.verified_at or 0.0) < (before.verified_at or 0.0):
            raise Broken("verified_at only grows", f"{before.verified_at} -> {state.verified_at}", self.walk)
        if state.verified_at != before.verified_at and state.verified_at not in self.sent_at:
            raise Broken("verified_at is t0, never the time of merging", f"{state.verified_at}", self.walk)
        if self.one_truth and state.current_as_of is not None:
            late = [e for e in self.walk.cluster.log if e.rv > state.frontier and e.at < state.current_as_of]
            self.law("current_as_of: all that happened by then is held", late, [])

    def held_at(self, version: int, verified: int) -> Rows:
        """What krm can know at `version`: the truth at `verified`, then the events that it was shown."""
        rows = self.walk.truth(verified)
        for event in self.walk.cluster.log:
            if verified < event.rv <= version and event.rv in self.applied:
                rows.pop(event.key, None)
                if event.type != messages.DELETED:
                    rows[event.key] = (str(event.rv), event.uid, self.walk.cluster.digest(event.rv))
        return rows

    def replays_truth(self) -> None:
        """P1: rows = the true history up to F, but for events that the API server never sent."""
        walk, state = self.walk, self.walk.state
        for event in walk.cluster.log:
            if state.verified < event.rv <= state.frontier and event.rv not in self.applied | walk.lost:
                raise Broken("P1 nothing is lost but upstream", f"{event} was skipped", walk)
        self.law("P1 rows = replay of the truth", self.rows(), self.held_at(state.frontier, state.verified))

    def index(self) -> None:
        """protocol.md, digests: count and digest a namespace, as computed from the rows."""
        state = self.walk.state
        expected: Dict[str, records.IndexEntry] = {}
        for key, row in state.rows.items():
            namespace = split_key(key)[0]
            entry = expected.get(namespace, records.IndexEntry(0, 0))
            digest = records.add_digest(entry.digest, records.member_digest(key, row.rv, row.digest))
            expected[namespace] = records.IndexEntry(entry.objects + 1, digest)
        self.law("index = rows", state.index, expected)

    def drift(self, before: Before, step: Step) -> None:
        """P6, V6, V7: what a list finds is exactly what was lost, and a full one repairs it."""
        walk, state, listing = self.walk, self.walk.state, before.listing
        delta = {c: n - before.drift.get(c, 0) for c, n in state.drift.items() if n != before.drift.get(c, 0)}
        if not self.one_truth or walk.traits.bad or before.building:
            return
        merged = listing is not None and listing.complete_at is not None and state.listing is None
        repeated = merged and listing.version == before.verified and listing.first.t0 <= (before.verified_at or 0.0)
        if listing is None or not merged or repeated or listing.version < max(before.verified, before.history_from):
            if delta:
                raise Broken("P6 drift only from a merged list", f"{delta}", walk)
            return
        expected = self.expected_drift(listing.version, before)
        news = Counter(c for key, c in expected.items() if c != "ahead" and key not in self.counted)
        self.law("P6 drift by cause, a loss once", delta, dict(news))
        self.counted |= {key for key, cause in expected.items() if cause != "ahead"}
        if listing.first.mode == messages.FULL or not expected:
            self.counted = set()
            self.law("P6 a list that repairs or agrees verifies", state.verified, listing.version)
        else:
            self.law("P6 a metadata list with drift asks for the full one", bool(state.want), True)

    def expected_drift(self, version: int, before: Before) -> Dict[str, str]:
        """Key -> class, from the events alone: which are not applied, though they lie at or below the list."""
        held = self.held_at(min(version, before.frontier), before.verified)
        causes: Dict[str, str] = {}
        truth = self.walk.truth(version)
        late = "overdue" if before.session else "ahead"
        for key in set(held) | set(truth):
            if held.get(key) == truth.get(key):
                continue
            last = [event for event in self.walk.cluster.log if event.key == key and event.rv <= version][-1]
            if last.rv > before.frontier or (key not in truth and version > before.frontier):
                causes[key] = late
            elif key not in truth:
                causes[key] = "ghost"
            else:
                causes[key] = "missed_update" if key in held else "missed_add"
        return causes

    # P9

    def facts(self) -> Tuple[Any, ...]:
        """All that a repeated message must leave as it is."""
        state = self.walk.state
        return (
            self.rows(), state.frontier, state.verified, state.drift.copy(), state.gaps, state.gap_open,
            state.session, state.seq, state.watch_from, bool(state.want), state.index.copy(),
        )  # fmt: skip

    def replayable(self) -> bool:
        """Not where an unaccepted session's first batch would be news by now, or a list was never merged."""
        walk, state = self.walk, self.walk.state
        odd = walk.traits.opaque or walk.traits.moved or walk.traits.history_limit < 5
        if not (self.whole and self.one_truth) or odd or state.building or state.listing is not None or state.want:
            return False
        accepted = {*state.dead, state.session}
        return all(not isinstance(message, (Batch, End)) or message.session in accepted for message, _ in walk.log)

    def again(self, message: Message) -> None:
        """P9: XADD repeated, its answer having been lost: the second copy is nothing."""
        walk, before = self.walk, self.facts()
        state = walk.state
        step = merge_of_krm.merge(state, message, walk.now)
        if walk.twin is not None:
            walk.twin.take(message, walk.now)
        if step.changes or step.chunk or step.rebuild or step.switch:
            raise Broken("P9 each message twice", f"the second copy of {message} led to {step}", walk)
        self.law("P9 each message twice", self.facts(), before)

    # the twin

    def same_step(self, step: Step, told: Optional[Outcome]) -> None:
        if told is None:
            return
        self.law("twin: rebuild, switch", (bool(step.rebuild), step.switch), (told.rebuild, told.switch))
        if step.rebuild:
            return
        changes = [(change.item.type, change.item.key, change.item.rv) for change in step.changes]
        expected = list(told.changes)
        if step.repair:
            changes, expected = sorted(changes), sorted(expected)
        self.law(
            "twin: changes", (changes, step.repair and bool(changes)), (expected, told.repair and bool(expected))
        )

    def same_state(self) -> None:
        walk, state, twin = self.walk, self.walk.state, self.walk.twin
        if twin is None or state.building:
            return
        mine = (
            state.frontier, state.verified, state.verified_at, state.watch_from, state.session, state.seq,
            state.gaps, state.gap_open, bool(state.want), state.suspected, state.drift,
        )  # fmt: skip
        naive = (
            twin.frontier, twin.verified, twin.verified_at, twin.watch_from, twin.session, twin.seq,
            twin.gaps, twin.gap_open, bool(twin.want), twin.suspected, twin.drift,
        )  # fmt: skip
        names = "frontier verified verified_at watch_from session seq gaps gap_open want suspected drift"
        if mine != naive:
            for name, found, expected in zip(names.split(), mine, naive):
                self.law(f"twin: {name}", found, expected)
        if walk.messages % 4 == 0:
            self.law("twin: rows", self.rows(), twin.rows())

    def came_right(self) -> None:
        """P2, P6: once the faults stop, what is held is the truth, and nothing is left open."""
        walk, state = self.walk, self.walk.state
        self.law("P6 all comes right: built", state.building, False)
        self.law("P6 all comes right: rows", self.rows(), walk.truth(walk.cluster.revision))
        self.law("P6 all comes right: nothing is wanted", state.want, "")
        self.law("P6 all comes right: no gap is open", state.gap_open, False)
        if not state.opaque_rv:
            self.law("P6 all comes right: verified", state.verified, walk.cluster.revision)
