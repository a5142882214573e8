"""Processes and OOM kills in Redis: what was written is read, and what rotted costs one node."""

from __future__ import annotations

import zlib
from typing import Dict

import pytest
from krm.model.kill_ledger import Ledger
from krm.model.kills import CGROUP, KERNEL_LOG, KUBELET, STATUS, Evidence, Kill, Moment
from krm.model.measures import Covers
from krm.store import latest_writer
from krm.store.connect import Database
from krm.store.errors import Corrupt
from krm.store.keys import Keys, latest_key
from krm.store.latest import CollectorState
from krm.store.latest_seen import (
    MAX_UNPACKED,
    NO_AGENT,
    READ,
    NodeKills,
    NodeProcesses,
    Running,
    ledger_of,
    pack_kills,
    pack_processes,
    unpack_kills,
    unpack_processes,
)
from krm.store.latest_seen_reader import SeenReader, kills_left
from krm.store.latest_writer import LatestWriter, Turn

NOW = 1_800_000_000.0
STATE = CollectorState("", "", 4.0, (), {}, (), Covers(1, 1, "nodes"), agents=Covers(1, 2, "nodes"))
NGINX = Running(
    4711, 99, 1, "nginx", "S", 2, 2**30, 5 * 10**9, NOW - 60, 12.5, 10.0, 1, 2, 1000, "shop", "web-0", "web",
    "9f86", "uid-1", False, True, "", "nginx -g ***",
)  # fmt: skip
MINUTE = (Moment(NOW - 2, 2**28, 2**28, 0.25, None, 0.0), Moment(NOW - 1, None, None, None, 2**33, None))
KILL = Kill("n1/log/7", "n1", NOW, NOW, "9f86", "uid-1", "shop", "web-0", "web", 4720, "worker", 2**28,
            "container limit", "/kubepods", 2**28, False, (KERNEL_LOG, CGROUP), MINUTE)  # fmt: skip


def turn(processes: Dict[str, bytes], kills: Dict[str, bytes]) -> Turn:
    return Turn({}, {}, {}, STATE, processes, kills)


def ledger() -> Ledger:
    status = Evidence(
        STATUS, "n1", NOW + 1.5, NOW + 0.5, container_id="aaaa", namespace="lab", pod="x", container="y"
    )
    counter = Evidence(KUBELET, "n1", NOW + 90, NOW + 75, 2, namespace="lab", pod="x", container="y", before=MINUTE)
    return Ledger().tell([KILL], NOW + 100).add([status, counter], NOW + 100)


def test_what_was_packed_is_unpacked() -> None:
    node = NodeProcesses(
        "n1", READ, "", NOW, NOW + 1, (NGINX, Running(1, 2, 0, "init", "S", 1, 0, 0, 1.0)), 3, (("a", "b"),)
    )
    assert unpack_processes("n1", pack_processes(node)) == node
    away = NodeProcesses("w", NO_AGENT, "it runs Windows")
    assert unpack_processes("w", pack_processes(away)) == away
    known = ledger()
    assert len(known.kills) == 4
    told = unpack_kills("n1", pack_kills(NodeKills("n1", READ, missing=(("log", "why"),)), known))
    assert told.kills == known.kills
    assert told.missing == (("log", "why"),)
    assert ledger_of(told) == known


def test_a_ledger_that_was_read_back_knows_what_it_knew() -> None:
    """What is told again after a restart is no second kill, whoever told it first."""
    late = Ledger().add([Evidence(STATUS, "n1", NOW + 1, NOW, container_id="9f86", container_ended=True)], NOW + 5)
    late = late.tell([KILL], NOW + 6)
    assert len(late.kills) == 1
    again = ledger_of(unpack_kills("n1", pack_kills(NodeKills("n1", READ), late)))
    again = again.tell([KILL], NOW + 9)
    again = again.add([Evidence(STATUS, "n1", NOW + 1, NOW, container_id="9f86", container_ended=True)], NOW + 9)
    assert again.kills == late.kills


def test_bytes_that_rotted_or_swell_are_refused() -> None:
    packed = pack_processes(NodeProcesses("n1", READ, "", NOW, NOW, (NGINX,)))
    for rotten in (b"", packed[:-5], b"\xc1", packed[:9] + b"\0" + packed[10:], zlib.compress(b"\x93\1\2\3"),
                   zlib.compress(b"\0" * (MAX_UNPACKED + 1))):  # fmt: skip
        with pytest.raises(Corrupt, match="processes of node n1"):
            unpack_processes("n1", rotten)
        with pytest.raises(Corrupt, match="kills of node n1"):
            unpack_kills("n1", rotten)
    with pytest.raises(Corrupt, match="ledger"):
        ledger_of(NodeKills("n1", READ, ledger=b"\xc1"))


def test_readers_get_what_the_holder_of_the_lease_wrote(database: Database, keys: Keys) -> None:
    writer, reader = LatestWriter(database, keys.cluster), SeenReader(database, keys.cluster)
    assert reader.processes().collector is None
    assert writer.take()
    away = NodeProcesses("n2", NO_AGENT, "it runs Windows")
    node = NodeProcesses("n1", READ, "", NOW, NOW, (NGINX,))
    kills = {"n1": pack_kills(NodeKills("n1", READ), ledger())}
    writer.write(turn({"n1": pack_processes(node), "n2": pack_processes(away)}, kills))
    found = reader.processes()
    assert found.nodes == (node, away)
    assert found.collector is not None
    assert found.collector.agents == Covers(1, 2, "nodes")
    assert reader.processes("n1").nodes == (node,)
    assert reader.processes("nobody").nodes == ()
    assert [one.kills for one in reader.kills().nodes] == [ledger().kills]
    writer.write(turn({"n2": pack_processes(away)}, kills))
    assert [one.node for one in reader.processes().nodes] == ["n2"]


def test_kills_outlive_their_collector(database: Database, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest_writer, "TAKE_AFTER", 0.0)
    first, second = LatestWriter(database, keys.cluster), LatestWriter(database, keys.cluster)
    assert kills_left(database, keys.cluster) == ()
    assert first.take()
    kills = {"n1": pack_kills(NodeKills("n1", READ), ledger())}
    first.write(turn({}, kills))
    second.take()
    assert second.take()
    (left,) = kills_left(database, keys.cluster)
    assert ledger_of(left) == ledger()
    second.write(turn({}, {"n1": pack_kills(left, ledger_of(left))}))
    assert [one.kills for one in SeenReader(database, keys.cluster).kills().nodes] == [ledger().kills]


def test_bytes_that_rotted_cost_one_node_and_a_key_that_is_none_costs_no_turn(
    database: Database, keys: Keys
) -> None:
    writer, reader = LatestWriter(database, keys.cluster), SeenReader(database, keys.cluster)
    assert writer.take()
    node = pack_processes(NodeProcesses("n1", READ, "", NOW, NOW, (NGINX,)))
    kills = {"n1": pack_kills(NodeKills("n1", READ), ledger())}
    writer.write(turn({"n1": node, "n2": node}, kills))
    key = latest_key(keys.cluster, "processes")
    database.link(key).call("HSET", key, "n2", b"rotten")
    found = reader.processes()
    assert ([one.node for one in found.nodes], found.rotten) == (["n1"], ("n2",))
    key = latest_key(keys.cluster, "kills")
    link = database.link(key)
    link.call("DEL", key)
    link.call("SET", key, "x")
    assert kills_left(database, keys.cluster) == ()
