"""A server that begins late knows the same past as one that was there: the log loaded is the log lived."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any, Iterator, List, Tuple

import pytest
import redis_servers
from kind_pen import Pen
from krm.model.messages import DELETED, MODIFIED
from krm.model.records import pack_change_entry, pack_envelope, unpack_change_entry
from krm.server.options import parse
from krm.server.replica import Event, Replica
from krm.server.watches import transition
from krm.store.backlog import backlog
from krm.store.connect import Database, connect
from krm.store.follow import Follower
from krm.store.keys import Keys
from krm.store.publish import Writer
from krm.store.read import Reader

PLENTY = 1 << 30
_numbers = itertools.count()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    if redis_servers.REDIS is None:
        pytest.skip("no redis-server on PATH")
    with redis_servers.one(tmp_path_factory.mktemp("redis")) as server:
        yield connect(server.url, name="krm-test")


@pytest.fixture
def keys() -> Keys:
    return Keys(f"backlog-{next(_numbers)}", "pods")


def begun(database: Database, keys: Keys, **head: Any) -> Pen:
    pen = Pen(Writer(database, keys, "ME"))
    pen.begin([f"ns-{n % 3}/pod-{n}" for n in range(10)], **head)
    return pen


def late(database: Database, keys: Keys, budget: int = PLENTY) -> Replica:
    """A server that begins now."""
    reader, replica = Reader(database, keys), Replica("pods")
    data = reader.snapshot()
    assert data is not None
    replica.load(data, backlog(reader, keys, data, budget))
    assert (replica.token, replica.objects, replica.rv) == (data.token, data.objects, data.head.rv)
    return replica


def early(database: Database, keys: Keys) -> Tuple[Replica, Follower]:
    """One that was there from the first snapshot on."""
    replica = late(database, keys)
    return replica, Follower(database, keys, replica.token)


def after(replica: Replica, rv: int) -> List[Event]:
    position = replica.position(rv)
    assert position is not None
    events = replica.events(position, PLENTY)
    assert events is not None
    return events


def publish_at_random(pen: Pen, rng: random.Random, versions: int) -> None:
    for _ in range(versions):
        names = [f"ns-{rng.randint(0, 2)}/pod-{rng.randint(0, 12)}" for _ in range(rng.randint(1, 4))]
        kept = dict.fromkeys(pen.objects)
        changes = []
        for name in names:  # a name may stand twice: no event is folded away
            keep = name not in kept or rng.random() < 0.6
            changes.append((name, keep))
            if keep:
                kept[name] = None
            else:
                del kept[name]
        pen.publish(*changes)


@pytest.mark.parametrize("seed", range(12))
def test_the_log_loaded_is_the_log_lived(seed: int, database: Database, keys: Keys) -> None:
    print(f"seed {seed}")
    rng = random.Random(seed)
    pen = begun(database, keys, oldest_rv="10")
    lived, follower = early(database, keys)
    publish_at_random(pen, rng, rng.choice((5, 99, 100, 101, 230)))
    while lived.token.version < max(pen.versions):
        for step in follower.turn():
            lived.apply(step.version, step.entry)
    loaded = late(database, keys)
    assert loaded.watch_from == lived.watch_from == 10
    for rv in range(10, int(loaded.rv) + 1):
        assert after(loaded, rv) == after(lived, rv), rv
    follower.close()


def test_what_is_trimmed_is_not_promised(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10")
    for _ in range(6):  # versions 2 to 7 at 11 to 16
        pen.publish(("ns-0/pod-0", True))
    pen.writer.publish(replace(pen.publication(("ns-0/pod-0", True)), trim_changes_to=4, trim_past_to=5))
    loaded = late(database, keys)
    assert loaded.watch_from == 13  # version 4: past leads back to it, and its own entry says where it stood
    assert [event.rv for event in after(loaded, 13)] == [14, 15, 16, 17]
    assert loaded.position(12) is None


def test_the_budget_bounds_what_is_read(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10")
    for _ in range(300):
        pen.publish(("ns-0/pod-0", True))
    one = len(pack_envelope(pen.objects["ns-0/pod-0"]))
    loaded = late(database, keys, budget=120 * one)
    assert [event.rv for event in after(loaded, loaded.watch_from)] == list(range(191, 311))


def repair(pen: Pen, name: str, rv: str, keep: bool = True, past: bool = True, labels: bytes = b"") -> None:
    """A list at `rv` found this; `labels`: that it had before."""
    made = pen.publication((name, keep), past=past)
    entry = unpack_change_entry(made.entry)
    (change,) = entry.changes
    entry = entry._replace(repair=True, rv=rv, changes=(change._replace(previous_labels=labels),))
    pen.writer.publish(replace(made, entry=pack_change_entry(entry)))


def test_nothing_is_told_from_before_a_repair_and_at_it_all_of_it(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10")
    pen.publish(("ns-0/pod-0", True))
    lived, follower = early(database, keys)
    repair(pen, "ns-1/pod-1", "13", keep=False)
    repair(pen, "ns-0/lost", "13")
    pen.publish(("ns-0/pod-0", True))
    for step in follower.turn():
        lived.apply(step.version, step.entry)
    follower.close()
    for one in (late(database, keys), lived):
        assert one.watch_from == 13
        assert [(event.rv, event.key) for event in after(one, 13)] == [
            (13, "ns-1/pod-1"), (13, "ns-0/lost"), (14, "ns-0/pod-0")
        ]  # fmt: skip


def test_a_repair_is_told_however_little_room_there_is(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10")
    pen.publish(("ns-0/pod-0", True))
    repair(pen, "ns-0/pod-0", "12")
    assert [event.rv for event in after(late(database, keys, budget=1), 12)] == [12]


def test_a_repair_whose_past_is_gone_is_told_to_who_read_at_its_version(database: Database, keys: Keys) -> None:
    """They may have read before it, and no list would ever tell them otherwise."""
    pen = begun(database, keys, oldest_rv="10")
    repair(pen, "ns-0/pod-0", "12", keep=False, past=False)
    repair(pen, "ns-1/pod-1", "12", past=False)
    loaded = late(database, keys)
    told = [(DELETED, "ns-0/pod-0"), (MODIFIED, "ns-1/pod-1")]
    assert [(event.type, event.key) for event in after(loaded, 12)] == told
    assert loaded.undone(12) == {}
    pen.writer.publish(pen.publication(("ns-0/pod-2", True), past=False))
    assert late(database, keys).watch_from == 13, "a change of the watch is not known without its past"


def test_what_a_repair_replaced_is_selected_by_what_is_known_of_it(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10")
    repair(pen, "ns-0/pod-0", "12", past=False, labels=b'{"a":"1"}')
    (event,) = after(late(database, keys), 12)
    left = transition(event, parse("pods", {"labelSelector": "a=1"}, True))
    assert left is not None
    assert (left[0], left[1].rv, left[1].body) == (DELETED, "11", pen.objects["ns-0/pod-0"].body)
    assert transition(event, parse("pods", {"labelSelector": "a=3"}, True)) is None


def test_a_kind_without_a_past_begins_where_it_stands(database: Database, keys: Keys) -> None:
    pen = begun(database, keys, oldest_rv="10", uncached=True)
    pen.writer.publish(pen.publication(("ns-0/pod-0", True), past=False))
    assert late(database, keys).watch_from == 11
