"""The newest measurements in Redis: held against one server, Redis Cluster, Sentinel and fakeredis alike."""

from __future__ import annotations

from typing import Dict, Sequence

import pytest
from krm.model.measures import Covers, Silence
from krm.store import latest_writer
from krm.store.connect import Database
from krm.store.errors import Fenced
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
