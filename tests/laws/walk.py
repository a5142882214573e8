"""One random history: tellers, two queues, the merge, and the loop around it; checked at each message.

A seed gives the whole history. `Broken` names the law, the seed and the last messages.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any, Deque, Dict, List, NamedTuple, Optional, Set

from krm.aggregator import heads
from krm.aggregator import lists as lists_of_merge
from krm.aggregator import merge as merge_of_krm
from krm.aggregator import state as state_of_merge
from krm.aggregator.state import State, Step
from krm.model.head import decode, encode
from krm.model.messages import Batch, ListEnd, Message, Page
from krm.model.records import Envelope
from laws.checks import Broken, Checks
from laws.twin import Outcome, Twin
from laws.world import Cluster, Rows, Streamer, Verifier

HISTORY_LIMIT, REPAIR_KEYS = state_of_merge.HISTORY_LIMIT, lists_of_merge.REPAIR_KEYS


class Head(NamedTuple):
    """What the tellers read."""

    incarnation: str = ""
    next: str = ""
    rv: str = ""
    session: str = ""
    want: str = ""


class Traits(NamedTuple):
    """What may happen in this history."""

    loss: float = 0.0  # an event lost upstream
    mess: float = 0.06  # a page or batch that Redis lost, a page of another revision
    bad: float = 0.0  # an object that cannot be read
    rollback: bool = False
    restart: bool = False
    opaque: bool = False
    moved: bool = False  # the canonical form or the cluster's identity changes
    streamers: int = 1
    verifiers: int = 1
    history_limit: int = HISTORY_LIMIT
    repair_keys: int = REPAIR_KEYS
    twice: bool = False  # each message is delivered twice in a row

    @classmethod
    def draw(cls, rnd: random.Random) -> Traits:
        def often(share: float) -> bool:
            return rnd.random() < share

        return cls(
            loss=rnd.choice((0.0, 0.0, 0.1, 0.3)),
            bad=0.15 if often(0.12) else 0.0,
            rollback=often(0.2),
            restart=often(0.2),
            opaque=often(0.06),
            moved=often(0.04),
            streamers=2 if often(0.3) else 1,
            verifiers=2 if often(0.25) else 1,
            history_limit=rnd.choice((2, 4)) if often(0.15) else HISTORY_LIMIT,
            repair_keys=rnd.choice((0, 1)) if often(0.06) else REPAIR_KEYS,
            twice=often(0.15),
        )


class Walk:
    """The history of one seed."""

    def __init__(self, seed: int, traits: Optional[Traits] = None, twin: bool = True) -> None:
        self.seed, self.random = seed, random.Random(seed)
        self.traits = Traits.draw(self.random) if traits is None else traits
        self.loss, self.faults = self.traits.loss, True
        self.clock, self.now = 1000.0, 0.0  # Redis clock and monotonic seconds
        self.cluster = Cluster(self.random)
        self.lost: Set[int] = set()  # revisions that some streamer was never sent
        self.mixed: Set[str] = set()  # incarnations that heard of two histories
        self.events: Deque[Message] = deque()
        self.lists: Deque[Message] = deque()
        self.log: List[Any] = []  # (message, now) of this incarnation, for replays
        self.trace: Deque[Any] = deque(maxlen=14)
        self.built, self.readable = 0, Head()
        self.messages = 0
        self.checks = Checks(self)
        self.twin: Optional[Twin] = None
        self.with_twin = twin
        self.rebuild()
        self.streamers = [Streamer(self, name) for name in "ST"[: self.traits.streamers]]
        self.verifiers = [Verifier(self, name) for name in "VW"[: self.traits.verifiers]]

    @property
    def head(self) -> Head:
        """Published at once; while a snapshot is built, the old one stays readable."""
        state = self.state
        if state.building:
            return self.readable._replace(next=state.incarnation, want=state.want)
        return Head(state.incarnation, "", state.rv, state.session, state.want)

    # the loop around the merge

    def rebuild(self) -> None:
        """A2: another incarnation, and a full consistent list is wanted."""
        if self.built and not self.state.building:
            self.readable = self.head
        self.built += 1
        self.state = heads.next_state(self.state if self.built > 1 else State(""), f"i{self.built:07d}")
        self.log = []
        self.checks.begin()
        if self.with_twin:
            limits = (self.traits.history_limit, self.traits.repair_keys)
            former = self.twin
            self.twin = Twin(self.state.incarnation, self.state.want, *limits)
            if former is not None:  # health and counters outlive an incarnation
                self.twin.drift, self.twin.gaps = former.drift, former.gaps
            else:  # the one before was given up: what was counted until now is taken as it stands
                self.twin.drift, self.twin.gaps = dict(self.state.drift), self.state.gaps

    def restart(self) -> None:
        """A2: resume from what the head and the hashes hold; a snapshot half built is begun anew."""
        old = self.state
        if old.building:
            self.rebuild()
            return
        shown = encode({**heads.head_of(old), "incarnation": old.incarnation, "version": self.messages})
        head = decode({name.encode(): value.encode() for name, value in shown.items()})
        assert head is not None
        rows = old.rows.items()
        self.state = heads.state_from(
            head, [(key, Envelope(row.rv, row.uid, row.digest, 0.0, b"", (), b"")) for key, row in rows]
        )
        if not heads.agrees(self.state, head):
            raise Broken("A2 resume", "count and digest of the hashes do not equal the head's", self)
        self.log = []
        self.checks.resumed()
        if self.twin is not None:
            self.twin.resume(dict(self.state.refused))

    def deliver(self, message: Message) -> None:
        """One message through the merge, then the settling that the loop asks for after each."""
        self.trace.append((self.now, message))
        self.messages += 1
        self.log.append((message, self.now))
        state, before = self.state, self.checks.before(message)
        step = merge_of_krm.merge(state, message, self.now)
        told = self.twin.take(message, self.now) if self.twin is not None else None
        self.checks.after(before, step, message)
        self._obey(step, told)
        if self.state is state:
            self.settle()
        if self.traits.twice and self.state is state:
            self.checks.again(message)

    def settle(self) -> None:
        before = self.checks.before(None)
        step = merge_of_krm.settle(self.state, self.now)
        told = self.twin.settle(self.now) if self.twin is not None else None
        self.checks.after(before, step, None)
        self._obey(step, told)

    def _obey(self, step: Step, told: Optional[Outcome]) -> None:
        self.checks.same_step(step, told)
        if step.rebuild:
            self.rebuild()
        elif step.switch:
            self.state.building = False
            self.readable = Head()
            if self.twin is not None:
                self.twin.building = False
        self.checks.same_state()

    # what happens

    def run(self, steps: int = 36) -> None:
        """All of it, under this history's limits; afterwards the faults stop and all must come right."""
        state_of_merge.HISTORY_LIMIT = self.traits.history_limit
        lists_of_merge.REPAIR_KEYS = self.traits.repair_keys
        try:
            for _ in range(self.random.randint(0, 6)):
                self.cluster.change(self.clock, self.traits.bad)
            for _ in range(self.random.randint(steps // 2, steps * 3 // 2)):
                self.turn()
            self.replay()
            self.come_right()
        except Broken:
            raise
        except Exception as error:
            raise Broken("no surprise", f"{type(error).__name__}: {error}", self) from error
        finally:
            state_of_merge.HISTORY_LIMIT, lists_of_merge.REPAIR_KEYS = HISTORY_LIMIT, REPAIR_KEYS

    def turn(self) -> None:
        rnd = self.random
        roll = rnd.random()
        if roll < 0.22:
            for _ in range(rnd.randint(1, 3)):
                self.clock += rnd.random()
                self.cluster.change(self.clock, self.traits.bad)
        elif roll < 0.40:
            rnd.choice(self.streamers).act()
        elif roll < 0.62:
            rnd.choice(self.verifiers).act()
        elif roll < 0.93:
            self.consume(rnd.randint(1, 4))
        elif roll < 0.96:
            self.pass_time(rnd.choice((1.0, 6.0, 16.0)))
        else:
            self.something_rare()

    def something_rare(self) -> None:
        traits, rnd = self.traits, self.random
        if traits.restart and rnd.random() < 0.6:
            self.restart()
        elif traits.rollback and rnd.random() < 0.6:
            self.mixed.add(self.state.incarnation)
            self.mixed.add(self.head.incarnation)
            self.cluster.roll_back(max(1, self.cluster.revision - rnd.randint(1, 8)))
            for _ in range(rnd.randint(0, 9)):
                self.cluster.change(self.clock)
        elif traits.opaque and self.cluster.opaque_from is None:
            self.cluster.opaque_from = rnd.choice((0, self.cluster.revision + 1))
        elif traits.moved and rnd.random() < 0.5:
            self.cluster.canon = "canon-2"
        elif traits.moved:
            self.cluster.uid = "cluster-2"

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.clock += seconds
        self.settle()

    def consume(self, most: int) -> None:
        """Each stream is FIFO; between the two the order is anybody's."""
        for _ in range(most):
            queues = [queue for queue in (self.events, self.lists) if queue]
            if not queues:
                return
            self.deliver(self.random.choice(queues).popleft())

    def drain(self) -> None:
        while self.events or self.lists:
            self.consume(1000)

    def replay(self) -> None:
        """P9: the whole log of this incarnation once more; its facts are all known already."""
        if not self.checks.replayable():
            return
        told, before, verified_at = list(self.log), self.checks.facts(), self.state.verified_at
        verified = self.state.verified
        news, session = False, (self.state.session, self.state.seq)
        for message, _ in told:
            if isinstance(message, (Batch, Page, ListEnd)):
                held, frontier = self.checks.before(message), self.state.frontier
                step = merge_of_krm.merge(self.state, message, self.now)
                old = [change for change in step.changes if int(change.item.rv) <= frontier and not step.repair]
                if step.rebuild or step.switch or old:
                    raise Broken("P9 replay", f"a replayed message led to {step}", self)
                self.checks.after(held, step, message)
                news = news or bool(step.changes) or self.state.frontier > frontier
        # A list passed over while the snapshot was built may find drift now, and ask for the full one.
        news = news or (self.state.session, self.state.seq) != session or bool(self.state.want)
        # Lists may be sent at one moment, so that a later V alone tells that another one was taken.
        if news or self.state.verified_at != verified_at or self.state.verified > verified:
            self.twin = None  # a batch or a list that was passed over at first is taken now
            return
        self.checks.law("P9 replay", self.checks.facts(), before)
        self.restart()  # a replayed list may have been left open

    def come_right(self) -> None:
        """The faults stop: soon all that is held is the truth, verified, with nothing open."""
        self.faults = False
        for streamer in self.streamers:
            streamer.end("shutdown")
        self.drain()
        for verifier in self.verifiers:
            verifier.pending = []
        verifier, streamer = self.verifiers[0], self.streamers[0]
        for _ in range(4):
            verifier.begin(full=True, consistent=True)
            verifier.finish()
            self.drain()
            self.pass_time(16.0)
        for _ in range(2):
            self.cluster.change(self.clock)
        streamer.connect()
        if streamer.session:
            streamer.pump(1000, bookmark=True)
        self.drain()
        for _ in range(4):  # a metadata list; and the full ones, should it ask for that
            verifier.begin(full=False, consistent=True)
            verifier.finish()
            self.drain()
            self.pass_time(16.0)
        self.checks.came_right()

    def truth(self, revision: int) -> Rows:
        """What a reader should be shown at `revision`: all that exists and can be read."""
        cluster = self.cluster
        return {
            key: (cluster.text(rv), uid, cluster.digest(rv))
            for key, (rv, uid) in cluster.at(revision).items()
            if (key, rv) not in cluster.bad
        }

    def describe(self) -> Dict[str, Any]:
        return {
            name: value for name, value in self.traits._asdict().items() if value != Traits._field_defaults[name]
        }
