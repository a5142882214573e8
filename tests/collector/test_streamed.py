"""Points of the stream delay on their way from Redis to a store of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator, List, Sequence

import pytest
import redis_servers
from krm.collector.__main__ import Settings, _delays_to
from krm.collector.streamed import BACK, EVERY, Streamed
from krm.model.delays import ADDED, DELETED, DELETION, DelayPoint
from krm.store.connect import Clock, Database, connect
from krm.store.delays import FIELD, DelayWriter
from krm.store.errors import BadUrl
from krm.store.history.lines import Point, text
from krm.store.keys import Keys
from krm.store.meta import Announcer

PODS, JOBS = Keys("demo", "pods"), Keys("demo", "jobs.batch", "team-a")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_servers.Server]:
    with redis_servers.one(Path(tmp_path_factory.mktemp("redis"))) as running:
        yield running


@pytest.fixture
def database(server: redis_servers.Server) -> Database:
    assert server.ask("FLUSHALL") == b"+OK\r\n"
    return connect(server.url, name="krm-test")


def tell(database: Database, keys: Keys, *points: DelayPoint) -> None:
    Announcer(database, keys).announce(Clock(database).now())
    DelayWriter(database, keys).append(points)


def written(found: Sequence[Point]) -> List[str]:
    return text(found)[0].decode().splitlines()


def test_each_kinds_points_are_written_once_each_half_minute(database: Database) -> None:
    now = Clock(database).now()
    got: List[Point] = []
    tell(database, PODS, DelayPoint(ADDED, 100.5, 2.25, "7"), DelayPoint(DELETED, 101.0, -0.5, "8"))
    tell(database, PODS, DelayPoint(DELETION, 101.0, 31.0, "8"))
    tell(database, JOBS, DelayPoint(ADDED, 102.0, 1.0, "9"))
    streamed = Streamed(database, "demo", got.extend)
    streamed.turn(now)
    assert written(got) == [
        'streamed_data,event=ADDED,resource=jobs.batch delay=1.0,resource_version="9",resolution=1.0 102000',
        'streamed_data,event=ADDED,resource=pods delay=2.25,resource_version="7",resolution=1.0 100500',
        'streamed_data,event=DELETED,resource=pods delay=-0.5,resource_version="8",resolution=1.0 101000',
        'deletion_seconds,resource=pods value=31.0,resource_version="8",resolution=1.0 101000',
    ]
    tell(database, PODS, DelayPoint(ADDED, 103.0, 3.0, "10"))
    streamed.turn(now + EVERY - 1)
    assert len(got) == 4
    streamed.turn(now + EVERY)
    assert [point.fields["resource_version"] for point in got[4:]] == ["10"]
    streamed.turn(now + 2 * EVERY)
    assert len(got) == 5


def test_one_that_begins_anew_writes_the_last_hour_once_more_and_nothing_older(database: Database) -> None:
    now = Clock(database).now()
    tell(database, PODS, DelayPoint(ADDED, 100.0, 2.0, "7"))
    for at, count in ((now, 1), (now, 1), (now + BACK + 10, 0)):
        got: List[Point] = []
        Streamed(database, "demo", got.extend).turn(at)
        assert len(got) == count


def test_what_cannot_be_read_stops_nothing(database: Database, server: redis_servers.Server, caplog: Any) -> None:
    now = Clock(database).now()
    got: List[Point] = []
    for junk in (b"junk", b"\x92\x01\x91\x94\xa1x\xa1y\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa1z"):
        database.link(PODS.delays).call("XADD", PODS.delays, "*", FIELD, junk)
    database.link(PODS.delays).call("XADD", PODS.delays, "*", b"x", b"y")
    tell(database, PODS, DelayPoint(ADDED, 100.0, 2.0, "7"))
    streamed = Streamed(database, "demo", got.extend)
    streamed.turn(now)
    assert len(got) == 1
    assert caplog.text.count("passed over") == 2
    tell(database, PODS, DelayPoint(ADDED, 101.0, 2.0, "8"))
    server.stop()
    streamed.turn(now + EVERY)
    streamed.turn(now + 2 * EVERY)
    assert caplog.text.count("were not read") == 1
    server.start()
    tell(database, PODS, DelayPoint(ADDED, 102.0, 2.0, "9"))
    streamed.turn(now + 3 * EVERY)
    assert [point.fields["resource_version"] for point in got] == ["7", "9"]  # "8" was lost with its Redis


@pytest.mark.parametrize(
    ("flags", "variables", "to"),
    [
        ({}, {}, None),
        ({}, {"INFLUXDB_HOST": "127.0.0.1", "INFLUXDB_PORT": "1"}, "influxdb://127.0.0.1:1/k8s"),
        ({"stream_delay_to": "influxdb://127.0.0.1:2/x"}, {"INFLUXDB_HOST": "h"}, "influxdb://127.0.0.1:2/x"),
    ],
)
def test_where_they_go_if_the_history_is_a_file(
    flags: Any, variables: Any, to: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = _delays_to(Settings(history_spool=str(tmp_path), **flags))
    assert (found.name if found else None) == to
    if found is not None:
        found.close(0.0)


def test_a_file_is_no_place_for_them() -> None:
    with pytest.raises(BadUrl, match="not into a file"):
        _delays_to(Settings(stream_delay_to="/tmp/x.db"))
