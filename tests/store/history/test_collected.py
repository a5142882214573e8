"""Where the collector's history listens, as its readers find it in Redis."""

from __future__ import annotations

import pytest
from krm.model.measures import Covers
from krm.store.connect import Database
from krm.store.history.asked import NoHistory
from krm.store.history.collected import COUNTS, Collected
from krm.store.keys import Keys, latest_key
from krm.store.latest import CollectorState
from krm.store.latest_writer import LatestWriter, Turn

STATE = CollectorState("https://127.0.0.1:1", "ab" * 32, 4.0, (), {}, (), Covers(0, 0, "nodes"))


def tell(database: Database, keys: Keys, state: CollectorState) -> None:
    writer = LatestWriter(database, keys.cluster)
    assert writer.take()
    writer.write(Turn({}, {}, {}, state))


def test_an_address_is_read_and_read_again_once_it_is_old(database: Database, keys: Keys) -> None:
    now = [0.0]
    place = Collected(database, keys.cluster, lambda: now[0])
    assert place() is None
    tell(database, keys, STATE)
    assert place() is None  # not asked again yet
    now[0] = COUNTS
    assert place() == ("https://127.0.0.1:1", "ab" * 32)
    database.link(latest_key(keys.cluster, "collector")).call("DEL", latest_key(keys.cluster, "collector"))
    assert place() is not None
    now[0] = 2 * COUNTS
    assert place() is None


def test_a_collector_that_keeps_no_history_has_no_place(database: Database, keys: Keys) -> None:
    tell(database, keys, STATE._replace(address="", certificate=""))
    assert Collected(database, keys.cluster)() is None


def test_what_cannot_be_read_is_no_history(database: Database, keys: Keys) -> None:
    database.link(latest_key(keys.cluster, "collector")).call(
        "HSET", latest_key(keys.cluster, "collector"), "state", b"\x00rotten", "beat", "1", "turn", "1"
    )
    with pytest.raises(NoHistory, match="could not be read from Redis"):
        Collected(database, keys.cluster)()
