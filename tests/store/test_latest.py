"""The newest measurements in Redis: held against one server, Redis Cluster, Sentinel and fakeredis alike."""

from __future__ import annotations

from typing import Dict, Sequence

import pytest
from krm.model.measures import Covers, Silence
from krm.store import latest_writer
from krm.store.connect import Database
from krm.store.errors import Fenced, StoreError
from krm.store.keys import Keys, latest_key
from krm.store.latest import CollectorState, Measured, Node, Pod, pack_pod
from krm.store.latest_reader import LatestReader
from krm.store.latest_writer import LatestWriter, Turn

SUM = Measured("sum", 100.0, 0.0, {"cpu/usage_rate": 12.5}, Covers(1, 2, "pods"))
STATE = CollectorState(
    address="https://127.0.0.1:1",
    certificate="ab" * 32,
    every=4.0,
    silences=(Silence("node n2", "kubelet/resource", "it does not answer", 90.0, 80.0),),
    sources={"kubelet/resource": "ok"},
    history=("the disk is full",),
    nodes=Covers(1, 2, "nodes"),
)


def pod(name: str, cpu: float = 1.0, at: float = 100.0) -> Pod:
    measured = Measured("kubelet/resource", at, 4.0, {"cpu/usage_rate": cpu, "memory/working_set": 2.0**40})
    return Pod(name, f"uid-{name}", "n1", (measured,), {"app": (measured,), "side": ()}, ("side",))


def turn(pods: Dict[str, Sequence[Pod]]) -> Turn:
    packed = {space: {one.name: pack_pod(one) for one in each} for space, each in pods.items()}
    return Turn(packed, dict.fromkeys(pods, (SUM,)), {"n1": (SUM,), "": (SUM, SUM)}, STATE)


def writer_on(database: Database, keys: Keys) -> LatestWriter:
    writer = LatestWriter(database, keys.cluster)
    assert writer.take()
    return writer


def test_before_any_collector_there_is_no_state_and_nothing_else(database: Database, keys: Keys) -> None:
    found = LatestReader(database, keys.cluster).read()
    assert (found.collector, found.pods, found.nodes, found.cluster) == (None, {}, [], ())


def test_what_was_written_is_read_at_one_moment(database: Database, keys: Keys) -> None:
    writer, reader = writer_on(database, keys), LatestReader(database, keys.cluster)
    writer.write(turn({"shop": [pod("web-1"), pod("web-0", 0.0)], "empty": []}))
    found = reader.read()
    assert found.pods == {"shop": [pod("web-0", 0.0), pod("web-1")], "empty": []}
    assert found.namespaces == {"shop": (SUM,), "empty": (SUM,)}
    assert found.nodes == [Node("n1", (SUM,))]
    assert found.cluster == (SUM, SUM)
    assert found.collector is not None
    assert found.collector._replace(holder="", beat=0.0, turn=0) == STATE
    assert found.collector.turn == 1
    assert abs(found.collector.beat - found.now) < 60
    assert LatestReader(database, keys.cluster).read(["shop", "nobody"]).pods == {"shop": found.pods["shop"]}


def test_what_has_gone_is_gone(database: Database, keys: Keys) -> None:
    writer, reader = writer_on(database, keys), LatestReader(database, keys.cluster)
    writer.write(turn({"shop": [pod("a"), pod("b")], "old": [pod("x")]}))
    writer.write(turn({"shop": [pod("b", 7.0)], "new": [pod("y")]}))
    found = reader.read()
    assert found.pods == {"shop": [pod("b", 7.0)], "new": [pod("y")]}
    assert found.collector is not None
    assert found.collector.turn == 2
    assert not database.link(latest_key(keys.cluster, "ns:old")).call("EXISTS", latest_key(keys.cluster, "ns:old"))


def test_a_second_collector_stands_by_until_the_first_is_silent_and_leaves_nothing_of_it(
    database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = writer_on(database, keys), LatestWriter(database, keys.cluster)
    first.write(turn({"shop": [pod("a")], "old": [pod("x")]}))
    assert not second.take()
    monkeypatch.setattr(latest_writer, "TAKE_AFTER", 0.0)
    assert second.take()
    second.write(turn({"shop": [pod("b")]}))
    with pytest.raises(Fenced):
        first.write(turn({"shop": [pod("zombie")]}))
    assert not first.holds
    found = LatestReader(database, keys.cluster).read()
    assert found.pods == {"shop": [pod("b")]}
    assert found.collector is not None
    assert found.collector.turn == 2


def test_a_collector_that_ends_gives_its_lease_back(database: Database, keys: Keys) -> None:
    first = writer_on(database, keys)
    first.write(turn({}))
    first.give_up()
    assert LatestWriter(database, keys.cluster).take()


def test_bytes_that_rotted_cost_one_pod(database: Database, keys: Keys) -> None:
    writer = writer_on(database, keys)
    writer.write(turn({"shop": [pod("a"), pod("b")]}))
    key = latest_key(keys.cluster, "ns:shop")
    database.link(key).call("HSET", key, "a", b"\xc1rotten")
    assert LatestReader(database, keys.cluster).read().pods == {"shop": [pod("b")]}


def test_where_redis_came_back_as_it_was_earlier_the_next_turn_writes_all_of_it(
    database: Database, keys: Keys
) -> None:
    writer, reader = writer_on(database, keys), LatestReader(database, keys.cluster)
    link = database.link(latest_key(keys.cluster, "collector"))
    writer.write(turn({"shop": [pod("gone"), pod("web")], "old": [pod("old")]}))
    earlier = {part: link.call("HGETALL", latest_key(keys.cluster, part)) for part in PARTS}
    writer.write(turn({"shop": [pod("web", 2.0)], "new": [pod("new")]}))
    for part in PARTS:  # as of an older dump, or of a replica that was behind
        link.call("DEL", latest_key(keys.cluster, part))
        if earlier[part]:
            link.call("HSET", latest_key(keys.cluster, part), *earlier[part])
    writer.write(turn({"shop": [pod("web", 2.0)], "new": [pod("new")]}))
    assert reader.read().pods == {"shop": [pod("web", 2.0)], "new": [pod("new")]}
    assert link.call("EXISTS", latest_key(keys.cluster, "ns:old")) == 0


PARTS = ("collector", "nodes", "ns:shop", "ns:old", "ns:new")


@pytest.mark.parametrize("field", ["turn", "namespaces", "holder"])
def test_a_field_that_rotted_keeps_no_collector_from_writing(
    database: Database, keys: Keys, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest_writer, "TAKE_AFTER", 0.0)
    former = writer_on(database, keys)
    former.write(turn({"shop": [pod("web")]}))
    link = database.link(latest_key(keys.cluster, "collector"))
    link.call("HSET", latest_key(keys.cluster, "collector"), field, b"\xff\xfe")
    writer = LatestWriter(database, keys.cluster)
    writer.take()
    assert writer.take()
    writer.write(turn({"shop": [pod("web", 3.0)]}))
    assert LatestReader(database, keys.cluster).read().pods == {"shop": [pod("web", 3.0)]}


def test_a_key_of_another_type_is_replaced_by_the_turn_after(database: Database, keys: Keys) -> None:
    writer = writer_on(database, keys)
    writer.write(turn({"shop": [pod("web")]}))
    link, key = database.link(latest_key(keys.cluster, "collector")), latest_key(keys.cluster, "ns:shop")
    link.call("DEL", key)
    link.call("SET", key, "x")
    with pytest.raises(StoreError):
        writer.write(turn({"shop": [pod("web", 4.0)]}))
    writer.write(turn({"shop": [pod("web", 4.0)]}))
    assert LatestReader(database, keys.cluster).read().pods == {"shop": [pod("web", 4.0)]}


def test_an_emptied_redis_is_filled_by_the_next_turn(database: Database, keys: Keys) -> None:
    writer, reader = writer_on(database, keys), LatestReader(database, keys.cluster)
    writer.write(turn({"shop": [pod("web")]}))
    holder = reader.read().collector.holder  # type: ignore[union-attr]
    link = database.link(latest_key(keys.cluster, "collector"))
    for part in PARTS:
        link.call("DEL", latest_key(keys.cluster, part))
    writer.write(turn({"shop": [pod("web")]}))
    found = reader.read()
    assert found.pods == {"shop": [pod("web")]}
    assert found.collector is not None
    assert found.collector.holder == holder
    assert not LatestWriter(database, keys.cluster).take()
