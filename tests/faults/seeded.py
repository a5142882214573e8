"""Bugs sown on purpose, from outside: each must be caught by a validator, or the validators prove nothing.

STAGE_BUGS are planted in a child before its stage begins (faults.child), READER_BUGS in this process.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock


@dataclass(frozen=True)
class StageBug:
    """What is wrong in a stage; `plant` makes it so, in the process that it runs in."""

    stage: str
    plant: Callable[[], None]


# Aggregator --------------------------------------------------------------------------------------


def _no_fence() -> None:
    """The head is never compared: whoever wakes writes on."""
    from krm.store.publish import Writer

    Writer._compared = lambda self, reply, expected: expected[0]  # type: ignore[method-assign]


def _no_sequence() -> None:
    """A missing batch number is no break."""
    from krm.aggregator import events

    def in_sequence(state: Any, batch: Any) -> bool:
        if batch.session != state.session:
            return events._accept_session(state, batch)
        if batch.seq <= state.seq:
            return False
        state.seq = batch.seq
        return True

    events._in_sequence = in_sequence


def _newest_object() -> None:
    """The snapshot's resourceVersion is that of its newest object."""
    from krm.aggregator import heads

    right = heads._snapshot

    def snapshot(state: Any) -> Dict[str, Any]:
        newest = max((int(row.rv) for row in state.rows.values()), default=state.frontier)
        return {**right(state), "rv": str(newest)}

    heads._snapshot = snapshot


def _no_tombstones() -> None:
    """A deletion is forgotten at once."""
    from krm.aggregator.state import State

    right = State.remember

    def remember(self: State, version: int, key: str, before: Any) -> None:
        if key in self.rows:
            right(self, version, key, before)

    State.remember = remember  # type: ignore[method-assign]


def _probe_believed() -> None:
    """Any probe proves what is held current, however far ahead the server was."""
    from krm.aggregator.state import State

    def settle_probes(self: State) -> None:
        while self.probes:
            self.current_as_of = max(self.current_as_of or 0.0, self.probes.popleft()[1])

    State.settle_probes = settle_probes  # type: ignore[method-assign]


def _forgotten_entries() -> None:
    """Each tenth version is published without its entry in `changes`."""
    from krm.store import publish, transactions

    right = transactions.publishing

    def publishing(keys: Any, publication: Any) -> List[Any]:
        commands = right(keys, publication)
        return commands if publication.version % 10 else [c for c in commands if c[1] != keys.changes]

    publish.transactions.publishing = publishing


def _any_run() -> None:
    """What rests in Redis is continued, whichever run of the server it is."""
    from krm.aggregator import heads

    heads.resumable = lambda head, run_id: bool(head.incarnation and head.rv and not head.next)


def _lists_win() -> None:
    """A list overwrites what later events told."""
    from krm.aggregator.state import State

    State.rows_at = lambda self, version: {}  # type: ignore[method-assign]


# Streamer and verifier ---------------------------------------------------------------------------


def _loses_batches() -> None:
    """Each fifteenth batch is never appended, though the streamer believes so. No bug of krm: a loss on the way."""
    from krm.model.messages import Batch
    from krm.store.streams import Appended, Appender

    right = Appender.append_event

    def append_event(self: Appender, message: Any, minid: str) -> Appended:
        if isinstance(message, Batch) and message.seq % 15 == 14:
            return Appended("0-1", 0)
        return right(self, message, minid)

    Appender.append_event = append_event  # type: ignore[method-assign]


def _from_now() -> None:
    """A new connection starts at the present, not at what was acknowledged last."""
    from krm.cluster.listing import freshness_probe
    from krm.cluster.watching import Watch
    from krm.streamer import loop

    def watch(cluster: Any, resource: Any, namespace: Any, from_rv: str, life: Any) -> Watch:
        return Watch(cluster, resource, namespace, freshness_probe(cluster, resource), life)

    loop.Watch = watch  # type: ignore[assignment,misc]


def _mixed_pages() -> None:
    """Two pages of two resourceVersions pass for one list."""
    from krm.verifier import loop

    right = loop.list_pages

    def list_pages(*args: Any, **more: Any) -> Iterator[Any]:
        pages = list(right(*args, **more))
        time.sleep(0.5)
        first, later = pages[0], next(iter(right(*args, **more)))
        half = len(first.items) // 2
        names = {item.key for item in first.items[:half]}
        yield first._replace(items=first.items[:half])
        yield first._replace(items=type(first.items)(item for item in later.items if item.key not in names))

    loop.list_pages = list_pages


STAGE_BUGS: Dict[str, StageBug] = {
    "no_fence": StageBug("aggregator", _no_fence),
    "no_sequence": StageBug("aggregator", _no_sequence),
    "newest_object": StageBug("aggregator", _newest_object),
    "no_tombstones": StageBug("aggregator", _no_tombstones),
    "probe_believed": StageBug("aggregator", _probe_believed),
    "forgotten_entries": StageBug("aggregator", _forgotten_entries),
    "any_run": StageBug("aggregator", _any_run),
    "lists_win": StageBug("aggregator", _lists_win),
    "loses_batches": StageBug("streamer", _loses_batches),
    "from_now": StageBug("streamer", _from_now),
    "mixed_pages": StageBug("verifier", _mixed_pages),
}


# Readers -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _no_replay() -> Iterator[None]:
    """Hashes read one by one pass for a snapshot: nothing is replayed, no digest compared."""
    replay, misfits = "krm.store.read._replay", "krm.store.fitting._misfits"
    with mock.patch(replay, return_value=None), mock.patch(misfits, return_value=()):
        yield


@contextlib.contextmanager
def _slow_reads() -> Iterator[None]:
    """Time passes between the reading of the hashes and of the head after them. No bug of krm: an occasion."""
    from krm.store.read import Reader

    right = Reader._hashes

    def hashes(self: Reader, incarnation: str, spaces: List[str]) -> Dict[str, bytes]:
        packed = right(self, incarnation, spaces)
        time.sleep(0.1)
        return packed

    with mock.patch.object(Reader, "_hashes", hashes):
        yield


@contextlib.contextmanager
def _always_live() -> Iterator[None]:
    """Trust never doubts."""
    from krm.model import trust

    right = trust.judge

    def judge(head: Any, now: float) -> Any:
        return replace(right(head, now), state=trust.LIVE)

    with mock.patch("faults.readers.judge", judge):
        yield


@contextlib.contextmanager
def _skips_gaps() -> Iterator[None]:
    """A watch takes whatever comes next."""
    from krm.store import follow
    from krm.store.read import change_rows

    def steps(self: Any, rows: List[Any]) -> List[Any]:
        found = [follow.Step(version, entry) for version, entry in change_rows(rows)]
        if found:
            self._last = found[-1].version
        return found

    with mock.patch.object(follow.Follower, "_steps", steps):
        yield


READER_BUGS: Dict[str, Callable[[], Any]] = {
    "no_replay": _no_replay,
    "slow_reads": _slow_reads,
    "always_live": _always_live,
    "skips_gaps": _skips_gaps,
}
